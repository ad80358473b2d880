//! Metrics of the plugin's own.

use crate::host::{CurrentHost, Host, Labels};

/// Counters, gauges and histograms named `baton_plugin_<plugin>_<name>`. Bounded: 20 names with 100 label sets each.
pub struct Metrics<'a> {
    pub(crate) host: &'a CurrentHost,
}

impl Metrics<'_> {
    /// Adds to a counter.
    pub fn count(&self, name: &str, value: u64, labels: Labels<'_>) {
        self.host.metrics_count(name, value, labels);
    }

    /// Sets a gauge.
    pub fn gauge(&self, name: &str, value: f64, labels: Labels<'_>) {
        self.host.metrics_gauge(name, value, labels);
    }

    /// Adds an observation to a histogram.
    pub fn observe(&self, name: &str, value: f64, labels: Labels<'_>) {
        self.host.metrics_observe(name, value, labels);
    }
}
