//! What an operator may say about the checks.

use std::time::Duration;

use baton_mail::Domain;

/// How messages are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    /// The name under which results are written (RFC 8601 2.5).
    pub authserv_id: Domain,
    /// How long the checks may take before the content is there, and again when it is there. What is not known then is
    /// `temperror`. RFC 7208 4.6.4 asks for 20 seconds at least. Default 20.
    pub deadline: Duration,
    /// Signatures of one message that are checked, from the top. Default 10.
    pub signatures_max: usize,
    /// Chains of custody are checked too (RFC 8617). Default off: the working group moves ARC to Historic.
    pub arc: bool,
}

impl CheckSettings {
    /// Settings with every other default.
    pub fn new(authserv_id: Domain) -> CheckSettings {
        CheckSettings { authserv_id, deadline: Duration::from_secs(20), signatures_max: 10, arc: false }
    }
}
