//! Finding messages by what is known of them, newest first; also after they left the queue.

mod index;

use std::sync::Arc;
use std::time::Duration;

use baton_mail::event::{Event, What};
use baton_mail::{Domain, Mailbox, MessageId, UnixMs};
use tokio::time::Instant;

use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::StoreError;
use crate::feed::Facts;
use crate::format::{FORMAT, after_prefix, decode_history, envelope_key};
pub use index::Indexer;
pub(crate) use index::{
    IndexState, entries_of, entries_of_address, message_of, ranges_of_address, stream_prefix,
};
use index::{Kind, key, prefix};

/// Which messages are meant; all that are set must be so. Letters of ASCII match in either case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchFilter {
    /// One of its recipients, refused ones too.
    pub recipient: Option<String>,
    /// The domain of one of its recipients.
    pub domain: Option<Domain>,
    /// The return path; empty for the null sender.
    pub sender: Option<String>,
    /// The sender's own name for it.
    pub message_id: Option<String>,
    /// Whose mail it is.
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    pub stream: Option<String>,
    /// A tag: name, value.
    pub tag: Option<(String, String)>,
    /// Not older than this.
    pub since: Option<UnixMs>,
    /// Older than this.
    pub until: Option<UnixMs>,
}

/// A message with its story.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundMessage {
    /// The message.
    pub message: MessageId,
    /// What is known of it.
    pub facts: Facts,
    /// What happened, oldest first; of a very long story the beginning.
    pub events: Vec<Event>,
}

/// A part of what was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundMessages {
    /// Newest first.
    pub messages: Vec<FoundMessage>,
    /// Where to go on: older than this. None when there is no more.
    pub next: Option<MessageId>,
    /// Events that happened and can not be found by what they say yet.
    pub behind: u64,
}

/// Messages in an answer, at most.
const LIMIT_MAX: usize = 1_000;
/// Messages that are looked at for one answer, and for how long.
const LOOKED_AT_MAX: usize = 50_000;
const LOOK_TIME_MAX: Duration = Duration::from_millis(500);
/// How long a search waits for what happened before it to be indexed.
const INDEX_WAIT_MAX: Duration = Duration::from_millis(200);
/// Records of one message that are read.
const RECORDS_MAX: usize = 200;

impl SearchFilter {
    /// What leads to the fewest messages; none when no index helps.
    fn prefix(&self) -> Option<[u8; 10]> {
        let tenant = self.tenant.as_deref();
        let of = |kind, text: &Option<String>| text.as_deref().map(|text| prefix(kind, &[text]));
        of(Kind::MessageId, &self.message_id)
            .or_else(|| of(Kind::Recipient, &self.recipient))
            .or_else(|| of(Kind::Sender, &self.sender))
            .or_else(|| self.tag.as_ref().map(|(name, value)| prefix(Kind::Tag, &[name, value])))
            .or_else(|| Some(prefix(Kind::Stream, &[tenant?, self.stream.as_deref()?])))
            .or_else(|| of(Kind::Tenant, &self.tenant))
    }

    /// Whether a message is meant.
    fn matches(&self, facts: &Facts, events: &[Event]) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
        };
        let tag = |(name, value): &(String, String)| {
            facts
                .tags
                .iter()
                .any(|(own, found)| own.eq_ignore_ascii_case(name) && found.eq_ignore_ascii_case(value))
        };
        let sender = facts.sender.as_ref().map(ToString::to_string);
        same(&self.tenant, facts.tenant.as_deref())
            && same(&self.stream, facts.stream.as_deref())
            && same(&self.message_id, facts.message_id.as_deref())
            && same(&self.sender, sender.as_deref())
            && self.tag.as_ref().is_none_or(tag)
            && self.matches_recipient(events)
    }

    fn matches_recipient(&self, events: &[Event]) -> bool {
        let is_meant = |one: &Mailbox| {
            self.recipient.as_deref().is_none_or(|wanted| one.to_string().eq_ignore_ascii_case(wanted))
                && self.domain.as_ref().is_none_or(|domain| one.domain() == domain)
        };
        let is_unset = self.recipient.is_none() && self.domain.is_none();
        is_unset || events.iter().flat_map(|event| recipients(&event.what)).any(is_meant)
    }
}

/// Those for whom a message was, as an event of its beginning tells.
fn recipients(what: &What) -> &[Mailbox] {
    match what {
        What::Accepted { recipients, .. }
        | What::Discarded { recipients, .. }
        | What::Suppressed { recipients, .. } => recipients,
        What::Rejected { recipient, .. } => recipient.as_slice(),
        _ => &[],
    }
}

