//! Counts in memory, by day and domain, until they are written down.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use baton_mail::{Clock, Domain};

/// What is counted of each day (UTC) and domain. Beyond [`DOMAINS_MAX`] nothing new is counted until it is taken.
pub struct Tally<C> {
    clock: Arc<dyn Clock>,
    is_on: AtomicBool,
    counts: Mutex<HashMap<(u64, Domain), C>>,
}

/// The counts of a domain on a day, by its number since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<C> {
    /// The day.
    pub day: u64,
    /// The domain.
    pub domain: Domain,
    /// The counts.
    pub counts: C,
}

impl<C: Default> Tally<C> {
    /// Counts nothing until it is switched on.
    pub fn new(clock: Arc<dyn Clock>) -> Tally<C> {
        Tally { clock, is_on: AtomicBool::new(false), counts: Mutex::default() }
    }

    /// Begins to count, or ends.
    pub fn switch(&self, on: bool) {
        self.is_on.store(on, Ordering::Relaxed);
    }

    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Counts for the domain today.
    pub fn count(&self, domain: &Domain, add: impl FnOnce(&mut C)) {
        if !self.is_on() {
            return;
        }
        let day = self.clock.now().0 / DAY_MS;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (day, domain.clone());
        if counts.len() < DOMAINS_MAX || counts.contains_key(&key) {
            add(counts.entry(key).or_default());
        }
    }

    /// All counts; they begin anew.
    pub fn take(&self) -> Vec<Counted<C>> {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        counts.into_iter().map(|((day, domain), counts)| Counted { day, domain, counts }).collect()
    }
}

impl<C> fmt::Debug for Tally<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tally").finish_non_exhaustive()
    }
}

/// Domains that are counted until they are written down, within a minute or so.
const DOMAINS_MAX: usize = 10_000;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
