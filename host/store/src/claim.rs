//! Giving out work: a bounded window of the queue, never all of it.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::{Body, Envelope, MessageId, Status, UnixMs};

use crate::change::GiveUp;
use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::StoreError;
use crate::format::{Due, JobKey, JobRecord, NEVER, after_prefix, decode_due_key, due_key, shelf_prefix};
use crate::lane_room::LaneRoom;
use crate::records::{Damage, ReadError, load_body, load_content, load_job};
use crate::schedule::{Entry, Job, Kind, LaneScan, Picked, Schedule};
use crate::shelf::Shelf;

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
    /// The sender was told that it is late.
    pub delay_told: bool,
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
            delay_told: job.delay_told,
            ticket: Ticket { key: job.key, schedule: Some(Arc::clone(schedule)) },
            job,
        }
    }

    /// The body, while it is in memory; else ask [`crate::Store::body`].
    pub fn body(&self) -> Option<&Body> {
        self.job.body.as_deref().map(crate::memory::HeldBody::body)
    }

    /// The next hop that an operator chose, in words: whatever plugins and settings say.
    pub fn route(&self) -> Option<&str> {
        self.job.changes.route.as_deref()
    }

    /// An operator wants it given up, with a report.
    pub fn give_up(&self) -> Option<&GiveUp> {
        self.job.changes.give_up.as_ref()
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

/// When it is worth to look again into a database that is being opened again.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// Jobs that are due, as far as there is room, out of what is in memory. Only when there is none, it waits for the disk.
pub(crate) async fn claim(core: &Arc<Core>, room: LaneRoom) -> Result<Vec<Claim>, StoreError> {
    loop {
        if core.health.is_poisoned() {
            // Outcomes could not be written, so every delivery would be repeated after the restart.
            return Err(core.lost());
        }
        let changed = core.schedule.changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let Picked { jobs, scans, is_reading } = pick(core, room);
        read_ahead(core, scans);
        if !jobs.is_empty() || !is_reading {
            return Ok(jobs.into_iter().map(|job| Claim::new(job, &core.schedule)).collect());
        }
        changed.await;
    }
}

fn pick(core: &Core, room: LaneRoom) -> Picked {
    let now = core.clock.now();
    let mut window = core.schedule.lock();
    window.expire_handed_back(now);
    window.pick(room, now)
}

/// Reads on the side what comes after what was claimed.
fn read_ahead(core: &Arc<Core>, scans: Vec<LaneScan>) {
    if !scans.is_empty() {
        let now = core.clock.now();
        let reading = Reading { schedule: Arc::clone(&core.schedule), core: Some(Arc::clone(core)) };
        tokio::task::spawn_blocking(move || {
            if let Some(core) = &reading.core {
                scans.iter().for_each(|scan| scan_lane(core, scan, now));
            }
        });
    }
}

/// Reads jobs of a lane into the window: the newcomers, and as many others as are wanted, of each of its shelves the same
/// part; what one does not have goes to the others.
fn scan_lane(core: &Core, scan: &LaneScan, now: UnixMs) {
    // When the database is away, they are found where they stand in the index.
    if let (false, Ok(db)) = (scan.newcomers.is_empty(), core.db()) {
        for (key, entry) in &scan.newcomers {
            read_job(core, &db, Kind::Fresh, *key, *entry);
        }
    }
    let (mut open, mut left) = (scan.shelves.clone(), scan.count);
    while left > 0 && !open.is_empty() {
        let part = (left / open.len()).max(1);
        open.retain(|shelf| {
            let wanted = part.min(left);
            let read = scan_shelf(core, *shelf, wanted, now);
            left -= read;
            read == wanted
        });
    }
}

/// Reads jobs of a shelf into the window, from where it was read to: how many there were of those wanted.
fn scan_shelf(core: &Core, shelf: Shelf, wanted: usize, now: UnixMs) -> usize {
    if wanted == 0 {
        return 0;
    }
    let reached = core.schedule.lock().begin_shelf(shelf);
    let mut end = ShelfEnd { core, shelf, reached, next_due: NEVER };
    match core.db() {
        Ok(db) => {
            let mut scan = Scan { core, db: &db, end, left: wanted };
            scan.run(now);
            wanted - scan.left
        }
        Err(_) => {
            end.next_due = now.plus(AWAY_PAUSE);
            0
        }
    }
}

/// A scan of one shelf in progress.
struct Scan<'a> {
    core: &'a Core,
    db: &'a Database,
    end: ShelfEnd<'a>,
    left: usize,
}

/// Tells the window how far a shelf was read, also when the thread panics.
struct ShelfEnd<'a> {
    core: &'a Core,
    shelf: Shelf,
    reached: Due,
    next_due: UnixMs,
}