/// Searches; `older_than` goes on where an answer before ended.
pub(crate) async fn search(
    core: &Arc<Core>,
    filter: SearchFilter,
    older_than: Option<MessageId>,
    limit: usize,
) -> Result<FoundMessages, StoreError> {
    core.barrier().await?;
    let head = core.feed.head();
    // What is not indexed in time is told as what is missing.
    let _ = tokio::time::timeout(INDEX_WAIT_MAX, core.index.wait(head)).await;
    let behind = head.saturating_sub(core.index.done());
    let core = Arc::clone(core);
    let look = move || Search { db: &*core.db()?, filter: &filter, limit }.run(older_than);
    let found = tokio::task::spawn_blocking(look).await.map_err(|_| StoreError::Closed)??;
    Ok(FoundMessages { behind, ..found })
}

/// One message with its story; none when nothing is known of it.
pub(crate) async fn one(core: &Arc<Core>, message: MessageId) -> Result<Option<FoundMessage>, StoreError> {
    core.barrier().await?;
    let core = Arc::clone(core);
    let load = move || Search { db: &*core.db()?, filter: &SearchFilter::default(), limit: 1 }.load(message);
    tokio::task::spawn_blocking(load).await.map_err(|_| StoreError::Closed)?
}

struct Search<'a> {
    db: &'a Database,
    filter: &'a SearchFilter,
    limit: usize,
}

impl Search<'_> {
    fn run(&self, older_than: Option<MessageId>) -> Result<FoundMessages, StoreError> {
        let since = MessageId::first_at(self.filter.since.unwrap_or(UnixMs(0)));
        let until = self.filter.until.map(MessageId::first_at);
        let before = [older_than, until].into_iter().flatten().min();
        match self.filter.prefix() {
            Some(prefix) => self.by_index(prefix, since, before),
            None => self.by_time(since, before),
        }
    }

    fn by_index(
        &self,
        prefix: [u8; 10],
        since: MessageId,
        before: Option<MessageId>,
    ) -> Result<FoundMessages, StoreError> {
        let end = match before {
            Some(before) => Some(key(prefix, before).to_vec()),
            None => after_prefix(&prefix),
        };
        let mut entries = self.db.iterate(Family::Index, &key(prefix, since), end.as_deref());
        entries.seek_to_last();
        let candidates = std::iter::from_fn(|| {
            let message = message_of(entries.key()?);
            entries.prev();
            message
        });
        let found = self.look_at(candidates);
        entries.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
        found
    }

    /// All messages, from the newest on.
    fn by_time(&self, since: MessageId, before: Option<MessageId>) -> Result<FoundMessages, StoreError> {
        let from = envelope_key(since);
        let end = before.map_or_else(|| vec![FORMAT + 1], |before| envelope_key(before).to_vec());
        let mut records = self.db.iterate(Family::History, &from, Some(&end));
        records.seek_to_last();
        let candidates = std::iter::from_fn(|| {
            let message = records.key().and_then(crate::format::message_of)?;
            // The last record of the next older message.
            records.seek(envelope_key(message));
            records.prev();
            Some(message)
        });
        let found = self.look_at(candidates);
        records.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
        found
    }

    fn look_at(&self, candidates: impl Iterator<Item = MessageId>) -> Result<FoundMessages, StoreError> {
        let limit = self.limit.clamp(1, LIMIT_MAX);
        let deadline = Instant::now() + LOOK_TIME_MAX;
        let mut found = FoundMessages::default();
        for (looked_at, message) in candidates.enumerate() {
            // The time is asked for now and then, and something is looked at in every call, so that it goes on.
            let is_late = looked_at % 32 == 31 && Instant::now() >= deadline;
            let next = self.load(message)?;
            found.messages.extend(next);
            if found.messages.len() >= limit || looked_at + 1 >= LOOKED_AT_MAX || is_late {
                found.next = Some(message);
                break;
            }
        }
        Ok(found)
    }

    /// The message, when it is meant.
    fn load(&self, message: MessageId) -> Result<Option<FoundMessage>, StoreError> {
        let prefix = envelope_key(message);
        let end = after_prefix(&prefix);
        let mut records = self.db.iterate(Family::History, &prefix, end.as_deref());
        records.seek_to_first();
        let (mut facts, mut events) = (Facts::default(), Vec::new());
        for _ in 0..RECORDS_MAX {
            let Some(value) = records.value() else { break };
            // A damaged one is told of where the story is asked for.
            if let Ok((own, more)) = decode_history(value) {
                facts.learn(own, &more);
                events.extend(more);
            }
            records.next();
        }
        records.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
        let is_meant = !events.is_empty() && self.filter.matches(&facts, &events);
        Ok(is_meant.then_some(FoundMessage { message, facts, events }))
    }
}
