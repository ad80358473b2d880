//! Counts in the store: `KIND/DAY/MINUTE/DOMAIN/PART`, so that what is due stands in front and what belongs to one report
//! together.

use std::hash::{DefaultHasher, Hash, Hasher};

use baton_identity::reports::outgoing::{Counted, Kept, Kind};
use baton_mail::Domain;

use super::Reporter;
use crate::events;

/// Counts that are to be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) kind: Kind,
    /// Where they are.
    pub(super) keys: Vec<String>,
    /// The day, since 1970.
    pub(super) day: u64,
    pub(super) domain: Domain,
}

impl Reporter {
    /// Adds what was counted in memory to what the store has.
    pub(super) async fn write_down(&self) {
        for Counted { day, domain, counts } in self.0.tls.take() {
            self.add(Kind::Tls, (day, &domain), 0, counts).await;
        }
        for Counted { day, domain, counts } in self.0.dmarc.take() {
            for (number, part) in counts.into_parts() {
                self.add(Kind::Dmarc, (day, &domain), number, part).await;
            }
        }
    }

    async fn add(&self, kind: Kind, (day, domain): (u64, &Domain), part: u8, counts: impl Kept) {
        let key = key(kind, day, self.minute(domain), domain, part);
        let counts = match self.read(&key).await {
            Some(before) => merged(before, counts),
            None => counts,
        };
        // Of a domain that can not be told in time, nobody is told.
        let end_ms = (day + KEPT_DAYS) * DAY_MS;
        let lasts_ms = end_ms.saturating_sub(self.0.deps.clock.now().0);
        let Ok(text) = serde_json::to_vec(&counts) else { return };
        if let Err(error) = self.0.deps.store.kv().set(BUCKET, &key, &text, Some(lasts_ms)).await {
            events::report_counts_lost(domain.as_str(), &error);
        }
    }

    /// The parts that are at these keys.
    pub(super) async fn parts<K: Kept>(&self, keys: &[String]) -> Vec<K> {
        let mut parts = Vec::with_capacity(keys.len());
        for key in keys {
            parts.extend(self.read(key).await);
        }
        parts
    }

    async fn read<K: Kept>(&self, key: &str) -> Option<K> {
        let text = self.0.deps.store.kv().get(BUCKET, key).await.ok()??;
        serde_json::from_slice(&text).ok()
    }

    /// Forgets counts. False when the store does not take that now.
    pub(super) async fn forget(&self, keys: &[String]) -> bool {
        for key in keys {
            if self.0.deps.store.kv().delete(BUCKET, key).await.is_err() {
                return false;
            }
        }
        true
    }

    /// What is to be reported now; with `all`, what is there.
    pub(super) async fn due(&self, kind: Kind, all: bool) -> Vec<Due> {
        let now_ms = self.0.deps.clock.now().0;
        let prefix = format!("{}/", kind.as_str());
        let mut due: Vec<Due> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let scanned = self.0.deps.store.kv().scan(BUCKET, &prefix, cursor.as_deref(), PAGE).await;
            let Ok(page) = scanned else { return due };
            for key in page.keys {
                let Some((day, minute, domain)) = key.strip_prefix(&prefix).and_then(read_key) else {
                    continue;
                };
                if !all && now_ms < (day + 1) * DAY_MS + minute * 60_000 {
                    return due;
                }
                let is_full = due.len() == DUE_MAX;
                match due.last_mut() {
                    Some(last) if last.day == day && last.domain == domain => last.keys.push(key),
                    _ if is_full => return due,
                    _ => due.push(Due { kind, keys: vec![key], day, domain }),
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return due;
            }
        }
    }

    /// In which minute after the end of its day a domain is told: over [`SPREAD_MINUTES`] (RFC 8460 4.1), so that not
    /// everybody writes to everybody at midnight.
    fn minute(&self, domain: &Domain) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0.settings.load().submitter.as_str(), domain.as_str()).hash(&mut hasher);
        hasher.finish() % SPREAD_MINUTES
    }
}

/// Counts with those that came later.
pub(super) fn merged<K: Kept>(mut counts: K, later: K) -> K {
    counts.merge(later);
    counts
}

fn key(kind: Kind, day: u64, minute: u64, domain: &Domain, part: u8) -> String {
    format!("{}/{day:08}/{minute:03}/{domain}/{part:03}", kind.as_str())
}

/// Day, minute and domain of a key without its kind.
fn read_key(rest: &str) -> Option<(u64, u64, Domain)> {
    let mut parts = rest.split('/');
    let (day, minute, domain) = (parts.next()?, parts.next()?, parts.next()?);
    Some((day.parse().ok()?, minute.parse().ok()?, domain.parse().ok()?))
}

/// The bucket of the store where counts are kept. No plugin can have one of that name.
const BUCKET: &str = "#report-counts";
/// Minutes over which the reports of a day are spread: four hours.
const SPREAD_MINUTES: u64 = 240;
/// Days that counts are kept: their own, and the next one to get rid of them (RFC 8460 5.6: try for 24 hours).
const KEPT_DAYS: u64 = 2;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
/// Keys of one scan.
const PAGE: usize = 500;
/// Reports of one pass; more wait for the next one.
const DUE_MAX: usize = 1_000;
