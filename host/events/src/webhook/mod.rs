//! Webhooks: events of a tenant, posted to where it wants them, signed by the scheme of Standard Webhooks.
//!
//! Invariant: each endpoint has a cursor of its own, so a slow one holds up nobody, and none loses what happened while it was
//! away, for as long as `expire_after_s`.
//!
//! Invariant: only public addresses are asked, and those that the settings allow, whatever a name leads to; no redirect is
//! followed.

mod deliver;
mod endpoint;
mod face;
mod post;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use baton_hooks::host::HttpBackend;
use baton_mail::Clock;
use baton_store::catalog::{CatalogError, EditError, Key, Query, Record};
use baton_store::feed::{ConsumerName, Trouble};
use baton_store::{Store, StoreError};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use crate::status::EndpointStatus;
use crate::status::State;

use deliver::{Delivery, Ended};
pub(crate) use endpoint::CONSUMERS;
pub use endpoint::{Endpoint, EndpointChange, Unfit, WEBHOOK};
use endpoint::{consumer, key_of};
pub use face::{EndpointView, Tested, WebhookError, Webhooks};
use post::Answer;

/// How often the catalog is looked at for changes that nobody told of.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// What an operator may say about webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Events of one post at most.
    pub batch_max: usize,
    /// Octets of one post, about.
    pub batch_octets_max: usize,
    /// How long events wait for others, in milliseconds.
    pub batch_ms: u64,
    /// How long a post may take, in milliseconds.
    pub timeout_ms: u64,
    /// How long to wait after the first failure, in milliseconds; doubles with each further one.
    pub retry_first_ms: u64,
    /// How long to wait at most.
    pub retry_max_ms: u64,
    /// Events that are older are not posted any more, in seconds.
    pub expire_after_s: u64,
    /// How long secrets count after they were replaced, in seconds.
    pub secret_overlap_s: u64,
}

impl Default for WebhookSettings {
    fn default() -> WebhookSettings {
        WebhookSettings {
            batch_max: 500,
            batch_octets_max: 512 << 10,
            batch_ms: 200,
            timeout_ms: 15_000,
            retry_first_ms: 1_000,
            retry_max_ms: 900_000,
            expire_after_s: 3 * 86_400,
            secret_overlap_s: 86_400,
        }
    }
}

/// What is counted of webhooks.
#[derive(Debug, Default)]
pub struct WebhookMetrics {
    posted: Counter,
    failed: Counter,
}

impl WebhookMetrics {
    /// Makes them known to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("baton_webhooks");
        registry.register("posted", "Posts that an endpoint took", self.posted.clone());
        registry.register("failed", "Posts that failed", self.failed.clone());
    }

    fn count(&self, answer: &Answer) {
        match answer {
            Answer::Taken { .. } => self.posted.inc(),
            Answer::Gone | Answer::Failed { .. } => self.failed.inc(),
        };
    }
}

/// What all deliveries share.
struct Deps {
    store: Store,
    clock: Arc<dyn Clock>,
    http: Arc<dyn HttpBackend>,
    settings: WebhookSettings,
    metrics: WebhookMetrics,
    /// The endpoints that are delivered to.
    states: Mutex<HashMap<String, Arc<State>>>,
    /// Somebody changed an endpoint.
    changed: Notify,
}

/// An endpoint that is delivered to.
struct Running {
    version: u64,
    stop: CancellationToken,
}

impl Webhooks {
    /// Delivers to all endpoints until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut running: HashMap<String, Running> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut revision = None;
        loop {
            let now = self.0.store.catalog().revision(WEBHOOK);
            if revision != Some(now) {
                match self.reconcile(&mut running, &mut tasks).await {
                    Ok(()) => revision = Some(now),
                    Err(error) => tracing::warn!(target: "events", %error, "webhooks can not be read"),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep(LOOK_PAUSE) => {}
                Some(ended) = tasks.join_next() => self.note_ended(ended).await,
            }
        }
    }

