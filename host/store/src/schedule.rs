//! The part of the queue that is in memory: a bounded window of jobs, and how far the due index was read.
//!
//! Invariant: a job is given out at most once at a time. It stays in `taken` from before its record can be seen in
//! the database until its outcome is in the database.
//!
//! Invariant: every entry of the due index before `cursor` is in `taken`. So a scan begins at the cursor and never
//! walks over the tombstones of what was settled before.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use baton_mail::{Clock, Envelope, Status, UnixMs};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::format::{DUE_START, DueKey, JobKey, NEVER, due_key};
use crate::memory::HeldBody;
use crate::metrics::Metrics;

/// A dropped claim can be claimed again after this long.
pub(crate) const HAND_BACK_DELAY: Duration = Duration::from_secs(60);

/// One job with all that a delivery needs.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) key: JobKey,
    pub(crate) due: UnixMs,
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) chunks: u32,
    pub(crate) recipients: Vec<u16>,
    pub(crate) queue: String,
    pub(crate) attempt: u16,
    pub(crate) last: Option<Status>,
    pub(crate) hold: Option<String>,
    /// The message has or had several jobs.
    pub(crate) shared: bool,
    /// The job has a record of its own.
    pub(crate) stored: bool,
    pub(crate) body: Option<Arc<HeldBody>>,
}

/// What an operator asked for while the job was being delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Hold it if it is not done.
    Hold(String),
    /// Remove it if it is not done.
    Remove(String),
}

/// Where a job in memory stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its record is being written, or an operator's change to it is.
    Writing,
    /// In the ready list.
    Ready,
    /// Given out.
    Claimed,
    /// Its outcome waits for the next sync.
    Settling,
    /// Its claim was dropped; it waits until it may be claimed again.
    HandedBack,
}

/// A job that the due scan must pass over.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) stage: Stage,
    pub(crate) due: UnixMs,
    pub(crate) intent: Option<Intent>,
}

/// The window, shared by all who claim, settle and write.
#[derive(Debug)]
pub(crate) struct Schedule {
    window: Mutex<Window>,
    changed: Notify,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Window {
    ready: VecDeque<Job>,
    taken: HashMap<JobKey, Taken>,
    handed_back: BinaryHeap<Reverse<(UnixMs, JobKey)>>,
    taken_max: usize,
    /// Where the next scan begins.
    cursor: DueKey,
    /// No entry of the index that is not taken is due before this.
    next_due: UnixMs,
    /// While a scan runs: the lowest entry that was written since it began.
    lowest_since: Option<DueKey>,
    scanning: bool,
}

impl Schedule {
    /// An empty window: nothing is known of the index yet.
    pub(crate) fn new(taken_max: usize, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Arc<Schedule> {
        let window = Window {
            ready: VecDeque::new(),
            taken: HashMap::new(),
            handed_back: BinaryHeap::new(),
            taken_max,
            cursor: DUE_START,
            next_due: UnixMs(0),
            lowest_since: None,
            scanning: false,
        };
        Arc::new(Schedule { window: Mutex::new(window), changed: Notify::new(), clock, metrics })
    }

    /// The window, locked. Held for a few operations only, never across a read of the database.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock()
    }

    /// Wakes whoever waits for work, to look again.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Gives a claimed job back: its claim was dropped without an outcome.
    pub(crate) fn hand_back(&self, key: JobKey) {
        let again_at = self.clock.now().plus(HAND_BACK_DELAY);
        let mut window = self.lock();
        if let Some(taken) = window.taken.get_mut(&key).filter(|taken| taken.stage == Stage::Claimed) {
            taken.stage = Stage::HandedBack;
            window.handed_back.push(Reverse((again_at, key)));
            drop(window);
            self.metrics.handed_back.inc();
            self.wake();
        }
    }

    /// Returns when something may be claimable.
    pub(crate) async fn wait(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = self.clock.now();
            let next = self.lock().next_moment();
            if next <= now {
                return;
            }
            // The wall clock may jump, so a long wait is cut into pieces.
            let pause = next.since(now).min(WAIT_MAX);
            let _ = tokio::time::timeout(pause, changed).await;
        }
    }

    /// Updates the gauges that mirror the window.
    pub(crate) fn report(&self, window: &Window) {
        self.metrics.jobs_in_memory.set(i64::try_from(window.taken.len()).unwrap_or(i64::MAX));
    }
}

/// The longest sleep between two looks at the wall clock.
const WAIT_MAX: Duration = Duration::from_secs(30);

impl Window {
    /// Takes a place for a job that is about to be written. False when the window is full.
    pub(crate) fn reserve(&mut self, key: JobKey, due: UnixMs) -> bool {
        if self.taken.len() >= self.taken_max {
            return false;
        }
        self.take(key, due, Stage::Writing)
    }

