//! Events published to NATS, where JetStream stores them.
//!
//! Invariant: the cursor moves over an event only when the server said that it is stored. What was sent without such a word is
//! sent again.
//!
//! Invariant: an event has the same `Nats-Msg-Id` however often it is sent, and no other event of any relay has it, so a
//! stream keeps each once within its window.
//!
//! Invariant: so many events at most are on their way, and who publishes waits on a thread that mail does not know.

mod connection;
mod subject;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::Clock;
use baton_store::feed::{ConsumerName, Page};
use baton_store::{Feed, Store, StoreError};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::filter::EventFilter;
use crate::status::{FollowerView, State};
use connection::{Connection, Publication, Stored};
pub use connection::{NatsAccess, NatsGrant, NatsLogin};
pub use subject::{SubjectPattern, UnfitSubject};

/// Records that are read from the feed at a time.
const READ_MAX: usize = 512;
/// Records that are passed over before the cursor is kept, when none of them is wanted.
const PASSED_MAX: u64 = 10_000;

/// Where events are published, as an operator wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    /// Its name in the settings.
    pub name: String,
    /// The servers, `nats://` or `tls://`; any of them will do.
    pub servers: Vec<String>,
    /// The subject of each event.
    pub subject: SubjectPattern,
    /// How long connecting to one server may take.
    pub connect_timeout: Duration,
    /// How long a server may take to acknowledge an event.
    pub acknowledge_timeout: Duration,
    /// Events at most that are sent and not acknowledged.
    pub unacknowledged_max: usize,
    /// How long to wait after the first failure; doubles with each further one.
    pub retry_first: Duration,
    /// How long to wait at most.
    pub retry_max: Duration,
    /// Which events.
    pub filter: EventFilter,
}

/// What is counted, by the name in the settings.
#[derive(Clone, Debug, Default)]
pub struct NatsMetrics {
    published: Family<Name, Counter>,
    duplicates: Family<Name, Counter>,
    failed: Family<Name, Counter>,
    missed: Family<Name, Counter>,
    connected: Family<Name, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    name: String,
}

impl NatsMetrics {
    /// Makes them known to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("baton_nats");
        registry.register("published", "Events that JetStream has stored", self.published.clone());
        registry.register(
            "duplicates",
            "Events among them that it had stored before",
            self.duplicates.clone(),
        );
        registry.register("failed", "Failures to connect or to publish", self.failed.clone());
        registry.register(
            "missed",
            "Records of the feed that were not kept any more when they were to be read",
            self.missed.clone(),
        );
        registry.register("connected", "1 while there is a connection", self.connected.clone());
    }
}

/// Publishes to one place.
pub struct Publisher {
    settings: NatsSettings,
    grant: NatsGrant,
    state: Arc<State>,
}

/// Why nothing is published just now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Server(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Publisher {
    /// With these settings; nothing runs yet.
    pub fn new(settings: NatsSettings, grant: NatsGrant) -> Publisher {
        Publisher { settings, grant, state: Arc::default() }
    }

    /// What others may know of it: its consumer's name, and how it goes.
    pub fn view(&self) -> FollowerView {
        FollowerView { consumer: format!("nats/{}", self.settings.name), state: Arc::clone(&self.state) }
    }

    /// Publishes for ever. Dropping it ends it.
    pub(crate) async fn run(self, store: Store, clock: Arc<dyn Clock>, metrics: NatsMetrics) {
        let Ok(consumer) = format!("nats/{}", self.settings.name).parse::<ConsumerName>() else { return };
        let name = Name { name: self.settings.name.clone() };
        let work = Work { feed: store.feed(), consumer, clock, metrics, name, own: &self };
        let nats = &self.settings.name;
        let mut told = String::new();
        work.metrics.connected.get_or_create(&work.name).set(0);
        loop {
            let Err(trouble) = work.run().await;
            work.metrics.connected.get_or_create(&work.name).set(0);
            work.metrics.failed.get_or_create(&work.name).inc();
            let (now, why) = (work.clock.now(), trouble.to_string());
            let failures = self.state.note_failed(&why, now);
            // Each reason once, until it is well again.
            if failures == 1 || told != why {
                tracing::warn!(target: "events", nats, why, "events can not be published; tried again");
                told = why;
            }
            let wait = self.wait_after(failures);
            self.state.note_next_try(now.plus(wait));
            tokio::time::sleep(wait).await;
        }
    }

    /// Doubles with each failure up to a bound, by chance a little sooner.
    fn wait_after(&self, failures: u32) -> Duration {
        let doubled = self.settings.retry_first.saturating_mul(1 << failures.saturating_sub(1).min(30));
        let bounded = doubled.min(self.settings.retry_max);
        bounded.mul_f64(rand::random_range(0.8..=1.0))
    }
}

