//! Reports of others about mail in our domains' names: aggregate reports of DMARC (RFC 9990, and RFC 7489 as they are
//! found in the wild) and of TLS (RFC 8460). They come by mail, packed by gzip or zip or plain.
//!
//! Invariant: whatever a report says, reading it takes bounded memory: what is packed may unfold to
//! [`REPORT_OCTETS_MAX`], of rows and failures the rarest are left out (of DMARC beyond [`ROWS_MAX`]), texts are cut and have no
//! control characters. Entities of XML are never expanded but for the five of the standard.
//!
//! Invariant: nothing is believed: who sent a report says what he likes. It is shown, and nothing is done by it.

mod dmarc;
pub mod outgoing;
mod tls;
mod unpack;

use std::sync::Arc;

use baton_mail::body::Content;
use baton_mail::mime::{MimeLimits, read_tree};
use serde::{Deserialize, Serialize};

pub use dmarc::{DmarcReport, DmarcRow, PublishedPolicy};
pub use tls::{TlsFailure, TlsPolicy, TlsReport};

/// A report that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    /// Of DMARC.
    Dmarc(DmarcReport),
    /// Of TLS.
    Tls(TlsReport),
}

/// Why a message is no report, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// No part of it is of a kind that reports come in.
    #[error("no part of the message is a report")]
    Missing,
    /// The message can not be looked at.
    #[error("the message is {0}")]
    TooComplex(#[from] baton_mail::header::TooComplex),
    /// A part looks like a report and is none.
    #[error("{0}")]
    Damaged(String),
}

impl Report {
    /// `dmarc` or `tls`.
    pub fn kind(&self) -> &'static str {
        match self {
            Report::Dmarc(_) => "dmarc",
            Report::Tls(_) => "tls",
        }
    }

    /// The domain that it is about; the first, when there are several.
    pub fn domain(&self) -> &str {
        match self {
            Report::Dmarc(report) => &report.domain,
            Report::Tls(report) => {
                let domains = report.policies.iter().map(|policy| policy.domain.as_str());
                domains.into_iter().find(|domain| !domain.is_empty()).unwrap_or_default()
            }
        }
    }

    /// Who wrote it.
    pub fn organization(&self) -> &str {
        match self {
            Report::Dmarc(report) => &report.organization,
            Report::Tls(report) => &report.organization,
        }
    }

    /// A name that the same report has each time it comes.
    pub fn key(&self) -> String {
        let (begin_s, id) = match self {
            Report::Dmarc(report) => (report.begin_s, &report.id),
            Report::Tls(report) => (report.begin_s, &report.id),
        };
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
        let mark: String = hash.as_ref().iter().take(8).map(|octet| format!("{octet:02x}")).collect();
        let part = |text: &str| {
            text.chars().filter(|one| !one.is_whitespace() && *one != '/').take(100).collect::<String>()
        };
        // As it is asked for.
        let domain = match self.domain() {
            "" => "-".to_owned(),
            name => match name.parse::<baton_mail::Domain>() {
                Ok(domain) => domain.to_string(),
                Err(_) => part(&name.to_ascii_lowercase()),
            },
        };
        let organization = part(self.organization());
        format!("{}/{domain}/{begin_s:010}/{organization}/{mark}", self.kind())
    }

    /// As JSON of at most so many octets: rows go, the rarest first, until it fits.
    ///
    /// # Errors
    /// When a report without rows is still larger, which the bounds on texts rule out.
    pub fn to_json(&self, octets_max: usize) -> Result<Vec<u8>, serde_json::Error> {
        let mut own = self.clone();
        loop {
            let text = serde_json::to_vec(&own)?;
            match &mut own {
                Report::Dmarc(report) if text.len() > octets_max && !report.rows.is_empty() => {
                    let kept = report.rows.len() / 2;
                    report.rows_left_out += report.rows.len() - kept;
                    report.rows.truncate(kept);
                }
                Report::Tls(report) if text.len() > octets_max && report.policies.len() > 1 => {
                    report.policies.truncate(report.policies.len() / 2);
                }
                _ => return Ok(text),
            }
        }
    }

    /// What it says, in a few words.
    pub fn summary(&self) -> String {
        match self {
            Report::Dmarc(report) => {
                let sum = |passing: bool| {
                    let rows = report.rows.iter().filter(|row| !passing || row.passes());
                    rows.map(|row| row.count).fold(0, u64::saturating_add)
                };
                let (messages, passed) = (sum(false), sum(true));
                format!(
                    "DMARC report of {} about {}: {messages} messages, {passed} of them passed",
                    report.organization, report.domain
                )
            }
            Report::Tls(report) => {
                let (good, bad) = report.sessions();
                format!(
                    "TLS report of {} about {}: {good} sessions, {bad} failed",
                    report.organization,
                    self.domain()
                )
            }
        }
    }
}

/// Reads the report that a message carries: the first part that is one. It may take a while: not for the threads that
/// serve sessions.
pub fn read(content: &Content, limits: &MimeLimits) -> Result<Report, ReportError> {
    let tree = Arc::new(read_tree(content, limits)?);
    let mut flaw = ReportError::Missing;
    for index in 0..tree.len().min(PARTS_MAX) {
        let Some(part) = tree.part(index, content) else { continue };
        let name = part.filename().unwrap_or_default().to_ascii_lowercase();
        if !may_be_report(part.content_type(), &name) {
            continue;
        }
        match read_packed(&part.decoded()) {
            Ok(report) => return Ok(report),
            Err(reason) => flaw = ReportError::Damaged(reason),
        }
    }
    Err(flaw)
}

/// Reads one, packed or not.
pub(crate) fn read_packed(octets: &[u8]) -> Result<Report, String> {
    unpack::unpack(octets).and_then(|octets| read_octets(&octets))
}

/// Reads what was unpacked: XML, or JSON.
fn read_octets(octets: &[u8]) -> Result<Report, String> {
    let text = String::from_utf8_lossy(octets);
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        return tls::read(text).map(Report::Tls);
    }
    dmarc::read(text).map(Report::Dmarc)
}

/// RFC 9990 4, RFC 7489 7.2.1.1, RFC 8460 5.3, and what senders make of them.
fn may_be_report(content_type: &str, name: &str) -> bool {
    let types = [
        "application/gzip",
        "application/x-gzip",
        "application/zip",
        "application/x-zip",
        "application/x-zip-compressed",
        "application/tlsrpt+gzip",
        "application/tlsrpt+json",
        "application/xml",
        "text/xml",
        "application/json",
    ];
    let ends = [".xml", ".json", ".gz", ".gzip", ".zip"];
    types.contains(&content_type) || ends.iter().any(|end| name.ends_with(end))
}

/// The bucket of the store where reports are kept, by their keys. No plugin can have one of that name.
pub const BUCKET: &str = "reports";
/// What a report may unfold to. The largest seen in public samples has 3 MiB.
pub const REPORT_OCTETS_MAX: u64 = 32 << 20;
/// Rows that are kept of one report.
pub const ROWS_MAX: usize = 200;
/// Parts that are looked at.
const PARTS_MAX: usize = 64;
/// Octets of a text in a report.
const TEXT_OCTETS_MAX: usize = 200;

#[cfg(test)]
mod tests;
