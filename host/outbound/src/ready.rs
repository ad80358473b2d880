//! The ready queue of one site: jobs that wait for a connection, and the workers that own the connections.
//!
//! A worker takes job after job without anybody between. One that runs out of work parks here with its connection
//! open; the last to park is the first to be given work, so that few connections stay warm and the others close.

use std::collections::VecDeque;
use std::time::Duration;

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
    jobs: VecDeque<(Instant, T)>,
    parked: Vec<oneshot::Sender<T>>,
    workers: usize,
    /// Workers that were started and did not take their first job yet.
    starting: usize,
    /// When the next overflowing job may come back.
    next_slot: Option<Instant>,
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

impl<T> Default for ReadyQueue<T> {
    fn default() -> ReadyQueue<T> {
        let state = State {
            jobs: VecDeque::new(),
            parked: Vec::new(),
            workers: 0,
            starting: 0,
            next_slot: None,
            closed: false,
        };
        ReadyQueue { state: Mutex::new(state) }
    }
}

impl<T> ReadyQueue<T> {
    /// Gives a job to a parked worker, else queues it. The job comes back when the queue is closed, or
    /// full and slow.
    pub(crate) fn push(&self, mut job: T, ready_max: usize, workers_max: usize) -> Result<Pushed, T> {
        let mut state = self.state.lock();
        while let Some(worker) = state.parked.pop() {
            match worker.send(job) {
                Ok(()) => return Ok(Pushed::Taken),
                // It stopped waiting at this moment.
                Err(back) => job = back,
            }
        }
        let now = Instant::now();
        let is_full = state.jobs.len() >= ready_max && state.first_wait(now) > MOVING_WAIT_MAX;
        if state.closed || is_full {
            return Err(job);
        }
        state.jobs.push_back((now, job));
        if state.workers < workers_max.max(1) && state.jobs.len() > state.starting {
            state.workers += 1;
            state.starting += 1;
            return Ok(Pushed::StartWorker);
        }
        Ok(Pushed::Taken)
    }

    /// Takes the first waiting job when `wanted` says so of it.
    pub(crate) fn take_if(&self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut state = self.state.lock();
        let is_wanted = state.jobs.front().is_some_and(|(_, job)| wanted(job));
        if is_wanted { state.take_first() } else { None }
    }

    /// How long a job that did not fit should stay away.
    ///
    /// Jobs come back one by one, at the pace at which the queue moves: as long after another as one job took on
    /// average while the first of the queue waited. So a long backlog is not handed to and fro all the time.
    pub(crate) fn comeback(&self, wait_max: Duration) -> Duration {
        let mut state = self.state.lock();
        let now = Instant::now();
        let waited = state.first_wait(now);
        let pace = waited / u32::try_from(state.jobs.len().max(1)).unwrap_or(u32::MAX);
        let slot = state.next_slot.unwrap_or(now).max(now + waited / 2).min(now + wait_max);
        state.next_slot = Some(slot + pace);
        slot - now
    }

    /// No more work: refuses jobs from now on, lets parked workers go, returns what waited.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let mut state = self.state.lock();
        state.closed = true;
        state.parked.clear();
        std::mem::take(&mut state.jobs).into_iter().map(|(_, job)| job).collect()
    }
}

impl<T> State<T> {
    fn take_first(&mut self) -> Option<T> {
        self.jobs.pop_front().map(|(_, job)| job)
    }

