//! How often somebody was wrong of late: by network and by account.
//!
//! An attempt counts as a failure from its beginning and is taken back when it succeeds: a thousand at once get no more
//! tries than a thousand in turn.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use baton_mail::UnixMs;
use parking_lot::Mutex;

use crate::FailureLimits;

/// Entries of each table at most. A network gets a few entries within the window, so this many are a large attack.
const ENTRIES_MAX: usize = 100_000;
/// How long a network where an account succeeded is known as its own, in milliseconds: thirty days.
const KNOWN_MS: u64 = 30 * 86_400_000;

/// Which bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The client's network was wrong too often.
    Network,
    /// Somebody was wrong about the account too often.
    Account,
}

impl Blocked {
    /// For metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Blocked::Network => "blocked-network",
            Blocked::Account => "blocked-account",
        }
    }
}

/// All attempts of late.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    networks: HashMap<IpAddr, Window>,
    accounts: HashMap<Box<str>, Window>,
    /// Where an account succeeded, and until when that counts: nobody locks it out there by being wrong elsewhere.
    known: HashMap<(Box<str>, IpAddr), UnixMs>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    until: UnixMs,
    failures: u32,
}

/// One attempt. It stays a failure unless it [succeeds](Attempt::succeed) or is [taken back](Attempt::take_back).
#[derive(Debug)]
pub struct Attempt {
    attempts: Arc<Attempts>,
    network: Option<IpAddr>,
    client: IpAddr,
    account: Option<Box<str>>,
    now: UnixMs,
}

impl Attempts {
    /// Counts an attempt, or says which bound is reached. Without an account, as of a token that names none, only the
    /// network's holds. Where `is_trusted`, the network's bound does not hold.
    pub(crate) fn begin(
        self: &Arc<Self>,
        client: IpAddr,
        is_trusted: bool,
        account: Option<&str>,
        limits: FailureLimits,
        now: UnixMs,
    ) -> Result<Attempt, Blocked> {
        let client = network(client, limits);
        let mut tables = self.0.lock();
        let Tables { networks, accounts, known } = &mut *tables;
        let until = UnixMs(now.0.saturating_add(limits.window_s.saturating_mul(1_000)));
        if !is_trusted && is_full(networks.get(&client), limits.per_network_max, now) {
            return Err(Blocked::Network);
        }
        let account: Option<Box<str>> = account.map(|account| account.to_lowercase().into());
        if let Some(account) = &account {
            let is_known = known.get(&(account.clone(), client)).is_some_and(|until| *until > now);
            if !is_known && is_full(accounts.get(account), limits.per_account_max, now) {
                return Err(Blocked::Account);
            }
            count(accounts, account.clone(), until, now);
        }
        if !is_trusted {
            count(networks, client, until, now);
        }
        drop(tables);
        let attempts = Arc::clone(self);
        Ok(Attempt { attempts, network: (!is_trusted).then_some(client), client, account, now })
    }
}

impl Attempt {
    /// It was no failure, and the network is known as one of this account. What failed for others before stays counted:
    /// whoever has one account could guess at all others.
    pub fn succeed(self) {
        let mut tables = self.attempts.0.lock();
        if let Some(network) = &self.network {
            uncount(&mut tables.networks, network);
        }
        let Some(account) = self.account else { return };
        uncount(&mut tables.accounts, &account);
        let until = UnixMs(self.now.0.saturating_add(KNOWN_MS));
        make_room(&mut tables.known, |until| *until > self.now);
        tables.known.insert((account, self.client), until);
    }

    /// Nobody could say whether it was one.
    pub fn take_back(self) {
        let mut tables = self.attempts.0.lock();
        if let Some(network) = &self.network {
            uncount(&mut tables.networks, network);
        }
        if let Some(account) = &self.account {
            uncount(&mut tables.accounts, account);
        }
    }
}

fn is_full(window: Option<&Window>, max: u32, now: UnixMs) -> bool {
    window.is_some_and(|window| window.until > now && window.failures >= max)
}

fn count<K: std::hash::Hash + Eq + Clone>(
    table: &mut HashMap<K, Window>,
    key: K,
    until: UnixMs,
    now: UnixMs,
) {
    make_room(table, |window| window.until > now);
    let window = table.entry(key).or_insert(Window { until, failures: 0 });
    if window.until <= now {
        *window = Window { until, failures: 0 };
    }
    window.failures = window.failures.saturating_add(1);
}

fn uncount<K, Q>(table: &mut HashMap<K, Window>, key: &Q)
where
    K: std::hash::Hash + Eq + std::borrow::Borrow<Q>,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if let Some(window) = table.get_mut(key) {
        window.failures = window.failures.saturating_sub(1);
        if window.failures == 0 {
            table.remove(key);
        }
    }
}

/// Drops what is over when the table is full, and any one entry when that does not help.
fn make_room<K: std::hash::Hash + Eq + Clone, V>(table: &mut HashMap<K, V>, is_alive: impl Fn(&V) -> bool) {
    if table.len() < ENTRIES_MAX {
        return;
    }
    table.retain(|_, value| is_alive(value));
    if table.len() >= ENTRIES_MAX
        && let Some(victim) = table.keys().next().cloned()
    {
        table.remove(&victim);
    }
}

