//! The ready queue of one site: jobs that wait for a connection, and the workers that own the connections.
//!
//! A worker takes job after job without anybody between, the lanes in turns: what is urgent overtakes what waits, and in a
//! lane tenants and streams take turns. One that runs out of work parks here with its connection open; the last to park is
//! the first to be given work, so that few connections stay warm and the others close.
//!
//! Where limits hold, a worker draws a token before it takes a job. Where there is none, one worker waits for it and has
//! taken no job meanwhile, so that what is urgent goes first whenever it comes; the others park or end.

use std::time::Duration;

use baton_mail::Lane;
use baton_mail::lane::{LaneQueue, LaneWeights, PerLane, Place};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::departures::Departures;
use crate::overflow::Overflow;

/// A queue whose first job waits no longer than the first of these moves on well, and so does one that sends all it has
/// within the second: it may be longer than its bound, which the number of jobs in hand bounds anyway.
const MOVING_WAIT_MAX: Duration = Duration::from_secs(1);
const MOVING_LENGTH_MAX: Duration = Duration::from_secs(4);

/// Jobs and workers of one site.
#[derive(Debug)]
pub(crate) struct ReadyQueue<T> {
    state: Mutex<State<T>>,
    stirred: Notify,
}

#[derive(Debug)]
struct State<T> {
    jobs: LaneQueue<Queued<T>>,
    /// Each is given a job, or nothing when it should look again.
    parked: Vec<oneshot::Sender<Option<T>>>,
    workers: usize,
    /// Workers at once.
    workers_max: usize,
    /// Workers that wait for a token: one at most.
    waiting: usize,
    /// Workers that were started and did not take their first job yet.
    starting: usize,
    overflow: PerLane<Overflow>,
    departures: PerLane<Departures>,
    closed: bool,
}

/// A job that waits.
#[derive(Debug)]
struct Queued<T> {
    since: Instant,
    lane: Lane,
    job: T,
}

/// What became of a pushed job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// A worker has it or will take it.
    Taken,
    /// It is queued, and the caller must start one more worker with a [`WorkerSlot`].
    StartWorker,
}

impl<T> ReadyQueue<T> {
    /// An empty queue whose lanes have these shares of the turns.
    pub(crate) fn new(weights: LaneWeights) -> ReadyQueue<T> {
        let state = State {
            jobs: LaneQueue::new(weights),
            parked: Vec::new(),
            workers: 0,
            workers_max: usize::MAX,
            waiting: 0,
            starting: 0,
            overflow: PerLane::default(),
            departures: PerLane::default(),
            closed: false,
        };
        ReadyQueue { state: Mutex::new(state), stirred: Notify::new() }
    }

    /// Gives a job to a parked worker when it may go at once, else queues it. The job comes back when the queue is closed,
    /// or when its lane is slow and has no room for more of its tenant and stream.
    pub(crate) fn push(
        &self,
        place: impl Into<Place>,
        job: T,
        ready_max: usize,
        draw: impl FnMut() -> Result<(), Instant>,
    ) -> Result<Pushed, T> {
        self.push_at(place, job, ready_max, Instant::now(), draw)
    }

    /// As [`ReadyQueue::push`], at a moment.
    pub(crate) fn push_at(
        &self,
        place: impl Into<Place>,
        mut job: T,
        ready_max: usize,
        now: Instant,
        mut draw: impl FnMut() -> Result<(), Instant>,
    ) -> Result<Pushed, T> {
        let mut state = self.state.lock();
        if state.jobs.is_empty() && state.waiting == 0 {
            state.parked.retain(|worker| !worker.is_closed());
            if !state.parked.is_empty() && draw().is_ok() {
                while let Some(worker) = state.parked.pop() {
                    match worker.send(Some(job)) {
                        Ok(()) => return Ok(Pushed::Taken),
                        // It stopped waiting at this moment.
                        Err(back) => job = back.expect("it was sent with a job"),
                    }
                }
            }
        }
        let place = place.into();
        let is_full = !state.jobs.has_room(place, ready_max) && !state.moves_on(place.lane, now);
        if state.closed || is_full {
            return Err(job);
        }
        state.jobs.push(place, Queued { since: now, lane: place.lane, job });
        Ok(if state.call_worker() { Pushed::StartWorker } else { Pushed::Taken })
    }