impl Drop for ShelfEnd<'_> {
    fn drop(&mut self) {
        self.core.schedule.lock().shelf_scanned(self.shelf, self.reached, self.next_due);
    }
}

/// Scans in progress. They end in the window also when the thread panics, or never runs because the runtime ends; nothing
/// of the store is in use by them then.
struct Reading {
    schedule: Arc<Schedule>,
    core: Option<Arc<Core>>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.core = None;
        let mut window = self.schedule.lock();
        window.end_scan();
        self.schedule.report(&window);
        drop(window);
        self.schedule.wake();
    }
}

impl Scan<'_> {
    /// Reads on from where the shelf was read to.
    fn run(&mut self, now: UnixMs) {
        let Due { at, job } = self.end.reached;
        let from = due_key(self.end.shelf, at, job);
        let end = after_prefix(&shelf_prefix(self.end.shelf));
        let mut entries = self.db.iterate(Family::Due, &from, end.as_deref());
        entries.seek_to_first();
        while let Some(key) = entries.key() {
            let Some((_, due)) = decode_due_key(key) else {
                entries.next();
                continue;
            };
            self.end.next_due = due.at;
            if due.at > now || self.left == 0 {
                break;
            }
            let entry = Entry { shelf: self.end.shelf, due: due.at };
            if read_job(self.core, self.db, Kind::Read, due.job, entry) {
                self.left -= 1;
            }
            self.end.reached = due.next();
            self.end.next_due = NEVER;
            entries.next();
        }
        if let Err(error) = entries.status() {
            tracing::error!(target: "store", %error, "the due index can not be read");
            self.end.next_due = now.plus(crate::schedule::HAND_BACK_DELAY);
        }
    }
}

/// Reads a job into the window unless somebody has it, or had it a moment ago. True when it is there.
fn read_job(core: &Core, db: &Database, kind: Kind, key: JobKey, entry: Entry) -> bool {
    if !core.schedule.lock().take_to_read(kind, key, entry) {
        return false;
    }
    // Who named the entry saw the past: an outcome may have been written since. It was, before the job left the
    // window, so the present tells.
    match db.get(Family::Due, &due_key(entry.shelf, entry.due, key)) {
        Ok(Some(_)) => {}
        Ok(None) => {
            core.schedule.lock().release_unread(key);
            return false;
        }
        Err(cause) => {
            tracing::error!(target: "store", cause, "an entry of the due index can not be read");
            core.schedule.hand_back(key);
            return false;
        }
    }
    match load_job(db, key) {
        Ok(Some(job)) => {
            core.schedule.lock().make_read(entry.shelf.lane, Job { due: entry.due, ..job });
            return true;
        }
        Ok(None) => core.set_aside_later(missing(key, entry), Some((key, entry))),
        Err(ReadError::Damaged(damage)) => core.set_aside_later(damage, Some((key, entry))),
        Err(ReadError::Unreadable(cause)) => {
            tracing::error!(target: "store", message = %key.message, cause, "a message can not be read");
            core.schedule.hand_back(key);
        }
    }
    false
}

/// The due index names a job of which there is no record.
fn missing(key: JobKey, entry: Entry) -> Damage {
    Damage {
        message: key.message,
        family: Family::Due.name(),
        key: due_key(entry.shelf, entry.due, key).to_vec(),
        detail: "due record: its message or job is missing".to_owned(),
    }
}

/// The content of a message in the queue, or of one that left it and is kept.
pub(crate) async fn content(core: &Arc<Core>, message: MessageId) -> Result<Body, StoreError> {
    let for_reading = Arc::clone(core);
    let read = tokio::task::spawn_blocking(move || {
        load_content(&*for_reading.db()?, &for_reading.body_keys.load(), message)
            .map_err(|error| for_reading.read_failed(error))
    });
    read.await.map_err(|_| StoreError::Closed)??.ok_or(StoreError::NotFound)
}

/// The body of a message in the queue.
pub(crate) async fn body(core: &Arc<Core>, message: MessageId) -> Result<Body, StoreError> {
    match load_body(&*core.db()?, &core.body_keys.load(), message, true) {
        Ok(Some(body)) => return Ok(body),
        Ok(None) => {}
        Err(error) => return Err(core.read_failed(error)),
    }
    let for_reading = Arc::clone(core);
    let read = tokio::task::spawn_blocking(move || {
        load_body(&*for_reading.db()?, &for_reading.body_keys.load(), message, false)
    });
    let read = read.await;
    match read.map_err(|_| StoreError::Closed)? {
        Ok(body) => body.ok_or(StoreError::NotFound),
        Err(error) => Err(core.read_failed(error)),
    }
}
