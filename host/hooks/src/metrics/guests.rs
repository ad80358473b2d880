//! Metrics that plugins keep themselves: `baton_plugin_<plugin>_<name>`, bounded in names and label sets.

use std::collections::BTreeMap;
use std::fmt;

use baton_mail::text::sanitize;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Names of one plugin.
const SERIES_MAX: usize = 20;
/// Label sets of one name.
const LABEL_SETS_MAX: usize = 100;
/// Labels of one set.
const LABELS_MAX: usize = 8;
const NAME_OCTETS_MAX: usize = 64;
const LABEL_VALUE_OCTETS_MAX: usize = 128;
/// Upper bounds of histograms. Plugins observe all kinds of units, so the bounds span many.
const BOUNDS: [f64; 12] =
    [0.001, 0.01, 0.1, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 10_000.0, 100_000.0];

/// What a plugin reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sample {
    /// Add to a counter.
    Count(u64),
    /// Set a gauge.
    Gauge(f64),
    /// Add to a histogram.
    Observation(f64),
}

/// The metrics of all plugins. They survive a reload, as counters must.
#[derive(Debug, Default)]
pub(crate) struct GuestMetrics(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    plugins: BTreeMap<String, Series>,
    /// Samples that were dropped, per plugin.
    dropped: BTreeMap<String, u64>,
}

type Series = BTreeMap<String, BTreeMap<Labels, Value>>;
type Labels = Vec<(String, String)>;

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram { sum: f64, count: u64, buckets: [u64; BOUNDS.len()] },
}

impl GuestMetrics {
    /// Adds a sample, or counts it as dropped when it goes beyond a bound, has no valid name, or changes the kind.
    pub(crate) fn record(&self, plugin: &str, name: &str, sample: Sample, labels: Labels) {
        let mut recorded = self.0.lock();
        let added = check_labels(labels).is_some_and(|labels| recorded.add(plugin, name, sample, labels));
        if !added {
            *recorded.dropped.entry(plugin.to_owned()).or_default() += 1;
        }
    }

    /// The names of a plugin's metrics, in order.
    pub(crate) fn names(&self, plugin: &str) -> Vec<String> {
        self.0.lock().plugins.get(plugin).map(|series| series.keys().cloned().collect()).unwrap_or_default()
    }
}

impl Recorded {
    /// True when there was a place for it.
    fn add(&mut self, plugin: &str, name: &str, sample: Sample, labels: Labels) -> bool {
        if !is_metric_name(name) {
            return false;
        }
        if !self.plugins.contains_key(plugin) {
            self.plugins.insert(plugin.to_owned(), Series::new());
        }
        let Some(series) = self.plugins.get_mut(plugin) else { return false };
        if !series.contains_key(name) {
            if series.len() >= SERIES_MAX {
                return false;
            }
            series.insert(name.to_owned(), BTreeMap::new());
        }
        let Some(values) = series.get_mut(name) else { return false };
        if values.values().next().is_some_and(|value| !value.takes(sample)) {
            return false;
        }
        if !values.contains_key(&labels) && values.len() >= LABEL_SETS_MAX {
            return false;
        }
        values.entry(labels).or_insert_with(|| Value::empty(sample)).add(sample);
        true
    }
}

impl Value {
    fn empty(sample: Sample) -> Value {
        match sample {
            Sample::Count(_) => Value::Counter(0),
            Sample::Gauge(_) => Value::Gauge(0.0),
            Sample::Observation(_) => Value::Histogram { sum: 0.0, count: 0, buckets: [0; BOUNDS.len()] },
        }
    }

    fn takes(&self, sample: Sample) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(&Value::empty(sample))
    }

    fn add(&mut self, sample: Sample) {
        match (self, sample) {
            (Value::Counter(total), Sample::Count(value)) => *total = total.saturating_add(value),
            (Value::Gauge(current), Sample::Gauge(value)) => *current = value,
            (Value::Histogram { sum, count, buckets }, Sample::Observation(value)) => {
                *sum += value;
                *count += 1;
                if let Some((_, bucket)) = BOUNDS.iter().zip(buckets).find(|(bound, _)| value <= **bound) {
                    *bucket += 1;
                }
            }
            _ => {}
        }
    }

    fn kind(&self) -> MetricType {
        match self {
            Value::Counter(_) => MetricType::Counter,
            Value::Gauge(_) => MetricType::Gauge,
            Value::Histogram { .. } => MetricType::Histogram,
        }
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self {
            Value::Counter(total) => ConstCounter::new(*total).encode(encoder),
            Value::Gauge(current) => ConstGauge::new(*current).encode(encoder),
            Value::Histogram { sum, count, buckets } => {
                let within: u64 = buckets.iter().sum();
                let mut rows: Vec<(f64, u64)> = BOUNDS.into_iter().zip(buckets.iter().copied()).collect();
                rows.push((f64::INFINITY, count.saturating_sub(within)));
                encoder.encode_histogram::<NoLabelSet>(*sum, *count, &rows, None)
            }
        }
    }
}