    /// Takes the job whose turn it is, when any waits and may go.
    pub(crate) fn take(&self, draw: impl FnMut() -> Result<(), Instant>) -> Option<T> {
        let mut state = self.state.lock();
        if state.waiting > 0 || state.workers > state.workers_max {
            return None;
        }
        state.draw_first(draw).ok().flatten()
    }

    /// How many workers there may be from now on. More end after their job.
    pub(crate) fn set_workers_max(&self, workers_max: usize) {
        self.state.lock().workers_max = workers_max.max(1);
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.state.lock().workers
    }

    /// How many jobs wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// What `pick` makes of those that wait.
    pub(crate) fn pick<P>(&self, pick: impl Fn(&T) -> Option<P>) -> Vec<P> {
        self.state.lock().jobs.iter().filter_map(|queued| pick(&queued.job)).collect()
    }

    /// Takes out all that is `wanted` of what waits.
    pub(crate) fn take_all(&self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let taken = self.state.lock().jobs.take_all(|queued| wanted(&queued.job));
        taken.into_iter().map(|queued| queued.job).collect()
    }

    /// Lets the worker that waits for a token look again.
    pub(crate) fn stir(&self) {
        self.stirred.notify_waiters();
    }

    /// Takes the first waiting job of a lane when `wanted` says so of it, out of turn.
    pub(crate) fn take_if(&self, lane: Lane, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut state = self.state.lock();
        let is_wanted = state.jobs.front_of(lane).is_some_and(|queued| wanted(&queued.job));
        let taken = if is_wanted { state.jobs.pop_of(lane) } else { None };
        taken.map(|queued| state.depart(queued))
    }

    /// How long a job that did not fit should stay away.
    ///
    /// Jobs come back one by one: the first when half of the queue's bound is to be free, and then a little faster than the
    /// lane moves, or as the rate of the site has it. So a long backlog is not handed to and fro all the time, and the site
    /// does not run out of work while some of its jobs are away.
    pub(crate) fn comeback(
        &self,
        lane: Lane,
        ready_max: usize,
        wait_max: Duration,
        by_rate: Option<Duration>,
    ) -> Duration {
        self.comeback_at(lane, ready_max, wait_max, by_rate, Instant::now())
    }

    /// As [`ReadyQueue::comeback`], at a moment.
    pub(crate) fn comeback_at(
        &self,
        lane: Lane,
        ready_max: usize,
        wait_max: Duration,
        by_rate: Option<Duration>,
        now: Instant,
    ) -> Duration {
        let mut state = self.state.lock();
        let count = state.jobs.len_of(lane).max(1);
        let measured = state.departures.of_mut(lane).pace(now);
        let (pace, apart) = match (by_rate, measured) {
            (Some(interval), _) => (interval, interval),
            (None, Some(pace)) => (pace, pace * 4 / 5),
            // Nothing is known of how it moves: as fast as it grew.
            (None, None) => {
                let pace = state.first_wait(lane, now) / u32::try_from(count).unwrap_or(u32::MAX);
                (pace, pace)
            }
        };
        let beyond = u32::try_from(count.saturating_sub(ready_max / 2)).unwrap_or(u32::MAX);
        let overflow = state.overflow.of_mut(lane);
        let most = if by_rate.is_some() { wait_max } else { overflow.bound(wait_max, now) };
        overflow.wait(pace.saturating_mul(beyond), apart, most, now)
    }

    /// No more work: refuses jobs from now on, lets parked workers go, returns what waited.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.closed = true;
        state.parked.clear();
        self.stirred.notify_waiters();
        state.jobs.drain().into_iter().map(|queued| queued.job).collect()
    }
}

impl<T> State<T> {
    /// Takes the first job when there is one and a token for it; else tells when there will be one.
    fn draw_first(&mut self, mut draw: impl FnMut() -> Result<(), Instant>) -> Result<Option<T>, Instant> {
        if self.jobs.is_empty() {
            return Ok(None);
        }
        draw()?;
        Ok(self.jobs.pop().map(|queued| self.depart(queued)))
    }

