//! Spans in microseconds, counted in buckets of 1.6 % width: exact enough for quantiles, and never larger.

use serde::Serialize;

/// Buckets of one power of two.
const STEPS: usize = 64;
/// The bits of one power's steps.
const STEP_BITS: u32 = 6;
/// Powers of two beyond the exact ones: up to 2^40 µs, twelve days.
const POWERS: usize = 35;

/// Counted spans.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    buckets: Vec<u64>,
    count: u64,
    max_us: u64,
}

impl Default for Spans {
    fn default() -> Spans {
        Spans { buckets: vec![0; STEPS * POWERS], count: 0, max_us: 0 }
    }
}

impl Spans {
    /// Counts one.
    pub(crate) fn record(&mut self, us: u64) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(us)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Spans) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// The span that `part` (0 to 1) of all do not exceed, in microseconds.
    pub(crate) fn quantile_us(&self, part: f64) -> u64 {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_end(index).min(self.max_us);
            }
        }
        self.max_us
    }

    /// The figures that are shown.
    pub(crate) fn summary(&self) -> SpanSummary {
        let ms = |us: u64| us as f64 / 1_000.0;
        SpanSummary {
            count: self.count,
            p50_ms: ms(self.quantile_us(0.5)),
            p99_ms: ms(self.quantile_us(0.99)),
            max_ms: ms(self.max_us),
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

fn bucket_of(us: u64) -> usize {
    let power = (63 - (us | 1).leading_zeros()).saturating_sub(STEP_BITS - 1);
    let (power, step) = match power {
        0 => (0, us as usize),
        power => (power as usize, ((us >> (power - 1)) as usize) - STEPS / 2),
    };
    let at = if power == 0 { step } else { STEPS + (power - 1) * (STEPS / 2) + step };
    at.min(STEPS * POWERS - 1)
}

fn upper_end(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let (power, step) = ((index - STEPS) / (STEPS / 2) + 1, (index - STEPS) % (STEPS / 2));
    ((((step + STEPS / 2) as u64) + 1) << (power - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_their_bucket() {
        let mut spans = Spans::default();
        (1..=100_000_u64).for_each(|us| spans.record(us));
        for part in [0.01, 0.5, 0.99, 1.0] {
            let exact = 100_000.0 * part;
            let found = spans.quantile_us(part) as f64;
            assert!(found >= exact && found <= exact * 1.04 + 1.0, "{part}: {found}");
        }
    }

    #[test]
    fn the_bounds_do_not_break_it() {
        let mut spans = Spans::default();
        assert_eq!(spans.quantile_us(0.5), 0);
        spans.record(0);
        spans.record(u64::MAX);
        assert_eq!((spans.quantile_us(0.5), spans.summary().count), (0, 2));
    }

    #[test]
    fn merged_spans_are_as_if_counted_together() {
        let (mut one, mut two) = (Spans::default(), Spans::default());
        one.record(10);
        two.record(5_000);
        one.merge(&two);
        assert_eq!((one.quantile_us(0.5), one.summary().max_ms), (10, 5.0));
    }
}
