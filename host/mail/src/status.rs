//! What became of one delivery attempt for one recipient.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::text::sanitize;
use crate::{EnhancedCode, Reply};

/// Octets of remote text that are kept in a status.
pub const STATUS_TEXT_OCTETS_MAX: usize = 1_024;

/// The result for one recipient. Only a positive completion by the next hop is `Delivered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The next hop took responsibility.
    Delivered(Status),
    /// Not now; try again later.
    Deferred(Status),
    /// Never; report it to the sender.
    Failed(Status),
}

impl Outcome {
    /// The details.
    pub fn status(&self) -> &Status {
        match self {
            Outcome::Delivered(status) | Outcome::Deferred(status) | Outcome::Failed(status) => status,
        }
    }

    /// Changes the details, keeps the kind.
    pub fn status_mut(&mut self) -> &mut Status {
        match self {
            Outcome::Delivered(status) | Outcome::Deferred(status) | Outcome::Failed(status) => status,
        }
    }
}

/// The details of an outcome, fit for a DSN, a log line and a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where in the dialogue it was decided.
    pub phase: Phase,
    /// What kind of failure it is; `Unknown` for successes.
    pub class: FailureClass,
    /// The enhanced code, given by the peer or chosen by us.
    pub enhanced: EnhancedCode,
    /// The SMTP code of the peer; none when no peer spoke.
    pub code: Option<u16>,
    /// The peer that spoke or was tried.
    pub remote: Option<Remote>,
    /// The peer's text or our own words; no control characters.
    pub text: String,
}

/// A next hop as it was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Host name (of the MX record, the host list or the endpoint).
    pub host: String,
    /// The address that was used, when a connection was tried.
    pub address: Option<IpAddr>,
}

impl Status {
    /// A status in our own words: no peer spoke.
    pub fn ours(phase: Phase, class: FailureClass, enhanced: EnhancedCode, text: impl AsRef<str>) -> Status {
        let text = sanitize(text.as_ref(), STATUS_TEXT_OCTETS_MAX);
        Status { phase, class, enhanced, code: None, remote: None, text }
    }

    /// A status from a peer's reply. Without an enhanced code of the right class, `x.0.0` is used (RFC 3463 3.1).
    pub fn from_reply(phase: Phase, reply: &Reply, remote: Remote) -> Status {
        let class = (reply.code() / 100) as u8;
        let enhanced = reply.enhanced().filter(|code| code.0 == class).unwrap_or(EnhancedCode(class, 0, 0));
        let text = sanitize(&reply.text().replace('\n', " "), STATUS_TEXT_OCTETS_MAX);
        Status {
            phase,
            class: FailureClass::Unknown,
            enhanced,
            code: Some(reply.code()),
            remote: Some(remote),
            text,
        }
    }

    /// Names the host that was tried.
    pub fn at(mut self, remote: Remote) -> Status {
        self.remote = Some(remote);
        self
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.code {
            write!(formatter, "{code} ")?;
        }
        write!(formatter, "{} {}", self.enhanced, self.text)?;
        match &self.remote {
            Some(Remote { host, address: Some(address) }) => write!(formatter, " ({host} [{address}])"),
            Some(Remote { host, address: None }) => write!(formatter, " ({host})"),
            None => Ok(()),
        }
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$case_doc])* $case,)* }

        impl $name {
            /// Every case.
            pub const ALL: &'static [$name] = &[$($name::$case,)*];

            /// The name that plugins, logs and metrics use.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$case => $text,)* }
            }

            /// The case of that name.
            pub fn from_name(name: &str) -> Option<$name> {
                match name { $($text => Some($name::$case),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

named! {
    /// Where in an attempt the outcome was decided.
    Phase {
        /// Looking up the next hop.
        Dns => "dns",
        /// Opening the connection, or the greeting.
        Connect => "connect",
        /// TLS negotiation.
        Tls => "tls",
        /// EHLO, HELO or LHLO.
        Ehlo => "ehlo",
        /// Authenticating to the next hop.
        Auth => "auth",
        /// MAIL FROM.
        Mail => "mail",
        /// RCPT TO.
        Rcpt => "rcpt",
        /// DATA or BDAT, until the final reply.
        Data => "data",
        /// The relay's or a plugin's own decision.
        Policy => "policy",
        /// The message was too old.
        Expired => "expired",
    }
}

named! {
    /// What kind of failure it was, whatever the words of the peer.
    FailureClass {
        /// Not told apart yet.
        Unknown => "unknown",
        /// The mailbox does not exist or is disabled.
        BadMailbox => "bad-mailbox",
        /// The domain does not exist or takes no mail.
        BadDomain => "bad-domain",
        /// The mailbox is full.
        Quota => "quota",
        /// The content was refused.
        Content => "content",
        /// The message is too large.
        TooLarge => "too-large",
        /// Refused by policy, ours or theirs.
        Policy => "policy",
        /// Our address or name is blocked there.
        BlockSource => "block-source",
        /// Too fast or too much.
        Rate => "rate",
        /// Asked to come back later (greylisting).
        Greylist => "greylist",
        /// TLS failed.
        Tls => "tls",
        /// No connection, or it broke.
        Network => "network",
        /// The peer broke the protocol, or lacks an extension that the message needs.
        Protocol => "protocol",
        /// The DNS did not answer.
        Dns => "dns",
        /// A routing loop.
        Loop => "loop",
        /// The message became too old.
        Expired => "expired",
    }
}
