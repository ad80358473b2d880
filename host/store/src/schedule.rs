//! The part of the queue that is in memory: a bounded window of jobs, and how far the due index was read.
//!
//! Two kinds wait in it: fresh ones, ready since their accept, and those that were read ahead from the due index. Nobody
//! who claims fresh ones waits for the disk. A fresh one that found no place at its accept is read as soon as there is one,
//! and so does not stand behind a backlog that was there before it.
//!
//! Invariant: a job is given out at most once at a time. It stays in `taken` from before its record can be seen in
//! the database until its outcome is in the database.
//!
//! Invariant: every entry of a shelf of the due index before its `cursor` is in `taken`. So a scan begins at the cursor
//! and never walks over the tombstones of what was settled before.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use baton_mail::fair::Flow;
use baton_mail::lane::{LaneWeights, PerLane, Place, Turns};
use baton_mail::{Clock, Envelope, Lane, Status, UnixMs};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::backlog::Backlog;
use crate::change::Changes;
use crate::commit::Action;
use crate::format::{Due, JobKey, NEVER, shelf_of_entry};
use crate::lane_room::LaneRoom;
use crate::lane_window::{LaneWindow, Waiting};
use crate::memory::HeldBody;
use crate::metrics::Metrics;
use crate::shelf::Shelf;

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
    /// The sender was told that it is late.
    pub(crate) delay_told: bool,
    /// What operators changed; the envelope here has it applied.
    pub(crate) changes: Changes,
    /// The message has or had several jobs.
    pub(crate) shared: bool,
    /// The job has a record of its own.
    pub(crate) stored: bool,
    pub(crate) body: Option<Arc<HeldBody>>,
}

impl Job {
    /// The shelf on which the due index has it.
    pub(crate) fn shelf(&self) -> Shelf {
        Shelf::of(&self.envelope)
    }

    /// Where the due index has it.
    pub(crate) fn entry(&self) -> Entry {
        Entry { shelf: self.shelf(), due: self.due }
    }
}

/// Where the due index has a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) shelf: Shelf,
    pub(crate) due: UnixMs,
}

/// What an operator asked for while the job was being delivered; it is done when the job is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) action: Action,
    pub(crate) by: String,
}

/// Where a job in memory stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its record is being written, or an operator's change to it is.
    Writing,
    /// Its record is being read, to be ready then.
    Reading,
    /// Waits in memory for its claim.
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
    pub(crate) entry: Entry,
    pub(crate) intent: Option<Intent>,
    kind: Kind,
    /// Which of the times that it was taken this is.
    turn: u64,
}

/// Of which kind a job in memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It came a moment ago.
    Fresh,
    /// Read from the index.
    Read,
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
    lanes: PerLane<LaneWindow>,
    turns: Turns,
    taken: HashMap<JobKey, Taken>,
    handed_back: BinaryHeap<Reverse<(UnixMs, JobKey)>>,
    taken_max: usize,
    /// How many of what is taken are of the backlog.
    taken_read: usize,
    turns_taken: u64,
    backlog: Backlog,
    scanning: bool,
}

/// What is to be read of a lane.
#[derive(Debug)]
pub(crate) struct LaneScan {
    /// These first.
    pub(crate) newcomers: Vec<(JobKey, Entry)>,
    /// Of the shelves that may have something due.
    pub(crate) shelves: Vec<Shelf>,
    /// So many jobs.
    pub(crate) count: usize,
}

/// What the next claims are, and what is to be read for those after them.
#[derive(Debug, Default)]
pub(crate) struct Picked {
    /// From memory.
    pub(crate) jobs: Vec<Job>,
    /// From the index. Whoever gets it reads, and then ends the scan.
    pub(crate) scans: Vec<LaneScan>,
    /// A scan runs, or is to.
    pub(crate) is_reading: bool,
}

