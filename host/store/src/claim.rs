//! Giving out work: a bounded window of the queue, never all of it.

use std::sync::Arc;

use baton_mail::{Body, Envelope, MessageId, Status, UnixMs};

use crate::core::Core;
use crate::database::Family;
use crate::error::StoreError;
use crate::format::{DueKey, JobKey, JobRecord, NEVER, decode_due_key, due_key};
use crate::records::{Damage, ReadError, load_body, load_job};
use crate::schedule::{Job, Schedule, Stage};

/// One job, given to one caller. Dropped without an outcome it is handed back and can be claimed again after 60 s:
/// a lost task is a deferral (house rule 18), not a lost message.
#[derive(Debug)]
pub struct Claim {
    /// Which job.
    pub key: JobKey,
    /// The message.
    pub envelope: Arc<Envelope>,
    /// The recipients that still wait, as indexes into the envelope's.
    pub recipients: Vec<u16>,
    /// The scheduled queue.
    pub queue: String,
    /// How many attempts are finished.
    pub attempt: u16,
    /// What the last attempt ended with.
    pub last: Option<Status>,
    job: Job,
    ticket: Ticket,
}

/// Hands the job back when it is dropped before its outcome was taken.
#[derive(Debug)]
struct Ticket {
    key: JobKey,
    schedule: Option<Arc<Schedule>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(schedule) = self.schedule.take() {
            schedule.hand_back(self.key);
        }
    }
}

impl Claim {
    fn new(job: Job, schedule: &Arc<Schedule>) -> Claim {
        Claim {
            key: job.key,
            envelope: Arc::clone(&job.envelope),
            recipients: job.recipients.clone(),
            queue: job.queue.clone(),
            attempt: job.attempt,
            last: job.last.clone(),
            ticket: Ticket { key: job.key, schedule: Some(Arc::clone(schedule)) },
            job,
        }
    }

    /// The body, while it is in memory; else ask [`crate::Store::body`].
    pub fn body(&self) -> Option<&Body> {
        self.job.body.as_deref().map(crate::memory::HeldBody::body)
    }

    /// When this attempt was due.
    pub fn due(&self) -> UnixMs {
        self.job.due
    }

    /// The job as it was claimed.
    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// The job, whose outcome is taken care of now.
    pub(crate) fn into_job(mut self) -> Job {
        self.ticket.schedule = None;
        self.job
    }

    /// The parts of a job that was split, each claimed.
    pub(crate) fn into_parts(self, parts: &[(JobKey, JobRecord)], schedule: &Arc<Schedule>) -> Vec<Claim> {
        let job = self.into_job();
        let part = |(key, record): &(JobKey, JobRecord)| {
            let job = Job {
                key: *key,
                recipients: record.recipients.clone(),
                shared: true,
                stored: true,
                ..job.clone()
            };
            Claim::new(job, schedule)
        };
        parts.iter().map(part).collect()
    }
}

/// Up to `limit` jobs that are due: fresh ones from memory first, but due ones of the index are never starved.
pub(crate) async fn claim(core: &Arc<Core>, limit: usize) -> Result<Vec<Claim>, StoreError> {
    if core.health.is_poisoned() {
        // Outcomes could not be written, so every delivery would be repeated after the restart.
        return Err(core.lost());
    }
    let now = core.clock.now();
    let mut jobs = Vec::new();
    let scan = {
        let mut window = core.schedule.lock();
        window.expire_handed_back(now);
        let is_due = window.may_be_due(now);
        let fresh_max = if is_due { limit - limit / 4 } else { limit };
        jobs.extend(std::iter::from_fn(|| window.claim_ready()).take(fresh_max));
        let rest = (limit - jobs.len()).min(window.room());
        (is_due && rest > 0).then(|| (window.begin_scan(), rest))
    };
    if let Some((from, rest)) = scan {
        let core = Arc::clone(core);
        let found = tokio::task::spawn_blocking(move || scan_due(&core, from, now, rest)).await;
        jobs.extend(found.map_err(|_| StoreError::Closed)?);
    }
    Ok(jobs.into_iter().map(|job| Claim::new(job, &core.schedule)).collect())
}

