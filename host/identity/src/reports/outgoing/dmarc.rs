//! Counts of messages by what DMARC found, and the report of them (RFC 9990 3).

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use baton_mail::text::sanitize;
use baton_mail::{Domain, ReversePath};
use serde::{Deserialize, Serialize};

use super::{Heading, Kept};
use crate::reports::PublishedPolicy;
use crate::{DkimOutcome, Results, Verdict, Wish};

/// A message that was evaluated, as the report to its domain tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmarcSeen {
    /// Where the policy stands: whose report it is.
    pub domain: Domain,
    policy: PublishedPolicy,
    wish: Wish,
    record: DmarcRecord,
}

/// Messages that had the same fate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct DmarcRecord {
    source: String,
    disposition: String,
    /// Why that is not what the policy asks for.
    reason: Option<String>,
    dkim: bool,
    spf: bool,
    header_from: String,
    envelope_from: String,
    /// Domain, selector and result of each signature.
    signatures: Vec<(String, String, String)>,
    /// Domain and result.
    sender: Option<(String, String)>,
}

impl DmarcSeen {
    /// None when no policy was evaluated, or its owner wants no reports.
    pub fn of(results: &Results, sender: &ReversePath) -> Option<DmarcSeen> {
        let outcome = &results.dmarc;
        let evaluated = outcome.evaluated.as_ref().filter(|evaluated| evaluated.wants_reports)?;
        let is_evaluated = matches!(outcome.verdict, Verdict::Pass | Verdict::Fail);
        let domain = outcome.record_at.as_ref().filter(|_| is_evaluated)?.parse().ok()?;
        let author = outcome.author.as_ref()?;
        let record = DmarcRecord {
            source: results.sender.client.to_canonical().to_string(),
            disposition: String::new(),
            reason: None,
            dkim: evaluated.dkim,
            spf: evaluated.spf,
            header_from: author.to_string(),
            envelope_from: sender.mailbox().map(|mailbox| mailbox.domain().to_string()).unwrap_or_default(),
            signatures: told_signatures(&results.dkim, author),
            sender: results
                .sender
                .spf(sender)
                .map(|spf| (told(&spf.domain), spf.verdict.as_str().to_owned())),
        };
        Some(DmarcSeen { domain, policy: evaluated.published.clone(), wish: evaluated.wish, record })
    }

    /// What is counted once it is known what was done: none is taken, quarantine held, reject refused.
    fn ended(self, done: Wish) -> (PublishedPolicy, DmarcRecord) {
        let DmarcSeen { policy, wish, mut record, .. } = self;
        // What was done for other reasons is not the policy's doing (RFC 9990 3.1.1.10).
        let applied = wish.min(done);
        if record.dkim || record.spf {
            record.disposition = if policy.p == "none" { "none" } else { "pass" }.to_owned();
        } else {
            record.disposition = applied.to_string();
            let reason = if policy.testing == "y" { "policy_test_mode" } else { "local_policy" };
            record.reason = (applied < wish).then(|| reason.to_owned());
        }
        (policy, record)
    }
}

/// The signatures that tell the most: those of the author's own domain that pass, others that pass, the rest.
fn told_signatures(outcomes: &[DkimOutcome], author: &Domain) -> Vec<(String, String, String)> {
    let mut outcomes: Vec<&DkimOutcome> =
        outcomes.iter().filter(|outcome| !outcome.domain.is_empty()).collect();
    outcomes.sort_by_key(|outcome| {
        let is_own = outcome.domain.eq_ignore_ascii_case(author.as_str());
        (outcome.verdict != Verdict::Pass, !is_own)
    });
    let told = |one: &&DkimOutcome| (told(&one.domain), told(&one.selector), one.verdict.as_str().to_owned());
    outcomes.iter().take(SIGNATURES_MAX).map(told).collect()
}

fn told(text: &str) -> String {
    sanitize(text, TEXT_OCTETS_MAX)
}

/// Messages in the name of one domain on one day, since they were written down last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmarcCounts {
    policy: PublishedPolicy,
    records: HashMap<DmarcRecord, u64>,
}

impl DmarcCounts {
    /// Counts a message with which this was done; a kind of message that was not there before only if there `is_room`.
    /// True when it is such a one. What the domain published last is what the report says.
    pub fn add(&mut self, seen: DmarcSeen, done: Wish, is_room: bool) -> bool {
        let (policy, record) = seen.ended(done);
        self.policy = policy;
        if let Some(count) = self.records.get_mut(&record) {
            *count = count.saturating_add(1);
            return false;
        }
        if is_room {
            self.records.insert(record, 1);
        }
        is_room
    }

    /// In parts that are kept each by itself, by number.
    pub fn into_parts(self) -> HashMap<u8, DmarcPart> {
        let mut parts: HashMap<u8, DmarcPart> = HashMap::new();
        for (record, count) in self.records {
            let mut hasher = DefaultHasher::new();
            record.hash(&mut hasher);
            let number = u8::try_from(hasher.finish() % PARTS).unwrap_or(0);
            let part = parts.entry(number).or_default();
            part.policy.clone_from(&self.policy);
            part.records.push((record, count));
        }
        parts
    }
}

