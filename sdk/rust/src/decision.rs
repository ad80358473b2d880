//! What each hook may decide. Each set is closed: what is not legal for a hook can not be written.

use crate::{Reply, Result};

macro_rules! decision {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident $(($inner:ty))?,)* } $($can:ident)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$case_doc])* $case $(($inner))?,)* }
        $(can!($can $name);)*
    };
}

macro_rules! can {
    (Passes $name:ident) => {
        impl Passes for $name {
            fn pass() -> $name {
                $name::Next
            }
        }
    };
    (Accepts $name:ident) => {
        impl Accepts for $name {
            fn accepted() -> $name {
                $name::Accept
            }
        }
    };
    (Rejects $name:ident) => {
        impl Rejects for $name {
            fn rejected(reply: Reply) -> $name {
                $name::Reject(reply)
            }
        }
    };
    (Denies $name:ident) => {
        impl Rejects for $name {
            fn rejected(reply: Reply) -> $name {
                $name::Deny(reply)
            }
        }
    };
    (Fails $name:ident) => {
        impl Rejects for $name {
            fn rejected(reply: Reply) -> $name {
                $name::Fail(reply)
            }
        }
    };
    (Tempfails $name:ident) => {
        impl Tempfails for $name {
            fn tempfailed(reply: Reply) -> $name {
                $name::Tempfail(reply)
            }
        }
    };
    (Disconnects $name:ident) => {
        impl Disconnects for $name {
            fn disconnected(reply: Reply) -> $name {
                $name::Disconnect(reply)
            }
        }
    };
}

decision! {
    /// The answer at `connect`, before the greeting.
    ConnectDecision {
        /// No opinion: the next plugin is asked.
        Next,
        /// Let the client in, ask no further plugin at this hook.
        Accept,
        /// Refuse the client for good (5xx).
        Reject(Reply),
        /// Refuse the client for now (4xx).
        Tempfail(Reply),
    }
    Passes Accepts Rejects Tempfails
}

decision! {
    /// The answer at `auth`.
    AuthDecision {
        /// Not a user of this plugin: the next plugin is asked. When nobody knows the user, the login fails.
        Next,
        /// The credential is right; the session belongs to this account.
        Allow(String),
        /// The credential is wrong (5xx).
        Deny(Reply),
        /// Could not be checked (4xx).
        Tempfail(Reply),
        /// End the session (421 or 521).
        Disconnect(Reply),
    }
    Passes Denies Tempfails Disconnects
}

decision! {
    /// The answer at `rcpt`, once per recipient.
    RcptDecision {
        /// No opinion: the next plugin is asked, and then the relay's own rules decide.
        Next,
        /// Take this recipient, ask no further plugin at this hook. With the grant `relay` also for foreign domains.
        Accept,
        /// Refuse this recipient for good (5xx).
        Reject(Reply),
        /// Refuse this recipient for now (4xx).
        Tempfail(Reply),
        /// Say yes to the client and drop this recipient.
        Discard,
        /// End the session (421 or 521).
        Disconnect(Reply),
    }
    Passes Accepts Rejects Tempfails Disconnects
}

decision! {
    /// The answer at `data`, once per message, when all of it is there and before it is accepted.
    DataDecision {
        /// No opinion: the next plugin is asked.
        Next,
        /// Take the message, ask no further plugin at this hook.
        Accept,
        /// Refuse the message for good (5xx).
        Reject(Reply),
        /// Refuse the message for now (4xx).
        Tempfail(Reply),
        /// Say yes to the client and drop the message; with the reason for the log.
        Discard(String),
        /// Take the message and hold it for an operator; with the reason.
        Quarantine(String),
        /// End the session (421 or 521).
        Disconnect(Reply),
    }
    Passes Accepts Rejects Tempfails Disconnects
}

decision! {
    /// The answer at `route`, once per recipient and attempt. Where to is said through [`crate::Routing`].
    RouteDecision {
        /// No opinion: the next plugin is asked, and then the relay's own routes decide.
        Next,
        /// The route is chosen, ask no further plugin at this hook.
        Routed,
        /// Keep the message until an operator releases it; with the reason.
        Hold(String),
        /// Give this recipient up (5xx).
        Fail(Reply),
    }
    Passes Fails
}