    /// How long the first job waits already.
    fn first_wait(&self, now: Instant) -> Duration {
        self.jobs.front().map_or(Duration::ZERO, |(since, _)| now.duration_since(*since))
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
        let orphans = if state.workers == 0 { std::mem::take(&mut state.jobs) } else { VecDeque::new() };
        drop(state);
        drop(orphans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_gives_the_job_back_unless_it_moves() {
        let queue = ReadyQueue::default();
        assert_eq!(queue.push(1, 2, 1), Ok(Pushed::StartWorker));
        assert_eq!(queue.push(2, 2, 1), Ok(Pushed::Taken));
        assert_eq!(queue.push(3, 2, 1), Ok(Pushed::Taken), "the first job waits for a moment only");
        make_slow(&queue);
        assert_eq!(queue.push(4, 2, 1), Err(4));
        assert_eq!(queue.push(4, 9, 1), Ok(Pushed::Taken));
    }

    /// As if the first job had waited for longer than a moving queue lets it.
    fn make_slow(queue: &ReadyQueue<u8>) {
        let mut state = queue.state.lock();
        let (since, _) = state.jobs.front_mut().expect("a job waits");
        *since -= MOVING_WAIT_MAX * 4;
    }

    #[test]
    fn overflowing_jobs_come_back_one_after_the_other_within_the_bound() {
        let queue = ReadyQueue::default();
        for job in 0..4 {
            assert!(queue.push(job, 4, 1).is_ok());
        }
        make_slow(&queue);
        let bound = Duration::from_secs(60);
        let waits: Vec<_> = (0..100).map(|_| queue.comeback(bound)).collect();
        assert!(
            waits.is_sorted() && waits[0] < waits[10] && waits.iter().all(|wait| *wait <= bound),
            "{waits:?}"
        );
    }

    #[test]
    fn each_waiting_job_may_start_one_worker_up_to_the_bound() {
        let queue = ReadyQueue::default();
        let started = (0..5).filter(|job| queue.push(*job, 10, 3) == Ok(Pushed::StartWorker)).count();
        assert_eq!(started, 3);
    }

    #[test]
    fn the_last_parked_worker_gets_the_job() {
        let queue = ReadyQueue::default();
        let (mut first, mut second) = (WorkerSlot::new(&queue), WorkerSlot::new(&queue));
        let Next::Parked(mut waits_first) = first.next_or_park() else { panic!("nothing waits") };
        let Next::Parked(mut waits_second) = second.next_or_park() else { panic!("nothing waits") };
        assert_eq!(queue.push(7, 10, 2), Ok(Pushed::Taken));
        assert_eq!(waits_second.try_recv(), Ok(7));
        assert!(waits_first.try_recv().is_err());
    }

    #[test]
    fn a_job_given_while_a_wait_ends_is_not_lost() {
        let queue = ReadyQueue::default();
        let mut slot = WorkerSlot::new(&queue);
        let Next::Parked(receiver) = slot.next_or_park() else { panic!("nothing waits") };
        assert_eq!(queue.push(7, 10, 1), Ok(Pushed::Taken));
        assert_eq!(slot.unpark(receiver), Some(7));
        let Next::Parked(receiver) = slot.next_or_park() else { panic!("nothing waits") };
        assert_eq!(slot.unpark(receiver), None);
        assert_eq!(
            queue.push(8, 10, 1),
            Ok(Pushed::StartWorker),
            "a worker that stopped waiting gets nothing"
        );
    }

    #[test]
    fn a_lost_worker_leaves_no_job_behind() {
        let queue = ReadyQueue::default();
        let job = std::sync::Arc::new(());
        assert_eq!(queue.push(job.clone(), 10, 1), Ok(Pushed::StartWorker));
        drop(WorkerSlot::new(&queue));
        assert_eq!(std::sync::Arc::strong_count(&job), 1, "the job was dropped, which hands it back");
        assert_eq!(queue.push(job, 10, 1), Ok(Pushed::StartWorker), "the place is free again");
    }

    #[test]
    fn a_closed_queue_wakes_the_parked_and_takes_nothing() {
        let queue: ReadyQueue<u8> = ReadyQueue::default();
        let mut slot = WorkerSlot::new(&queue);
        let Next::Parked(mut receiver) = slot.next_or_park() else { panic!("nothing waits") };
        assert!(queue.close().is_empty());
        assert_eq!(receiver.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(queue.push(1, 10, 1), Err(1));
    }
}