    /// Makes what runs what the catalog says.
    async fn reconcile(
        &self,
        running: &mut HashMap<String, Running>,
        tasks: &mut JoinSet<Option<Key>>,
    ) -> Result<(), CatalogError> {
        let records = self.all().await?;
        let is_wanted = |name: &String, own: &Running| {
            records.iter().any(|record| record.key.to_string() == *name && record.version == own.version)
        };
        running.retain(|name, own| {
            let is_wanted = is_wanted(name, own);
            if !is_wanted {
                own.stop.cancel();
            }
            is_wanted
        });
        self.0.states.lock().retain(|name, _| records.iter().any(|record| record.key.to_string() == *name));
        self.forget_removed(&records).await?;
        for record in records {
            let name = record.key.to_string();
            if running.contains_key(&name) {
                continue;
            }
            let stop = CancellationToken::new();
            running.insert(name, Running { version: record.version, stop: stop.clone() });
            match self.delivery(&record).await {
                Ok(Some(delivery)) => {
                    let key = record.key.clone();
                    tasks.spawn(async move {
                        tokio::select! {
                            // First: nothing moves its cursor once it was stopped.
                            biased;
                            () = stop.cancelled() => None,
                            ended = delivery.run() => (ended == Ended::Gone).then_some(key),
                        }
                    });
                }
                Ok(None) => {}
                Err(error) => tracing::error!(target: "events", %error, "a webhook can not be delivered to"),
            }
        }
        Ok(())
    }

    /// Forgets the cursors of endpoints that there are no more. Their deliveries are stopped by now.
    async fn forget_removed(&self, records: &[Record]) -> Result<(), CatalogError> {
        let known: HashSet<ConsumerName> =
            records.iter().filter_map(|record| consumer(&record.key)).collect();
        let feed = self.0.store.feed();
        for (name, _) in feed.consumers(CONSUMERS).await? {
            let Some(key) = key_of(&name).filter(|_| !known.contains(&name)) else { continue };
            // Whoever makes it again meanwhile waits: their cursor is not this one.
            let forget = |record: Option<Record>| match record {
                Some(_) => Ok(None),
                None => feed.forget(&name).map(|()| None),
            };
            self.0.store.catalog().change(&key, forget, Vec::new()).await.map_err(|error| match error {
                EditError::Refused(error) => CatalogError::Store(error),
                EditError::Catalog(error) => error,
            })?;
        }
        Ok(())
    }

    /// All endpoints.
    async fn all(&self) -> Result<Vec<Record>, CatalogError> {
        let mut records = Vec::new();
        let mut after = None;
        loop {
            let page = self.0.store.catalog().list(&Query::of(WEBHOOK).after(after)).await?;
            records.extend(page.records);
            after = page.next;
            if after.is_none() {
                return Ok(records);
            }
        }
    }

    /// The delivery to an endpoint, from its cursor on; none while it is paused.
    async fn delivery(&self, record: &Record) -> Result<Option<Delivery>, CatalogError> {
        let endpoint: Endpoint = record.json()?;
        let Some(consumer) = consumer(&record.key).filter(|_| endpoint.paused.is_none()) else {
            return Ok(None);
        };
        let feed = self.0.store.feed();
        let (next, trouble) = match feed.standing(&consumer).await? {
            Some(standing) => standing,
            None => {
                let head = feed.head();
                feed.acknowledge(&consumer, head)?;
                (head, None)
            }
        };
        let state = self.state(&record.key, next, trouble);
        let filter = endpoint.filter(record.key.tenant());
        let deps = Arc::clone(&self.0);
        Ok(Some(Delivery { deps, feed, endpoint, filter, consumer, state, next, kept: next }))
    }

    /// What is shared with the delivery to this endpoint.
    fn state(&self, key: &Key, next: u64, trouble: Option<Trouble>) -> Arc<State> {
        let mut states = self.0.states.lock();
        Arc::clone(states.entry(key.to_string()).or_insert_with(|| Arc::new(State::at(next, trouble))))
    }

    /// An endpoint that is gone is left alone from now on.
    async fn note_ended(&self, ended: Result<Option<Key>, tokio::task::JoinError>) {
        match ended {
            Ok(Some(key)) => {
                let why = "the endpoint answered 410 Gone".to_owned();
                tracing::warn!(target: "events", endpoint = %key, "the endpoint wants nothing any more; it is paused");
                let paused = self
                    .change(&key, |endpoint| Ok(Endpoint { paused: Some(why), ..endpoint }), Vec::new())
                    .await;
                if let Err(error) = paused {
                    tracing::error!(target: "events", endpoint = %key, %error, "it can not be paused");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(target: "events", %error, "the delivery to a webhook panicked"),
        }
    }
}

/// The relay is stopping, or the disk is in trouble.
fn of_store(error: StoreError) -> WebhookError {
    WebhookError::Catalog(CatalogError::Store(error))
}
