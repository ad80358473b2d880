//! All that follows the feed, on a thread of its own that yields to mail.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::Clock;
use baton_store::Store;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::file::{self, FileSettings};
use crate::nats::{NatsMetrics, Publisher};
use crate::report::Reports;
use crate::webhook::Webhooks;

/// How much more willingly the system runs others (nice).
const NICE: i32 = 10;
/// How often the figures are looked at.
const FIGURES_PAUSE: Duration = Duration::from_secs(5);
/// How long to wait when the store can not be read or written.
const PAUSE: Duration = Duration::from_secs(1);

/// What follows the feed.
pub struct Followers {
    store: Store,
    webhooks: Webhooks,
    reports: Reports,
    files: Vec<FileSettings>,
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
        files: Vec<FileSettings>,
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
        let files = self.files.into_iter().map(|settings| file::run(self.store.clone(), settings));
        let mut tasks = tokio::task::JoinSet::new();
        files.for_each(|file| drop(tasks.spawn(file)));
        for publisher in self.publishers {
            tasks.spawn(publisher.run(self.store.clone(), self.clock.clone(), self.nats.clone()));
        }
        tasks.spawn(index(self.store.clone()));
        tasks.spawn(self.reports.run());
        tasks.spawn(self.webhooks.run(stop.clone()));
        tasks.spawn(watch(self.store, Arc::new(self.behind)));
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

/// Tells how far the slowest is behind.
async fn watch(store: Store, behind: Arc<Gauge>) {
    let feed = store.feed();
    loop {
        if let Ok(consumers) = feed.consumers("").await {
            let slowest = consumers.iter().map(|(_, next)| *next).min();
            let count = feed.head() - slowest.unwrap_or(feed.head()).min(feed.head());
            behind.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        tokio::time::sleep(FIGURES_PAUSE).await;
    }
}
