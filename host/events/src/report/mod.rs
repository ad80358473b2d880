//! Reports: what became of mail, counted as it happens, by hour and by day.
//!
//! Invariant: each event counts once: the sums and the cursor behind what they were made of are one batch.
//!
//! Invariant: sums are bounded: each tenant and stream has so many values of a dimension in an hour, and further ones count
//! together as [`OTHER`].

mod cell;
mod count;
mod histogram;
mod query;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use baton_mail::Clock;
use baton_store::Store;
use baton_store::rollups::Rollups;

use count::Counter;
pub use query::{Group, Latency, Rates, Report, ReportError, ReportQuery, ReportRow, Step};

/// The value of all that are too many.
pub const OTHER: &str = "(other)";
/// How long to wait when the store can not be read or written.
const PAUSE: Duration = Duration::from_secs(1);

/// Names who runs a mail host, where that is known.
pub type ProviderOf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What an operator may say about reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// For how many days sums by hour are kept.
    pub hours_kept_days: u32,
    /// For how many days sums by day are kept.
    pub days_kept_days: u32,
    /// Values of one dimension that a tenant's stream has in an hour; further ones count together.
    pub values_max: usize,
}

impl Default for ReportSettings {
    fn default() -> ReportSettings {
        ReportSettings { hours_kept_days: 35, days_kept_days: 800, values_max: 1_000 }
    }
}

/// The reports. Cheap to clone.
#[derive(Clone)]
pub struct Reports {
    store: Store,
    rollups: Rollups,
    clock: Arc<dyn Clock>,
    settings: ReportSettings,
    provider_of: ProviderOf,
}

impl Reports {
    /// Of this store. Nothing is counted before [`Reports::run`].
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        settings: ReportSettings,
        provider_of: ProviderOf,
    ) -> Reports {
        Reports { rollups: store.rollups(), store, clock, settings, provider_of }
    }

    /// Counts for ever.
    pub async fn run(self) {
        let mut counter = loop {
            match self.counter().await {
                Ok(counter) => break counter,
                Err(error) => pause(&error).await,
            }
        };
        loop {
            if let Err(error) = counter.step().await {
                pause(&error).await;
            }
        }
    }

    async fn counter(&self) -> Result<Counter, baton_store::StoreError> {
        Counter::open(&self.store, self.clock.clone(), self.settings, self.provider_of.clone()).await
    }

    /// Answers a query.
    ///
    /// # Errors
    /// When it makes no sense, or the sums can not be read.
    pub async fn answer(&self, query: ReportQuery) -> Result<Report, ReportError> {
        query.answer(&self.store, &self.rollups).await
    }
}

async fn pause(error: &baton_store::StoreError) {
    tracing::warn!(target: "events", %error, "what happens can not be counted just now");
    tokio::time::sleep(PAUSE).await;
}
