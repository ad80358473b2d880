//! The words that checks end with.

use std::fmt;

/// How a check ended (RFC 8601 2.7). Which of these a check can end with is its own matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// There was nothing to check.
    None,
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// It does not hold, and its owner is not sure (SPF).
    SoftFail,
    /// It holds, in a way that is not acceptable here (DKIM).
    Policy,
    /// Its owner says nothing about it.
    Neutral,
    /// It could not be found out now: never a pass, and another try may tell more.
    TempError,
    /// It can not be found out: what was published or signed is broken.
    PermError,
}

impl Verdict {
    /// The word of RFC 8601.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::None => "none",
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::SoftFail => "softfail",
            Verdict::Policy => "policy",
            Verdict::Neutral => "neutral",
            Verdict::TempError => "temperror",
            Verdict::PermError => "permerror",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
