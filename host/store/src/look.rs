//! Looking at the queue, for operators. Every call reads in short pages, never with one iterator over everything.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::event::Event;
use baton_mail::{Mailbox, MessageId, ReversePath, Status, UnixMs};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::core::Core;
use crate::database::Family;
use crate::error::StoreError;
use crate::format::{FORMAT, JobKey, after_prefix, decode_history, envelope_key, message_of};

/// Messages in a list of the newest, at most.
const RECENT_MAX: usize = 1_000;
/// How long a summary waits for what was asked for before it and for the count at start, and between two looks at that.
const COUNT_WAIT_MAX: Duration = Duration::from_millis(100);
const COUNT_PAUSE: Duration = Duration::from_millis(2);
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

/// Counts by state and by queue. It waits a moment for what was asked for before and, right after a start, for what was
/// there to be counted; but an operator is answered, however busy the disk is.
pub(crate) async fn summary(core: &Arc<Core>, queues_max: usize) -> Result<Summary, StoreError> {
    let deadline = Instant::now() + COUNT_WAIT_MAX;
    if let Ok(written) = tokio::time::timeout_at(deadline, core.barrier()).await {
        written?;
    }
    while !core.census.is_complete() && Instant::now() < deadline {
        tokio::time::sleep(COUNT_PAUSE).await;
    }
    let claimed = core.schedule.lock().claimed();
    Ok(core.census.summary(core.clock.now(), claimed, queues_max))
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
        match decode_history(value) {
            Ok((_, more)) => events.extend(more),
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
        if let Some((_, events)) = records.value().and_then(|value| decode_history(value).ok()) {
            found.extend(events.into_iter().next().map(|event| (message, event)));
        }
        records.prev();
    }
    records.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(found)
}
