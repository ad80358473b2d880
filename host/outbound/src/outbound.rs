//! The main loop: claims from the queue, in bounded numbers, until the stop.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use baton_dns::Resolver;
use baton_hooks::Generation;
use baton_identity::Signer;
use baton_identity::reports::outgoing::{Tally, TlsCounts};
use baton_mail::Clock;
use baton_mail::trace::Hub;
use baton_store::{Claim, Store};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connect::Reach;
use crate::gate::Gate;
use crate::job::Job;
use crate::log;
use crate::metrics::Metrics;
use crate::settings::OutboundSettings;
use crate::shaping::{Limiters, Tallies};
use crate::shared::Shared;
use crate::site::Destinations;
use crate::sources::{Listings, Warmups};
use crate::sts::{HttpClient, Policies};
use crate::view::DeliveryView;

/// Claims asked for at once.
const CLAIMS_MAX: usize = 256;
/// The pause after the queue could not be asked.
const CLAIM_FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// What delivery is given.
#[derive(Clone)]
pub struct OutboundDeps {
    /// The queue.
    pub store: Store,
    /// The plugins; each attempt uses those of its moment.
    pub hooks: Arc<ArcSwap<Generation>>,
    /// Name lookups.
    pub resolver: Resolver,
    /// What domains demand of TLS.
    pub policies: Policies,
    /// Where connections are counted for reports about TLS.
    pub tally: Arc<Tally<TlsCounts>>,
    /// Asks web servers.
    pub http: HttpClient,
    /// Signs reports.
    pub signer: Signer,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Shows dialogues to operators who look on.
    pub trace: Arc<Hub>,
}

/// Delivery as a whole.
pub struct Outbound {
    shared: Arc<Shared>,
}

impl Outbound {
    /// Delivery that has not begun. Storing new settings takes effect with the next job.
    pub fn new(settings: Arc<ArcSwap<OutboundSettings>>, deps: OutboundDeps) -> Outbound {
        let (routing_max, weights) = {
            let limits = settings.load().limits;
            (limits.routing_max.max(1), limits.lane_weights)
        };
        let measures = deps.store.measures();
        let shared = Shared {
            settings,
            store: deps.store,
            hooks: deps.hooks,
            signer: deps.signer,
            http: deps.http,
            clock: deps.clock,
            reach: Reach::new(
                deps.resolver,
                deps.policies,
                Some(deps.tally),
                deps.metrics.clone(),
                deps.trace,
            ),
            metrics: deps.metrics,
            destinations: Destinations::new(weights),
            limiters: Limiters::default(),
            measures,
            tallies: Tallies::default(),
            rested: Mutex::default(),
            warmups: Warmups::default(),
            listings: Listings::default(),
            gate: Arc::new(Gate::default()),
            routing: Semaphore::new(routing_max),
            tasks: TaskTracker::new(),
            cut_off: CancellationToken::new(),
        };
        Outbound { shared: Arc::new(shared) }
    }

    /// Delivers until `shutdown`, then waits for running deliveries as long as the settings say.
    ///
    /// When it returns, every claim is settled or handed back.
    pub async fn run(self, shutdown: CancellationToken) {
        self.load().await;
        let following = tokio::spawn(Arc::clone(&self.shared).follow_measures());
        let listings = tokio::spawn(Arc::clone(&self.shared).follow_listings());
        while !shutdown.is_cancelled() {
            let claims = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                claims = self.next_claims() => claims,
            };
            let jobs = claims.into_iter().map(|claim| Job::new(claim, self.shared.gate.enter()));
            self.shared.dispatch(jobs);
        }
        self.drain().await;
        following.abort();
        listings.abort();
    }

    /// What others may look at while delivery runs.
    pub fn view(&self) -> DeliveryView {
        DeliveryView::new(Arc::clone(&self.shared))
    }

    /// Reads what shaping kept over a restart. Mail goes on without it.
    async fn load(&self) {
        let loaded = self.shared.measures.load().await;
        let loaded = match loaded {
            Ok(()) => self.shared.warmups.load(&self.shared.store.kv()).await,
            failed => failed,
        };
        if let Err(error) = loaded {
            log::shaping_not_loaded(&error);
        }
    }

    /// Waits for room and for work. No claim is lost when this is cancelled: a dropped claim is handed back.
    async fn next_claims(&self) -> Vec<Claim> {
        loop {
            let room = self.shared.gate.room(self.shared.settings.load().limits.jobs_max);
            if room.is_empty() {
                self.shared.gate.wait_for_room().await;
                continue;
            }
            match self.shared.store.claim(room.at_most(CLAIMS_MAX)).await {
                Ok(claims) if claims.is_empty() && room.is_open() => self.shared.store.wait_for_work().await,
                Ok(claims) if claims.is_empty() => tokio::select! {
                    () = self.shared.store.wait_for_work_in(room) => {}
                    () = self.shared.gate.wait_for_room() => {}
                },
                Ok(claims) => return claims,
                Err(error) => {
                    log::claim_failed(&error);
                    tokio::time::sleep(CLAIM_FAILURE_PAUSE).await;
                }
            }
        }
    }

    /// No new work: waiting jobs go back at once, running ones get the time of the settings.
    async fn drain(self) {
        let shared = self.shared;
        let waiting = shared.destinations.close();
        shared.metrics.ready_jobs.dec_by(i64::try_from(waiting).unwrap_or(0));
        log::stopping(shared.gate.len(), waiting);
        shared.tasks.close();
        let bound = Duration::from_millis(shared.settings.load().limits.drain_ms);
        if tokio::time::timeout(bound, shared.tasks.wait()).await.is_err() {
            log::cut_off(shared.gate.len());
            shared.cut_off.cancel();
            shared.tasks.wait().await;
        }
        if let Err(error) = shared.warmups.save(&shared.store.kv()).await {
            log::warmup_not_saved(&error);
        }
    }
}
