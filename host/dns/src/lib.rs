//! Name lookups for mail: mail hosts, addresses, confirmed reverse names, and records as text for plugins.
//!
//! One resolver with one cache serves the whole process. It is the only place that knows which resolver library
//! is used.
//!
//! Invariant: every lookup ends within [`DnsSettings::deadline`]; names that nobody answers for are [`DnsError::Timeout`].
//!
//! Invariant: trouble with the DNS is never an answer about a name. "There is no such name" comes only from a
//! server that said so; all else is an error, and every error but [`DnsError::BadName`] is transient.
//!
//! Invariant: the cache is bounded by [`DnsSettings::cache_entries_max`], an answer by [`RECORDS_MAX`] and
//! [`RECORD_OCTETS_MAX`]; equal questions that are asked at once go out once.
//!
//! Invariant: no control character of a record reaches a caller, but for [`Resolver::texts`], which says so.

mod mail_hosts;
mod records;
mod resolver;
mod secure;
mod settings;

pub use mail_hosts::{FoundMailHosts, MAIL_HOSTS_MAX, MailHost, MailHosts};
pub use records::{Records, Reverse};
pub use resolver::{ADDRESSES_MAX, Answer, DnsError, RECORD_OCTETS_MAX, RECORDS_MAX, Resolver};
pub use secure::{HostAddresses, TlsaRecord};
pub use settings::{DnsSettings, Dnssec};
