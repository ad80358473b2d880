//! A failing plugin is data: what failed, whose fault it was, and what the operator wants to happen then.

use std::fmt;

use baton_mail::text::sanitize;
use baton_mail::{EnhancedCode, Reply};

use crate::{Hook, OnFailure};

/// How long the queue waits after a plugin failed at the route or bounce hook, in milliseconds.
pub const RETRY_AFTER_MS: u64 = 300_000;
/// Octets of a failure's detail that are kept.
const DETAIL_OCTETS_MAX: usize = 2_048;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The plugin's.
    Guest,
    /// The relay's: no free slot, no memory for an instance.
    Host,
    /// The operator's: a guard that fails on this message.
    Settings,
}

/// What went wrong in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The plugin trapped: an exception, a panic, a stack overflow, an exit, a bad access.
    Trap,
    /// It used up its time on the processor.
    CpuBudget,
    /// It did not return in time.
    WallTime,
    /// It wanted more memory than it may have.
    Memory,
    /// It called the host too often, or handed over too much.
    HostCalls,
    /// It kept too many handles open.
    Handles,
    /// It answered what it may not.
    BadVerdict,
    /// No instance could be made.
    Instantiate,
    /// All slots were taken for as long as the call may last.
    Busy,
    /// It failed too often, and was not asked: its breaker is open.
    BreakerOpen,
    /// The guard that says whether to ask it could not be evaluated.
    Guard,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [FailureKind; 11] = [
        FailureKind::Trap,
        FailureKind::CpuBudget,
        FailureKind::WallTime,
        FailureKind::Memory,
        FailureKind::HostCalls,
        FailureKind::Handles,
        FailureKind::BadVerdict,
        FailureKind::Instantiate,
        FailureKind::Busy,
        FailureKind::BreakerOpen,
        FailureKind::Guard,
    ];

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Trap => "trap",
            FailureKind::CpuBudget => "cpu-budget",
            FailureKind::WallTime => "wall-time",
            FailureKind::Memory => "memory",
            FailureKind::HostCalls => "host-calls",
            FailureKind::Handles => "handles",
            FailureKind::BadVerdict => "bad-verdict",
            FailureKind::Instantiate => "instantiate",
            FailureKind::Busy => "busy",
            FailureKind::BreakerOpen => "breaker-open",
            FailureKind::Guard => "guard",
        }
    }

    /// True when it tells that the plugin itself does not work, so that its breaker should know.
    pub(crate) fn is_of_the_plugin(self) -> bool {
        !matches!(self, FailureKind::Busy | FailureKind::BreakerOpen | FailureKind::Guard)
    }

    /// Whose fault it is.
    pub fn blame(self) -> Blame {
        match self {
            FailureKind::Instantiate | FailureKind::Busy => Blame::Host,
            FailureKind::Guard => Blame::Settings,
            _ => Blame::Guest,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// For the log: no control characters, bounded.
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, detail: impl AsRef<str>) -> Failure {
        Failure { kind, detail: sanitize(detail.as_ref(), DETAIL_OCTETS_MAX) }
    }
}

/// What happens in the place of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fallback {
    /// Go on with the next plugin.
    Next,
    /// Go on with the next plugin, and hold the message (at the route hook: hold the copy at once).
    Quarantine,
    /// Refuse for now.
    Tempfail(Reply),
    /// Refuse for good.
    Refuse(Reply),
    /// The queue asks again later.
    RetryLater { after_ms: u64, reason: String },
}

/// The table hook × policy → answer. Nothing else decides what a failed plugin means.
///
/// | hook | tempfail | open | closed | quarantine |
/// |---|---|---|---|---|
/// | connect | 421 4.3.0 | next | 554 5.3.0 | 421 4.3.0 (there is no message to hold) |
/// | auth | 454 4.3.0 (RFC 4954 6) | next | 550 5.3.0 | 454 4.3.0 |
/// | rcpt | 451 4.3.0 | next | 550 5.3.0 | next, message held |
/// | data | 451 4.3.0 | next | 550 5.3.0 | next, message held |
/// | route | retry in 5 minutes | next | fail 550 5.3.0 | copy held |
/// | bounce | retry in 5 minutes | next (the relay's own handling) | fail | retry in 5 minutes (nothing is lost) |
/// | events | next: nothing waits for an observer | next | next | next |
pub(crate) fn fallback(hook: Hook, policy: OnFailure) -> Fallback {
    let tempfail = |code| Fallback::Tempfail(Reply::new(code, EnhancedCode(4, 3, 0), TEMPFAIL_TEXT));
    let refuse = |code| Fallback::Refuse(Reply::new(code, EnhancedCode(5, 3, 0), REFUSE_TEXT));
    match (policy, hook) {
        (OnFailure::Open, _) | (_, Hook::Events) => Fallback::Next,
        (OnFailure::Tempfail | OnFailure::Quarantine, Hook::Connect) => tempfail(421),
        (OnFailure::Tempfail | OnFailure::Quarantine, Hook::Auth) => tempfail(454),
        (OnFailure::Tempfail, Hook::Rcpt | Hook::Data) => tempfail(451),
        (OnFailure::Tempfail, Hook::Route | Hook::Bounce) | (OnFailure::Quarantine, Hook::Bounce) => {
            Fallback::RetryLater { after_ms: RETRY_AFTER_MS, reason: "a plugin failed".to_owned() }
        }
        (OnFailure::Quarantine, Hook::Rcpt | Hook::Data | Hook::Route) => Fallback::Quarantine,
        (OnFailure::Closed, Hook::Connect) => refuse(554),
        (OnFailure::Closed, _) => refuse(550),
    }
}

const TEMPFAIL_TEXT: &str = "Temporary failure of a mail filter, try again later";
const REFUSE_TEXT: &str = "Failure of a mail filter";
