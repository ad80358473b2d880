//! The six points at which plugins decide, and the one at which they observe.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in the life of a message at which plugins are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// A client connected.
    Connect,
    /// A client wants to authenticate.
    Auth,
    /// A recipient was named.
    Rcpt,
    /// The whole message is here.
    Data,
    /// A copy is to be sent.
    Route,
    /// An attempt failed.
    Bounce,
    /// Something happened: told in batches, off the way of the mail. Decides nothing, and is in no chain.
    Events,
}

impl Hook {
    /// Every hook that decides, in the order in which a message meets them.
    pub const ALL: [Hook; 6] = [Hook::Connect, Hook::Auth, Hook::Rcpt, Hook::Data, Hook::Route, Hook::Bounce];

    /// Every hook that a plugin can have.
    pub const EVERY: [Hook; 7] =
        [Hook::Connect, Hook::Auth, Hook::Rcpt, Hook::Data, Hook::Route, Hook::Bounce, Hook::Events];

    /// The name that settings, logs and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Hook::Connect => "connect",
            Hook::Auth => "auth",
            Hook::Rcpt => "rcpt",
            Hook::Data => "data",
            Hook::Route => "route",
            Hook::Bounce => "bounce",
            Hook::Events => "events",
        }
    }

    /// The hook of that name.
    pub fn from_name(name: &str) -> Option<Hook> {
        Hook::EVERY.into_iter().find(|hook| hook.as_str() == name)
    }

    /// The name of the interface that a plugin exports for it.
    pub fn interface(self) -> &'static str {
        match self {
            Hook::Connect => "connect-hook",
            Hook::Auth => "auth-hook",
            Hook::Rcpt => "rcpt-hook",
            Hook::Data => "data-hook",
            Hook::Route => "route-hook",
            Hook::Bounce => "bounce-hook",
            Hook::Events => "events-hook",
        }
    }

    /// The hook of that exported interface.
    pub fn from_interface(interface: &str) -> Option<Hook> {
        Hook::EVERY.into_iter().find(|hook| hook.interface() == interface)
    }

    /// Where this hook stands in [`Hook::EVERY`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
