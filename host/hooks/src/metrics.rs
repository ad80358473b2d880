//! What is counted: calls, failures, time and memory per plugin, and what plugins count themselves.

mod guests;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Hook;
use crate::policy::FailureKind;
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
    memory_peak_octets: Family<PluginLabels, Gauge<i64>>,
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
            memory_peak_octets: Family::default(),
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
        registry.register(
            "baton_hooks_memory_peak_octets",
            "Most memory of one call",
            self.memory_peak_octets.clone(),
        );
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
            hooks: Hook::ALL.map(|hook| self.hook_meters(plugin, hook)),
            memory_peak_octets: self.memory_peak_octets.get_or_create(&labels).clone(),
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
            failures: self.failures.clone(),
            labels,
        }
    }
}

/// The meters of one plugin.
pub(crate) struct Meters {
    hooks: [HookMeters; 6],
    memory_peak_octets: Gauge<i64>,
    refused_edits: Counter,
    dropped_lines: Counter,
    pub(crate) witness: Option<Arc<Witness>>,
    /// Looked up at each request only: most plugins make none.
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<PluginLabels, Histogram, fn() -> Histogram>,
    labels: PluginLabels,
}

/// The meters of one plugin at one hook.
pub(crate) struct HookMeters {
    calls: Counter,
    seconds: Histogram,
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

    /// Keeps the highest.
    pub(crate) fn observe_memory(&self, octets: usize) {
        let octets = i64::try_from(octets).unwrap_or(i64::MAX);
        if octets > self.memory_peak_octets.get() {
            self.memory_peak_octets.set(octets);
        }
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
    pub(crate) fn observe(&self, took: Duration, failure: Option<FailureKind>) {
        self.calls.inc();
        self.seconds.observe(took.as_secs_f64());
        if let Some(kind) = failure {
            let HookLabels { plugin, hook } = self.labels.clone();
            self.failures.get_or_create(&FailureLabels { plugin, hook, kind: kind.as_str() }).inc();
        }
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
pub(crate) struct FailureLabels {
    plugin: String,
    hook: &'static str,
    kind: &'static str,
}
