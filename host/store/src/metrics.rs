//! The store's figures for the operator.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters, gauges and histograms of one store. Names begin with `baton_store_`.
#[derive(Debug)]
pub struct Metrics {
    /// Messages accepted, reports of our own included.
    pub accepted: Counter,
    /// Jobs settled for good.
    pub finished: Counter,
    /// Jobs put off to a later attempt.
    pub deferred: Counter,
    /// Messages refused, because the disk was full, slow or broken.
    pub refused: Counter,
    /// Batches written, each with one sync.
    pub groups: Counter,
    /// Operations in one batch.
    pub group_operations: Histogram,
    /// Seconds from the begin of a write to the end of its sync.
    pub sync_seconds: Histogram,
    /// Times that RocksDB asked writers to wait.
    pub stalls: Counter,
    /// Records that were damaged and set aside.
    pub damaged: Counter,
    /// Claims that were dropped without an outcome and handed back.
    pub handed_back: Counter,
    /// Jobs in the queue, in whatever state.
    pub jobs: Gauge,
    /// Jobs that wait for an operator.
    pub jobs_held: Gauge,
    /// For how many seconds the oldest job that is due waits for somebody to take it.
    pub oldest_due_s: Gauge,
    /// Times that the queue should have moved and did not.
    pub stuck: Counter,
    /// Jobs in memory: ready to be claimed, claimed, or being settled.
    pub jobs_in_memory: Gauge,
    /// Octets of bodies in memory, for immediate delivery.
    pub memory_body_octets: Gauge,
    /// Free octets of the disk, as last seen.
    pub disk_free_octets: Gauge<u64, AtomicU64>,
    /// Times that the database was opened again after the disk was full.
    pub reopened: Counter,
    /// 1 after a failed write or sync, until a restart.
    pub poisoned: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            accepted: Counter::default(),
            finished: Counter::default(),
            deferred: Counter::default(),
            refused: Counter::default(),
            groups: Counter::default(),
            group_operations: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            sync_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            stalls: Counter::default(),
            damaged: Counter::default(),
            handed_back: Counter::default(),
            jobs: Gauge::default(),
            jobs_held: Gauge::default(),
            oldest_due_s: Gauge::default(),
            stuck: Counter::default(),
            jobs_in_memory: Gauge::default(),
            memory_body_octets: Gauge::default(),
            disk_free_octets: Gauge::default(),
            reopened: Counter::default(),
            poisoned: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Makes them known to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("baton_store");
        registry.register("accepted", "Messages accepted", self.accepted.clone());
        registry.register("finished", "Jobs settled for good", self.finished.clone());
        registry.register("deferred", "Jobs put off to a later attempt", self.deferred.clone());
        registry.register("refused", "Messages refused for the disk's sake", self.refused.clone());
        registry.register("groups", "Batches written, each with one sync", self.groups.clone());
        registry.register("group_operations", "Operations in one batch", self.group_operations.clone());
        registry.register("sync_seconds", "Time of a write with its sync", self.sync_seconds.clone());
        registry.register("stalls", "Times that the database asked writers to wait", self.stalls.clone());
        registry.register("damaged", "Records set aside because they were damaged", self.damaged.clone());
        registry.register("handed_back", "Claims dropped without an outcome", self.handed_back.clone());
        registry.register("jobs", "Jobs in the queue", self.jobs.clone());
        registry.register("jobs_held", "Jobs that wait for an operator", self.jobs_held.clone());
        registry.register("oldest_due_seconds", "Wait of the oldest due job", self.oldest_due_s.clone());
        registry.register("stuck", "Times that the queue should have moved and did not", self.stuck.clone());
        registry.register(
            "jobs_in_memory",
            "Jobs ready, claimed or being settled",
            self.jobs_in_memory.clone(),
        );
        registry.register("memory_body_octets", "Bodies in memory", self.memory_body_octets.clone());
        registry.register("disk_free_octets", "Free space of the disk", self.disk_free_octets.clone());
        registry.register("reopened", "Times that the database was opened again", self.reopened.clone());
        registry.register("poisoned", "1 after a failed write, until a restart", self.poisoned.clone());
    }
}