    /// A job is taken to be delivered.
    fn depart(&mut self, queued: Queued<T>) -> T {
        self.departures.of_mut(queued.lane).note();
        if self.jobs.len_of(queued.lane) == 0 {
            self.overflow.of_mut(queued.lane).note_empty();
        }
        queued.job
    }

    /// Sees to it that somebody takes what waits. True when that needs one more worker, which is counted already.
    fn call_worker(&mut self) -> bool {
        if self.waiting > 0 || self.closed || self.jobs.len() <= self.starting {
            return false;
        }
        if self.call_parked() || self.workers >= self.workers_max {
            return false;
        }
        self.workers += 1;
        self.starting += 1;
        true
    }

    /// Has a parked worker look again, when there is one.
    fn call_parked(&mut self) -> bool {
        while let Some(worker) = self.parked.pop() {
            if worker.send(None).is_ok() {
                return true;
            }
        }
        false
    }

    /// True when what waits in a lane goes out soon.
    fn moves_on(&mut self, lane: Lane, now: Instant) -> bool {
        let pace = self.departures.of_mut(lane).pace(now);
        let count = u32::try_from(self.jobs.len_of(lane)).unwrap_or(u32::MAX);
        self.first_wait(lane, now) <= MOVING_WAIT_MAX
            || pace.is_some_and(|pace| pace.saturating_mul(count) <= MOVING_LENGTH_MAX)
    }

    /// How long the first job of a lane waits already.
    fn first_wait(&self, lane: Lane, now: Instant) -> Duration {
        self.jobs.front_of(lane).map_or(Duration::ZERO, |queued| now.duration_since(queued.since))
    }
}

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Deliver this; and start one more worker when the second is true.
    Job(T, bool),
    /// Nothing waits; work comes by this channel, or nothing when it should look again.
    Parked(oneshot::Receiver<Option<T>>),
    /// Something waits, and there is a token for it at this moment. Look again then.
    Wait(Instant),
    /// There are too many workers: this one ends.
    Over,
}

/// One worker's place. Dropping it, also by a panic, frees the place.
#[derive(Debug)]
pub(crate) struct WorkerSlot<'a, T> {
    queue: &'a ReadyQueue<T>,
    started: bool,
    waiting: bool,
    retired: bool,
}