struct Work<'a> {
    feed: Feed,
    consumer: ConsumerName,
    clock: Arc<dyn Clock>,
    metrics: NatsMetrics,
    name: Name,
    own: &'a Publisher,
}

impl Work<'_> {
    async fn run(&self) -> Result<Infallible, Trouble> {
        let (settings, state) = (&self.own.settings, &self.own.state);
        // At its first start what is kept is told.
        let mut next = self.feed.cursor(&self.consumer).await?.unwrap_or_else(|| self.feed.first());
        let mut kept = next;
        state.note_at(next);
        let access = (self.own.grant)().await.map_err(Trouble::Server)?;
        let opened = Connection::open(&settings.servers, access, settings.connect_timeout).await;
        let mut connection = opened.map_err(Trouble::Server)?;
        self.metrics.connected.get_or_create(&self.name).set(1);
        loop {
            tokio::select! {
                () = self.feed.wait(next) => {}
                why = connection.lost() => return Err(Trouble::Server(why)),
                // It has lasted, and there was nothing to publish.
                () = tokio::time::sleep(settings.connect_timeout), if state.failures() > 0 => {
                    self.note_well(state.note_well());
                    continue;
                }
            }
            let page = self.feed.read(next, READ_MAX).await?;
            state.note_missed(page.missed);
            self.metrics.missed.get_or_create(&self.name).inc_by(page.missed);
            let publications = self.publications(&page);
            let is_empty = publications.is_empty();
            let (most, bound) = (settings.unacknowledged_max, settings.acknowledge_timeout);
            let published = connection.publish(&publications, most, bound, |stored| self.note(stored)).await;
            if let Err((number, why)) = published {
                self.feed.acknowledge(&self.consumer, number)?;
                state.note_at(number);
                return Err(Trouble::Server(why));
            }
            next = page.next;
            state.note_at(next);
            if !is_empty || next - kept >= PASSED_MAX {
                self.feed.acknowledge(&self.consumer, next)?;
                kept = next;
            }
        }
    }

    /// The events of a page that are wanted.
    fn publications(&self, page: &Page) -> Vec<Publication> {
        let settings = &self.own.settings;
        let told = page.told.iter().flat_map(|told| settings.filter.of(told));
        told.filter_map(|shown| {
            // What is shown is made of text and numbers, which JSON can write.
            let mut payload = Vec::new();
            shown.write(&mut payload).ok()?;
            // Other relays may publish to the same stream: only messages have names that no other has.
            let id = format!("{}.{}", shown.message, shown.id);
            Some(Publication {
                number: shown.id.number,
                id,
                subject: settings.subject.of(&shown),
                payload: payload.into(),
            })
        })
        .collect()
    }

    fn note(&self, stored: Stored) {
        if stored == Stored::Before {
            self.metrics.duplicates.get_or_create(&self.name).inc();
        }
        self.metrics.published.get_or_create(&self.name).inc();
        self.note_well(self.own.state.note_taken(1, None, self.clock.now()));
    }

    fn note_well(&self, failed_before: bool) {
        if failed_before {
            tracing::info!(target: "events", nats = self.own.settings.name, "events are published again");
        }
    }
}
