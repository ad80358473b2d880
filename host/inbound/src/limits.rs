//! Counted things that must not grow without end: sessions, sessions of one client, octets of content.
//!
//! Every permit gives back what it took when it is dropped, also when the session panics.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ipnet::IpNet;
use parking_lot::Mutex;

use crate::clients::Places;
use crate::rates::Whose;
use crate::replies::Refusal;

/// A number that may not exceed a bound, shared by many holders.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicUsize);

impl Gauge {
    /// Takes one, unless `max` are taken.
    fn take(&self, max: usize) -> bool {
        if self.0.fetch_add(1, Ordering::Relaxed) < max {
            return true;
        }
        self.give_back();
        false
    }

    fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sessions by client network. Its size is bounded by the number of open sessions.
#[derive(Debug, Default)]
pub(crate) struct ClientTable(Mutex<HashMap<IpNet, usize>>);

impl ClientTable {
    /// Takes a place for the address and one for its network, or says whose are all taken.
    fn take(&self, places: Places, limits: ConnectionLimits) -> Result<(), Crowded> {
        let mut counts = self.0.lock();
        let open = |counts: &HashMap<IpNet, usize>, key| counts.get(&key).copied().unwrap_or(0);
        if limits.client_max > 0 && open(&counts, places.address) >= limits.client_max {
            return Err(Crowded::Client);
        }
        if limits.network_max > 0 && open(&counts, places.network) >= limits.network_max {
            return Err(Crowded::Network);
        }
        *counts.entry(places.address).or_insert(0) += 1;
        if places.network != places.address {
            *counts.entry(places.network).or_insert(0) += 1;
        }
        Ok(())
    }

    fn give_back(&self, places: Places) {
        let mut counts = self.0.lock();
        give_back_one(&mut counts, places.address);
        if places.network != places.address {
            give_back_one(&mut counts, places.network);
        }
    }
}

fn give_back_one(counts: &mut HashMap<IpNet, usize>, key: IpNet) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// What one listener counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Sessions of all listeners.
    pub(crate) total: Arc<Gauge>,
    /// Sessions of this listener.
    pub(crate) listener: Gauge,
    /// Its sessions by client.
    pub(crate) clients: ClientTable,
}

/// The bounds of one listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// Sessions of all listeners.
    pub(crate) total_max: usize,
    /// Sessions of this listener.
    pub(crate) listener_max: usize,
    /// Sessions of one client.
    pub(crate) client_max: usize,
    /// Sessions of one network; 0 is no bound.
    pub(crate) network_max: usize,
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// All listeners together are full.
    Total,
    /// The listener is full.
    Listener,
    /// The client has too many sessions.
    Client,
    /// Its network has too many sessions.
    Network,
    /// The client, or its network, connects too often.
    Rate(Whose),
    /// The relay is short of memory.
    Memory,
}

impl Crowded {
    /// The bound's name, for logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Crowded::Total => "sessions",
            Crowded::Listener => "connections",
            Crowded::Client => "connections-per-address",
            Crowded::Network => "connections-per-network",
            Crowded::Rate(Whose::Address) => "connections-per-minute",
            Crowded::Rate(Whose::Network) => "network-connections-per-minute",
            Crowded::Memory => "memory",
        }
    }

    /// What the client is told.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Crowded::Memory => Refusal::Busy,
            Crowded::Rate(_) => Refusal::ConnectionRate,
            Crowded::Total | Crowded::Listener | Crowded::Client | Crowded::Network => Refusal::Crowded,
        }
    }
}

/// The right to one session.
#[derive(Debug)]
pub(crate) struct Permit {
    counts: Arc<Counts>,
    client: Option<Places>,
}

impl Permit {
    /// Takes a place for a client; none is a client that only the listener's bound holds for.
    pub(crate) fn take(
        counts: &Arc<Counts>,
        limits: ConnectionLimits,
        client: Option<Places>,
    ) -> Result<Permit, Crowded> {
        if !counts.total.take(limits.total_max) {
            return Err(Crowded::Total);
        }
        if !counts.listener.take(limits.listener_max) {
            counts.total.give_back();
            return Err(Crowded::Listener);
        }
        // Made first, so that it gives back what was taken when the client has no place.
        let mut permit = Permit { counts: counts.clone(), client: None };
        if let Some(places) = client {
            permit.count_client(limits, places)?;
        }
        Ok(permit)
    }
}

impl Permit {
    /// Counts the session for this client from now on, and for nobody else.
    pub(crate) fn count_client(&mut self, limits: ConnectionLimits, places: Places) -> Result<(), Crowded> {
        self.forget_client();
        self.counts.clients.take(places, limits)?;
        self.client = Some(places);
        Ok(())
    }

