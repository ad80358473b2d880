//! A worker owns one connection to a site and takes job after job from its ready queue.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::Outcome;
use smallvec::{SmallVec, smallvec};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::delivery::deliver;
use crate::job::Job;
use crate::link::Link;
use crate::ready::{Next, WorkerSlot};
use crate::shared::Shared;
use crate::site::Site;

/// Jobs of one message that go out together: usually one.
pub(crate) type Batch = SmallVec<[Job; 1]>;

/// Messages over a connection before its place is left to another site of the provider that waits for one.
const MESSAGES_PER_TURN: usize = 20;
/// The longest sleep for a token; then it is looked at again.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// A job and what became of each of its recipients.
#[derive(Debug)]
pub(crate) struct Attempted {
    pub(crate) job: Job,
    pub(crate) outcomes: Vec<(u16, Outcome)>,
    pub(crate) took_ms: u32,
    /// Recipients whose next hop reports to the sender itself what it asked for.
    pub(crate) passed_on: Vec<u16>,
    /// The delivery was the final one, not to a relay.
    pub(crate) is_final: bool,
}

impl Attempted {
    /// A job that all its recipients share the end of, before anything was sent.
    pub(crate) fn unsent(job: Job, outcome: &Outcome) -> Attempted {
        let outcomes = job.claim.recipients.iter().map(|index| (*index, outcome.clone())).collect();
        Attempted { job, outcomes, took_ms: 0, passed_on: Vec::new(), is_final: false }
    }
}

/// Starts a worker, whose slot is counted already.
pub(crate) fn start(shared: &Arc<Shared>, site: Arc<Site>) {
    // A worker may start another one, so its type must not be in itself.
    let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work(Arc::clone(shared), site));
    shared.spawn(work);
}

/// Delivers until there is nothing left to deliver.
///
/// While the outcome of one message is written, the next one is already on its way.
async fn work(shared: Arc<Shared>, site: Arc<Site>) {
    let mut worker = Worker { shared: &shared, site: &site, link: None, place: None };
    let mut slot = WorkerSlot::new(&site.ready);
    let mut ended: SmallVec<[Attempted; 1]> = SmallVec::new();
    loop {
        let next = if ended.is_empty() { None } else { worker.take() };
        let job = match next {
            Some(job) => job,
            None => {
                finish(&shared, std::mem::take(&mut ended)).await;
                match worker.next_job(&mut slot).await {
                    Some(job) => job,
                    None => break,
                }
            }
        };
        let batch = worker.gather(job);
        let before = std::mem::take(&mut ended);
        (ended, ()) = tokio::join!(deliver(&shared, &site, &mut worker.link, batch), finish(&shared, before));
    }
    Link::leave(worker.link.take()).await;
}

async fn finish(shared: &Shared, ended: SmallVec<[Attempted; 1]>) {
    for attempted in ended {
        shared.finish(attempted).await;
    }
}

/// What a worker has.
struct Worker<'a> {
    shared: &'a Arc<Shared>,
    site: &'a Arc<Site>,
    link: Option<Link>,
    /// The place for a connection to the provider, where these are counted; and how many messages went over it.
    place: Option<(OwnedSemaphorePermit, usize)>,
}

impl Worker<'_> {
    /// The next job when one may go at once.
    fn take(&mut self) -> Option<Job> {
        let pace = self.site.pace();
        if pace.places.is_some() && !self.keeps_place() {
            return None;
        }
        self.site.ready.take(|| self.site.standing.drew(pace.draw(self.link.is_none())))
    }

    /// The next job; waits for it as long as an open connection is worth keeping, and for a token as long as it takes.
    async fn next_job(&mut self, slot: &mut WorkerSlot<'_, Job>) -> Option<Job> {
        loop {
            let pace = self.site.pace();
            if let Some(places) = &pace.places
                && !self.keeps_place()
            {
                Link::leave(self.link.take()).await;
                self.place = None;
                self.place = Some((places.take().await?, 0));
            }
            let draw = || self.site.standing.drew(pace.draw(self.link.is_none()));
            let next = if self.link.is_some() { slot.next_or_park(draw) } else { slot.next_or_retire(draw) };
            match next {
                Next::Job(job, more) => {
                    if more {
                        start(self.shared, Arc::clone(self.site));
                    }
                    return Some(job);
                }
                Next::Wait(until) => self.wait_for_token(slot, until).await,
                Next::Over => return None,
                Next::Parked(receiver) => {
                    if let Some(job) = self.park(slot, receiver).await {
                        return Some(job);
                    }
                }
            }
        }
    }

    /// Whether the place is kept: until somebody else waits for it and it had its turn.
    fn keeps_place(&self) -> bool {
        let is_wanted = self.site.pace().places.as_ref().is_some_and(|places| places.are_wanted());
        self.place.as_ref().is_some_and(|(_, messages)| !is_wanted || *messages < MESSAGES_PER_TURN)
    }

    /// Waits with the open connection for a job, for a word to look again, for the peer to close, or for the end of
    /// patience.
    async fn park(
        &mut self,
        slot: &mut WorkerSlot<'_, Job>,
        mut receiver: oneshot::Receiver<Option<Job>>,
    ) -> Option<Job> {
        let open = self.link.as_mut()?;
        let idle = Duration::from_millis(self.shared.settings.load().limits.idle_ms);
        let usable = tokio::select! {
            biased;
            given = &mut receiver => match given {
                Ok(given) => return given,
                // The queue is closed.
                Err(_) => {
                    Link::leave(self.link.take()).await;
                    return None;
                }
            },
            () = open.until_peer_speaks() => false,
            () = tokio::time::sleep(idle) => true,
        };
        let job = slot.unpark(receiver);
        if !usable {
            self.link = None;
        } else if job.is_none() {
            Link::leave(self.link.take()).await;
        }
        job
    }

    /// Waits for a token. A connection that would be idle for too long is closed first.
    async fn wait_for_token(&mut self, slot: &WorkerSlot<'_, Job>, until: Instant) {
        let idle = Duration::from_millis(self.shared.settings.load().limits.idle_ms);
        let now = Instant::now();
        if until > now + idle {
            Link::leave(self.link.take()).await;
        }
        let until = until.min(now + SLEEP_MAX);
        let Some(open) = self.link.as_mut() else {
            tokio::select! {
                () = sleep_until(until) => {}
                () = slot.stirred() => {}
            }
            return;
        };
        let usable = tokio::select! {
            () = sleep_until(until) => true,
            () = slot.stirred() => true,
            () = open.until_peer_speaks() => false,
        };
        if !usable {
            self.link = None;
        }
    }

    /// The job with the jobs right behind it that are of the same message: they can share a transaction.
    fn gather(&mut self, job: Job) -> Batch {
        if let Some((_, messages)) = &mut self.place {
            *messages += 1;
        }
        let recipients_max = self.site.recipients_max(&self.shared.settings.load());
        let (message, lane) = (job.message(), job.lane());
        let mut recipients = job.claim.recipients.len();
        let mut batch: Batch = smallvec![job];
        while let Some(other) = self.site.ready.take_if(lane, |other| {
            other.message() == message && recipients + other.claim.recipients.len() <= recipients_max
        }) {
            recipients += other.claim.recipients.len();
            batch.push(other);
        }
        self.shared.metrics.ready_jobs.dec_by(i64::try_from(batch.len()).unwrap_or(1));
        batch
    }
}
