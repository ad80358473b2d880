//! Aggregate reports of DMARC (RFC 9990 3, RFC 7489 appendix C).
//!
//! Read by the names of elements alone: namespaces, order and unknown elements differ from sender to sender.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use baton_mail::text::sanitize;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

use super::{ROWS_MAX, TEXT_OCTETS_MAX};

/// One report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DmarcReport {
    /// Who wrote it.
    pub organization: String,
    /// Where to ask.
    pub email: String,
    /// Its name, which its writer gave.
    pub id: String,
    /// The time it is about, in seconds since 1970.
    pub begin_s: u64,
    /// The end of that time.
    pub end_s: u64,
    /// The domain it is about.
    pub domain: String,
    /// What the domain had published.
    pub policy: PublishedPolicy,
    /// What was seen, the most frequent first.
    pub rows: Vec<DmarcRow>,
    /// Rows that were left out, because there were too many.
    pub rows_left_out: usize,
}

/// What a domain had published, as the writer of the report saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPolicy {
    /// `p`.
    pub p: String,
    /// `sp`.
    pub sp: String,
    /// `np`.
    pub np: String,
    /// `adkim`.
    pub adkim: String,
    /// `aspf`.
    pub aspf: String,
    /// `t`, or before RFC 9989 `pct`.
    pub testing: String,
}

/// Messages that had the same fate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DmarcRow {
    /// The address that they came from.
    pub source: String,
    /// How many.
    pub count: u64,
    /// What was done: `none`, `quarantine`, `reject`, `pass`.
    pub disposition: String,
    /// Whether DKIM passed in alignment: `pass` or `fail`.
    pub dkim: String,
    /// Whether SPF did.
    pub spf: String,
    /// Why the policy was not followed.
    pub reason: String,
    /// The domain in From.
    pub header_from: String,
    /// The domain in MAIL.
    pub envelope_from: String,
    /// Signatures: domain, selector and result of each.
    pub dkim_results: String,
    /// SPF: domain and result.
    pub spf_results: String,
}

impl DmarcRow {
    /// DMARC passes when either does (RFC 9989 4.4).
    pub fn passes(&self) -> bool {
        self.dkim == "pass" || self.spf == "pass"
    }
}

/// Reads a report.
pub(super) fn read(text: &str) -> Result<DmarcReport, String> {
    let mut reader = Reader::from_str(text);
    // A writer that forgot to close an element still said what it said before.
    reader.config_mut().check_end_names = false;
    let mut state = State::default();
    loop {
        match reader.read_event().map_err(|error| format!("damaged XML: {error}"))? {
            Event::Start(element) => state.start(name(element.name().as_ref()))?,
            Event::Empty(_) => {}
            Event::Text(text) => state.text(&text.decode().map_err(|error| format!("damaged XML: {error}"))?),
            Event::CData(text) => state.text(&String::from_utf8_lossy(&text)),
            Event::GeneralRef(entity) => state.entity(&entity.decode().unwrap_or_default()),
            Event::End(_) => state.end(),
            Event::Eof => break,
            _ => {}
        }
    }
    state.finish()
}

/// The name without its namespace, in lower case.
fn name(name: &[u8]) -> String {
    let own = name.rsplit(|octet| *octet == b':').next().unwrap_or(name);
    String::from_utf8_lossy(own.get(..own.len().min(64)).unwrap_or(own)).to_ascii_lowercase()
}

/// What was read so far.
#[derive(Default)]
struct State {
    path: Vec<String>,
    text: String,
    report: DmarcReport,
    row: DmarcRow,
    /// Domain, selector and result of the signature or SPF that is being read.
    result: (String, String, String),
    counts: HashMap<DmarcRow, u64>,
    is_feedback: bool,
    /// The report ended; what follows in the same file is another one.
    is_over: bool,
}

impl State {
    fn start(&mut self, name: String) -> Result<(), String> {
        if self.path.len() >= DEPTH_MAX {
            return Err("XML too deep".to_owned());
        }
        if self.is_root(&name) {
            // Some writers put the report into an element of their own: what is around it is forgotten.
            self.path.clear();
            self.is_feedback = true;
        }
        // Others call the root as they like.
        self.is_feedback |= self.path.len() == 1 && name == "report_metadata";
        self.text.clear();
        self.path.push(name);
        Ok(())
    }

    /// True for the first `feedback`, at the root or inside what a writer put around it.
    fn is_root(&self, name: &str) -> bool {
        !self.is_feedback && name == "feedback"
    }

    fn text(&mut self, text: &str) {
        if self.text.len() < TEXT_OCTETS_MAX {
            self.text.push_str(text.get(..text.floor_char_boundary(TEXT_OCTETS_MAX)).unwrap_or(text));
        }
    }

    /// The five of the standard and characters by number; all others are nothing.
    fn entity(&mut self, entity: &str) {
        let by_name = match entity {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => None,
        };
        let by_number = || match entity.strip_prefix('#')?.split_at_checked(1) {
            Some(("x", digits)) => u32::from_str_radix(digits, 16).ok().and_then(char::from_u32),
            _ => entity.strip_prefix('#')?.parse().ok().and_then(char::from_u32),
        };
        if let Some(character) = by_name.or_else(by_number) {
            self.text.push(character);
        }
    }