    /// Counts the session for no client any more.
    pub(crate) fn forget_client(&mut self) {
        if let Some(places) = self.client.take() {
            self.counts.clients.give_back(places);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.total.give_back();
        self.counts.listener.give_back();
        self.forget_client();
    }
}

/// Octets of content that all sessions hold.
#[derive(Debug, Default)]
pub(crate) struct ContentMemory(AtomicU64);

impl ContentMemory {
    /// True when `octets` more would fit below `max`.
    pub(crate) fn has_room(&self, octets: u64, max: u64) -> bool {
        self.0.load(Ordering::Relaxed).saturating_add(octets) <= max
    }
}

/// One transaction's part of the content memory.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Arc<ContentMemory>,
    octets: u64,
}

impl Reservation {
    /// Takes `octets`, unless all together would exceed `max`.
    pub(crate) fn take(memory: &Arc<ContentMemory>, octets: u64, max: u64) -> Option<Reservation> {
        let mut reservation = Reservation { memory: memory.clone(), octets: 0 };
        reservation.grow_to(octets, max).then_some(reservation)
    }

    /// Makes sure that `octets` are reserved; takes more in steps. False: there is no more.
    pub(crate) fn grow_to(&mut self, octets: u64, max: u64) -> bool {
        if octets <= self.octets {
            return true;
        }
        let more = (octets - self.octets).max(RESERVE_STEP_OCTETS);
        let before = self.memory.0.fetch_add(more, Ordering::Relaxed);
        self.octets += more;
        before.saturating_add(more) <= max
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

/// Content without an announced size is reserved in steps of this many octets.
pub(crate) const RESERVE_STEP_OCTETS: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientLimits;

    const LIMITS: ConnectionLimits =
        ConnectionLimits { total_max: 3, listener_max: 2, client_max: 1, network_max: 0 };

    fn client(text: &str) -> Option<Places> {
        Some(ClientLimits::default().places(text.parse().unwrap()))
    }

    #[test]
    fn each_bound_holds_and_a_dropped_permit_frees_its_place() {
        let counts = Arc::new(Counts::default());
        let first = Permit::take(&counts, LIMITS, client("192.0.2.1")).unwrap();
        assert_eq!(Permit::take(&counts, LIMITS, client("192.0.2.1")).unwrap_err(), Crowded::Client);
        let second = Permit::take(&counts, LIMITS, client("192.0.2.2")).unwrap();
        assert_eq!(Permit::take(&counts, LIMITS, client("192.0.2.3")).unwrap_err(), Crowded::Listener);
        let narrow = ConnectionLimits { total_max: 2, ..LIMITS };
        assert_eq!(Permit::take(&counts, narrow, client("192.0.2.3")).unwrap_err(), Crowded::Total);
        drop((first, second));
        let again = Permit::take(&counts, LIMITS, client("192.0.2.1")).unwrap();
        assert_eq!(counts.clients.0.lock().len(), 2, "the address and its network");
        drop(again);
        assert!(counts.clients.0.lock().is_empty());
    }

    #[test]
    fn a_network_has_a_bound_of_its_own() {
        let counts = Arc::new(Counts::default());
        let limits = ConnectionLimits { total_max: 9, listener_max: 9, client_max: 2, network_max: 3 };
        let take = |address| Permit::take(&counts, limits, client(address));
        let mut kept =
            vec![take("192.0.2.1").unwrap(), take("192.0.2.1").unwrap(), take("192.0.2.2").unwrap()];
        assert_eq!(take("192.0.2.1").unwrap_err(), Crowded::Client);
        assert_eq!(take("192.0.2.3").unwrap_err(), Crowded::Network);
        kept.push(take("198.51.100.1").unwrap());
        kept.remove(0);
        assert!(take("192.0.2.3").is_ok());
    }

    #[test]
    fn a_session_counts_for_one_client_at_a_time() {
        let counts = Arc::new(Counts::default());
        let mut permit = Permit::take(&counts, LIMITS, client("192.0.2.1")).unwrap();
        permit.count_client(LIMITS, client("192.0.2.2").unwrap()).unwrap();
        let other = Permit::take(&counts, LIMITS, client("192.0.2.1")).unwrap();
        assert_eq!(permit.count_client(LIMITS, client("192.0.2.1").unwrap()).unwrap_err(), Crowded::Client);
        drop((permit, other));
        assert!(counts.clients.0.lock().is_empty());
    }

    #[test]
    fn content_memory_is_given_back() {
        let memory = Arc::new(ContentMemory::default());
        let mut held = Reservation::take(&memory, 100_000, 200_000).unwrap();
        assert!(held.grow_to(100_000, 200_000));
        assert!(memory.has_room(100_000, 200_000));
        assert!(held.grow_to(100_001, 200_000));
        assert!(!memory.has_room(100_000, 200_000));
        assert!(Reservation::take(&memory, 100_000, 200_000).is_none());
        assert!(!held.grow_to(200_001, 200_000));
        drop(held);
        assert!(memory.has_room(200_000, 200_000));
    }
}
