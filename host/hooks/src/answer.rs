//! The answers of chains, one type per hook, so that an answer which is not legal at a hook can not be written.

use baton_mail::Reply;
use baton_mail::event::Decision;

use crate::policy::Fallback;

/// What a chain of plugins answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict<A> {
    /// The answer.
    pub answer: A,
    /// The plugin that ended the chain; none when all said `next`.
    pub by: Option<String>,
    /// What each plugin did; plain `next` without edits is left out.
    pub decisions: Vec<Decision>,
}

/// What a chain needs to know of an answer.
pub(crate) trait Answer: PartialEq + Sized + Send {
    /// Nothing to say: ask the next plugin.
    const NEXT: Self;

    /// True for [`Answer::NEXT`].
    fn is_next(&self) -> bool;

    /// True when mail is refused or thrown away by it, so that changes to the mail have no meaning.
    fn refuses(&self) -> bool;

    /// For the decision log.
    fn words(&self) -> String;

    /// The answer that stands for a failed plugin.
    fn from_fallback(fallback: Fallback) -> Self;
}

/// Answer of the connect hook.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectAnswer {
    /// No plugin had anything to say.
    Next,
    /// Let the client in.
    Accept,
    /// Refuse for good (5xx).
    Reject(Reply),
    /// Refuse for now (4xx).
    Tempfail(Reply),
}

/// Answer of the auth hook.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthAnswer {
    /// No plugin knows the account: refuse.
    Next,
    /// The client is this account.
    Allow(String),
    /// Wrong credentials (5xx).
    Deny(Reply),
    /// Not now (4xx).
    Tempfail(Reply),
    /// Say this and close.
    Disconnect(Reply),
}

/// Answer of the rcpt hook.
#[derive(Clone, Debug, PartialEq)]
pub enum RcptAnswer {
    /// No plugin had anything to say.
    Next,
    /// Take it, as far as the plugin may grant that: see [`crate::Call::relay_granted`].
    Accept,
    /// Refuse for good (5xx).
    Reject(Reply),
    /// Refuse for now (4xx).
    Tempfail(Reply),
    /// Answer 250 and forget the recipient.
    Discard,
    /// Say this and close.
    Disconnect(Reply),
}

/// Answer of the data hook.
#[derive(Clone, Debug, PartialEq)]
pub enum DataAnswer {
    /// No plugin had anything to say.
    Next,
    /// Take it.
    Accept,
    /// Refuse for good (5xx).
    Reject(Reply),
    /// Refuse for now (4xx).
    Tempfail(Reply),
    /// Answer 250 and throw it away; the text says why.
    Discard(String),
    /// Take it and hold it for an operator; the text says why.
    Quarantine(String),
    /// Say this and close.
    Disconnect(Reply),
}

/// Answer of the route hook.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteAnswer {
    /// No plugin had the last word; what is in [`crate::Call::routes`] counts nevertheless.
    Next,
    /// A plugin had the last word: see [`crate::Call::routes`].
    Routed,
    /// Hold the copy for an operator; the text says why.
    Hold(String),
    /// Give up, with this reply for the report.
    Fail(Reply),
    /// A plugin failed: ask again later.
    Retry {
        /// In how many milliseconds.
        after_ms: u64,
        /// Why.
        reason: String,
    },
}

/// Answer of the bounce hook.
#[derive(Clone, Debug, PartialEq)]
pub enum BounceAnswer {
    /// No plugin had anything to say.
    Next,
    /// Give up and report to the sender.
    Notify,
    /// Give up without a report.
    Silent,
    /// Try again after so many milliseconds.
    Retry(u64),
    /// Ask the route hook again at once.
    Reroute,
    /// A permanent failure; the relay decides on the report.
    Fail,
}

/// An observer took a batch of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken;

impl Answer for Taken {
    const NEXT: Self = Taken;

    fn is_next(&self) -> bool {
        true
    }

    fn refuses(&self) -> bool {
        false
    }

    fn words(&self) -> String {
        "taken".to_owned()
    }

    fn from_fallback(_: Fallback) -> Self {
        Taken
    }
}

impl Answer for ConnectAnswer {
    const NEXT: Self = ConnectAnswer::Next;

    fn is_next(&self) -> bool {
        matches!(self, ConnectAnswer::Next)
    }

    fn refuses(&self) -> bool {
        matches!(self, ConnectAnswer::Reject(_) | ConnectAnswer::Tempfail(_))
    }

    fn words(&self) -> String {
        match self {
            ConnectAnswer::Next => "next".to_owned(),
            ConnectAnswer::Accept => "accept".to_owned(),
            ConnectAnswer::Reject(reply) => format!("reject {reply}"),
            ConnectAnswer::Tempfail(reply) => format!("tempfail {reply}"),
        }
    }

    fn from_fallback(fallback: Fallback) -> Self {
        match fallback {
            Fallback::Tempfail(reply) => ConnectAnswer::Tempfail(reply),
            Fallback::Refuse(reply) => ConnectAnswer::Reject(reply),
            Fallback::Next | Fallback::Quarantine | Fallback::RetryLater { .. } => ConnectAnswer::Next,
        }
    }
}

impl Answer for AuthAnswer {
    const NEXT: Self = AuthAnswer::Next;

    fn is_next(&self) -> bool {
        matches!(self, AuthAnswer::Next)
    }

    fn refuses(&self) -> bool {
        !matches!(self, AuthAnswer::Next | AuthAnswer::Allow(_))
    }

