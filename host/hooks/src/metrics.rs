//! What is counted: calls, failures, time and memory per plugin, and what plugins count themselves.

mod guests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Hook;
use crate::policy::{Failure, FailureKind};
use crate::witness::{Cost, Witness};

pub(crate) use guests::{GuestMetrics, Sample};

/// Upper bounds of the histogram of call times, in seconds: from a cheap hook to one that waits for the DNS.
const CALL_SECONDS: [f64; 10] = [10e-6, 20e-6, 50e-6, 100e-6, 500e-6, 2e-3, 10e-3, 50e-3, 500e-3, 5.0];

/// Upper bounds of the histogram of HTTP requests, in seconds.
const REQUEST_SECONDS: [f64; 8] = [1e-3, 5e-3, 20e-3, 50e-3, 0.2, 1.0, 5.0, 30.0];

/// The counters of the plugin host. Series are bounded by the plugins of the settings.
#[derive(Debug)]
pub struct Metrics {
    calls: Family<HookLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    call_seconds: Family<HookLabels, Histogram, fn() -> Histogram>,
    peaks: PeakFamilies,
    skipped: Family<HookLabels, Counter>,
    differences: Family<HookLabels, Counter>,
    instances: Family<InstanceLabels, Counter>,
    breaker_open: Family<PluginLabels, Gauge>,
    breaker_openings: Family<PluginLabels, Counter>,
    events_told: Family<PluginLabels, Counter>,
    events_dropped: Family<PluginLabels, Counter>,
    events_waiting: Family<PluginLabels, Gauge>,
    refused_edits: Family<PluginLabels, Counter>,
    dropped_lines: Family<PluginLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<PluginLabels, Histogram, fn() -> Histogram>,
    pub(crate) guests: Arc<GuestMetrics>,
    witness: Option<Arc<Witness>>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            calls: Family::default(),
            failures: Family::default(),
            call_seconds: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            peaks: PeakFamilies::default(),
            skipped: Family::default(),
            differences: Family::default(),
            instances: Family::default(),
            breaker_open: Family::default(),
            breaker_openings: Family::default(),
            events_told: Family::default(),
            events_dropped: Family::default(),
            events_waiting: Family::default(),
            refused_edits: Family::default(),
            dropped_lines: Family::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            guests: Arc::default(),
            witness: None,
        }
    }
}

impl Metrics {
    /// Metrics that remember each call by itself, until somebody asks.
    pub(crate) fn watched() -> Metrics {
        Metrics { witness: Some(Arc::default()), ..Metrics::default() }
    }

    /// What calls used and wrote since this was asked last.
    pub(crate) fn testimony(&self) -> (Vec<Cost>, Vec<String>) {
        self.witness.as_ref().map(|witness| witness.take()).unwrap_or_default()
    }