decision! {
    /// The answer at `bounce`, when an attempt failed for a recipient.
    BounceDecision {
        /// No opinion: the next plugin is asked, and then the relay's own rules decide.
        Next,
        /// Give up and tell the sender.
        Notify,
        /// Give up without telling anybody.
        Silent,
        /// Try again after so many milliseconds.
        Retry(u64),
        /// Ask the `route` hook again, at once.
        Reroute,
        /// Treat the failure as permanent; the sender is told by the usual rules.
        Fail,
    }
    Passes
}

/// What a client gave to prove who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// AUTH PLAIN or LOGIN.
    Password(String),
    /// A bearer token.
    Token(String),
}

/// A credential never shows itself in a log.
impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Credential::Password(_) => "Password(...)",
            Credential::Token(_) => "Token(...)",
        })
    }
}

/// Decisions with a `next`.
pub trait Passes {
    /// No opinion.
    fn pass() -> Self;
}

/// Decisions with an `accept`.
pub trait Accepts {
    /// Ends the hook's chain in favour of the client.
    fn accepted() -> Self;
}

/// Decisions that refuse for good: `Reject`, `Deny` (at `auth`) and `Fail` (at `route`).
pub trait Rejects {
    /// Refuses with a 5xx reply.
    fn rejected(reply: Reply) -> Self;
}

/// Decisions with a `tempfail`.
pub trait Tempfails {
    /// Refuses with a 4xx reply.
    fn tempfailed(reply: Reply) -> Self;
}

/// Decisions with a `disconnect`.
pub trait Disconnects {
    /// Ends the session with a reply.
    fn disconnected(reply: Reply) -> Self;
}

/// No opinion: the next plugin is asked.
pub fn next<D: Passes>() -> Result<D> {
    Ok(D::pass())
}

/// Yes, and no further plugin is asked at this hook.
pub fn accept<D: Accepts>() -> Result<D> {
    Ok(D::accepted())
}

/// No, for good: `reject(550, "5.7.1", "we do not serve that domain")`. A code that is not 5xx is a failure.
pub fn reject<D: Rejects>(code: u16, enhanced: &str, text: impl Into<String>) -> Result<D> {
    let reply = Reply::new(code, enhanced, text)?;
    if reply.is_permanent() {
        Ok(D::rejected(reply))
    } else {
        Err(crate::Error::new("reject needs a 5xx code"))
    }
}

/// No, for now: `tempfail(451, "4.7.1", "come back later")`. A code that is not 4xx is a failure.
pub fn tempfail<D: Tempfails>(code: u16, enhanced: &str, text: impl Into<String>) -> Result<D> {
    let reply = Reply::new(code, enhanced, text)?;
    if reply.is_transient() {
        Ok(D::tempfailed(reply))
    } else {
        Err(crate::Error::new("tempfail needs a 4xx code"))
    }
}

/// Ends the session: `disconnect(421, "4.7.0", "too many errors")`.
pub fn disconnect<D: Disconnects>(code: u16, enhanced: &str, text: impl Into<String>) -> Result<D> {
    Ok(D::disconnected(Reply::new(code, enhanced, text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_the_wrong_class_is_a_failure() {
        assert!(reject::<RcptDecision>(450, "4.2.1", "later").is_err());
        assert!(tempfail::<RcptDecision>(550, "5.1.1", "never").is_err());
        assert!(reject::<RcptDecision>(550, "oops", "never").is_err());
    }

    #[test]
    fn the_words_mean_the_right_case_at_each_hook() {
        let reply = Reply::new(550, "5.1.1", "never").unwrap();
        assert_eq!(reject::<AuthDecision>(550, "5.1.1", "never").unwrap(), AuthDecision::Deny(reply.clone()));
        assert_eq!(reject::<RouteDecision>(550, "5.1.1", "never").unwrap(), RouteDecision::Fail(reply));
        assert_eq!(next::<BounceDecision>().unwrap(), BounceDecision::Next);
    }
}
