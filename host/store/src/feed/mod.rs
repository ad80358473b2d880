//! The feed: all events of all messages in one order, for those who follow what happens.
//!
//! Invariant: an event is in the feed when and only when it is in the history, for both are one batch with the change that
//! it tells of. The order is that of the batches.
//!
//! Invariant: whoever follows costs mail nothing. What was written a moment ago is read from memory; who is behind reads
//! the disk on threads for that; who is further behind than `events_days` is told how much it missed.
//!
//! Invariant: numbers are never used twice: retention leaves the newest entry.

mod cursor;
mod derive;
mod facts;
mod pointer;
mod read;
mod tail;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use baton_mail::event::Event;
use baton_mail::{MessageId, UnixMs};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::core::Core;
use crate::database::Database;
use crate::error::StoreError;
use crate::slot::Slot;
pub use cursor::{ConsumerName, InvalidName, Trouble};
pub(crate) use cursor::{CursorOp, cursor_key};
pub(crate) use derive::{DeriveOp, Derived};
pub use facts::Facts;
use facts::KnownFacts;
pub(crate) use pointer::{POINTERS_MAX, Pointer, decode_pointers, encode_pointers, feed_key, number_of};
pub(crate) use read::kept_from;
use read::{at_time, bounds, read_stored};
use tail::Tail;

/// The events that were written at once for one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its place in the feed.
    pub number: u64,
    /// What happened, in order; all of one message.
    pub events: Vec<Event>,
    /// What is known of the message.
    pub facts: Arc<Facts>,
    /// The text of a record that tells of one thing only, once a reader made it: all others tell the same.
    pub text: OnceLock<Box<[u8]>>,
}

impl Told {
    /// The message.
    pub fn message(&self) -> Option<MessageId> {
        self.events.first().map(|event| event.message)
    }
}

/// A part of the feed.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In order; numbers whose events were forgotten meanwhile are left out.
    pub told: Vec<Arc<Told>>,
    /// Where to go on.
    pub next: u64,
    /// So many numbers were asked for that are not kept any more.
    pub missed: u64,
}

/// What the store keeps of the feed in memory.
pub(crate) struct FeedState {
    /// The number that comes next.
    head: watch::Sender<u64>,
    /// The least number that is kept.
    first: AtomicU64,
    tail: Mutex<Tail>,
    facts: KnownFacts,
}

impl FeedState {
    /// As an open database has it.
    pub(crate) fn load(slot: &Slot) -> Result<FeedState, String> {
        let db = slot.get().map_err(|away| away.to_string())?;
        let (first, head) = bounds(&db)?;
        Ok(FeedState::new(first, head))
    }

    fn new(first: u64, head: u64) -> FeedState {
        FeedState {
            head: watch::Sender::new(head),
            first: AtomicU64::new(first),
            tail: Mutex::new(Tail::new(head)),
            facts: KnownFacts::default(),
        }
    }

    /// The number that the next event gets.
    pub(crate) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// The least number that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    /// These are on disk now, from the head on.
    pub(crate) fn publish(&self, told: Vec<(Pointer, bytes::Bytes)>) {
        if told.is_empty() {
            return;
        }
        let head = self.tail.lock().push(told);
        self.head.send_replace(head);
    }

    /// What is known of a message.
    pub(crate) fn facts_of(&self, db: &Database, message: MessageId) -> Arc<Facts> {
        self.facts.of(Some(db), message, None, &[])
    }

    /// What was known of a message is not so any more.
    pub(crate) fn forget_facts(&self, message: MessageId) {
        self.facts.forget(message);
    }

    /// Records were written anew: what memory has of them is not so any more.
    pub(crate) fn forget_tail(&self) {
        self.tail.lock().clear();
    }

    /// What is before this number is deleted now.
    pub(crate) fn note_forgotten(&self, before: u64) {
        self.first.fetch_max(before, Ordering::AcqRel);
    }
}

/// So many times as long as they worked do those wait who give way.
const WAY_GIVEN: u32 = 2;

/// The feed. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Core>);

impl Feed {
    pub(crate) fn new(core: Arc<Core>) -> Feed {
        Feed(core)
    }

    /// The number that the next event gets: who begins here is told of all that happens from now on.
    pub fn head(&self) -> u64 {
        self.0.feed.head()
    }

    /// The least number that is kept.
    pub fn first(&self) -> u64 {
        self.0.feed.first()
    }

    /// Up to `max` from this number on; empty at the head.
    pub async fn read(&self, from: u64, max: usize) -> Result<Page, StoreError> {
        let first = self.first();
        let (from, missed) = (from.max(first), first.saturating_sub(from));
        if from >= self.head() {
            return Ok(Page { told: Vec::new(), next: from, missed });
        }
        let fresh = self.0.feed.tail.lock().read(from, max);
        let core = Arc::clone(&self.0);
        let page = match fresh {
            // Decoding may have to look for what is known of a message.
            Some(fresh) => tokio::task::spawn_blocking(move || read::decode_fresh(&core, from, &fresh)).await,
            None => tokio::task::spawn_blocking(move || read_stored(&core, from, max)).await,
        };
        let page = page.map_err(|_| StoreError::Closed)??;
        Ok(Page { missed, ..page })
    }

    /// Returns when there is something from this number on.
    pub async fn wait(&self, from: u64) {
        // The sender lives as long as the store.
        let _ = self.0.feed.head.subscribe().wait_for(|head| *head > from).await;
    }

    /// Lets mail go first after so long a piece of work: who catches up waits twice as long while mail leaves the machine no
    /// time to spare, and not at all otherwise.
    pub async fn give_way(&self, worked: Duration) {
        if self.is_mail_busy() {
            tokio::time::sleep(worked * WAY_GIVEN).await;
        }
    }

    /// True while mail leaves the machine no time to spare.
    fn is_mail_busy(&self) -> bool {
        self.0.schedule.is_busy()
    }

    /// About the first number of this time or later.
    pub async fn at(&self, time: UnixMs) -> Result<u64, StoreError> {
        let core = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || at_time(&core, time)).await.map_err(|_| StoreError::Closed)?
    }
}