    /// Makes them visible.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("baton_hooks_calls", "Calls of plugins", self.calls.clone());
        registry.register("baton_hooks_failures", "Failed calls of plugins", self.failures.clone());
        registry.register("baton_hooks_call_seconds", "Wall time of calls", self.call_seconds.clone());
        self.peaks.register(registry);
        registry.register("baton_hooks_skipped", "Calls that a guard left out", self.skipped.clone());
        registry.register(
            "baton_hooks_shadow_differences",
            "Calls at which a shadow did not do what the serving version did",
            self.differences.clone(),
        );
        registry.register("baton_hooks_instances", "Instances, made and ended", self.instances.clone());
        registry.register(
            "baton_hooks_breaker_open",
            "1 while a plugin is left alone after failures",
            self.breaker_open.clone(),
        );
        registry.register(
            "baton_hooks_breaker_openings",
            "Times that a breaker opened",
            self.breaker_openings.clone(),
        );
        registry.register("baton_hooks_events_told", "Events that observers took", self.events_told.clone());
        registry.register(
            "baton_hooks_events_dropped",
            "Events that an observer was too slow for, or failed at",
            self.events_dropped.clone(),
        );
        registry.register("baton_hooks_events_waiting", "Events that wait", self.events_waiting.clone());
        registry.register(
            "baton_hooks_refused_edits",
            "Changes that a plugin may not make",
            self.refused_edits.clone(),
        );
        registry.register(
            "baton_hooks_dropped_lines",
            "Log lines over a plugin's rate",
            self.dropped_lines.clone(),
        );
        registry.register("baton_hooks_http_requests", "HTTP requests of plugins", self.requests.clone());
        registry.register(
            "baton_hooks_http_request_seconds",
            "Wall time of HTTP requests that were sent",
            self.request_seconds.clone(),
        );
        registry.register_collector(Box::new(Arc::clone(&self.guests)));
    }

    /// The meters of one plugin, so that a call looks nothing up.
    pub(crate) fn meters(&self, plugin: &str) -> Meters {
        let labels = PluginLabels { plugin: plugin.to_owned() };
        Meters {
            hooks: Hook::EVERY.map(|hook| self.hook_meters(plugin, hook)),
            made: self.instance_counter(plugin, "made"),
            spoilt: self.instance_counter(plugin, "spoilt"),
            worn_out: self.instance_counter(plugin, "worn-out"),
            refused_edits: self.refused_edits.get_or_create(&labels).clone(),
            dropped_lines: self.dropped_lines.get_or_create(&labels).clone(),
            witness: self.witness.clone(),
            requests: self.requests.clone(),
            request_seconds: self.request_seconds.clone(),
            labels,
        }
    }

    fn hook_meters(&self, plugin: &str, hook: Hook) -> HookMeters {
        let labels = HookLabels { plugin: plugin.to_owned(), hook: hook.as_str() };
        HookMeters {
            calls: self.calls.get_or_create(&labels).clone(),
            seconds: self.call_seconds.get_or_create(&labels).clone(),
            peaks: self.peaks.of(&labels),
            skipped: self.skipped.get_or_create(&labels).clone(),
            differences: self.differences.clone(),
            failures: self.failures.clone(),
            labels,
        }
    }

    fn instance_counter(&self, plugin: &str, what: &'static str) -> Counter {
        self.instances.get_or_create(&InstanceLabels { plugin: plugin.to_owned(), what }).clone()
    }

    /// The meters of one observer.
    pub(crate) fn event_meters(&self, plugin: &str) -> EventMeters {
        let labels = PluginLabels { plugin: plugin.to_owned() };
        EventMeters {
            told: self.events_told.get_or_create(&labels).clone(),
            dropped: self.events_dropped.get_or_create(&labels).clone(),
            waiting: self.events_waiting.get_or_create(&labels).clone(),
        }
    }

    /// The meters of one plugin's breaker.
    pub(crate) fn breaker_meters(&self, plugin: &str) -> BreakerMeters {
        let labels = PluginLabels { plugin: plugin.to_owned() };
        BreakerMeters {
            open: self.breaker_open.get_or_create(&labels).clone(),
            openings: self.breaker_openings.get_or_create(&labels).clone(),
        }
    }
}

/// The meters of one observer.
pub(crate) struct EventMeters {
    pub(crate) told: Counter,
    pub(crate) dropped: Counter,
    pub(crate) waiting: Gauge,
}

/// The meters of one plugin's breaker.
pub(crate) struct BreakerMeters {
    pub(crate) open: Gauge,
    pub(crate) openings: Counter,
}

/// The most that one call ever used, so that limits can be set from facts.
#[derive(Debug, Default)]
struct PeakFamilies {
    memory_octets: Family<HookLabels, Gauge>,
    host_calls: Family<HookLabels, Gauge>,
    cpu_ms: Family<HookLabels, Gauge>,
    wall_us: Family<HookLabels, Gauge>,
}

impl PeakFamilies {
    fn register(&self, registry: &mut Registry) {
        let families = [
            ("baton_hooks_memory_peak_octets", "Most memory of one call", &self.memory_octets),
            ("baton_hooks_host_calls_peak", "Most host functions called in one call", &self.host_calls),
            ("baton_hooks_cpu_peak_ms", "Most processor time of one call, in whole ticks", &self.cpu_ms),
            ("baton_hooks_wall_peak_us", "Longest call, in microseconds", &self.wall_us),
        ];
        for (name, help, family) in families {
            registry.register(name, help, family.clone());
        }
    }

    fn of(&self, labels: &HookLabels) -> Peaks {
        Peaks {
            memory_octets: self.memory_octets.get_or_create(labels).clone(),
            host_calls: self.host_calls.get_or_create(labels).clone(),
            cpu_ms: self.cpu_ms.get_or_create(labels).clone(),
            wall_us: self.wall_us.get_or_create(labels).clone(),
        }
    }
}

