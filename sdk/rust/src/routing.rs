//! Where a recipient's copy goes next.

use std::time::Duration;

use crate::Refused;
use crate::host::{CurrentHost, Host};

/// The route of one recipient's copy; to be set in `route`. Later calls win; fallbacks add up.
///
/// Targets need a grant: `route = ["mx", "host:*.example.org", "archive"]` allows the MX of a domain, hosts by pattern
/// (SMTP and LMTP), and next hops of the settings by name.
pub struct Routing<'a> {
    pub(crate) host: &'a CurrentHost,
}

impl Routing<'_> {
    /// Finished attempts so far.
    pub fn attempt(&self) -> u32 {
        self.host.routing_attempt()
    }

    /// How long ago the message was accepted.
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.host.routing_age_ms())
    }

    /// What the last attempt ended with, in words.
    pub fn last_error(&self) -> Option<String> {
        self.host.routing_last_error()
    }

    /// Deliver to the MX of that domain instead of the recipient's.
    pub fn use_mx_of(&self, domain: &str) -> Result<(), Refused> {
        self.host.routing_use_mx_of(domain)
    }

    /// Deliver by SMTP to this host name or address.
    pub fn use_host(&self, host: &str, port: u16) -> Result<(), Refused> {
        self.host.routing_use_host(host, port)
    }

    /// Deliver by LMTP to `host:port` or `unix:/path`.
    pub fn use_lmtp(&self, target: &str) -> Result<(), Refused> {
        self.host.routing_use_lmtp(target)
    }

    /// Deliver to a next hop that the settings name.
    pub fn use_next_hop(&self, name: &str) -> Result<(), Refused> {
        self.host.routing_use_next_hop(name)
    }

    /// One more host to try when the others do not answer.
    pub fn add_fallback(&self, host: &str, port: u16) -> Result<(), Refused> {
        self.host.routing_add_fallback(host, port)
    }

    /// The name of the queue that the copy waits in.
    pub fn set_queue(&self, name: &str) -> Result<(), Refused> {
        self.host.routing_set_queue(name)
    }

    /// No attempt before this moment (milliseconds since 1970).
    pub fn not_before(&self, unix_ms: u64) -> Result<(), Refused> {
        self.host.routing_not_before(unix_ms)
    }

    /// Give up this long after acceptance.
    pub fn expire_after(&self, age: Duration) -> Result<(), Refused> {
        self.host.routing_expire_after(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }
}
