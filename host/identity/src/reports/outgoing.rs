//! Reports that we write about others: of TLS about the domains that we send to (RFC 8460), of DMARC about the domains in
//! whose names mail came in (RFC 9990). Counting, writing, and whom to send them to; queueing them is the relay's.
//!
//! Invariant: what is counted of one domain and day is bounded, and each part of it fits into a value of the store.
//!
//! Invariant: a report of DMARC goes to another organization only when that one asked for it in the DNS (RFC 9990 4).

mod destination;
mod dmarc;
mod mail;
mod tally;
mod tls;

use std::io::Write;

use baton_mail::Domain;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use destination::{Destination, dmarc_destinations, tls_destinations};
pub use dmarc::{DmarcCounts, DmarcPart, DmarcSeen, dmarc_xml};
pub use mail::{Kind, compose};
pub use tally::{Counted, Tally};
pub use tls::{TlsCounts, TlsFault, TlsPolicyKind, TlsPolicyName};

/// Counts as the store keeps them.
pub trait Kept: Default + Serialize + DeserializeOwned + Send {
    /// Adds what was counted later.
    fn merge(&mut self, newer: Self);
}

/// Which report it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// Our name, which stands for the organization.
    pub submitter: Domain,
    /// The address that reports come from, where questions go to.
    pub contact: String,
    /// The domain that it is about.
    pub domain: Domain,
    /// The begin of its time, in seconds since 1970.
    pub begin_s: u64,
    /// The last second of its time.
    pub end_s: u64,
    /// A name that no other report has.
    pub id: String,
}

impl Heading {
    /// The name of the file (RFC 9990 3.5.2, RFC 8460 5.1), without its ending.
    fn file_stem(&self) -> String {
        format!("{}!{}!{}!{}!{}", self.submitter, self.domain, self.begin_s, self.end_s, self.id)
    }
}

/// Packs a report.
pub fn pack(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _ = encoder.write_all(octets);
    encoder.finish().unwrap_or_default()
}

/// Policies that are told apart in the report about one domain.
pub const POLICIES_MAX: usize = 8;
/// Failures that are told apart in the report about one domain.
pub const FAILURES_MAX: usize = 50;

#[cfg(test)]
mod tests;
