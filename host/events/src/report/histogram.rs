//! Times in buckets that can be added up: each an eighth of a power of two wide at most, so a quantile is right to 3 %.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Steps between one power of two and the next.
const STEPS: u64 = 16;
/// The same as a power of two.
const STEP_BITS: u32 = 4;

/// Times in milliseconds, by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Histogram(BTreeMap<u16, u64>);

impl Histogram {
    pub(super) fn add(&mut self, ms: u64) {
        *self.0.entry(bucket(ms)).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: &Histogram) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// What so many of a hundred do not exceed, in milliseconds; none when there is nothing.
    pub(super) fn quantile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.0.values().sum();
        let wanted = (all * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(bucket, count)| {
            seen += count;
            (seen >= wanted).then(|| middle(*bucket))
        })
    }
}

/// The bucket of a time: below [`STEPS`] one for each millisecond, then [`STEPS`] for each power of two.
fn bucket(ms: u64) -> u16 {
    let power = (u64::BITS - ms.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let bucket = u64::from(power) * STEPS + (ms >> power);
    u16::try_from(bucket).unwrap_or(u16::MAX)
}

/// The middle of a bucket.
fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let power = (bucket / STEPS).saturating_sub(1);
    let low = (bucket - power * STEPS) << power;
    low + (1 << power) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_grow_with_time_and_are_narrow() {
        let mut last = 0;
        for ms in (0..200_000).chain([1 << 20, 1 << 40, u64::MAX >> 1]) {
            let bucket = bucket(ms);
            assert!(bucket >= last, "{ms}");
            last = bucket;
            let off = middle(bucket).abs_diff(ms) as f64;
            assert!(off <= 0.033 * ms as f64 + 0.5, "{ms}: {}", middle(bucket));
        }
    }

    #[test]
    fn quantiles_of_parts_are_those_of_the_whole() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        (1..=500).for_each(|ms| one.add(ms));
        (501..=1_000).for_each(|ms| other.add(ms));
        one.merge(&other);
        for (percent, ms) in [(50, 500_u64), (95, 950), (99, 990)] {
            let found = one.quantile(percent).unwrap();
            assert!(found.abs_diff(ms) * 100 <= ms * 4, "{percent}: {found}");
        }
        assert_eq!(Histogram::default().quantile(50), None);
        let mut single = Histogram::default();
        single.add(7);
        assert_eq!((single.quantile(1), single.quantile(99)), (Some(7), Some(7)));
    }
}
