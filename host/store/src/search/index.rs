//! The index of the history: which messages name an address, a tenant, a stream, a tag, a sender's own name.
//!
//! It is written beside the mail, by a reader of the feed: with its cursor in the same batch, so that nothing is left out.
//! An entry is made once for each message, not for each of its events, and holds no address but its hash; what it leads to
//! is looked at before it is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use baton_mail::event::{Event, What};
use baton_mail::{Mailbox, MessageId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::core::Core;
use crate::error::StoreError;
use crate::feed::{ConsumerName, Derived, Facts, Feed, Told};
use crate::format::{FORMAT, after_prefix};

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Recipient = 1,
    Sender = 2,
    Tenant = 3,
    Stream = 4,
    Tag = 5,
    MessageId = 6,
}

/// Octets of a key: format, kind, hash, message.
pub(crate) const KEY_OCTETS: usize = 1 + 1 + 8 + 16;
/// What an entry holds.
const VALUE: [u8; 1] = [FORMAT];
/// Events that are indexed in one batch: bounds how long others wait for it.
const PAGE_MAX: usize = 512;
/// How long events wait for others.
const PAUSE: Duration = Duration::from_millis(50);
/// Recipients of a message that are found by it.
const RECIPIENTS_MAX: usize = 1_000;

/// What all entries about one thing begin with. Parts are told apart by a NUL, which none of them has.
pub(super) fn prefix(kind: Kind, parts: &[&str]) -> [u8; 10] {
    let mut key = [FORMAT; 10];
    key[1] = kind as u8;
    key[2..].copy_from_slice(&hash(parts).to_be_bytes());
    key
}

/// An entry about one thing that leads to this message.
pub(super) fn key(prefix: [u8; 10], message: MessageId) -> [u8; KEY_OCTETS] {
    let mut key = [0; KEY_OCTETS];
    key[..10].copy_from_slice(&prefix);
    key[10..].copy_from_slice(&message.to_octets());
    key
}

/// The message that an entry leads to.
pub(crate) fn message_of(key: &[u8]) -> Option<MessageId> {
    Some(MessageId::from_octets(key.get(10..)?.try_into().ok()?))
}

/// FNV-1a, whatever the case of ASCII letters. Two things with the same hash are told apart by looking.
fn hash(parts: &[&str]) -> u64 {
    let octets = parts.iter().flat_map(|part| part.bytes().chain([0]));
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The entries about a message when it begins, or is refused.
pub(super) fn entries(told: &Told, put: &mut impl FnMut([u8; KEY_OCTETS])) {
    let mut is_new = false;
    for Event { message, what, .. } in &told.events {
        let mut add = |kind, parts: &[&str]| put(key(prefix(kind, parts), *message));
        let recipients: &[Mailbox] = match what {
            What::Accepted { sender, recipients, .. } => {
                is_new = true;
                add(Kind::Sender, &[&sender.to_string()]);
                recipients
            }
            What::Rejected { sender, recipient, .. } => {
                is_new = true;
                add(Kind::Sender, &[&sender.to_string()]);
                recipient.as_slice()
            }
            What::Discarded { recipients, .. } | What::Suppressed { recipients, .. } => recipients,
            _ => continue,
        };
        for recipient in recipients.iter().take(RECIPIENTS_MAX) {
            add(Kind::Recipient, &[&recipient.to_string()]);
        }
    }
    if let Some(message) = told.message().filter(|_| is_new) {
        entries_of_facts(&told.facts, &mut |kind, parts| put(key(prefix(kind, parts), message)));
    }
}

fn entries_of_facts(facts: &Facts, add: &mut dyn FnMut(Kind, &[&str])) {
    let tenant = facts.tenant.as_deref();
    if let Some(tenant) = tenant {
        add(Kind::Tenant, &[tenant]);
    }
    if let Some(stream) = &facts.stream {
        add(Kind::Stream, &[tenant.unwrap_or_default(), stream]);
    }
    for (name, value) in &facts.tags {
        add(Kind::Tag, &[name, value]);
    }
    if let Some(id) = &facts.message_id {
        add(Kind::MessageId, &[id]);
    }
}

/// What all entries about a stream begin with.
pub(crate) fn stream_prefix(tenant: Option<&str>, stream: &str) -> [u8; 10] {
    prefix(Kind::Stream, &[tenant.unwrap_or_default(), stream])
}

/// The entries that lead from an address to a message.
pub(crate) fn entries_of_address(address: &Mailbox, message: MessageId) -> impl Iterator<Item = Vec<u8>> {
    let text = address.to_string();
    [Kind::Recipient, Kind::Sender].into_iter().map(move |kind| key(prefix(kind, &[&text]), message).to_vec())
}

/// Where all entries of an address lie.
pub(crate) fn ranges_of_address(address: &Mailbox) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = address.to_string();
    let range = |kind| {
        let from = prefix(kind, &[&text]).to_vec();
        let to = after_prefix(&from).unwrap_or_default();
        (from, to)
    };
    [Kind::Recipient, Kind::Sender].into_iter().map(range).collect()
}