impl<'a, T> WorkerSlot<'a, T> {
    /// The place that [`Pushed::StartWorker`] promised.
    pub(crate) fn new(queue: &'a ReadyQueue<T>) -> WorkerSlot<'a, T> {
        WorkerSlot { queue, started: false, waiting: false, retired: false }
    }

    /// The next job for a worker with a connection, or a place to wait for it.
    pub(crate) fn next_or_park(&mut self, draw: impl FnMut() -> Result<(), Instant>) -> Next<T> {
        let mut state = self.queue.state.lock();
        match self.next(&mut state, draw) {
            Some(Next::Over) => self.retire(&mut state),
            Some(next) => next,
            None => {
                let (sender, receiver) = oneshot::channel();
                // A closed queue drops the sender, which ends the wait at once.
                if !state.closed {
                    state.parked.push(sender);
                }
                Next::Parked(receiver)
            }
        }
    }

    /// The next job for a worker without a connection, or its end.
    pub(crate) fn next_or_retire(&mut self, draw: impl FnMut() -> Result<(), Instant>) -> Next<T> {
        let mut state = self.queue.state.lock();
        match self.next(&mut state, draw) {
            Some(Next::Over) | None => self.retire(&mut state),
            Some(next) => next,
        }
    }

    /// Returns when the queue was stirred.
    pub(crate) async fn stirred(&self) {
        self.queue.stirred.notified().await;
    }

    /// A job, a wait or the end; none when there is nothing for it.
    fn next(&mut self, state: &mut State<T>, draw: impl FnMut() -> Result<(), Instant>) -> Option<Next<T>> {
        self.note_start(state);
        self.note_waited(state);
        if state.workers > state.workers_max {
            return Some(Next::Over);
        }
        if state.waiting > 0 {
            return None;
        }
        match state.draw_first(draw) {
            Ok(Some(job)) => {
                let more = state.call_worker();
                Some(Next::Job(job, more))
            }
            Ok(None) => None,
            Err(until) => {
                state.waiting += 1;
                self.waiting = true;
                Some(Next::Wait(until))
            }
        }
    }

    fn retire(&mut self, state: &mut State<T>) -> Next<T> {
        state.workers = state.workers.saturating_sub(1);
        self.retired = true;
        if !state.jobs.is_empty() && state.waiting == 0 {
            state.call_parked();
        }
        Next::Over
    }

    fn note_waited(&mut self, state: &mut State<T>) {
        if std::mem::take(&mut self.waiting) {
            state.waiting = state.waiting.saturating_sub(1);
        }
    }

    /// Ends a wait: a job that was given at this very moment is not lost.
    pub(crate) fn unpark(&mut self, mut receiver: oneshot::Receiver<Option<T>>) -> Option<T> {
        receiver.close();
        let job = receiver.try_recv().ok().flatten();
        if job.is_none() {
            self.queue.state.lock().parked.retain(|worker| !worker.is_closed());
        }
        job
    }

    fn note_start(&mut self, state: &mut State<T>) {
        if !self.started {
            self.started = true;
            state.starting = state.starting.saturating_sub(1);
        }
    }
}

impl<T> Drop for WorkerSlot<'_, T> {
    fn drop(&mut self) {
        if self.retired {
            return;
        }
        // The worker panicked or was cancelled. Without another worker nobody would serve what waits: letting go
        // of the jobs hands them back to the store.
        let mut state = self.queue.state.lock();
        self.note_start(&mut state);
        self.note_waited(&mut state);
        state.workers = state.workers.saturating_sub(1);
        if !state.jobs.is_empty() && state.waiting == 0 {
            state.call_parked();
        }
        let orphans = if state.workers == 0 { state.jobs.drain() } else { Vec::new() };
        drop(state);
        drop(orphans);
    }
}

#[cfg(test)]
mod tests {
    use baton_mail::lane::LANE_WEIGHTS;

    use super::*;
    use Lane::{High, Normal};

    fn queue<T>() -> ReadyQueue<T> {
        with_workers(1)
    }

    fn with_workers<T>(workers_max: usize) -> ReadyQueue<T> {
        let queue = ReadyQueue::new(LANE_WEIGHTS);
        queue.set_workers_max(workers_max);
        queue
    }

    /// No limit.
    fn free() -> Result<(), Instant> {
        Ok(())
    }

    #[test]
    fn a_full_queue_gives_the_job_back_unless_it_moves() {
        let queue = queue();
        assert_eq!(queue.push(Normal, 1, 2, free), Ok(Pushed::StartWorker));
        assert_eq!(queue.push(Normal, 2, 2, free), Ok(Pushed::Taken));
        assert_eq!(
            queue.push(Normal, 3, 2, free),
            Ok(Pushed::Taken),
            "the first job waits for a moment only"
        );
        make_slow(&queue);
        assert_eq!(queue.push(Normal, 4, 2, free), Err(4));
        assert_eq!(queue.push(Normal, 4, 9, free), Ok(Pushed::Taken));
    }

    /// As if the first job had waited for longer than a moving queue lets it.
    fn make_slow(queue: &ReadyQueue<u8>) {
        let mut state = queue.state.lock();
        for queued in state.jobs.drain() {
            state.jobs.push(Normal, Queued { since: queued.since - MOVING_WAIT_MAX * 4, ..queued });
        }
    }

    #[test]
    fn overflowing_jobs_come_back_one_after_the_other_within_the_bound() {
        let queue = queue();
        for job in 0..4 {
            assert!(queue.push(Normal, job, 4, free).is_ok());
        }
        make_slow(&queue);
        let bound = Duration::from_secs(60);
        let waits: Vec<_> = (0..100).map(|_| queue.comeback(Normal, 4, bound, None)).collect();
        assert!(
            waits.is_sorted() && waits[0] < waits[10] && waits.iter().all(|wait| *wait <= bound),
            "{waits:?}"
        );
        assert!(waits[1] - waits[0] >= Duration::from_secs(1), "as fast as it grew");
    }

