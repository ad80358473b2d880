//! What came of it, for each day and provider.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// All days.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// By day and provider.
    pub days: Vec<Day>,
    /// By kind of traffic, in the scenario's order.
    pub kinds: Vec<Kind>,
    /// Messages that were offered.
    pub offered: u64,
    /// Messages that were delivered.
    pub delivered: u64,
    /// Messages that were given up.
    pub failed: u64,
    /// Messages that are still in the queue.
    pub queued: u64,
}

/// One provider on one day.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Day {
    /// The day, from 1 on.
    pub day: u32,
    /// The provider.
    pub provider: String,
    /// Messages that came for it.
    pub offered: u64,
    /// Messages that it took.
    pub delivered: u64,
    /// Attempts that it deferred.
    pub deferred: u64,
    /// Messages that were given up.
    pub failed: u64,
    /// Messages in the queue at the end of the day.
    pub queued: u64,
    /// From acceptance to delivery, in seconds: the median.
    pub p50_s: u64,
    /// And the 99th percentile.
    pub p99_s: u64,
    /// Rules that took a measure, and how often.
    pub rules: BTreeMap<String, u64>,
    /// Messages that were delivered by each source.
    pub sources: BTreeMap<String, u64>,
    /// Messages offered to it in the busiest ten minutes.
    pub busiest_10m: u32,
    /// Messages offered to it in each ten minutes.
    #[serde(skip)]
    pub(super) tens: Vec<u32>,
    #[serde(skip)]
    delays_s: Vec<u32>,
}

/// One kind of traffic, over all days.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Kind {
    /// Its stream, with the tenant before it.
    pub name: String,
    /// Messages that came.
    pub offered: u64,
    /// Messages that were delivered.
    pub delivered: u64,
    /// Messages that were given up.
    pub failed: u64,
    /// From acceptance to delivery, in seconds: the median.
    pub p50_s: u64,
    /// And the 99th percentile.
    pub p99_s: u64,
    #[serde(skip)]
    pub(super) delays_s: Vec<u32>,
}

impl Kind {
    /// All days are over.
    pub(super) fn close(&mut self) {
        (self.p50_s, self.p99_s) = quantiles(std::mem::take(&mut self.delays_s));
    }
}

/// Ten minutes, in seconds.
const TEN_S: u64 = 600;

/// Median and 99th percentile.
fn quantiles(mut delays_s: Vec<u32>) -> (u64, u64) {
    delays_s.sort_unstable();
    let quantile = |share: f64| {
        let last = delays_s.len().saturating_sub(1);
        // The cast is of a number within the list.
        delays_s.get((last as f64 * share).round() as usize).copied().map_or(0, u64::from)
    };
    (quantile(0.5), quantile(0.99))
}

/// A delay as it is kept.
pub(super) fn seconds(delay: Duration) -> u32 {
    u32::try_from(delay.as_secs()).unwrap_or(u32::MAX)
}

impl Day {
    pub(super) fn new(day: u32, provider: &str) -> Day {
        Day { day, provider: provider.to_owned(), ..Day::default() }
    }

    pub(super) fn delivered(&mut self, source: &str, delay: Duration) {
        self.delivered += 1;
        *self.sources.entry(source.to_owned()).or_default() += 1;
        self.delays_s.push(seconds(delay));
    }

    /// A message was offered to the provider at this moment of the day.
    pub(super) fn attempted(&mut self, into_day: Duration) {
        let ten = usize::try_from(into_day.as_secs() / TEN_S).unwrap_or(usize::MAX).min(143);
        if self.tens.len() <= ten {
            self.tens.resize(ten + 1, 0);
        }
        if let Some(count) = self.tens.get_mut(ten) {
            *count += 1;
        }
    }

    /// The day is over.
    pub(super) fn close(&mut self, queued: u64) {
        self.queued = queued;
        (self.p50_s, self.p99_s) = quantiles(std::mem::take(&mut self.delays_s));
        self.busiest_10m = self.tens.iter().copied().max().unwrap_or_default();
    }
}
