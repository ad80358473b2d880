//! The failed attempt that `bounce` is asked about.

use crate::host::{CurrentHost, Host};
use crate::{Refused, Reply};

/// What went wrong, as the remote host and the relay put it.
pub struct Failure<'a> {
    pub(crate) host: &'a CurrentHost,
}

impl Failure<'_> {
    /// True when the relay would give up, false when it would try again.
    pub fn permanent(&self) -> bool {
        self.host.failure_permanent()
    }

    /// The host that was tried.
    pub fn remote_host(&self) -> Option<String> {
        self.host.failure_remote_host()
    }

    /// What the remote host said; none when it did not come to that.
    pub fn remote_reply(&self) -> Option<Reply> {
        self.host.failure_remote_reply()
    }

    /// Where it failed: `dns`, `connect`, `tls`, `ehlo`, `auth`, `mail`, `rcpt`, `data`, `policy` or `expired`.
    pub fn phase(&self) -> String {
        self.host.failure_phase()
    }

    /// The relay's own view: `bad-mailbox`, `quota`, `block-source`, ...
    pub fn class(&self) -> String {
        self.host.failure_class()
    }

    /// Puts the failure into another class, by one of the relay's names.
    pub fn set_class(&self, name: &str) -> Result<(), Refused> {
        self.host.failure_set_class(name)
    }
}