    /// Takes a job each millisecond for so many, and tells when it is then.
    fn take_one_each_ms(queue: &ReadyQueue<u32>, from: Instant, count: u32) -> Instant {
        (0..count).for_each(|_| assert!(queue.take(free).is_some()));
        from + Duration::from_millis(u64::from(count))
    }

    #[test]
    fn overflowing_jobs_come_back_a_little_faster_than_the_lane_moves() {
        let (queue, began, bound) = (queue(), Instant::now(), Duration::from_secs(60));
        (0..4_000).for_each(|job| assert!(queue.push_at(Normal, job, 9_000, began, free).is_ok()));
        let first = queue.comeback_at(Normal, 2_000, bound, None, began + Duration::from_secs(4));
        assert_eq!(first, Duration::from_secs(3), "as fast as it grew, while nothing is known");
        queue.state.lock().overflow = PerLane::default();
        let now = take_one_each_ms(&queue, began + Duration::from_secs(4), 1_000);
        // All that waits came long ago; that says nothing of how fast it goes now.
        let waits: Vec<_> = (0..3).map(|_| queue.comeback_at(Normal, 2_000, bound, None, now)).collect();
        assert_eq!(waits, [2_000_000, 2_000_800, 2_001_600].map(Duration::from_micros));
    }

    #[test]
    fn a_queue_beyond_its_bound_takes_more_as_long_as_it_sends_what_it_has_within_seconds() {
        let (queue, began) = (queue(), Instant::now());
        (0..5_000).for_each(|job| assert!(queue.push_at(Normal, job, 9_000, began, free).is_ok()));
        let full = |now| queue.push_at(Normal, 0, 1_000, now, free).is_err();
        let later = began + Duration::from_secs(2);
        assert!(full(later), "nothing is known of how it moves");
        assert!(!full(take_one_each_ms(&queue, later, 1_000)), "4,000 go in four seconds");
        assert!(full(later + Duration::from_secs(2)), "it stands");
    }

    #[test]
    fn each_waiting_job_may_start_one_worker_up_to_the_bound() {
        let queue = with_workers(3);
        let started =
            (0..5).filter(|job| queue.push(Normal, *job, 10, free) == Ok(Pushed::StartWorker)).count();
        assert_eq!(started, 3);
    }

    #[test]
    fn the_last_parked_worker_gets_the_job() {
        let queue = queue();
        let (mut first, mut second) = (WorkerSlot::new(&queue), WorkerSlot::new(&queue));
        let Next::Parked(mut waits_first) = first.next_or_park(free) else { panic!("nothing waits") };
        let Next::Parked(mut waits_second) = second.next_or_park(free) else { panic!("nothing waits") };
        assert_eq!(queue.push(Normal, 7, 10, free), Ok(Pushed::Taken));
        assert_eq!(waits_second.try_recv(), Ok(Some(7)));
        assert!(waits_first.try_recv().is_err());
    }

    #[test]
    fn a_job_given_while_a_wait_ends_is_not_lost() {
        let queue = queue();
        let mut slot = WorkerSlot::new(&queue);
        let Next::Parked(receiver) = slot.next_or_park(free) else { panic!("nothing waits") };
        assert_eq!(queue.push(Normal, 7, 10, free), Ok(Pushed::Taken));
        assert_eq!(slot.unpark(receiver), Some(7));
        let Next::Parked(receiver) = slot.next_or_park(free) else { panic!("nothing waits") };
        assert_eq!(slot.unpark(receiver), None);
        assert_eq!(
            queue.push(Normal, 8, 10, free),
            Ok(Pushed::StartWorker),
            "a worker that stopped waiting gets nothing"
        );
    }

