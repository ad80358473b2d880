//! The ready queue of one site: jobs that wait for a connection, and the workers that own the connections.
//!
//! A worker takes job after job without anybody between, the lanes in turns: what is urgent overtakes what waits, and in a lane tenants and streams take turns. One that runs out of work parks here with its connection
//! open; the last to park is the first to be given work, so that few connections stay warm and the others close.

use std::time::Duration;

use baton_mail::Lane;
use baton_mail::lane::{LaneQueue, LaneWeights, PerLane, Place};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A queue whose first job waits no longer than this moves on well: it may be longer than its bound, which the
/// number of jobs in hand bounds anyway.
const MOVING_WAIT_MAX: Duration = Duration::from_secs(1);

/// Jobs and workers of one site.
#[derive(Debug)]
pub(crate) struct ReadyQueue<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    jobs: LaneQueue<(Instant, T)>,
    parked: Vec<oneshot::Sender<T>>,
    workers: usize,
    /// Workers that were started and did not take their first job yet.
    starting: usize,
    /// When the next overflowing job of each lane may come back.
    next_slot: PerLane<Option<Instant>>,
    closed: bool,
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
            starting: 0,
            next_slot: PerLane::default(),
            closed: false,
        };
        ReadyQueue { state: Mutex::new(state) }
    }

    /// Gives a job to a parked worker, else queues it. The job comes back when the queue is closed, or when its lane is
    /// full and slow.
    pub(crate) fn push(
        &self,
        place: impl Into<Place>,
        mut job: T,
        ready_max: usize,
        workers_max: usize,
    ) -> Result<Pushed, T> {
        let mut state = self.state.lock();
        while let Some(worker) = state.parked.pop() {
            match worker.send(job) {
                Ok(()) => return Ok(Pushed::Taken),
                // It stopped waiting at this moment.
                Err(back) => job = back,
            }
        }
        let (now, place) = (Instant::now(), place.into());
        let lane = place.lane;
        let is_full = state.jobs.len_of(lane) >= ready_max && state.first_wait(lane, now) > MOVING_WAIT_MAX;
        if state.closed || is_full {
            return Err(job);
        }
        state.jobs.push(place, (now, job));
        if state.workers < workers_max.max(1) && state.jobs.len() > state.starting {
            state.workers += 1;
            state.starting += 1;
            return Ok(Pushed::StartWorker);
        }
        Ok(Pushed::Taken)
    }

    /// Takes the job whose turn it is, when any waits.
    pub(crate) fn take(&self) -> Option<T> {
        self.state.lock().take_first()
    }

    /// Takes the first waiting job of a lane when `wanted` says so of it, out of turn.
    pub(crate) fn take_if(&self, lane: Lane, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut state = self.state.lock();
        let is_wanted = state.jobs.front_of(lane).is_some_and(|(_, job)| wanted(job));
        if is_wanted { state.jobs.pop_of(lane).map(|(_, job)| job) } else { None }
    }

    /// How long a job that did not fit should stay away.
    ///
    /// Jobs come back one by one, at the pace at which the queue moves: as long after another as one job took on
    /// average while the first of its lane waited. So a long backlog is not handed to and fro all the time.
    pub(crate) fn comeback(&self, lane: Lane, wait_max: Duration) -> Duration {
        let mut state = self.state.lock();
        let now = Instant::now();
        let waited = state.first_wait(lane, now);
        let pace = waited / u32::try_from(state.jobs.len_of(lane).max(1)).unwrap_or(u32::MAX);
        let slot = state.next_slot.of(lane).unwrap_or(now).max(now + waited / 2).min(now + wait_max);
        *state.next_slot.of_mut(lane) = Some(slot + pace);
        slot - now
    }

    /// No more work: refuses jobs from now on, lets parked workers go, returns what waited.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.closed = true;
        state.parked.clear();
        state.jobs.drain().into_iter().map(|(_, job)| job).collect()
    }
}

impl<T> State<T> {
    fn take_first(&mut self) -> Option<T> {
        self.jobs.pop().map(|(_, job)| job)
    }

    /// How long the first job of a lane waits already.
    fn first_wait(&self, lane: Lane, now: Instant) -> Duration {
        self.jobs.front_of(lane).map_or(Duration::ZERO, |(since, _)| now.duration_since(*since))
    }
}

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Deliver this.
    Job(T),
    /// Nothing waits; work comes by this channel.
    Parked(oneshot::Receiver<T>),
}

/// One worker's place. Dropping it, also by a panic, frees the place.
#[derive(Debug)]
pub(crate) struct WorkerSlot<'a, T> {
    queue: &'a ReadyQueue<T>,
    started: bool,
    retired: bool,
}