#[derive(Clone)]
struct Peaks {
    memory_octets: Gauge,
    host_calls: Gauge,
    cpu_ms: Gauge,
    wall_us: Gauge,
}

/// What one call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) memory_octets: usize,
    pub(crate) host_calls: u32,
    pub(crate) read_octets: u64,
    pub(crate) cpu_ms: u32,
    /// Instructions, where somebody counts them.
    pub(crate) fuel: Option<u64>,
}

impl Used {
    /// As a witness keeps it.
    pub(crate) fn cost(self, hook: Hook, took: Duration, failure: Option<&Failure>) -> Cost {
        Cost {
            micros: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
            host_calls: self.host_calls,
            read_octets: self.read_octets,
            memory_octets: self.memory_octets,
            fuel: self.fuel,
            failure: failure.cloned(),
            ..Cost::of(hook)
        }
    }
}

/// Keeps the highest.
fn raise(gauge: &Gauge, to: i64) {
    if gauge.get() < to {
        gauge.inner().fetch_max(to, Ordering::Relaxed);
    }
}

/// The meters of one plugin.
#[derive(Clone)]
pub(crate) struct Meters {
    hooks: [HookMeters; 7],
    refused_edits: Counter,
    dropped_lines: Counter,
    /// Instances that were made.
    pub(crate) made: Counter,
    /// Kept instances that were dropped after a failure, or because they kept handles.
    pub(crate) spoilt: Counter,
    /// Kept instances that were dropped for their age, their uses, their idleness or want of room.
    pub(crate) worn_out: Counter,
    pub(crate) witness: Option<Arc<Witness>>,
    /// Looked up at each request only: most plugins make none.
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<PluginLabels, Histogram, fn() -> Histogram>,
    labels: PluginLabels,
}

/// The meters of one plugin at one hook.
#[derive(Clone)]
pub(crate) struct HookMeters {
    calls: Counter,
    seconds: Histogram,
    peaks: Peaks,
    skipped: Counter,
    /// Looked up for a shadow only.
    differences: Family<HookLabels, Counter>,
    /// Looked up when something failed only.
    failures: Family<FailureLabels, Counter>,
    labels: HookLabels,
}

impl Meters {
    /// The meters of that hook.
    #[allow(clippy::indexing_slicing, reason = "one for each hook")]
    pub(crate) fn of(&self, hook: Hook) -> &HookMeters {
        &self.hooks[hook.index()]
    }

    pub(crate) fn count_refused_edit(&self) {
        self.refused_edits.inc();
    }

    pub(crate) fn count_dropped_line(&self) {
        self.dropped_lines.inc();
    }

    /// An HTTP request and what came of it. One that was denied was not sent and has no time.
    pub(crate) fn observe_request(&self, outcome: &'static str, took: Duration) {
        let PluginLabels { plugin } = self.labels.clone();
        self.requests.get_or_create(&RequestLabels { plugin, outcome }).inc();
        if outcome != "denied" {
            self.request_seconds.get_or_create(&self.labels).observe(took.as_secs_f64());
        }
    }
}

impl HookMeters {
    pub(crate) fn observe(&self, took: Duration, used: Used) {
        self.calls.inc();
        self.seconds.observe(took.as_secs_f64());
        raise(&self.peaks.memory_octets, i64::try_from(used.memory_octets).unwrap_or(i64::MAX));
        raise(&self.peaks.host_calls, used.host_calls.into());
        raise(&self.peaks.cpu_ms, used.cpu_ms.into());
        raise(&self.peaks.wall_us, i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
    }

    /// A guard said that the plugin is not to be asked.
    pub(crate) fn count_skipped(&self) {
        self.skipped.inc();
    }

    /// A shadow did something else than the version that serves.
    pub(crate) fn count_difference(&self) {
        self.differences.get_or_create(&self.labels).inc();
    }

    pub(crate) fn count_failure(&self, kind: FailureKind) {
        let HookLabels { plugin, hook } = self.labels.clone();
        self.failures.get_or_create(&FailureLabels { plugin, hook, kind: kind.as_str() }).inc();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PluginLabels {
    plugin: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    plugin: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HookLabels {
    plugin: String,
    hook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct InstanceLabels {
    plugin: String,
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FailureLabels {
    plugin: String,
    hook: &'static str,
    kind: &'static str,
}