/// The entries that some of the events of a message made.
pub(crate) fn entries_of(facts: Facts, events: Vec<Event>, put: &mut impl FnMut([u8; KEY_OCTETS])) {
    entries(&Told { number: 0, events, facts: Arc::new(facts), text: OnceLock::new() }, put);
}

/// How far the index is, and how far somebody wants it to be.
pub(crate) struct IndexState {
    done: watch::Sender<u64>,
    wanted: AtomicU64,
    asked: Notify,
}

impl Default for IndexState {
    fn default() -> IndexState {
        IndexState { done: watch::Sender::new(0), wanted: AtomicU64::new(0), asked: Notify::new() }
    }
}

impl IndexState {
    /// All before this number is indexed.
    pub(crate) fn done(&self) -> u64 {
        *self.done.borrow()
    }

    /// Returns when all before this number is indexed.
    pub(crate) async fn wait(&self, number: u64) {
        self.wanted.fetch_max(number, Ordering::AcqRel);
        self.asked.notify_one();
        // The sender lives as long as the store.
        let _ = self.done.subscribe().wait_for(|done| *done >= number).await;
    }
}

/// Writes the index, as the one who follows the feed for it.
pub struct Indexer {
    core: Arc<Core>,
    feed: Feed,
    consumer: ConsumerName,
    next: u64,
}

impl Indexer {
    /// Goes on where the last one left off.
    ///
    /// # Errors
    /// When the database can not be read.
    pub(crate) async fn open(core: &Arc<Core>) -> Result<Indexer, StoreError> {
        let feed = Feed::new(Arc::clone(core));
        let consumer = CONSUMER.parse().map_err(|_| StoreError::Misuse("the index has no name"))?;
        let next = feed.cursor(&consumer).await?.unwrap_or(0);
        core.index.done.send_replace(next);
        Ok(Indexer { core: Arc::clone(core), feed, consumer, next })
    }

    /// Waits for events and indexes some of them. To be called for ever.
    ///
    /// # Errors
    /// When the database can not be read or written; it may be tried again.
    pub async fn step(&mut self) -> Result<(), StoreError> {
        self.feed.wait(self.next).await;
        if !self.is_awaited() && self.feed.head() - self.next < PAGE_MAX as u64 {
            // What follows soon goes together, unless somebody waits for it.
            let _ = tokio::time::timeout(PAUSE, self.core.index.asked.notified()).await;
        }
        let began = Instant::now();
        let page = self.feed.read(self.next, PAGE_MAX).await?;
        let mut puts: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for told in &page.told {
            entries(told, &mut |key| puts.push((key.to_vec(), VALUE.to_vec())));
        }
        let is_behind = page.next < self.feed.head();
        let is_awaited = self.is_awaited();
        puts.sort_unstable();
        puts.dedup();
        self.feed.derive(Derived::Index, puts, Vec::new(), &self.consumer, page.next, is_awaited).await?;
        self.next = page.next;
        self.core.index.done.send_replace(page.next);
        if is_behind && !self.is_awaited() {
            self.feed.give_way(began.elapsed()).await;
        }
        Ok(())
    }

    /// Somebody searches, and wants what happened before.
    fn is_awaited(&self) -> bool {
        self.core.index.wanted.load(Ordering::Acquire) > self.next
    }
}

const CONSUMER: &str = "index";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_thing_lie_together_in_the_order_of_messages() {
        let at = |ms| MessageId::first_at(baton_mail::UnixMs(ms));
        let one = prefix(Kind::Recipient, &["A@b.example"]);
        assert_eq!(one, prefix(Kind::Recipient, &["a@b.example"]));
        assert_ne!(one, prefix(Kind::Sender, &["a@b.example"]));
        assert_ne!(prefix(Kind::Stream, &["a", "bc"]), prefix(Kind::Stream, &["ab", "c"]));
        assert!(key(one, at(1)) < key(one, at(2)));
        assert_eq!(message_of(&key(one, at(2))), Some(at(2)));
    }
}