/// A part of what was counted of one domain on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DmarcPart {
    policy: PublishedPolicy,
    records: Vec<(DmarcRecord, u64)>,
}

impl Kept for DmarcPart {
    /// Kinds of messages that there is no room for are left out: the report must stay of a size that can be mailed.
    fn merge(&mut self, newer: DmarcPart) {
        self.policy = newer.policy;
        let mut room = PART_OCTETS_MAX.saturating_sub(self.records.iter().map(|(one, _)| one.octets()).sum());
        for (record, count) in newer.records {
            if let Some((_, known)) = self.records.iter_mut().find(|(known, _)| *known == record) {
                *known = known.saturating_add(count);
            } else if let Some(left) = room.checked_sub(record.octets()) {
                room = left;
                self.records.push((record, count));
            }
        }
    }
}

impl DmarcRecord {
    /// About so many when it is kept.
    fn octets(&self) -> usize {
        let signatures =
            self.signatures.iter().map(|(domain, selector, _)| domain.len() + selector.len() + 24);
        let sender = self.sender.as_ref().map_or(0, |(domain, _)| domain.len());
        let own = self.source.len() + self.header_from.len() + self.envelope_from.len() + sender;
        own + signatures.sum::<usize>() + 200
    }
}

/// The report as XML; none when nothing was counted.
pub fn dmarc_xml(heading: &Heading, parts: &[DmarcPart]) -> Option<Vec<u8>> {
    let policy = parts.iter().find(|part| !part.records.is_empty())?.policy.clone();
    let mut xml = Xml(String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
    xml.0.push_str("<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n<version>1.0</version>\n");
    xml.element("report_metadata", |xml| {
        xml.text("org_name", heading.submitter.as_str());
        xml.text("email", &heading.contact);
        xml.text("report_id", &heading.id);
        xml.element("date_range", |xml| {
            xml.text("begin", &heading.begin_s.to_string());
            xml.text("end", &heading.end_s.to_string());
        });
        xml.text("generator", concat!("Baton ", env!("CARGO_PKG_VERSION")));
    });
    xml.element("policy_published", |xml| {
        xml.text("domain", heading.domain.as_str());
        xml.text("discovery_method", "treewalk");
        xml.text("p", &policy.p);
        xml.text("sp", &policy.sp);
        xml.text("np", &policy.np);
        xml.text("adkim", &policy.adkim);
        xml.text("aspf", &policy.aspf);
        xml.text("testing", &policy.testing);
    });
    for (record, count) in parts.iter().flat_map(|part| &part.records) {
        xml.record(record, *count);
    }
    xml.0.push_str("</feedback>\n");
    Some(xml.0.into_bytes())
}

/// XML in the making.
struct Xml(String);

impl Xml {
    fn record(&mut self, record: &DmarcRecord, count: u64) {
        let word = |passed: bool| if passed { "pass" } else { "fail" };
        self.element("record", |xml| {
            xml.element("row", |xml| {
                xml.text("source_ip", &record.source);
                xml.text("count", &count.to_string());
                xml.element("policy_evaluated", |xml| {
                    xml.text("disposition", &record.disposition);
                    xml.text("dkim", word(record.dkim));
                    xml.text("spf", word(record.spf));
                    if let Some(reason) = &record.reason {
                        xml.element("reason", |xml| xml.text("type", reason));
                    }
                });
            });
            xml.element("identifiers", |xml| {
                xml.text("header_from", &record.header_from);
                xml.text("envelope_from", &record.envelope_from);
            });
            xml.element("auth_results", |xml| {
                for (domain, selector, result) in &record.signatures {
                    xml.element("dkim", |xml| {
                        xml.text("domain", domain);
                        xml.text("selector", selector);
                        xml.text("result", result);
                    });
                }
                if let Some((domain, result)) = &record.sender {
                    xml.element("spf", |xml| {
                        xml.text("domain", domain);
                        xml.text("scope", "mfrom");
                        xml.text("result", result);
                    });
                }
            });
        });
    }

    fn element(&mut self, name: &str, content: impl FnOnce(&mut Xml)) {
        // Writing to a string does not fail, here and below.
        let _ = write!(self.0, "<{name}>");
        content(self);
        let _ = writeln!(self.0, "</{name}>");
    }

    fn text(&mut self, name: &str, text: &str) {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(self.0, "<{name}>{escaped}</{name}>");
    }
}

/// Octets of one text.
const TEXT_OCTETS_MAX: usize = 254;
/// Signatures of one message that are told.
const SIGNATURES_MAX: usize = 5;
/// Parts in which the counts of a domain are kept.
const PARTS: u64 = 64;
/// Octets of one part, so that it fits into a value of the store.
const PART_OCTETS_MAX: usize = 56 << 10;
