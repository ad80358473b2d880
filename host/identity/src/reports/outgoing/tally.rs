//! Counts in memory, by day and domain, until they are written down.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use baton_mail::{Clock, Domain};

/// What is counted of each day (UTC) and domain. Beyond [`KINDS_MAX`] nothing new is counted until it is taken.
pub struct Tally<C> {
    clock: Arc<dyn Clock>,
    is_on: AtomicBool,
    state: Mutex<State<C>>,
}

struct State<C> {
    counts: HashMap<(u64, Domain), C>,
    /// Different things that were counted.
    kinds: usize,
}

impl<C> Default for State<C> {
    fn default() -> State<C> {
        State { counts: HashMap::new(), kinds: 0 }
    }
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
        Tally { clock, is_on: AtomicBool::new(false), state: Mutex::default() }
    }

    /// Begins to count, or ends.
    pub fn switch(&self, on: bool) {
        self.is_on.store(on, Ordering::Relaxed);
    }

    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Counts for the domain today. `add` is told whether there is room for a thing that was not counted before, and tells
    /// whether it was one.
    pub fn count(&self, domain: &Domain, add: impl FnOnce(&mut C, bool) -> bool) {
        if !self.is_on() {
            return;
        }
        let day = self.clock.now().0 / DAY_MS;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_room = state.kinds < KINDS_MAX;
        let key = (day, domain.clone());
        if is_room || state.counts.contains_key(&key) {
            let is_new = add(state.counts.entry(key).or_default(), is_room);
            state.kinds += usize::from(is_new);
        }
    }

    /// All counts; they begin anew.
    pub fn take(&self) -> Vec<Counted<C>> {
        let state = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        state.counts.into_iter().map(|((day, domain), counts)| Counted { day, domain, counts }).collect()
    }
}

impl<C> fmt::Debug for Tally<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tally").finish_non_exhaustive()
    }
}

/// Different things that are counted until they are written down, within a minute or so.
const KINDS_MAX: usize = 20_000;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