    fn end(&mut self) {
        let text = sanitize(self.text.trim(), TEXT_OCTETS_MAX);
        let whole = std::mem::take(&mut self.path);
        let path: Vec<&str> = whole.iter().skip(1).map(String::as_str).collect();
        match path.as_slice() {
            _ if self.is_over => {}
            ["report_metadata", rest @ ..] => metadata(&mut self.report, rest, text),
            ["policy_published", tag] => policy(&mut self.report, tag, text),
            ["record"] => self.end_record(),
            ["record", rest @ ..] => self.record(rest, text),
            _ => {}
        }
        self.path = whole;
        self.path.pop();
        self.is_over |= self.is_feedback && self.path.is_empty();
        self.text.clear();
    }

    fn record(&mut self, path: &[&str], text: String) {
        let row = &mut self.row;
        match path {
            ["row", "source_ip"] => row.source = text,
            ["row", "count"] => row.count = text.parse().unwrap_or(0),
            ["row", "policy_evaluated", "disposition"] => row.disposition = text.to_ascii_lowercase(),
            ["row", "policy_evaluated", "dkim"] => row.dkim = text.to_ascii_lowercase(),
            ["row", "policy_evaluated", "spf"] => row.spf = text.to_ascii_lowercase(),
            ["row", "policy_evaluated", "reason", "type"] => push(&mut row.reason, &text),
            ["identifiers" | "identities", "header_from"] => row.header_from = text.to_ascii_lowercase(),
            ["identifiers" | "identities", "envelope_from"] => row.envelope_from = text.to_ascii_lowercase(),
            ["auth_results", "dkim" | "spf", "domain"] => self.result.0 = text.to_ascii_lowercase(),
            ["auth_results", "dkim", "selector"] => self.result.1 = text,
            ["auth_results", "dkim" | "spf", "result"] => self.result.2 = text.to_ascii_lowercase(),
            ["auth_results", kind @ ("dkim" | "spf")] => {
                let (domain, selector, result) = std::mem::take(&mut self.result);
                let at = if selector.is_empty() { domain } else { format!("{domain} ({selector})") };
                let results = if *kind == "dkim" { &mut row.dkim_results } else { &mut row.spf_results };
                push(results, &format!("{result} {at}"));
            }
            _ => {}
        }
    }

    /// Equal rows are one.
    fn end_record(&mut self) {
        let row = std::mem::take(&mut self.row);
        let count = row.count;
        let key = DmarcRow { count: 0, ..row };
        let is_full = self.counts.len() >= COUNTED_ROWS_MAX;
        match self.counts.entry(key) {
            Entry::Occupied(mut known) => *known.get_mut() = known.get().saturating_add(count),
            Entry::Vacant(_) if is_full => self.report.rows_left_out += 1,
            Entry::Vacant(free) => {
                free.insert(count);
            }
        }
    }

    fn finish(self) -> Result<DmarcReport, String> {
        let State { mut report, counts, is_feedback, .. } = self;
        if !is_feedback {
            return Err("no report of DMARC".to_owned());
        }
        if report.domain.is_empty() {
            return Err("the report names no domain".to_owned());
        }
        report.rows = counts.into_iter().map(|(row, count)| DmarcRow { count, ..row }).collect();
        report
            .rows
            .sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.source.cmp(&other.source)));
        report.rows_left_out += report.rows.len().saturating_sub(ROWS_MAX);
        report.rows.truncate(ROWS_MAX);
        Ok(report)
    }
}

fn metadata(report: &mut DmarcReport, path: &[&str], text: String) {
    match path {
        ["org_name"] => report.organization = text,
        ["email"] => report.email = text,
        ["report_id"] => report.id = text,
        ["date_range", "begin"] => report.begin_s = seconds(&text),
        ["date_range", "end"] => report.end_s = seconds(&text),
        _ => {}
    }
}

fn policy(report: &mut DmarcReport, tag: &str, text: String) {
    let policy = &mut report.policy;
    match tag {
        "domain" => report.domain = text.to_ascii_lowercase(),
        "p" => policy.p = text,
        "sp" => policy.sp = text,
        "np" => policy.np = text,
        "adkim" => policy.adkim = text,
        "aspf" => policy.aspf = text,
        "testing" | "t" => policy.testing = text,
        "pct" if text != "100" => policy.testing = format!("pct={text}"),
        _ => {}
    }
}

/// Some writers add a fraction.
fn seconds(text: &str) -> u64 {
    text.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0)
}

fn push(list: &mut String, text: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(text);
    *list = sanitize(list, TEXT_OCTETS_MAX);
}

/// Elements within one another; the standard has five.
const DEPTH_MAX: usize = 16;
/// Different rows that are counted before the largest are kept.
const COUNTED_ROWS_MAX: usize = 20_000;