    fn words(&self) -> String {
        match self {
            AuthAnswer::Next => "next".to_owned(),
            AuthAnswer::Allow(account) => format!("allow {account}"),
            AuthAnswer::Deny(reply) => format!("deny {reply}"),
            AuthAnswer::Tempfail(reply) => format!("tempfail {reply}"),
            AuthAnswer::Disconnect(reply) => format!("disconnect {reply}"),
        }
    }

    fn from_fallback(fallback: Fallback) -> Self {
        match fallback {
            Fallback::Tempfail(reply) => AuthAnswer::Tempfail(reply),
            Fallback::Refuse(reply) => AuthAnswer::Deny(reply),
            Fallback::Next | Fallback::Quarantine | Fallback::RetryLater { .. } => AuthAnswer::Next,
        }
    }
}

impl Answer for RcptAnswer {
    const NEXT: Self = RcptAnswer::Next;

    fn is_next(&self) -> bool {
        matches!(self, RcptAnswer::Next)
    }

    fn refuses(&self) -> bool {
        !matches!(self, RcptAnswer::Next | RcptAnswer::Accept)
    }

    fn words(&self) -> String {
        match self {
            RcptAnswer::Next => "next".to_owned(),
            RcptAnswer::Accept => "accept".to_owned(),
            RcptAnswer::Reject(reply) => format!("reject {reply}"),
            RcptAnswer::Tempfail(reply) => format!("tempfail {reply}"),
            RcptAnswer::Discard => "discard".to_owned(),
            RcptAnswer::Disconnect(reply) => format!("disconnect {reply}"),
        }
    }

    fn from_fallback(fallback: Fallback) -> Self {
        match fallback {
            Fallback::Tempfail(reply) => RcptAnswer::Tempfail(reply),
            Fallback::Refuse(reply) => RcptAnswer::Reject(reply),
            Fallback::Next | Fallback::Quarantine | Fallback::RetryLater { .. } => RcptAnswer::Next,
        }
    }
}

impl Answer for DataAnswer {
    const NEXT: Self = DataAnswer::Next;

    fn is_next(&self) -> bool {
        matches!(self, DataAnswer::Next)
    }

    fn refuses(&self) -> bool {
        !matches!(self, DataAnswer::Next | DataAnswer::Accept | DataAnswer::Quarantine(_))
    }

    fn words(&self) -> String {
        match self {
            DataAnswer::Next => "next".to_owned(),
            DataAnswer::Accept => "accept".to_owned(),
            DataAnswer::Reject(reply) => format!("reject {reply}"),
            DataAnswer::Tempfail(reply) => format!("tempfail {reply}"),
            DataAnswer::Discard(reason) => format!("discard: {reason}"),
            DataAnswer::Quarantine(reason) => format!("quarantine: {reason}"),
            DataAnswer::Disconnect(reply) => format!("disconnect {reply}"),
        }
    }

    fn from_fallback(fallback: Fallback) -> Self {
        match fallback {
            Fallback::Tempfail(reply) => DataAnswer::Tempfail(reply),
            Fallback::Refuse(reply) => DataAnswer::Reject(reply),
            Fallback::Next | Fallback::Quarantine | Fallback::RetryLater { .. } => DataAnswer::Next,
        }
    }
}

impl Answer for RouteAnswer {
    const NEXT: Self = RouteAnswer::Next;

    fn is_next(&self) -> bool {
        matches!(self, RouteAnswer::Next)
    }

    fn refuses(&self) -> bool {
        !matches!(self, RouteAnswer::Next | RouteAnswer::Routed)
    }

    fn words(&self) -> String {
        match self {
            RouteAnswer::Next => "next".to_owned(),
            RouteAnswer::Routed => "routed".to_owned(),
            RouteAnswer::Hold(reason) => format!("hold: {reason}"),
            RouteAnswer::Fail(reply) => format!("fail {reply}"),
            RouteAnswer::Retry { after_ms, reason } => format!("retry in {after_ms} ms: {reason}"),
        }
    }

    fn from_fallback(fallback: Fallback) -> Self {
        match fallback {
            Fallback::RetryLater { after_ms, reason } => RouteAnswer::Retry { after_ms, reason },
            Fallback::Refuse(reply) | Fallback::Tempfail(reply) => RouteAnswer::Fail(reply),
            Fallback::Quarantine => RouteAnswer::Hold("a plugin failed".to_owned()),
            Fallback::Next => RouteAnswer::Next,
        }
    }
}

impl Answer for BounceAnswer {
    const NEXT: Self = BounceAnswer::Next;

    fn is_next(&self) -> bool {
        matches!(self, BounceAnswer::Next)
    }

    fn refuses(&self) -> bool {
        false
    }

    fn words(&self) -> String {
        match self {
            BounceAnswer::Next => "next".to_owned(),
            BounceAnswer::Notify => "notify".to_owned(),
            BounceAnswer::Silent => "silent".to_owned(),
            BounceAnswer::Retry(after_ms) => format!("retry in {after_ms} ms"),
            BounceAnswer::Reroute => "reroute".to_owned(),
            BounceAnswer::Fail => "fail".to_owned(),
        }
    }

    fn from_fallback(fallback: Fallback) -> Self {
        match fallback {
            Fallback::RetryLater { after_ms, .. } => BounceAnswer::Retry(after_ms),
            Fallback::Refuse(_) => BounceAnswer::Fail,
            Fallback::Next | Fallback::Quarantine | Fallback::Tempfail(_) => BounceAnswer::Next,
        }
    }
}
