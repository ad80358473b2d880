//! Looking at the queue, for operators. Every call reads in short pages, never with one iterator over everything.

use std::collections::HashMap;
use std::sync::Arc;

use baton_mail::event::Event;
use baton_mail::{Domain, Mailbox, MessageId, ReversePath, Status, UnixMs};
use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::database::Family;
use crate::error::StoreError;
use crate::format::{
    DueRecord, FORMAT, JobKey, after_prefix, decode, decode_due_key, decode_owned, envelope_key, is_held,
    message_of,
};
use crate::records::{ReadError, decode_envelope, live_jobs};
use crate::schedule::Job;

/// Envelopes that one page looks at, at most.
const PAGE_ENVELOPES: usize = 1_000;
/// Entries of the due index that one page looks at, at most.
const PAGE_ENTRIES: usize = 10_000;
/// Jobs that a summary counts, at most.
const SUMMARY_JOBS_MAX: u64 = 1_000_000;
/// Queues that a summary tells apart, at most; the others are counted together.
const SUMMARY_QUEUES_MAX: usize = 10_000;
/// Records that the story of one message has, at most.
const STORY_RECORDS_MAX: usize = 10_000;

/// Which jobs are meant. All that is set must match; an empty filter means all jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Jobs of this message.
    pub message: Option<MessageId>,
    /// Jobs with a waiting recipient in this domain.
    pub domain: Option<Domain>,
    /// Jobs whose sender is this address; empty for the null sender.
    pub sender: Option<String>,
    /// Jobs in which this address waits.
    pub recipient: Option<String>,
    /// Jobs in this state.
    pub state: Option<JobState>,
}

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

/// Jobs that match, in the order of their keys, after `after`.
pub(crate) async fn find(
    core: &Arc<Core>,
    filter: &Filter,
    after: Option<JobKey>,
    limit: usize,
) -> Result<Vec<JobView>, StoreError> {
    core.barrier().await?;
    let mut views = Vec::new();
    let mut from = after.map_or(JobKey::FIRST, JobKey::next);
    if let Some(message) = filter.message {
        from = from.max(JobKey { message, job: 0 });
    }
    while views.len() < limit {
        let (core, filter, rest) = (Arc::clone(core), filter.clone(), limit - views.len());
        let page = tokio::task::spawn_blocking(move || find_page(&core, &filter, from, rest));
        let (found, next) = page.await.map_err(|_| StoreError::Closed)??;
        views.extend(found);
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    Ok(views)
}

/// What one page found, and where the next one begins.
type Page = (Vec<JobView>, Option<JobKey>);

fn find_page(core: &Core, filter: &Filter, from: JobKey, limit: usize) -> Result<Page, StoreError> {
    let now = core.clock.now();
    let mut views = Vec::new();
    let end = filter.message.map(|message| envelope_key(message.next()));
    let db = core.db()?;
    let mut envelopes =
        db.iterate(Family::Envelope, &envelope_key(from.message), end.as_ref().map(|end| end.as_slice()));
    envelopes.seek_to_first();
    let mut seen = 0;
    while let Some((key, value)) = envelopes.item() {
        let Some(message) = message_of(key) else {
            envelopes.next();
            continue;
        };
        if seen == PAGE_ENVELOPES {
            return Ok((views, Some(JobKey { message, job: 0 }.max(from))));
        }
        seen += 1;
        let jobs = decode_envelope(message, value).and_then(|loaded| live_jobs(&db, message, &loaded));
        match jobs {
            Ok(jobs) => {
                for job in jobs.iter().filter(|job| job.key >= from) {
                    let view = view(core, job, now);
                    if !matches(filter, &view) {
                        continue;
                    }
                    if views.len() == limit {
                        return Ok((views, None));
                    }
                    views.push(view);
                }
            }
            // The due scan will meet it, too, and take it out of the queue.
            Err(ReadError::Damaged(damage)) => {
                tracing::error!(target: "store", %message, detail = damage.detail, "a record is damaged");
            }
            Err(ReadError::Unreadable(cause)) => return Err(StoreError::Unreadable(cause)),
        }
        envelopes.next();
    }
    envelopes.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok((views, None))
}

fn view(core: &Core, job: &Job, now: UnixMs) -> JobView {
    let envelope = &job.envelope;
    let mailbox =
        |index: &u16| envelope.recipients.get(usize::from(*index)).map(|known| known.address.clone());
    let state = match job.due {
        _ if core.schedule.lock().is_claimed(job.key) => JobState::Claimed,
        due if is_held(due) => JobState::Held,
        due if due <= now => JobState::Ready,
        _ => JobState::Waiting,
    };
    JobView {
        key: job.key,
        queue: job.queue.clone(),
        state,
        due: Some(job.due).filter(|due| !is_held(*due)),
        attempt: job.attempt,
        recipients: job.recipients.iter().filter_map(mailbox).collect(),
        sender: envelope.sender.clone(),
        size: envelope.size,
        received_at: envelope.received_at,
        expires_at: envelope.expires_at,
        last: job.last.clone(),
        hold: job.hold.clone(),
    }
}

fn matches(filter: &Filter, view: &JobView) -> bool {
    let same = |text: &str, address: String| address.eq_ignore_ascii_case(text);
    filter.message.is_none_or(|message| message == view.key.message)
        && filter.state.is_none_or(|state| state == view.state)
        && filter.sender.as_ref().is_none_or(|sender| same(sender, view.sender.to_string()))
        && filter.domain.as_ref().is_none_or(|domain| view.recipients.iter().any(|to| to.domain() == domain))
        && filter
            .recipient
            .as_ref()
            .is_none_or(|text| view.recipients.iter().any(|to| same(text, to.to_string())))
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
    let read = tokio::task::spawn_blocking(move || read_recent(&core, limit.min(PAGE_ENVELOPES)));
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
