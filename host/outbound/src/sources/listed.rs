//! Whether our own addresses are on DNS blocklists (RFC 5782): asked for on a schedule, told when it changes.
//!
//! Invariant: only an answer within 127.0.0.0/8 is a listing. A list that refuses to answer, or answers with anything else,
//! says nothing about the address.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use baton_dns::Resolver;
use baton_mail::text::sanitize;
use baton_mail::{Domain, UnixMs};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::log;
use crate::shared::Shared;

/// Which blocklists are asked about our addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlocklistSettings {
    /// Their zones; default none.
    pub lists: Vec<Domain>,
    /// The time between two rounds, in milliseconds. Default 3,600,000: an hour.
    pub interval_ms: u64,
}

impl Default for BlocklistSettings {
    fn default() -> BlocklistSettings {
        BlocklistSettings { lists: Vec::new(), interval_ms: 3_600_000 }
    }
}

/// What a list says about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It is not on it.
    Clear,
    /// It is; why, as the list says.
    Listed(String),
    /// Nothing; why.
    Unknown(String),
}

/// An address of a source on a list, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingRow {
    /// The source; empty when the settings name none.
    pub source: String,
    /// Its address.
    pub address: IpAddr,
    /// The zone of the list.
    pub list: Domain,
    /// What the list says.
    pub listing: Listing,
    /// Since when it has said so, as far as we know.
    pub since: UnixMs,
    /// When it was asked last.
    pub asked: UnixMs,
}

/// What the lists said in the last round.
#[derive(Debug, Default)]
pub(crate) struct Listings(Mutex<Vec<ListingRow>>);

impl Listings {
    /// A row for each address and list.
    pub(crate) fn rows(&self) -> Vec<ListingRow> {
        self.0.lock().clone()
    }

    fn replace(&self, rows: Vec<ListingRow>) {
        *self.0.lock() = rows;
    }
}

impl Shared {
    /// Asks the lists of the settings, round after round, for ever. Other settings are heeded within [`LOOK_EVERY`].
    pub(crate) async fn follow_listings(self: Arc<Self>) {
        let mut last: Option<(Instant, BlocklistSettings)> = None;
        loop {
            let settings = self.settings.load_full().blocklists.clone();
            let interval = Duration::from_millis(settings.interval_ms);
            let is_due = match &last {
                Some((at, known)) => *known != settings || at.elapsed() >= interval,
                None => true,
            };
            if is_due {
                self.ask_lists(&settings).await;
                last = Some((Instant::now(), settings));
            }
            sleep(interval.min(LOOK_EVERY)).await;
        }
    }

    async fn ask_lists(&self, settings: &BlocklistSettings) {
        let known = self.listings.rows();
        let mut rows = Vec::new();
        for source in self.settings.load_full().sources.all() {
            for address in &source.addresses {
                for list in &settings.lists {
                    let listing = ask(&self.reach.resolver, *address, list).await;
                    rows.push(self.row(&known, &source.name, (*address, list), listing));
                }
            }
        }
        self.metrics.set_listings(&rows);
        self.listings.replace(rows);
    }

    /// A row, which is told of when it says something new.
    fn row(
        &self,
        known: &[ListingRow],
        source: &str,
        (address, list): (IpAddr, &Domain),
        listing: Listing,
    ) -> ListingRow {
        let asked = self.clock.now();
        let is_it = |row: &&ListingRow| row.source == source && row.address == address && row.list == *list;
        let before = known.iter().find(is_it);
        let since = before.filter(|row| row.listing == listing).map_or(asked, |row| row.since);
        let row =
            ListingRow { source: source.to_owned(), address, list: list.clone(), listing, since, asked };
        log::listing(before.map(|row| &row.listing), &row);
        row
    }
}

async fn ask(resolver: &Resolver, address: IpAddr, list: &Domain) -> Listing {
    let name = format!("{}.{list}", reversed(address));
    let answers = match resolver.four(&name).await {
        Ok(found) => found.records,
        Err(error) => return Listing::Unknown(error.to_string()),
    };
    let Some(first) = answers.first() else { return Listing::Clear };
    // Public lists tell those whom they do not serve by these addresses, which are no listings.
    if let Some(refusal) = answers.iter().find(|answer| answer.octets().starts_with(&[127, 255, 255])) {
        return Listing::Unknown(format!("the list refuses to answer: {refusal}"));
    }
    if !answers.iter().all(Ipv4Addr::is_loopback) {
        return Listing::Unknown(format!("{first} is no answer of a blocklist"));
    }
    let codes: Vec<String> = answers.iter().map(ToString::to_string).collect();
    let why = resolver.texts(&name).await.ok().and_then(|texts| texts.records.into_iter().next());
    let why = why.map(|text| sanitize(&String::from_utf8_lossy(&text), REASON_OCTETS_MAX));
    Listing::Listed(format!("{} {}", codes.join(" "), why.unwrap_or_default()).trim_end().to_owned())
}

/// RFC 5782 2.1, 2.4: octets, or for IPv6 halves of octets, from the last to the first.
fn reversed(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(address) => {
            let halves = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            halves.map(|half| format!("{half:x}")).collect::<Vec<_>>().join(".")
        }
    }
}

/// How soon other settings are heeded.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Octets of a list's reason.
const REASON_OCTETS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reversed_as_the_standard_shows() {
        assert_eq!(reversed("192.0.2.99".parse().unwrap()), "99.2.0.192");
        assert_eq!(
            reversed("2001:db8:1:2:3:4:567:89ab".parse().unwrap()),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
        );
    }
}
