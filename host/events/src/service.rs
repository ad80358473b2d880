//! All that follows the feed, on a thread of its own that yields to mail.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::Clock;
use baton_store::Store;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::file::Writer;
use crate::nats::{NatsMetrics, Publisher};
use crate::report::Reports;
use crate::webhook::{CONSUMERS, Webhooks};

/// How much more willingly the system runs others (nice).
const NICE: i32 = 10;
/// How often the figures are looked at.
const FIGURES_PAUSE: Duration = Duration::from_secs(5);
/// How long to wait when the store can not be read or written.
const PAUSE: Duration = Duration::from_secs(1);

/// The relay's own: the index of the history, and the sums.
const OWN: [&str; 2] = ["index", "reports"];

/// What follows the feed.
pub struct Followers {
    store: Store,
    webhooks: Webhooks,
    reports: Reports,
    files: Vec<Writer>,
    publishers: Vec<Publisher>,
    clock: Arc<dyn Clock>,
    nats: NatsMetrics,
    behind: Gauge,
}

impl Followers {
    /// All of them; nothing runs yet.
    pub fn new(
        store: Store,
        webhooks: Webhooks,
        reports: Reports,
        files: Vec<Writer>,
        publishers: Vec<Publisher>,
        clock: Arc<dyn Clock>,
        registry: &mut Registry,
    ) -> Followers {
        let nats = NatsMetrics::default();
        nats.register(registry);
        let behind = Gauge::default();
        registry.sub_registry_with_prefix("baton_events").register(
            "behind",
            "Events that the slowest reader of the feed has still to read",
            behind.clone(),
        );
        Followers { store, webhooks, reports, files, publishers, clock, nats, behind }
    }

    /// Runs all of them on a thread of their own until they are stopped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self, stop: CancellationToken) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_name("events")
            .max_blocking_threads(8)
            .enable_all()
            .build()?;
        std::thread::Builder::new().name("events".to_owned()).spawn(move || {
            // Where the system does not allow it, events take their share as all do.
            let _ = rustix::process::nice(NICE);
            runtime.block_on(self.run(stop));
            runtime.shutdown_background();
        })
    }

    async fn run(self, stop: CancellationToken) {
        let named = self.files.iter().map(Writer::view).chain(self.publishers.iter().map(Publisher::view));
        let named: HashSet<String> = named.map(|view| view.consumer).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for file in self.files {
            tasks.spawn(file.run(self.store.clone(), self.clock.clone()));
        }
        for publisher in self.publishers {
            tasks.spawn(publisher.run(self.store.clone(), self.clock.clone(), self.nats.clone()));
        }
        tasks.spawn(index(self.store.clone()));
        tasks.spawn(self.reports.run());
        tasks.spawn(self.webhooks.run(stop.clone()));
        tasks.spawn(watch(self.store, named, Arc::new(self.behind)));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(Err(error)) = tasks.join_next() => {
                    tracing::error!(target: "events", %error, "a follower of the feed panicked");
                }
                else => break,
            }
        }
        tasks.shutdown().await;
    }
}

/// Keeps the index of the history.
async fn index(store: Store) {
    loop {
        let stepped = async {
            let mut indexer = store.indexer().await?;
            loop {
                indexer.step().await?;
            }
        };
        let Err::<std::convert::Infallible, baton_store::StoreError>(error) = stepped.await;
        tracing::warn!(target: "events", %error, "what happens can not be indexed just now");
        tokio::time::sleep(PAUSE).await;
    }
}

/// True for those who follow on their own account: webhooks are what the catalog says, and the relay itself has two.
pub fn is_known_by_itself(consumer: &str) -> bool {
    consumer.starts_with(CONSUMERS) || OWN.contains(&consumer)
}

/// Tells how far the slowest is behind of those who still follow; `named` are in the settings.
async fn watch(store: Store, named: HashSet<String>, behind: Arc<Gauge>) {
    let feed = store.feed();
    loop {
        if let Ok(consumers) = feed.consumers("").await {
            let follows = |name: &str| is_known_by_itself(name) || named.contains(name);
            let there = consumers.iter().filter(|(name, _)| follows(&name.to_string()));
            let slowest = there.map(|(_, next)| *next).min();
            let count = feed.head() - slowest.unwrap_or(feed.head()).min(feed.head());
            behind.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        tokio::time::sleep(FIGURES_PAUSE).await;
    }
}
