//! Spans in microseconds, counted so that quantiles are exact to three digits.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest span that is told apart, in microseconds: an hour.
const SPAN_US_MAX: u64 = 3_600_000_000;

/// Counted spans.
#[derive(Clone, Debug)]
pub(crate) struct Spans(Histogram<u64>);

impl Default for Spans {
    fn default() -> Spans {
        Spans(
            Histogram::new_with_bounds(1, SPAN_US_MAX, 3)
                .expect("the bounds are in order and few digits asked"),
        )
    }
}

impl Spans {
    /// Counts one.
    pub(crate) fn record(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Spans) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// The figures that are shown.
    pub(crate) fn summary(&self) -> SpanSummary {
        let ms = |us: u64| us as f64 / 1_000.0;
        SpanSummary {
            count: self.0.len(),
            p50_ms: ms(self.0.value_at_quantile(0.5)),
            p99_ms: ms(self.0.value_at_quantile(0.99)),
            max_ms: ms(self.0.max()),
        }
    }
}

/// Spans in figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct SpanSummary {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_spans_are_as_if_counted_together() {
        let (mut one, mut two) = (Spans::default(), Spans::default());
        one.record(10);
        one.record(10);
        two.record(u64::MAX);
        one.merge(&two);
        let summary = one.summary();
        assert_eq!((summary.count, summary.p50_ms), (3, 0.01));
        assert!(summary.max_ms >= 3_600_000.0);
    }
}
