//! Looking at the queue, for operators. Every call reads in short pages, never with one iterator over everything.

use std::collections::HashMap;
use std::sync::Arc;

use baton_mail::event::Event;
use baton_mail::{Mailbox, MessageId, ReversePath, Status, UnixMs};
use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::database::Family;
use crate::error::StoreError;
use crate::format::{
    DueRecord, FORMAT, JobKey, after_prefix, decode, decode_due_key, decode_owned, envelope_key, is_held,
    message_of,
};

/// Messages in a list of the newest, at most.
const RECENT_MAX: usize = 1_000;
/// Entries of the due index that one page looks at, at most.
const PAGE_ENTRIES: usize = 10_000;
/// Jobs that a summary counts, at most.
const SUMMARY_JOBS_MAX: u64 = 1_000_000;
/// Queues that a summary tells apart, at most; the others are counted together.
const SUMMARY_QUEUES_MAX: usize = 10_000;
/// Records that the story of one message has, at most.
const STORY_RECORDS_MAX: usize = 10_000;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Due, and not given to a delivery yet.
    Ready,
    /// Due later.
    Waiting,
    /// Waits for an operator.
    Held,
    /// Being delivered.
    Claimed,
}

/// A job as an operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobView {
    /// Which job.
    pub key: JobKey,
    /// The scheduled queue.
    pub queue: String,
    /// Where it stands.
    pub state: JobState,
    /// When it is due; none when it is held.
    pub due: Option<UnixMs>,
    /// Finished attempts.
    pub attempt: u16,
    /// The recipients that wait.
    pub recipients: Vec<Mailbox>,
    /// The return path.
    pub sender: ReversePath,
    /// Octets of the message.
    pub size: u64,
    /// When it was accepted.
    pub received_at: UnixMs,
    /// When it is given up.
    pub expires_at: UnixMs,
    /// What the last attempt ended with.
    pub last: Option<Status>,
    /// Why it is held, when it is.
    pub hold: Option<String>,
    /// Whose mail it is.
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    pub stream: Option<String>,
    /// -9 to 9; what is higher goes first.
    pub priority: i8,
    /// The next hop that an operator chose.
    pub route: Option<String>,
    /// An operator wants it returned to the sender, for this reason.
    pub give_up: Option<String>,
}

/// Counts over the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Jobs that are due and wait for a delivery.
    pub ready: u64,
    /// Jobs that are due later.
    pub waiting: u64,
    /// Jobs that wait for an operator.
    pub held: u64,
    /// Jobs being delivered.
    pub claimed: u64,
    /// Octets of their messages; a message counts for each of its jobs.
    pub octets: u64,
    /// The longest queues, longest first.
    pub queues: Vec<QueueCount>,
    /// True when the queue is longer than what was counted.
    pub truncated: bool,
}

/// One scheduled queue in a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueCount {
    /// Its name; empty for all queues that were too many to be told apart.
    pub queue: String,
    /// Its jobs.
    pub jobs: u64,
    /// Octets of their messages.
    pub octets: u64,
}

/// Counts by state and by queue.
pub(crate) async fn summary(core: &Arc<Core>, queues_max: usize) -> Result<Summary, StoreError> {
    core.barrier().await?;
    let mut count = Count::default();
    let mut from = Some(vec![FORMAT]);
    while let Some(start) = from {
        let for_reading = Arc::clone(core);
        let page = tokio::task::spawn_blocking(move || count_page(&for_reading, &start, count));
        (count, from) = page.await.map_err(|_| StoreError::Closed)??;
        if count.jobs() >= SUMMARY_JOBS_MAX {
            count.summary.truncated = from.is_some();
            break;
        }
    }
    Ok(count.finish(core, queues_max))
}

/// A summary in the making.
#[derive(Default)]
struct Count {
    summary: Summary,
    queues: HashMap<String, QueueCount>,
}

impl Count {
    fn jobs(&self) -> u64 {
        self.summary.ready + self.summary.waiting + self.summary.held
    }

