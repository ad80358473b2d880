//! Dialogues for operators who look: who says what in which session, while it happens.
//!
//! A [`Hub`] knows who looks; each session has a [`Tap`] while somebody does. What was said in a session before it is known
//! whether somebody wants to see it (its sender, its recipients) is kept for a while, up to a bound.
//!
//! Invariant: while nobody looks, this costs a session one load of a number for each turn.
//! Invariant: no credential is shown. What follows the mechanism of AUTH, and all of an exchange that it begins, is masked.
//! Invariant: nobody who looks holds up a session: a line is given by a call that never waits.

mod filter;
mod tap;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{Clock, MessageId, UnixMs};

pub use filter::Filter;
pub use tap::Tap;

/// Octets of a line that are shown.
pub const TEXT_OCTETS_MAX: usize = 1_000;
/// Stands for what is not shown.
pub const MASK: &str = "(masked)";

/// One line of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: UnixMs,
    /// In which session.
    pub session: Arc<str>,
    /// Who connected to whom.
    pub side: Side,
    /// With whom: an address, and the name where it is known.
    pub peer: Arc<str>,
    /// By which way: the listener, or the site and the source.
    pub way: Arc<str>,
    /// About which message, as far as that is known.
    pub message: Option<MessageId>,
    /// Who says it.
    pub who: Who,
    /// What is said, without its line end.
    pub text: String,
    /// Whether it is content of a message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content: bool,
}

/// Who connected to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// A client to the relay.
    In,
    /// The relay to a next hop.
    Out,
}

/// Who says a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// The one that connected.
    Client,
    /// The other one.
    Server,
    /// The relay, about the session.
    Note,
}

/// What is known of a session from its beginning.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name.
    pub session: Arc<str>,
    /// Who connected to whom.
    pub side: Side,
    /// With whom, in words.
    pub peer: Arc<str>,
    /// By which way, in words.
    pub way: Arc<str>,
    /// The peer's address.
    pub ip: Option<IpAddr>,
    /// The peer's host name.
    pub host: Option<String>,
    /// The listener that it came to.
    pub listener: Option<String>,
    /// The site that it goes to.
    pub site: Option<String>,
}

/// Takes a line. Never waits.
type Give = Box<dyn Fn(&Line) + Send + Sync>;

/// Somebody who looks.
struct Watcher {
    number: u64,
    filter: Filter,
    give: Give,
}

/// Those who look.
pub struct Hub {
    clock: Arc<dyn Clock>,
    watched: AtomicUsize,
    watchers: RwLock<Arc<[Arc<Watcher>]>>,
    /// Counts watchers that came, and changes of who looks.
    changes: AtomicU64,
    wants_content: AtomicBool,
    sessions: AtomicU64,
}

/// Somebody looks as long as this lives.
pub struct Watching {
    hub: Arc<Hub>,
    number: u64,
}

impl Hub {
    /// Nobody looks yet.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Hub> {
        Arc::new(Hub {
            clock,
            watched: AtomicUsize::new(0),
            watchers: RwLock::new(Arc::from(Vec::new())),
            changes: AtomicU64::new(0),
            wants_content: AtomicBool::new(false),
            sessions: AtomicU64::new(0),
        })
    }

    /// True when somebody looks.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed) > 0
    }

    /// How many look.
    pub fn readers(&self) -> usize {
        self.watched.load(Ordering::Relaxed)
    }

    /// True when somebody wants to see content of messages.
    pub fn wants_content(&self) -> bool {
        self.wants_content.load(Ordering::Relaxed)
    }

    /// A name for a session that has none.
    pub fn name_session(&self) -> Arc<str> {
        Arc::from(format!("out-{}", self.sessions.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// Gives every line that fits from now on.
    pub fn watch(self: &Arc<Hub>, filter: Filter, give: Give) -> Watching {
        let number = self.changes.fetch_add(1, Ordering::Relaxed) + 1;
        let watcher = Arc::new(Watcher { number, filter, give });
        self.change(|watchers| watchers.push(watcher));
        Watching { hub: Arc::clone(self), number }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Watcher>>)) {
        let mut watchers = self.watchers.write();
        let mut all = watchers.to_vec();
        change(&mut all);
        self.wants_content.store(all.iter().any(|one| one.filter.content), Ordering::Relaxed);
        self.watched.store(all.len(), Ordering::Relaxed);
        *watchers = all.into();
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Those who may want to see lines of a session with these facts.
    fn watchers_of(&self, facts: &Facts) -> Vec<Arc<Watcher>> {
        let watchers = Arc::clone(&self.watchers.read());
        watchers.iter().filter(|watcher| watcher.filter.fits_session(facts)).cloned().collect()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.hub.change(|watchers| watchers.retain(|one| one.number != self.number));
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hub").field("watched", &self.watched).finish_non_exhaustive()
    }
}