    /// Marks a job that is in nobody's hands. False when it is in somebody's.
    pub(crate) fn take(&mut self, key: JobKey, due: UnixMs, stage: Stage) -> bool {
        match self.taken.entry(key) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Taken { stage, due, intent: None });
                true
            }
        }
    }

    /// How many jobs may still be taken.
    pub(crate) fn room(&self) -> usize {
        self.taken_max.saturating_sub(self.taken.len())
    }

    /// The mark of a job.
    pub(crate) fn get(&mut self, key: JobKey) -> Option<&mut Taken> {
        self.taken.get_mut(&key)
    }

    /// Jobs given out or being settled, as against ready ones.
    pub(crate) fn is_claimed(&self, key: JobKey) -> bool {
        self.taken.get(&key).is_some_and(|taken| matches!(taken.stage, Stage::Claimed | Stage::Settling))
    }

    /// How many are given out or being settled.
    pub(crate) fn claimed(&self) -> usize {
        let given_out = |taken: &&Taken| matches!(taken.stage, Stage::Claimed | Stage::Settling);
        self.taken.values().filter(given_out).count()
    }

    /// A job whose record is written now: ready for the next claim.
    pub(crate) fn make_ready(&mut self, job: Job) {
        if let Some(taken) = self.taken.get_mut(&job.key) {
            taken.stage = Stage::Ready;
            self.ready.push_back(job);
        }
    }

    /// The next ready job, marked as claimed.
    pub(crate) fn claim_ready(&mut self) -> Option<Job> {
        while let Some(job) = self.ready.pop_front() {
            // An operator may have taken it out of the list since.
            if let Some(taken) = self.taken.get_mut(&job.key).filter(|taken| taken.stage == Stage::Ready) {
                taken.stage = Stage::Claimed;
                return Some(job);
            }
        }
        None
    }

    /// Forgets a job whose outcome is in the database; `next` is its new entry in the index, when it has one.
    pub(crate) fn release(&mut self, key: JobKey, next: Option<UnixMs>) {
        if self.taken.remove(&key).is_some() && self.ready.is_empty() {
            shrink(&mut self.taken, self.taken_max);
        }
        if let Some(due) = next {
            self.note_insert(due_key(due, key), due);
        }
    }

    /// An entry that is not taken was written to the index.
    pub(crate) fn note_insert(&mut self, key: DueKey, due: UnixMs) {
        self.cursor = self.cursor.min(key);
        self.next_due = self.next_due.min(due);
        if self.scanning {
            self.lowest_since = Some(self.lowest_since.map_or(key, |lowest| lowest.min(key)));
        }
    }

    /// Lets go of the jobs whose claims were dropped long enough ago.
    pub(crate) fn expire_handed_back(&mut self, now: UnixMs) {
        while let Some(Reverse((at, key))) = self.handed_back.peek().copied() {
            if at > now {
                break;
            }
            self.handed_back.pop();
            if let Some(taken) = self.taken.get(&key).filter(|taken| taken.stage == Stage::HandedBack) {
                let due = taken.due;
                self.release(key, Some(due));
            }
        }
    }

    /// When the next claim may find something; now or in the past when there is something ready.
    pub(crate) fn next_moment(&self) -> UnixMs {
        let handed_back = self.handed_back.peek().map_or(NEVER, |Reverse((at, _))| *at);
        match (self.ready.is_empty(), self.room()) {
            (false, _) => UnixMs(0),
            (true, 0) => handed_back,
            (true, _) if self.scanning => handed_back,
            (true, _) => handed_back.min(self.next_due),
        }
    }

    /// True when the index may hold something due that is not taken.
    pub(crate) fn may_be_due(&self, now: UnixMs) -> bool {
        self.next_due <= now && !self.scanning
    }

    /// Begins a scan: returns where. Only one runs at a time.
    pub(crate) fn begin_scan(&mut self) -> DueKey {
        self.scanning = true;
        self.lowest_since = None;
        self.cursor
    }

    /// Ends a scan that looked at everything before `reached`; `next_due` is the time of the entry there.
    pub(crate) fn end_scan(&mut self, reached: DueKey, next_due: UnixMs) {
        self.scanning = false;
        self.cursor = reached;
        self.next_due = next_due;
        if let Some(lowest) = self.lowest_since.take() {
            self.cursor = self.cursor.min(lowest);
            self.next_due =
                self.next_due.min(crate::format::decode_due_key(&lowest).map_or(UnixMs(0), |(due, _)| due));
        }
    }
}

/// Gives memory back after a rush.
fn shrink(taken: &mut HashMap<JobKey, Taken>, taken_max: usize) {
    if taken.is_empty() && taken.capacity() > taken_max.min(1_000) {
        taken.shrink_to(64);
    }
}