impl Schedule {
    /// An empty window: nothing is known of the index yet.
    pub(crate) fn new(
        taken_max: usize,
        weights: LaneWeights,
        backlog_per_s: u32,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Arc<Schedule> {
        let window = Window {
            lanes: PerLane::default(),
            turns: Turns::new(weights),
            taken: HashMap::new(),
            handed_back: BinaryHeap::new(),
            taken_max,
            taken_read: 0,
            turns_taken: 0,
            backlog: Backlog::new(backlog_per_s),
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

    /// True while mail leaves the machine no time to spare.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().backlog.is_machine_busy()
    }

    /// Gives a claimed job back: its claim was dropped without an outcome.
    pub(crate) fn hand_back(&self, key: JobKey) {
        let again_at = self.clock.now().plus(HAND_BACK_DELAY);
        let mut window = self.lock();
        if let Some(taken) =
            window.taken.get_mut(&key).filter(|taken| matches!(taken.stage, Stage::Claimed | Stage::Reading))
        {
            taken.stage = Stage::HandedBack;
            window.handed_back.push(Reverse((again_at, key)));
            drop(window);
            self.metrics.handed_back.inc();
            self.wake();
        }
    }

    /// Ends when something may have changed: at the next [`Schedule::wake`] after it was enabled.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Returns when something may be claimable in a lane with room.
    pub(crate) async fn wait(&self, room: LaneRoom) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = self.clock.now();
            let next = self.lock().next_moment(room, now);
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
    /// Takes a place for a job that is about to be written. False when the window is full for its lane, or for its flow:
    /// one flow's backlog leaves a quarter of the room to the others, and of what they take again a quarter to more.
    pub(crate) fn reserve(&mut self, key: JobKey, entry: Entry, flow: Flow) -> bool {
        let lane = entry.shelf.lane;
        let room = self.room(lane);
        let waiting = self.lanes.of(lane).fresh.len_of(flow);
        room > 0 && waiting <= 3 * room && self.take(key, entry, Stage::Writing)
    }

    /// Marks a job that is in nobody's hands. False when it is in somebody's.
    pub(crate) fn take(&mut self, key: JobKey, entry: Entry, stage: Stage) -> bool {
        self.take_as(Kind::Fresh, key, entry, stage)
    }

    /// As above, for a job of the index that is going to be read.
    pub(crate) fn take_to_read(&mut self, kind: Kind, key: JobKey, entry: Entry) -> bool {
        self.take_as(kind, key, entry, Stage::Reading)
    }

    fn take_as(&mut self, kind: Kind, key: JobKey, entry: Entry, stage: Stage) -> bool {
        match self.taken.entry(key) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                self.turns_taken += 1;
                self.taken_read += usize::from(kind == Kind::Read);
                place.insert(Taken { stage, entry, intent: None, kind, turn: self.turns_taken });
                true
            }
        }
    }

    /// How many jobs of a lane may still be taken: some places are left for the more urgent ones.
    pub(crate) fn room(&self, lane: Lane) -> usize {
        lane.share_of(self.taken_max).saturating_sub(self.taken.len())
    }

    /// As above, of what is read from the index: that fills half of the places at most, so that new mail finds some
    /// whenever it comes, and is not put behind the backlog.
    fn room_to_read(&self, lane: Lane) -> usize {
        let left = lane.share_of(self.taken_max.div_ceil(2)).max(1).saturating_sub(self.taken_read);
        left.min(self.room(lane))
    }

    /// The shelves that may have something due which nobody has, and where that begins.
    pub(crate) fn due_shelves(&self, now: UnixMs) -> Vec<(Shelf, Due)> {
        let of_lane = |lane: Lane| {
            let due = self.lanes.of(lane).due_shelves(now);
            due.map(move |(number, from)| (Shelf { lane, number }, from))
        };
        Lane::ALL.into_iter().flat_map(of_lane).collect()
    }

    /// The mark of a job.
    pub(crate) fn get(&mut self, key: JobKey) -> Option<&mut Taken> {
        self.taken.get_mut(&key)
    }

    /// Jobs given out or being settled, as against ready ones.
    pub(crate) fn is_claimed(&self, key: JobKey) -> bool {
        self.taken.get(&key).is_some_and(|taken| matches!(taken.stage, Stage::Claimed | Stage::Settling))
    }

    /// The job that is due for longest, of those that wait in memory.
    pub(crate) fn oldest_ready(&self) -> Option<Due> {
        let ready = self.taken.iter().filter(|(_, taken)| taken.stage == Stage::Ready);
        ready.map(|(key, taken)| Due { at: taken.entry.due, job: *key }).min()
    }

    /// How many are given out or being settled.
    pub(crate) fn claimed(&self) -> usize {
        let given_out = |taken: &&Taken| matches!(taken.stage, Stage::Claimed | Stage::Settling);
        self.taken.values().filter(given_out).count()
    }

    /// A job whose record is written now: ready for the next claim.
    pub(crate) fn make_ready(&mut self, job: Job) {
        if let Some(waiting) = self.waiting(job, Stage::Writing) {
            let Place { lane, flow, cost } = waiting.job.envelope.place();
            self.lanes.of_mut(lane).fresh.push(flow, cost, waiting);
        }
    }

    /// A job whose record was read: ready too, unless an operator took it meanwhile.
    pub(crate) fn make_read(&mut self, lane: Lane, job: Job) {
        let kind = self.taken.get(&job.key).map_or(Kind::Read, |taken| taken.kind);
        if let Some(waiting) = self.waiting(job, Stage::Reading) {
            let Place { flow, cost, .. } = waiting.job.envelope.place();
            let lane = self.lanes.of_mut(lane);
            match kind {
                Kind::Fresh => lane.fresh.push(flow, cost, waiting),
                Kind::Read => lane.read.push(flow, cost, waiting),
            }
        }
    }

