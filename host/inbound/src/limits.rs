//! Counted things that must not grow without end: sessions, sessions of one client, octets of content.
//!
//! Every permit gives back what it took when it is dropped, also when the session panics.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

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
pub(crate) struct ClientTable(Mutex<HashMap<IpAddr, usize>>);

impl ClientTable {
    fn take(&self, key: IpAddr, max: usize) -> bool {
        let mut counts = self.0.lock();
        let count = counts.entry(key).or_insert(0);
        if *count >= max {
            return false;
        }
        *count += 1;
        true
    }

    fn give_back(&self, key: IpAddr) {
        let mut counts = self.0.lock();
        if let Some(count) = counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&key);
            }
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
}

impl Crowded {
    /// The bound's name, for logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Crowded::Total => "sessions",
            Crowded::Listener => "connections",
            Crowded::Client => "connections-per-address",
        }
    }
}

/// The right to one session.
#[derive(Debug)]
pub(crate) struct Permit {
    counts: Arc<Counts>,
    client: Option<IpAddr>,
}

impl Permit {
    /// Takes a place for a client; `counted` is false for clients that only the listener's bound holds for.
    pub(crate) fn take(
        counts: &Arc<Counts>,
        limits: ConnectionLimits,
        address: IpAddr,
        counted: bool,
    ) -> Result<Permit, Crowded> {
        if !counts.total.take(limits.total_max) {
            return Err(Crowded::Total);
        }
        if !counts.listener.take(limits.listener_max) {
            counts.total.give_back();
            return Err(Crowded::Listener);
        }
        let client = counted.then(|| client_network(address));
        if let Some(key) = client
            && !counts.clients.take(key, limits.client_max)
        {
            counts.total.give_back();
            counts.listener.give_back();
            return Err(Crowded::Client);
        }
        Ok(Permit { counts: counts.clone(), client })
    }
}

impl Permit {
    /// Counts the client that a balancer names; false when it has too many sessions.
    pub(crate) fn count_client(&mut self, limits: ConnectionLimits, address: IpAddr) -> bool {
        let key = client_network(address);
        let is_free = self.client.is_none() && self.counts.clients.take(key, limits.client_max);
        if is_free {
            self.client = Some(key);
        }
        is_free
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.total.give_back();
        self.counts.listener.give_back();
        if let Some(key) = self.client {
            self.counts.clients.give_back(key);
        }
    }
}

/// One client is one IPv4 address or one IPv6 /64, the smallest network that a customer gets.
fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
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

    const LIMITS: ConnectionLimits = ConnectionLimits { total_max: 3, listener_max: 2, client_max: 1 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_bound_holds_and_a_dropped_permit_frees_its_place() {
        let counts = Arc::new(Counts::default());
        let first = Permit::take(&counts, LIMITS, address("192.0.2.1"), true).unwrap();
        assert_eq!(Permit::take(&counts, LIMITS, address("192.0.2.1"), true).unwrap_err(), Crowded::Client);
        let second = Permit::take(&counts, LIMITS, address("192.0.2.2"), true).unwrap();
        assert_eq!(Permit::take(&counts, LIMITS, address("192.0.2.3"), true).unwrap_err(), Crowded::Listener);
        let narrow = ConnectionLimits { total_max: 2, ..LIMITS };
        assert_eq!(Permit::take(&counts, narrow, address("192.0.2.3"), true).unwrap_err(), Crowded::Total);
        drop((first, second));
        let again = Permit::take(&counts, LIMITS, address("192.0.2.1"), true);
        assert!(again.is_ok());
        assert_eq!(counts.clients.0.lock().len(), 1);
    }

    #[test]
    fn a_client_of_six_is_its_network() {
        assert_eq!(client_network(address("2001:db8::1")), client_network(address("2001:db8::ffff:1")));
        assert_ne!(client_network(address("2001:db8::1")), client_network(address("2001:db8:0:1::1")));
        assert_eq!(client_network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
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
