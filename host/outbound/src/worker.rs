//! A worker owns one connection to a site and takes job after job from its ready queue.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::Outcome;
use smallvec::{SmallVec, smallvec};
use tokio::sync::oneshot;

use crate::delivery::deliver;
use crate::job::Job;
use crate::link::Link;
use crate::ready::{Next, WorkerSlot};
use crate::shared::Shared;
use crate::site::Site;

/// Jobs of one message that go out together: usually one.
pub(crate) type Batch = SmallVec<[Job; 1]>;

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

/// Delivers until there is nothing left to deliver.
///
/// While the outcome of one message is written, the next one is already on its way.
pub(crate) async fn work(shared: Arc<Shared>, site: Arc<Site>) {
    let mut slot = WorkerSlot::new(&site.ready);
    let mut link = None;
    let mut ended: SmallVec<[Attempted; 1]> = SmallVec::new();
    loop {
        let next = if ended.is_empty() { None } else { site.ready.take() };
        let job = match next {
            Some(job) => job,
            None => {
                finish(&shared, std::mem::take(&mut ended)).await;
                match next_job(&shared, &mut slot, &mut link).await {
                    Some(job) => job,
                    None => break,
                }
            }
        };
        let batch = gather(&shared, &site, job);
        let before = std::mem::take(&mut ended);
        (ended, ()) = tokio::join!(deliver(&shared, &site, &mut link, batch), finish(&shared, before));
    }
    Link::leave(link.take()).await;
}

async fn finish(shared: &Shared, ended: SmallVec<[Attempted; 1]>) {
    for attempted in ended {
        shared.finish(attempted).await;
    }
}

/// The next job; waits for it as long as an open connection is worth keeping.
async fn next_job(shared: &Shared, slot: &mut WorkerSlot<'_, Job>, link: &mut Option<Link>) -> Option<Job> {
    loop {
        let Some(open) = link else { return slot.next_or_retire() };
        match slot.next_or_park() {
            Next::Job(job) => return Some(job),
            Next::Parked(receiver) => {
                let (job, usable) = wait(shared, slot, open, receiver).await;
                if !usable {
                    *link = None;
                } else if job.is_none() {
                    Link::leave(link.take()).await;
                }
                if job.is_some() {
                    return job;
                }
            }
        }
    }
}

/// Waits for a job, for the peer to close, or for the end of patience. Tells whether the connection is still good.
async fn wait(
    shared: &Shared,
    slot: &mut WorkerSlot<'_, Job>,
    link: &mut Link,
    mut receiver: oneshot::Receiver<Job>,
) -> (Option<Job>, bool) {
    let idle = Duration::from_millis(shared.settings.load().limits.idle_ms);
    let usable = tokio::select! {
        biased;
        job = &mut receiver => return (job.ok(), true),
        () = link.until_peer_speaks() => false,
        () = tokio::time::sleep(idle) => true,
    };
    (slot.unpark(receiver), usable)
}

/// The job with the jobs right behind it that are of the same message: they can share a transaction.
fn gather(shared: &Shared, site: &Site, job: Job) -> Batch {
    let recipients_max = shared.settings.load().limits.recipients_per_delivery_max;
    let (message, lane) = (job.message(), job.lane());
    let mut recipients = job.claim.recipients.len();
    let mut batch: Batch = smallvec![job];
    while let Some(other) = site.ready.take_if(lane, |other| {
        other.message() == message && recipients + other.claim.recipients.len() <= recipients_max
    }) {
        recipients += other.claim.recipients.len();
        batch.push(other);
    }
    shared.metrics.ready_jobs.dec_by(i64::try_from(batch.len()).unwrap_or(1));
    batch
}
