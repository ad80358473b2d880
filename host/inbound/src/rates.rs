//! How often clients do what they do: a token bucket for each address and each network.
//!
//! Invariant: the table holds buckets that are not full only, and never more than [`BUCKETS_MAX`].

use std::collections::HashMap;

use baton_mail::bucket::{Bucket, Draw};
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clients::Places;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Deed {
    /// A connection.
    Connect,
    /// A transaction.
    Mail,
    /// A recipient that is named.
    Recipient,
    /// A recipient that was refused for good.
    Refused,
}

/// Whose bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of the address.
    Address,
    /// That of its network.
    Network,
}

/// Buckets by what is counted and for whom.
#[derive(Debug)]
pub(crate) struct Rates {
    begun: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// When each bucket is full, in nanoseconds since the beginning.
    full_at: HashMap<(Deed, IpNet), u128>,
    /// When full buckets were looked for last.
    swept_at: u128,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates { begun: Instant::now(), table: Mutex::default() }
    }
}

impl Rates {
    /// Counts one deed of a client, or says whose bound is reached. A bound of 0 is none.
    pub(crate) fn take(
        &self,
        now: Instant,
        deed: Deed,
        places: Places,
        per_address: Bucket,
        per_network: Bucket,
    ) -> Result<(), Whose> {
        if per_address.burst == 0 && per_network.burst == 0 {
            return Ok(());
        }
        let now = self.since_begin(now);
        let mut table = self.table.lock();
        // Both are looked at before either is taken from: who is refused for the network's sake keeps its own.
        let own = table.look(deed, places.address, per_address, now).ok_or(Whose::Address)?;
        let network = table.look(deed, places.network, per_network, now).ok_or(Whose::Network)?;
        table.put(deed, places.address, own, now);
        // Where both are the same network, the bound on clients is the one that counts.
        if places.network != places.address || own == 0 {
            table.put(deed, places.network, network, now);
        }
        Ok(())
    }

    /// Counts something that happened already.
    pub(crate) fn note(&self, now: Instant, deed: Deed, place: IpNet, bucket: Bucket) {
        let now = self.since_begin(now);
        let mut table = self.table.lock();
        if let Some(full_at) = table.look(deed, place, bucket, now) {
            table.put(deed, place, full_at, now);
        }
    }

    /// True when a deed of this client would be one too many.
    pub(crate) fn is_spent(&self, now: Instant, deed: Deed, place: IpNet, bucket: Bucket) -> bool {
        bucket.burst > 0 && self.table.lock().look(deed, place, bucket, self.since_begin(now)).is_none()
    }

    fn since_begin(&self, now: Instant) -> u128 {
        now.saturating_duration_since(self.begun).as_nanos()
    }
}

impl Table {
    /// When the bucket would be full after one token; none when there is no token. 0 stands for a bucket that counts nothing.
    fn look(&self, deed: Deed, place: IpNet, bucket: Bucket, now: u128) -> Option<u128> {
        if bucket.burst == 0 {
            return Some(0);
        }
        let full_at = self.full_at.get(&(deed, place)).copied().unwrap_or(0);
        match bucket.draw(full_at, now, 1) {
            Draw::Taken { full_at, .. } => Some(full_at),
            Draw::Wait { .. } | Draw::Never => None,
        }
    }

    /// Keeps a bucket. Without room for a new one it is not counted: what was counted before must not be forgotten for it.
    fn put(&mut self, deed: Deed, place: IpNet, full_at: u128, now: u128) {
        if full_at == 0 {
            return;
        }
        if let Some(known) = self.full_at.get_mut(&(deed, place)) {
            *known = full_at;
            return;
        }
        if now.saturating_sub(self.swept_at) >= SWEEP_NS {
            self.swept_at = now;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() < BUCKETS_MAX {
            self.full_at.insert((deed, place), full_at);
        }
    }
}

/// Bounds the memory to some tens of MiB.
const BUCKETS_MAX: usize = 500_000;
/// How often full buckets are dropped: a look at the whole table, so not with each new client.
const SWEEP_NS: u128 = 10_000_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ClientLimits;

    fn places(address: &str) -> Places {
        ClientLimits::default().places(address.parse().unwrap())
    }

    #[test]
    fn an_address_and_its_network_have_bounds_of_their_own() {
        let rates = Rates::default();
        let connect = |after_s, from| {
            let now = rates.begun + Duration::from_secs(after_s);
            rates.take(now, Deed::Connect, places(from), Bucket::per_minute(2), Bucket::per_minute(3))
        };
        assert_eq!(connect(0, "192.0.2.1"), Ok(()));
        assert_eq!(connect(0, "192.0.2.1"), Ok(()));
        assert_eq!(connect(0, "192.0.2.1"), Err(Whose::Address));
        assert_eq!(connect(0, "192.0.2.2"), Ok(()));
        assert_eq!(connect(0, "192.0.2.3"), Err(Whose::Network));
        assert_eq!(connect(0, "198.51.100.1"), Ok(()));
        assert_eq!(connect(20, "192.0.2.3"), Ok(()), "a third of a minute is a token of three");
        assert_eq!(connect(20, "192.0.2.3"), Err(Whose::Network));
    }

    #[test]
    fn deeds_are_counted_apart_and_zero_is_no_bound() {
        let rates = Rates::default();
        let (none, one) = (Bucket::per_minute(0), Bucket::per_minute(1));
        let take = |deed, bucket| rates.take(rates.begun, deed, places("192.0.2.1"), bucket, none);
        for _ in 0..100 {
            assert_eq!(take(Deed::Mail, none), Ok(()));
        }
        assert!(rates.table.lock().full_at.is_empty());
        assert_eq!(take(Deed::Mail, one), Ok(()));
        assert_eq!(take(Deed::Recipient, one), Ok(()));
        assert_eq!(take(Deed::Mail, one), Err(Whose::Address));
    }

    #[test]
    fn what_happened_is_noted_and_full_buckets_go() {
        let rates = Rates::default();
        let (place, two) = (places("192.0.2.1").address, Bucket::per_minute(2));
        for spent in [false, false, true] {
            assert_eq!(rates.is_spent(rates.begun, Deed::Refused, place, two), spent);
            rates.note(rates.begun, Deed::Refused, place, two);
        }
        let later = rates.begun + Duration::from_secs(61);
        assert!(!rates.is_spent(later, Deed::Refused, place, two));
        rates.note(later, Deed::Refused, places("198.51.100.1").address, two);
        assert_eq!(rates.table.lock().full_at.len(), 1, "the other one was full");
    }
}