    fn add(&mut self, due: UnixMs, now: UnixMs, record: &DueRecord<'_>) {
        match due {
            due if is_held(due) => self.summary.held += 1,
            due if due <= now => self.summary.ready += 1,
            _ => self.summary.waiting += 1,
        }
        self.summary.octets += record.size;
        let is_known = self.queues.contains_key(record.queue);
        let name = if is_known || self.queues.len() < SUMMARY_QUEUES_MAX { record.queue } else { "" };
        let queue = self.queues.entry(name.to_owned()).or_default();
        queue.jobs += 1;
        queue.octets += record.size;
    }

    fn finish(mut self, core: &Core, queues_max: usize) -> Summary {
        // What is being delivered was due when it was claimed.
        let claimed = core.schedule.lock().claimed() as u64;
        self.summary.claimed = claimed.min(self.summary.ready);
        self.summary.ready -= self.summary.claimed;
        let named = |(queue, count)| QueueCount { queue, ..count };
        let mut queues: Vec<QueueCount> = self.queues.into_iter().map(named).collect();
        queues.sort_unstable_by(|one, other| (other.jobs, &one.queue).cmp(&(one.jobs, &other.queue)));
        queues.truncate(queues_max);
        Summary { queues, ..self.summary }
    }
}

fn count_page(core: &Core, from: &[u8], mut count: Count) -> Result<(Count, Option<Vec<u8>>), StoreError> {
    let now = core.clock.now();
    let db = core.db()?;
    let mut entries = db.iterate(Family::Due, from, None);
    entries.seek_to_first();
    let mut seen = 0;
    while let Some((key, value)) = entries.item() {
        if let (Some((_, due)), Ok(record)) = (decode_due_key(key), decode::<DueRecord<'_>>(value)) {
            if seen == PAGE_ENTRIES {
                return Ok((count, Some(key.to_vec())));
            }
            count.add(due.at, now, &record);
        }
        seen += 1;
        entries.next();
    }
    entries.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok((count, None))
}

/// All that happened to a message, oldest first; also after it left the queue.
pub(crate) async fn story(core: &Arc<Core>, message: MessageId) -> Result<Vec<Event>, StoreError> {
    core.barrier().await?;
    let core = Arc::clone(core);
    let read = tokio::task::spawn_blocking(move || read_story(&core, message));
    read.await.map_err(|_| StoreError::Closed)?
}

fn read_story(core: &Core, message: MessageId) -> Result<Vec<Event>, StoreError> {
    let prefix = envelope_key(message);
    let end = after_prefix(&prefix);
    let db = core.db()?;
    let mut records = db.iterate(Family::History, &prefix, end.as_deref());
    records.seek_to_first();
    let mut events = Vec::new();
    let mut seen = 0;
    while let Some(value) = records.value().filter(|_| seen < STORY_RECORDS_MAX) {
        match decode_owned::<Vec<Event>>(value) {
            Ok(more) => events.extend(more),
            Err(detail) => tracing::error!(target: "store", %message, detail, "a history record is damaged"),
        }
        seen += 1;
        records.next();
    }
    records.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(events)
}

/// The newest messages, newest first, each with its first event.
pub(crate) async fn recent(core: &Arc<Core>, limit: usize) -> Result<Vec<(MessageId, Event)>, StoreError> {
    core.barrier().await?;
    let core = Arc::clone(core);
    let read = tokio::task::spawn_blocking(move || read_recent(&core, limit.min(RECENT_MAX)));
    read.await.map_err(|_| StoreError::Closed)?
}

fn read_recent(core: &Core, limit: usize) -> Result<Vec<(MessageId, Event)>, StoreError> {
    let db = core.db()?;
    let mut records = db.iterate(Family::History, &[FORMAT], None);
    records.seek_to_last();
    let mut found = Vec::new();
    while let Some(message) = records.key().and_then(message_of).filter(|_| found.len() < limit) {
        // From its last record to its first, then to the one before: the last of the next older message.
        let first = envelope_key(message);
        records.seek(first);
        if let Some(event) = records.value().and_then(|value| decode_owned::<Vec<Event>>(value).ok()) {
            found.extend(event.into_iter().next().map(|event| (message, event)));
        }
        records.prev();
    }
    records.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(found)
}
