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
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::log;
use crate::settings::OutboundSettings;
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

/// What the lists say, and what is asked just now.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    state: Mutex<State>,
    /// The settings may name others than before.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    rows: Vec<ListingRow>,
    /// Rows that there are not yet, as they are asked for just now.
    awaited: usize,
}

impl Listings {
    /// A row for each address and list, and how many rows more are asked for just now.
    pub(crate) fn rows(&self) -> (Vec<ListingRow>, usize) {
        let state = self.state.lock();
        (state.rows.clone(), state.awaited)
    }

    /// The settings may name others than before.
    pub(crate) fn note_changed(&self) {
        self.changed.notify_one();
    }

    fn replace(&self, rows: Vec<ListingRow>, awaited: usize) {
        *self.state.lock() = State { rows, awaited };
    }
}

/// The source, its address, and the list that is asked about it.
type Question = (String, IpAddr, Domain);

impl Shared {
    /// Asks the lists of the settings, round after round, for ever; what other settings add is asked at once.
    pub(crate) async fn follow_listings(self: Arc<Self>) {
        let mut last: Option<Instant> = None;
        loop {
            let settings = self.settings.load_full();
            let interval = Duration::from_millis(settings.blocklists.interval_ms);
            let is_due = last.is_none_or(|last| last.elapsed() >= interval);
            self.ask_lists(&settings, is_due).await;
            let begun = last.filter(|_| !is_due).unwrap_or_else(Instant::now);
            last = Some(begun);
            tokio::select! {
                () = sleep_until(begun + interval) => {}
                () = self.listings.changed.notified() => {}
            }
        }
    }

    /// Asks anew about everything, or about that only of which nothing is known.
    async fn ask_lists(&self, settings: &OutboundSettings, is_due: bool) {
        let (known, _) = self.listings.rows();
        let (mut rows, mut unknown) = (Vec::new(), Vec::new());
        for question in questions(settings) {
            match known.iter().find(|row| question_of(row) == question) {
                Some(row) => rows.push(row.clone()),
                None => unknown.push(question),
            }
        }
        let before = rows.len();
        self.listings.replace(rows.clone(), unknown.len());
        for (asked, question) in unknown.iter().enumerate() {
            rows.push(self.row(None, question.clone()).await);
            self.listings.replace(rows.clone(), unknown.len() - asked - 1);
        }
        for row in rows.iter_mut().take(before).filter(|_| is_due) {
            *row = self.row(Some(row), question_of(row)).await;
        }
        self.metrics.set_listings(&rows);
        self.listings.replace(rows, 0);
    }

    /// A row, which is told of when it says something new.
    async fn row(&self, before: Option<&ListingRow>, (source, address, list): Question) -> ListingRow {
        let listing = ask(&self.reach.resolver, address, &list).await;
        let asked = self.clock.now();
        let since = before.filter(|row| row.listing == listing).map_or(asked, |row| row.since);
        let row = ListingRow { source, address, list, listing, since, asked };
        log::listing(before.map(|row| &row.listing), &row);
        row
    }
}

/// All that the settings want to be asked.
fn questions(settings: &OutboundSettings) -> Vec<Question> {
    let mut questions = Vec::new();
    for source in settings.sources.all() {
        for address in &source.addresses {
            let lists = settings.blocklists.lists.iter().cloned();
            questions.extend(lists.map(|list| (source.name.clone(), *address, list)));
        }
    }
    questions
}

fn question_of(row: &ListingRow) -> Question {
    (row.source.clone(), row.address, row.list.clone())
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