/// Takes up to `limit` jobs out of the due index, from where the last scan ended.
fn scan_due(core: &Core, from: DueKey, now: UnixMs, limit: usize) -> Vec<Job> {
    let mut scan = Scan { core, end: ScanEnd::new(core, from), jobs: Vec::new() };
    let mut entries = core.db.iterate(Family::Due, &from, None);
    entries.seek_to_first();
    while let Some(key) = entries.key() {
        let Some((due, job)) = decode_due_key(key) else {
            scan.end.reached = after(key, from);
            entries.next();
            continue;
        };
        scan.end.next_due = due;
        if due > now || scan.jobs.len() >= limit {
            break;
        }
        scan.try_claim(due, job);
        scan.end.reached = after(key, from);
        scan.end.next_due = NEVER;
        entries.next();
    }
    if let Err(error) = entries.status() {
        tracing::error!(target: "store", %error, "the due index can not be read");
        scan.end.next_due = now.plus(crate::schedule::HAND_BACK_DELAY);
    }
    scan.jobs
}

/// The least key behind `key`.
fn after(key: &[u8], from: DueKey) -> DueKey {
    let mut next: DueKey = key.try_into().unwrap_or(from);
    for octet in next.iter_mut().rev() {
        *octet = octet.wrapping_add(1);
        if *octet != 0 {
            break;
        }
    }
    next
}

/// A scan in progress.
struct Scan<'a> {
    core: &'a Core,
    end: ScanEnd<'a>,
    jobs: Vec<Job>,
}

/// Ends the scan in the window, also when the thread panics.
struct ScanEnd<'a> {
    core: &'a Core,
    reached: DueKey,
    next_due: UnixMs,
}

impl<'a> ScanEnd<'a> {
    fn new(core: &'a Core, reached: DueKey) -> ScanEnd<'a> {
        ScanEnd { core, reached, next_due: NEVER }
    }
}

impl Drop for ScanEnd<'_> {
    fn drop(&mut self) {
        self.core.schedule.lock().end_scan(self.reached, self.next_due);
        self.core.schedule.wake();
    }
}

impl Scan<'_> {
    /// Claims the job unless somebody has it, or had it a moment ago.
    fn try_claim(&mut self, due: UnixMs, key: JobKey) {
        let core = self.core;
        if !core.schedule.lock().take(key, due, Stage::Claimed) {
            return;
        }
        // The iterator sees the past: an outcome may have been written since. It was, before the job left the
        // window, so the present tells.
        match core.db.get(Family::Due, &due_key(due, key)) {
            Ok(Some(_)) => {}
            Ok(None) => return core.schedule.lock().release(key, None),
            Err(cause) => {
                tracing::error!(target: "store", cause, "an entry of the due index can not be read");
                return core.schedule.hand_back(key);
            }
        }
        match load_job(&core.db, key) {
            Ok(Some(job)) => self.jobs.push(Job { due, ..job }),
            Ok(None) => core.set_aside_later(missing(key, due), Some((key, due))),
            Err(ReadError::Damaged(damage)) => core.set_aside_later(damage, Some((key, due))),
            Err(ReadError::Unreadable(cause)) => {
                tracing::error!(target: "store", message = %key.message, cause, "a message can not be read");
                core.schedule.hand_back(key);
            }
        }
    }
}

/// The due index names a job of which there is no record.
fn missing(key: JobKey, due: UnixMs) -> Damage {
    Damage {
        message: key.message,
        family: Family::Due.name(),
        key: due_key(due, key).to_vec(),
        detail: "due record: its message or job is missing".to_owned(),
    }
}

/// The body of a message in the queue.
pub(crate) async fn body(core: &Arc<Core>, message: MessageId) -> Result<Body, StoreError> {
    match load_body(&core.db, message, true) {
        Ok(Some(body)) => return Ok(body),
        Ok(None) => {}
        Err(error) => return Err(core.read_failed(error)),
    }
    let for_reading = Arc::clone(core);
    let read = tokio::task::spawn_blocking(move || load_body(&for_reading.db, message, false)).await;
    match read.map_err(|_| StoreError::Closed)? {
        Ok(body) => body.ok_or(StoreError::NotFound),
        Err(error) => Err(core.read_failed(error)),
    }
}
