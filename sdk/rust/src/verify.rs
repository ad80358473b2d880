//! Asking the next hop whether it takes mail for a recipient. Needs the grant `verify`; in `rcpt` only.

use std::fmt;

use crate::host::{CurrentHost, Host};
use crate::{Address, Reply};

/// What the next hop said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The host that answered.
    pub host: String,
    /// Its reply to RCPT TO, positive or negative.
    pub reply: Reply,
}

/// Why there is no answer. A refusal is an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The operator did not grant `verify`, or it is another hook than `rcpt`.
    Denied,
    /// No answer in time.
    Timeout,
    /// The next hop could not be asked.
    Failed(String),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Denied => formatter.write_str("verify: not granted"),
            VerifyError::Timeout => formatter.write_str("verify: no answer in time"),
            VerifyError::Failed(why) => write!(formatter, "verify: {why}"),
        }
    }
}

impl std::error::Error for VerifyError {}

/// Questions to the host that the relay would deliver to.
pub struct Verify<'a> {
    pub(crate) host: &'a CurrentHost,
}

impl Verify<'_> {
    /// Asks about one recipient, with MAIL FROM:<> and RCPT TO, and sends no message.
    pub fn recipient(&self, rcpt: &Address) -> Result<Verified, VerifyError> {
        self.host.verify_recipient(rcpt)
    }
}
