//! The relay's resolver. Needs the grant `dns`.

use std::fmt;
use std::net::IpAddr;

use crate::host::{CurrentHost, Host};

/// IANA numbers of the record types that mail needs.
pub mod rr_type {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Canonical name.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Name of an address.
    pub const PTR: u16 = 12;
    /// Mail exchanger; rendered as `10 mx.example.`.
    pub const MX: u16 = 15;
    /// Text; the strings of one record joined.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Query {
    /// The name.
    pub name: String,
    /// The type, such as [`rr_type::TXT`].
    pub rr_type: u16,
}

/// What the resolver said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 0 is no error, 3 is "no such name" (RFC 1035 4.1.1).
    pub rcode: u16,
    /// True when DNSSEC proved it.
    pub authenticated: bool,
    /// How long it may be remembered, in seconds.
    pub ttl_s: u32,
    /// The records in their text form.
    pub records: Vec<String>,
}

/// Why there is no answer. "No such name" is an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// The operator did not grant `dns`, or the call asked too many questions.
    Denied,
    /// No answer in time.
    Timeout,
    /// The name is no domain name.
    BadName,
    /// The resolver failed.
    Failed(String),
}

impl fmt::Display for DnsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DnsError::Denied => formatter.write_str("dns: not granted"),
            DnsError::Timeout => formatter.write_str("dns: no answer in time"),
            DnsError::BadName => formatter.write_str("dns: not a domain name"),
            DnsError::Failed(why) => write!(formatter, "dns: {why}"),
        }
    }
}

impl std::error::Error for DnsError {}

/// Questions to the relay's resolver, which remembers answers for all plugins.
pub struct Dns<'a> {
    pub(crate) host: &'a CurrentHost,
}

impl Dns<'_> {
    /// Asks for the records of one name.
    pub fn lookup(&self, name: &str, rr_type: u16) -> Result<Answer, DnsError> {
        self.host.dns_lookup(&Query { name: name.to_owned(), rr_type })
    }

    /// Asks several questions at once; answers in the order of the questions.
    pub fn lookup_many(&self, queries: &[Query]) -> Vec<Result<Answer, DnsError>> {
        self.host.dns_lookup_many(queries)
    }

    /// Asks DNS blocklists about an address, all zones at once (RFC 5782). Empty means not listed.
    pub fn blocklists(&self, zones: &[String], address: IpAddr) -> Vec<Result<Vec<String>, DnsError>> {
        self.host.dns_blocklists(zones, &address.to_string())
    }

    /// Asks DNS blocklists about a domain, all zones at once (RFC 5782 2.3). Empty means not listed.
    pub fn domain_blocklists(&self, zones: &[String], domain: &str) -> Vec<Result<Vec<String>, DnsError>> {
        self.host.dns_blocklists(zones, domain)
    }
}