    #[test]
    fn a_lost_worker_leaves_no_job_behind() {
        let queue = queue();
        let job = std::sync::Arc::new(());
        assert_eq!(queue.push(Normal, job.clone(), 10, free), Ok(Pushed::StartWorker));
        drop(WorkerSlot::new(&queue));
        assert_eq!(std::sync::Arc::strong_count(&job), 1, "the job was dropped, which hands it back");
        assert_eq!(queue.push(Normal, job, 10, free), Ok(Pushed::StartWorker), "the place is free again");
    }

    #[test]
    fn a_closed_queue_wakes_the_parked_and_takes_nothing() {
        let queue = queue::<u8>();
        let mut slot = WorkerSlot::new(&queue);
        let Next::Parked(mut receiver) = slot.next_or_park(free) else { panic!("nothing waits") };
        assert!(queue.close().is_empty());
        assert_eq!(receiver.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(queue.push(Normal, 1, 10, free), Err(1));
    }

    #[test]
    fn an_urgent_job_overtakes_and_finds_room_where_the_others_do_not() {
        let queue = queue();
        assert!((0..4).all(|job| queue.push(Normal, job, 4, free).is_ok()));
        make_slow(&queue);
        assert_eq!(queue.push(Normal, 8, 4, free), Err(8));
        assert_eq!(queue.push(High, 9, 4, free), Ok(Pushed::Taken));
        assert_eq!(queue.take_if(Normal, |job| *job == 0), Some(0), "of the same message, out of turn");
        assert_eq!((queue.take(free), queue.take(free)), (Some(9), Some(1)));
    }

    #[test]
    fn one_worker_waits_for_a_token_and_what_is_urgent_then_goes_first() {
        let queue = with_workers(4);
        assert!((1..=2).all(|job| queue.push(Normal, job, 10, free) == Ok(Pushed::StartWorker)));
        let (mut first, mut second) = (WorkerSlot::new(&queue), WorkerSlot::new(&queue));
        let until = Instant::now() + Duration::from_secs(60);
        let none = || Err(until);
        assert!(matches!(first.next_or_park(none), Next::Wait(at) if at == until));
        assert_eq!(queue.push(Normal, 4, 10, free), Ok(Pushed::Taken), "no worker more while one waits");
        assert_eq!(queue.push(High, 3, 10, free), Ok(Pushed::Taken));
        let Next::Parked(mut called) = second.next_or_park(free) else { panic!("one waits already") };
        assert!(matches!(first.next_or_park(free), Next::Job(3, false)), "the urgent one, by who waited");
        assert_eq!(called.try_recv(), Ok(None), "the parked one was called for what is left");
        assert!(matches!(first.next_or_park(none), Next::Wait(_)));
        drop(first);
        assert!(matches!(second.next_or_park(free), Next::Job(1, true)), "the wait ended with its worker");
    }

    #[test]
    fn a_parked_worker_is_called_when_there_is_no_token_for_a_new_job() {
        let queue = queue();
        let mut slot = WorkerSlot::new(&queue);
        let Next::Parked(mut receiver) = slot.next_or_park(free) else { panic!("nothing waits") };
        let until = Instant::now() + Duration::from_secs(60);
        assert_eq!(queue.push(Normal, 1, 10, || Err(until)), Ok(Pushed::Taken));
        assert_eq!(receiver.try_recv(), Ok(None));
        assert!(matches!(slot.next_or_park(|| Err(until)), Next::Wait(_)));
    }

    #[test]
    fn workers_beyond_the_bound_end_after_their_job() {
        let queue = with_workers(2);
        assert!((0..4).all(|job| queue.push(Normal, job, 10, free).is_ok()));
        let (mut first, mut second) = (WorkerSlot::new(&queue), WorkerSlot::new(&queue));
        assert!(matches!(first.next_or_park(free), Next::Job(0, false)));
        assert!(matches!(second.next_or_park(free), Next::Job(1, false)));
        queue.set_workers_max(1);
        assert!(matches!(first.next_or_park(free), Next::Over));
        assert!(matches!(second.next_or_park(free), Next::Job(2, false)));
        assert_eq!(queue.workers(), 1);
        queue.set_workers_max(2);
        assert!(matches!(second.next_or_park(free), Next::Job(3, false)));
    }
}