impl Collector for GuestMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let recorded = self.0.lock();
        for (plugin, series) in &recorded.plugins {
            for (name, values) in series {
                let Some(first) = values.values().next() else { continue };
                let name = format!("baton_plugin_{}_{name}", plugin.replace('-', "_"));
                let family = encoder.encode_descriptor(&name, "Kept by the plugin", None, first.kind())?;
                encode_series(family, values)?;
            }
        }
        let help = "Samples of plugins beyond a bound";
        let mut family =
            encoder.encode_descriptor("baton_hooks_dropped_samples", help, None, MetricType::Counter)?;
        for (plugin, dropped) in &recorded.dropped {
            let labels = [("plugin", plugin.as_str())];
            ConstCounter::new(*dropped).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn encode_series(mut family: MetricEncoder<'_>, values: &BTreeMap<Labels, Value>) -> fmt::Result {
    for (labels, value) in values {
        if labels.is_empty() && values.len() == 1 {
            return value.encode(family);
        }
        value.encode(family.encode_family(labels)?)?;
    }
    Ok(())
}

fn is_metric_name(name: &str) -> bool {
    let is_valid = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
    !name.is_empty() && name.len() <= NAME_OCTETS_MAX && name.bytes().all(is_valid)
}

/// The labels in order, values made harmless; none when there are too many, or one has no valid or an own name.
fn check_labels(mut labels: Labels) -> Option<Labels> {
    labels.sort();
    let names_are_valid =
        labels.iter().all(|(name, _)| is_metric_name(name) && !name.starts_with("__") && name != "le");
    let are_unique =
        labels.windows(2).all(|pair| !matches!(pair, [(first, _), (second, _)] if first == second));
    if labels.len() > LABELS_MAX || !names_are_valid || !are_unique {
        return None;
    }
    for (_, value) in &mut labels {
        *value = sanitize(value, LABEL_VALUE_OCTETS_MAX);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    fn text_of(metrics: &Arc<GuestMetrics>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(metrics)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    fn label(name: &str, value: &str) -> Labels {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn samples_become_text() {
        let metrics = Arc::new(GuestMetrics::default());
        metrics.record("rate-limit", "hits", Sample::Count(2), label("list", "a\nb"));
        metrics.record("rate-limit", "hits", Sample::Count(3), label("list", "a\nb"));
        metrics.record("rate-limit", "load", Sample::Gauge(0.5), Vec::new());
        metrics.record("rate-limit", "size", Sample::Observation(7.0), Vec::new());
        metrics.record("rate-limit", "size", Sample::Observation(1e9), Vec::new());
        let text = text_of(&metrics);
        assert!(text.contains("baton_plugin_rate_limit_hits_total{list=\"a b\"} 5"), "{text}");
        assert!(text.contains("baton_plugin_rate_limit_load 0.5"), "{text}");
        assert!(text.contains("baton_plugin_rate_limit_size_bucket{le=\"10.0\"} 1"), "{text}");
        assert!(text.contains("baton_plugin_rate_limit_size_bucket{le=\"+Inf\"} 2"), "{text}");
    }

    #[test]
    fn what_goes_beyond_a_bound_is_dropped_and_counted() {
        let metrics = Arc::new(GuestMetrics::default());
        for index in 0..150 {
            metrics.record("p", "many", Sample::Count(1), label("index", &index.to_string()));
        }
        for index in 0..30 {
            metrics.record("p", &format!("n{index}"), Sample::Count(1), Vec::new());
        }
        metrics.record("p", "many", Sample::Gauge(1.0), Vec::new());
        metrics.record("p", "bad name", Sample::Count(1), Vec::new());
        metrics.record("p", "many", Sample::Count(1), label("bad name", ""));
        let dropped = 50 + 11 + 3;
        assert!(
            text_of(&metrics)
                .contains(&format!("baton_hooks_dropped_samples_total{{plugin=\"p\"}} {dropped}"))
        );
    }
}
