//! What all parts of delivery use.

use std::sync::Arc;

use arc_swap::ArcSwap;
use baton_hooks::Generation;
use baton_identity::Signer;
use baton_mail::event::Event;
use baton_mail::{Body, Clock};
use baton_store::shaping::Measure;
use baton_store::{Measures, Settlement, Store, StoreError};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connect::Reach;
use crate::gate::Gate;
use crate::job::Job;
use crate::log;
use crate::metrics::Metrics;
use crate::settings::OutboundSettings;
use crate::shaping::{Limiters, Tallies};
use crate::site::Destinations;
use crate::sources::{Listings, Warmups};
use crate::sts::HttpClient;

/// The parts of delivery that live as long as it.
pub(crate) struct Shared {
    pub(crate) settings: Arc<ArcSwap<OutboundSettings>>,
    pub(crate) store: Store,
    pub(crate) hooks: Arc<ArcSwap<Generation>>,
    pub(crate) signer: Signer,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) destinations: Destinations,
    /// What keeps the rates.
    pub(crate) limiters: Limiters,
    /// What holds mail back, by rules and operators.
    pub(crate) measures: Measures,
    /// Replies on their way to a measure.
    pub(crate) tallies: Tallies,
    /// Suspensions that ended lately.
    pub(crate) rested: Mutex<Vec<(Measure, Instant)>>,
    pub(crate) warmups: Warmups,
    /// What blocklists say about our addresses.
    pub(crate) listings: Listings,
    pub(crate) reach: Reach,
    /// Asks web servers.
    pub(crate) http: HttpClient,
    pub(crate) gate: Arc<Gate>,
    /// Bounds routing decisions at once.
    pub(crate) routing: Semaphore,
    pub(crate) tasks: TaskTracker,
    /// Ends every task where it stands.
    pub(crate) cut_off: CancellationToken,
}

impl Shared {
    /// Runs work on the side, to be waited for at the stop.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // In a box, as a task is moved several times before it runs.
        let (cut_off, work) = (self.cut_off.clone(), Box::pin(work));
        self.tasks.spawn(async move {
            // Cut off means dropped: the jobs in it go back to the store.
            let _ = cut_off.run_until_cancelled(work).await;
        });
    }

    /// Does work here as far as it goes without waiting; what is left goes on on the side.
    pub(crate) fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut work = Box::pin(work);
        if work.as_mut().now_or_never().is_none() {
            self.spawn(work);
        }
    }

    /// Writes what became of a job. The events that it gathered on its way come first.
    pub(crate) async fn settle(&self, job: Job, mut settlement: Settlement) {
        let message = job.message();
        let Job { claim, events, permit, .. } = job;
        settlement.events = merge(events, settlement.events);
        if let Err(error) = self.store.settle(claim, settlement).await {
            log::settle_failed(message, &error);
        }
        drop(permit);
        self.metrics.jobs.set(i64::try_from(self.gate.len()).unwrap_or(i64::MAX));
    }

    /// The content of a job's message, from memory when it is still there.
    pub(crate) async fn body(&self, job: &Job) -> Result<Body, StoreError> {
        match job.claim.body() {
            Some(body) => Ok(body.clone()),
            None => self.store.body(job.message()).await,
        }
    }
}

fn merge(mut first: Vec<Event>, mut second: Vec<Event>) -> Vec<Event> {
    if first.is_empty() {
        return second;
    }
    first.append(&mut second);
    first
}