    /// A job that is due and found no place was written to the index.
    pub(crate) fn note_newcomer(&mut self, entry: Entry, key: JobKey, flow: Flow) {
        self.note_insert(entry, key);
        let newcomers = &mut self.lanes.of_mut(entry.shelf.lane).newcomers;
        // What comes beyond is found where it stands in the index.
        if newcomers.len() < self.taken_max.saturating_mul(NEWCOMERS_PER_PLACE) {
            newcomers.push(flow, 1, (key, entry));
        }
    }

    fn waiting(&mut self, job: Job, stage: Stage) -> Option<Waiting> {
        let taken = self.taken.get_mut(&job.key).filter(|taken| taken.stage == stage)?;
        taken.stage = Stage::Ready;
        Some(Waiting { turn: taken.turn, job })
    }

    /// The next claims: the lanes take turns; in a lane fresh ones come first, then those that were read from the index at
    /// the backlog's pace, but every sixteenth is of these. Where few of those are left, more are to be read.
    pub(crate) fn pick(&mut self, room: LaneRoom, now: UnixMs) -> Picked {
        self.backlog.look_at_load();
        let mut jobs = Vec::new();
        loop {
            let has_work =
                PerLane::from_fn(|lane| jobs.len() < room.of(lane) && self.next_in(lane, now).is_some());
            let Some(lane) = self.turns.next(|lane| *has_work.of(lane)) else { break };
            self.turns.take(lane, |lane| *has_work.of(lane));
            // None where what looked ready was taken away by an operator.
            jobs.extend(self.claim_next(lane, now));
        }
        let scans = self.begin_scans(now);
        Picked { jobs, scans, is_reading: self.scanning }
    }

    /// Of which kind the next job of a lane is, when there is one that may go. What is urgent keeps no pace.
    fn next_in(&self, lane: Lane, now: UnixMs) -> Option<Kind> {
        let window = self.lanes.of(lane);
        if window.is_read_owed() {
            Some(Kind::Read)
        } else if !window.fresh.is_empty() {
            Some(Kind::Fresh)
        } else {
            let may_go = !window.read.is_empty() && (lane == Lane::High || self.backlog.may_take(now));
            may_go.then_some(Kind::Read)
        }
    }

    /// The next job of a lane, marked as claimed.
    fn claim_next(&mut self, lane: Lane, now: UnixMs) -> Option<Job> {
        let kind = self.next_in(lane, now)?;
        let window = self.lanes.of_mut(lane);
        let waiting = match kind {
            Kind::Fresh => {
                window.fresh_in_a_row += 1;
                self.backlog.note_fresh(now);
                window.fresh.pop()
            }
            Kind::Read => {
                window.fresh_in_a_row = 0;
                self.backlog.take(now);
                window.read.pop()
            }
        };
        let Waiting { turn, job } = waiting?;
        let taken = self.taken.get_mut(&job.key)?;
        let is_its = taken.turn == turn && taken.stage == Stage::Ready;
        is_its.then(|| {
            taken.stage = Stage::Claimed;
            job
        })
    }

    /// What is to be read: of each lane that may have something due, when half of what was read before is gone.
    fn begin_scans(&mut self, now: UnixMs) -> Vec<LaneScan> {
        let mut scans = Vec::new();
        if self.scanning {
            return scans;
        }
        for lane in Lane::ALL {
            let places = self.room_ahead(self.room(lane), self.lanes.of(lane).fresh.len());
            let count = self.room_ahead(self.room_to_read(lane), self.lanes.of(lane).read.len());
            let count = if self.may_be_due(lane, now) { count } else { 0 };
            let window = self.lanes.of_mut(lane);
            let newcomers: Vec<_> = (0..places).map_while(|_| window.newcomers.pop()).collect();
            if count > 0 || !newcomers.is_empty() {
                let due = window.due_shelves(now).filter(|_| count > 0);
                let shelves = due.map(|(number, _)| Shelf { lane, number }).collect();
                scans.push(LaneScan { newcomers, shelves, count });
            }
        }
        self.scanning = !scans.is_empty();
        scans
    }

    /// How many are to be read ahead when there are so many places and so many wait.
    fn room_ahead(&self, places: usize, waiting: usize) -> usize {
        let most = READ_AHEAD_MAX.min(self.taken_max.div_ceil(READ_AHEAD_SHARE));
        if waiting > most / 2 { 0 } else { places.min(most - waiting) }
    }

    /// Forgets a job whose outcome is in the database; `next` is its new entry in the index, when it has one.
    pub(crate) fn release(&mut self, key: JobKey, next: Option<Entry>) {
        if let Some(taken) = self.taken.remove(&key) {
            self.taken_read -= usize::from(taken.kind == Kind::Read);
            shrink(&mut self.taken, self.taken_max);
        }
        if let Some(entry) = next {
            self.note_insert(entry, key);
        }
    }

