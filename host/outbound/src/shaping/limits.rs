//! Limits as the settings say them, and the limiters that keep them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::rate::{Limiter, Rate};

/// What holds at one site by one source. What is not set is left to what stands above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: Option<usize>,
    /// New connections.
    pub connection_rate: Option<Rate>,
    /// Messages: transactions.
    pub message_rate: Option<Rate>,
    /// Messages over one connection.
    pub messages_per_connection: Option<u32>,
    /// Recipients in one transaction.
    pub recipients_per_message: Option<usize>,
}

/// What holds for all sites of a provider, by all sources together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TotalLimits {
    /// Connections at once.
    pub connections: Option<usize>,
    /// New connections.
    pub connection_rate: Option<Rate>,
    /// Messages: transactions.
    pub message_rate: Option<Rate>,
}

impl Limits {
    /// These, and where they say nothing, those of `other`.
    pub fn over(&self, other: &Limits) -> Limits {
        Limits {
            connections: self.connections.or(other.connections),
            connection_rate: self.connection_rate.or(other.connection_rate),
            message_rate: self.message_rate.or(other.message_rate),
            messages_per_connection: self.messages_per_connection.or(other.messages_per_connection),
            recipients_per_message: self.recipients_per_message.or(other.recipients_per_message),
        }
    }
}

/// All limiters, by what they are of. One that nobody uses is forgotten once nothing would be lost with it.
#[derive(Debug, Default)]
pub(crate) struct Limiters {
    rates: Mutex<HashMap<String, Arc<Limiter>>>,
    connections: Mutex<HashMap<String, (usize, Arc<Places>)>>,
}

/// Places for connections to a provider, given out in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Places {
    fn new(most: usize) -> Places {
        Places { free: Arc::new(Semaphore::new(most.max(1))), waiting: AtomicUsize::new(0) }
    }

    /// Waits for a place.
    pub(crate) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let _counted = Counted::new(&self.waiting);
        // The places are never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// A place when there is one at once.
    pub(crate) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Somebody waits for a place.
    pub(crate) fn are_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// One who waits, also when it gives up.
struct Counted<'a>(&'a AtomicUsize);

impl Counted<'_> {
    fn new(waiting: &AtomicUsize) -> Counted<'_> {
        waiting.fetch_add(1, Ordering::Relaxed);
        Counted(waiting)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limiters {
    /// The limiter of this name (`message rate of provider google`), by this rate. Another rate makes another limiter.
    pub(crate) fn rate(&self, about: &str, rate: Rate, now: Instant) -> Arc<Limiter> {
        let mut rates = self.rates.lock();
        if let Some(known) = rates.get(about).filter(|known| known.rate == rate) {
            return Arc::clone(known);
        }
        if rates.len() == rates.capacity() {
            rates.retain(|_, limiter| Arc::strong_count(limiter) > 1 || !limiter.is_at_rest(now));
        }
        let limiter = Arc::new(Limiter::new(rate, about.to_owned(), now));
        rates.insert(about.to_owned(), Arc::clone(&limiter));
        limiter
    }

    /// The places for connections to a provider.
    pub(crate) fn connections(&self, provider: &str, most: usize) -> Arc<Places> {
        let mut connections = self.connections.lock();
        match connections.get(provider).filter(|(known, _)| *known == most) {
            Some((_, places)) => Arc::clone(places),
            None => {
                let places = Arc::new(Places::new(most));
                connections.insert(provider.to_owned(), (most, Arc::clone(&places)));
                places
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_limiter_outlives_its_users_until_nothing_would_be_lost() {
        let limiters = Limiters::default();
        let now = Instant::now();
        let rate: Rate = "1/m".parse().unwrap();
        assert_eq!(limiters.rate("a", rate, now).draw(now, 1.0), Ok(()));
        assert!(limiters.rate("a", rate, now).draw(now, 1.0).is_err(), "it is the same");
        assert!(
            limiters.rate("a", Rate::new(2, 60), now).draw(now, 1.0).is_ok(),
            "another rate, another limiter"
        );
        let later = now + Duration::from_secs(600);
        for number in 0..1_000 {
            limiters.rate(&format!("{number}"), rate, later);
        }
        assert!(limiters.rates.lock().len() < 1_000);
    }

    #[test]
    fn what_a_provider_leaves_open_is_as_for_all() {
        let all = Limits { connections: Some(20), messages_per_connection: Some(100), ..Limits::default() };
        let own = Limits { connections: Some(5), ..Limits::default() };
        let both = own.over(&all);
        assert_eq!((both.connections, both.messages_per_connection), (Some(5), Some(100)));
    }
}