impl<'a, T> WorkerSlot<'a, T> {
    /// The place that [`Pushed::StartWorker`] promised.
    pub(crate) fn new(queue: &'a ReadyQueue<T>) -> WorkerSlot<'a, T> {
        WorkerSlot { queue, started: false, retired: false }
    }

    /// The next job, or a place to wait for it.
    pub(crate) fn next_or_park(&mut self) -> Next<T> {
        let mut state = self.queue.state.lock();
        self.note_start(&mut state);
        match state.take_first() {
            Some(job) => Next::Job(job),
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

    /// The next job, or the end of this worker.
    pub(crate) fn next_or_retire(&mut self) -> Option<T> {
        let mut state = self.queue.state.lock();
        self.note_start(&mut state);
        let job = state.take_first();
        if job.is_none() {
            state.workers = state.workers.saturating_sub(1);
            self.retired = true;
        }
        job
    }

    /// Ends a wait: a job that was given at this very moment is not lost.
    pub(crate) fn unpark(&mut self, mut receiver: oneshot::Receiver<T>) -> Option<T> {
        receiver.close();
        let job = receiver.try_recv().ok();
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
        state.workers = state.workers.saturating_sub(1);
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
        ReadyQueue::new(LANE_WEIGHTS)
    }

    #[test]
    fn a_full_queue_gives_the_job_back_unless_it_moves() {
        let queue = queue();
        assert_eq!(queue.push(Normal, 1, 2, 1), Ok(Pushed::StartWorker));
        assert_eq!(queue.push(Normal, 2, 2, 1), Ok(Pushed::Taken));
        assert_eq!(queue.push(Normal, 3, 2, 1), Ok(Pushed::Taken), "the first job waits for a moment only");
        make_slow(&queue);
        assert_eq!(queue.push(Normal, 4, 2, 1), Err(4));
        assert_eq!(queue.push(Normal, 4, 9, 1), Ok(Pushed::Taken));
    }

    /// As if the first job had waited for longer than a moving queue lets it.
    fn make_slow(queue: &ReadyQueue<u8>) {
        let mut state = queue.state.lock();
        for (since, job) in state.jobs.drain() {
            state.jobs.push(Normal, (since - MOVING_WAIT_MAX * 4, job));
        }
    }

    #[test]
    fn overflowing_jobs_come_back_one_after_the_other_within_the_bound() {
        let queue = queue();
        for job in 0..4 {
            assert!(queue.push(Normal, job, 4, 1).is_ok());
        }
        make_slow(&queue);
        let bound = Duration::from_secs(60);
        let waits: Vec<_> = (0..100).map(|_| queue.comeback(Normal, bound)).collect();
        assert!(
            waits.is_sorted() && waits[0] < waits[10] && waits.iter().all(|wait| *wait <= bound),
            "{waits:?}"
        );
    }

    #[test]
    fn each_waiting_job_may_start_one_worker_up_to_the_bound() {
        let queue = queue();
        let started = (0..5).filter(|job| queue.push(Normal, *job, 10, 3) == Ok(Pushed::StartWorker)).count();
        assert_eq!(started, 3);
    }

    #[test]
    fn the_last_parked_worker_gets_the_job() {
        let queue = queue();
        let (mut first, mut second) = (WorkerSlot::new(&queue), WorkerSlot::new(&queue));
        let Next::Parked(mut waits_first) = first.next_or_park() else { panic!("nothing waits") };
        let Next::Parked(mut waits_second) = second.next_or_park() else { panic!("nothing waits") };
        assert_eq!(queue.push(Normal, 7, 10, 2), Ok(Pushed::Taken));
        assert_eq!(waits_second.try_recv(), Ok(7));
        assert!(waits_first.try_recv().is_err());
    }

    #[test]
    fn a_job_given_while_a_wait_ends_is_not_lost() {
        let queue = queue();
        let mut slot = WorkerSlot::new(&queue);
        let Next::Parked(receiver) = slot.next_or_park() else { panic!("nothing waits") };
        assert_eq!(queue.push(Normal, 7, 10, 1), Ok(Pushed::Taken));
        assert_eq!(slot.unpark(receiver), Some(7));
        let Next::Parked(receiver) = slot.next_or_park() else { panic!("nothing waits") };
        assert_eq!(slot.unpark(receiver), None);
        assert_eq!(
            queue.push(Normal, 8, 10, 1),
            Ok(Pushed::StartWorker),
            "a worker that stopped waiting gets nothing"
        );
    }

    #[test]
    fn a_lost_worker_leaves_no_job_behind() {
        let queue = queue();
        let job = std::sync::Arc::new(());
        assert_eq!(queue.push(Normal, job.clone(), 10, 1), Ok(Pushed::StartWorker));
        drop(WorkerSlot::new(&queue));
        assert_eq!(std::sync::Arc::strong_count(&job), 1, "the job was dropped, which hands it back");
        assert_eq!(queue.push(Normal, job, 10, 1), Ok(Pushed::StartWorker), "the place is free again");
    }

    #[test]
    fn a_closed_queue_wakes_the_parked_and_takes_nothing() {
        let queue = queue::<u8>();
        let mut slot = WorkerSlot::new(&queue);
        let Next::Parked(mut receiver) = slot.next_or_park() else { panic!("nothing waits") };
        assert!(queue.close().is_empty());
        assert_eq!(receiver.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(queue.push(Normal, 1, 10, 1), Err(1));
    }

    #[test]
    fn an_urgent_job_overtakes_and_finds_room_where_the_others_do_not() {
        let queue = queue();
        assert!((0..4).all(|job| queue.push(Normal, job, 4, 1).is_ok()));
        make_slow(&queue);
        assert_eq!(queue.push(Normal, 8, 4, 1), Err(8));
        assert_eq!(queue.push(High, 9, 4, 1), Ok(Pushed::Taken));
        assert_eq!(queue.take_if(Normal, |job| *job == 0), Some(0), "of the same message, out of turn");
        assert_eq!((queue.take(), queue.take()), (Some(9), Some(1)));
    }
}