    /// Forgets a job that was to be read, and is not where the index was said to have it.
    pub(crate) fn release_unread(&mut self, key: JobKey) {
        if self.taken.get(&key).is_some_and(|taken| taken.stage == Stage::Reading) {
            self.release(key, None);
        }
    }

    /// An entry that is not taken was written to the index.
    pub(crate) fn note_insert(&mut self, entry: Entry, job: JobKey) {
        let due = Due { at: entry.due, job };
        let scanning = self.scanning;
        let Shelf { lane, number } = shelf_of_entry(entry.shelf, entry.due);
        let lane = self.lanes.of_mut(lane);
        lane.next_due = lane.next_due.min(due.at);
        let shelf = lane.shelf_mut(number);
        shelf.cursor = shelf.cursor.min(due);
        shelf.next_due = shelf.next_due.min(due.at);
        if scanning {
            shelf.lowest_since = Some(shelf.lowest_since.map_or(due, |lowest| lowest.min(due)));
        }
    }

    /// Makes the next scans begin at the front of the index.
    pub(crate) fn rewind(&mut self) {
        for shelf in Lane::ALL.into_iter().flat_map(Shelf::all_of) {
            self.note_insert(Entry { shelf, due: UnixMs(0) }, JobKey::FIRST);
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
                let entry = taken.entry;
                self.release(key, Some(entry));
            }
        }
    }

    /// When the next claim may find something; now or in the past when there is something ready.
    pub(crate) fn next_moment(&self, room: LaneRoom, now: UnixMs) -> UnixMs {
        let handed_back = self.handed_back.peek().map_or(NEVER, |Reverse((at, _))| *at);
        let of_lane = |lane: Lane| match (self.lanes.of(lane), room.of(lane)) {
            (_, 0) => NEVER,
            (known, _) if !known.fresh.is_empty() || known.is_read_owed() => UnixMs(0),
            (known, _) if !known.newcomers.is_empty() && self.room(lane) > 0 && !self.scanning => UnixMs(0),
            (known, _) if !known.read.is_empty() && lane == Lane::High => UnixMs(0),
            (known, _) if !known.read.is_empty() => self.backlog.next(now),
            (known, _) if self.room_to_read(lane) > 0 && !self.scanning => known.next_due,
            _ => NEVER,
        };
        Lane::ALL.into_iter().map(of_lane).fold(handed_back, UnixMs::min)
    }

    /// True when the index may hold something due that is not taken.
    fn may_be_due(&self, lane: Lane, now: UnixMs) -> bool {
        self.lanes.of(lane).next_due <= now
    }

    /// A shelf is scanned from here on.
    pub(crate) fn begin_shelf(&mut self, shelf: Shelf) -> Due {
        let shelf = self.lanes.of_mut(shelf.lane).shelf_mut(shelf.number);
        shelf.lowest_since = None;
        shelf.cursor
    }

    /// One shelf was scanned: all before `reached` was looked at; `next_due` is the time of the entry there.
    pub(crate) fn shelf_scanned(&mut self, shelf: Shelf, reached: Due, next_due: UnixMs) {
        let lane = self.lanes.of_mut(shelf.lane);
        lane.first_shelf = shelf.number.wrapping_add(1);
        let shelf = lane.shelf_mut(shelf.number);
        (shelf.cursor, shelf.next_due) = (reached, next_due);
        if let Some(lowest) = shelf.lowest_since.take() {
            shelf.cursor = shelf.cursor.min(lowest);
            shelf.next_due = shelf.next_due.min(lowest.at);
        }
    }

    /// True while the index is read.
    pub(crate) fn is_scanning(&self) -> bool {
        self.scanning
    }

    /// All lanes that were to be scanned are.
    pub(crate) fn end_scan(&mut self) {
        self.scanning = false;
        for lane in Lane::ALL {
            let lane = self.lanes.of_mut(lane);
            lane.next_due = lane.shelves.iter().map(|shelf| shelf.next_due).min().unwrap_or(NEVER);
        }
    }
}

/// So many newcomers without a place are remembered for each place, in every lane.
const NEWCOMERS_PER_PLACE: usize = 8;
/// Jobs of one lane that are read ahead of their claims, at most: enough that reading them costs little each.
const READ_AHEAD_MAX: usize = 256;
/// What is read ahead takes this part of the window's places at most, so that fresh ones find theirs.
const READ_AHEAD_SHARE: usize = 8;

/// Gives memory back after a rush.
fn shrink(taken: &mut HashMap<JobKey, Taken>, taken_max: usize) {
    if taken.is_empty() && taken.capacity() > taken_max.min(1_000) {
        taken.shrink_to(64);
    }
}