/// The network of so many bits as the settings say.
fn network(address: IpAddr, limits: FailureLimits) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let rest = u32::MAX.checked_shr(limits.ipv4_network_bits.into()).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & !rest).into()
        }
        IpAddr::V6(address) => {
            let rest = u128::MAX.checked_shr(limits.ipv6_network_bits.into()).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & !rest).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FailureLimits = FailureLimits {
        ipv4_network_bits: 24,
        ipv6_network_bits: 48,
        per_network_max: 2,
        per_account_max: 3,
        window_s: 60,
    };

    #[test]
    fn networks_are_as_large_as_the_settings_say() {
        let cut = |address: &str, ipv4_network_bits, ipv6_network_bits| {
            let limits = FailureLimits { ipv4_network_bits, ipv6_network_bits, ..LIMITS };
            network(address.parse().unwrap(), limits).to_string()
        };
        assert_eq!(cut("192.0.2.77", 24, 48), "192.0.2.0");
        assert_eq!(cut("::ffff:192.0.2.77", 32, 48), "192.0.2.77");
        assert_eq!(cut("2001:db8:1:2::3", 24, 48), "2001:db8:1::");
        assert_eq!(cut("2001:db8:1:2::3", 24, 64), "2001:db8:1:2::");
    }

    fn begin(attempts: &Arc<Attempts>, client: &str, account: &str, now_s: u64) -> Result<Attempt, Blocked> {
        let now = UnixMs(now_s * 1_000);
        attempts.begin(client.parse().unwrap(), false, Some(account), LIMITS, now)
    }

    #[test]
    fn a_network_may_be_wrong_so_often_within_the_window() {
        let attempts = Arc::new(Attempts::default());
        let _first = begin(&attempts, "192.0.2.1", "ann", 1).unwrap();
        let _second = begin(&attempts, "192.0.2.99", "bob", 2).unwrap();
        assert_eq!(begin(&attempts, "192.0.2.5", "zoe", 3).unwrap_err(), Blocked::Network);
        assert!(begin(&attempts, "192.0.3.5", "zoe", 3).is_ok());
        assert!(begin(&attempts, "2001:db8::1", "a", 3).is_ok());
        assert!(begin(&attempts, "2001:db8::2", "b", 3).is_ok());
        assert_eq!(begin(&attempts, "2001:db8::3", "c", 3).unwrap_err(), Blocked::Network);
        assert!(begin(&attempts, "2001:db8:1::3", "c", 3).is_ok());
        assert!(begin(&attempts, "::ffff:192.0.2.5", "zoe", 61).is_ok(), "the window is over");
        let trusted = attempts.begin("192.0.2.5".parse().unwrap(), true, Some("yan"), LIMITS, UnixMs(3_000));
        assert!(trusted.is_ok());
    }

    #[test]
    fn an_account_is_not_locked_out_where_it_succeeded() {
        let attempts = Arc::new(Attempts::default());
        begin(&attempts, "198.51.100.1", "Ann", 1).unwrap().succeed();
        for (count, client) in ["192.0.2.1", "192.0.3.1", "192.0.4.1"].into_iter().enumerate() {
            begin(&attempts, client, "ann", count as u64).unwrap();
        }
        assert_eq!(begin(&attempts, "192.0.5.1", "ANN", 4).unwrap_err(), Blocked::Account);
        assert!(begin(&attempts, "198.51.100.7", "ann", 4).is_ok());
        assert!(begin(&attempts, "192.0.5.1", "bob", 4).is_ok());
    }

    #[test]
    fn many_at_once_are_no_more_than_many_in_turn_and_success_takes_it_back() {
        let attempts = Arc::new(Attempts::default());
        let (one, two) = (begin(&attempts, "192.0.2.1", "a", 1), begin(&attempts, "192.0.2.1", "b", 1));
        assert!(begin(&attempts, "192.0.2.1", "c", 1).is_err());
        one.unwrap().take_back();
        let again = begin(&attempts, "192.0.2.1", "c", 1);
        assert!(again.is_ok() && begin(&attempts, "192.0.2.1", "d", 1).is_err());
        two.unwrap().succeed();
        assert!(begin(&attempts, "192.0.2.1", "d", 1).is_ok());
        let tables = attempts.0.lock();
        assert_eq!(tables.accounts.len(), 2, "nothing is kept about those that were taken back");
    }

    #[test]
    fn the_tables_do_not_grow_without_bound() {
        let mut table = HashMap::new();
        for key in 0..ENTRIES_MAX + 10 {
            count(&mut table, key, UnixMs(5), UnixMs(1));
        }
        assert_eq!(table.len(), ENTRIES_MAX);
        count(&mut table, usize::MAX, UnixMs(9), UnixMs(6));
        assert_eq!(table.len(), 1, "what is over goes first");
    }
}
