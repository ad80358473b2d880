//! Counts in the store: `KIND/DAY/MINUTE/DOMAIN`, so that what is due stands in front.

use std::hash::{DefaultHasher, Hash, Hasher};

use baton_identity::reports::outgoing::{Counted, TlsCounts};
use baton_mail::Domain;

use super::Reporter;
use crate::events;

/// Counts that are to be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) key: String,
    /// The day, since 1970.
    pub(super) day: u64,
    pub(super) domain: Domain,
}

impl Reporter {
    /// Adds what was counted in memory to what the store has.
    pub(super) async fn write_down(&self) {
        for Counted { day, domain, mut counts } in self.0.tls.take() {
            let key = key(day, self.minute(&domain), &domain);
            if let Some(before) = self.counts(&key).await {
                counts.merge(before);
            }
            // Of a domain that can not be reached in time, nobody is told.
            let end_ms = (day + KEPT_DAYS) * DAY_MS;
            let lasts_ms = end_ms.saturating_sub(self.0.deps.clock.now().0);
            let kept = match serde_json::to_vec(&counts) {
                Ok(text) => self.0.deps.store.kv().set(BUCKET, &key, &text, Some(lasts_ms)).await,
                Err(_) => continue,
            };
            if let Err(error) = kept {
                events::report_counts_lost(domain.as_str(), &error);
            }
        }
    }

    pub(super) async fn counts(&self, key: &str) -> Option<TlsCounts> {
        let text = self.0.deps.store.kv().get(BUCKET, key).await.ok()??;
        serde_json::from_slice(&text).ok()
    }

    /// Forgets counts. False when the store does not take that now.
    pub(super) async fn forget(&self, key: &str) -> bool {
        self.0.deps.store.kv().delete(BUCKET, key).await.is_ok()
    }

    /// What is to be reported now; with `all`, what is there.
    pub(super) async fn due(&self, all: bool) -> Vec<Due> {
        let now_ms = self.0.deps.clock.now().0;
        let mut due = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let scanned = self.0.deps.store.kv().scan(BUCKET, PREFIX, cursor.as_deref(), PAGE).await;
            let Ok(page) = scanned else { return due };
            for key in page.keys {
                let Some((day, minute, domain)) = read_key(&key) else { continue };
                if !all && now_ms < (day + 1) * DAY_MS + minute * 60_000 {
                    return due;
                }
                due.push(Due { key, day, domain });
            }
            cursor = page.cursor;
            if cursor.is_none() || due.len() >= DUE_MAX {
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

fn key(day: u64, minute: u64, domain: &Domain) -> String {
    format!("{PREFIX}{day:08}/{minute:03}/{domain}")
}

fn read_key(key: &str) -> Option<(u64, u64, Domain)> {
    let mut parts = key.strip_prefix(PREFIX)?.splitn(3, '/');
    let (day, minute, domain) = (parts.next()?, parts.next()?, parts.next()?);
    Some((day.parse().ok()?, minute.parse().ok()?, domain.parse().ok()?))
}

/// The bucket of the store where counts are kept. No plugin can have one of that name.
const BUCKET: &str = "#report-counts";
/// What keys begin with.
const PREFIX: &str = "tls/";
/// Minutes over which the reports of a day are spread: four hours.
const SPREAD_MINUTES: u64 = 240;
/// Days that counts are kept: their own, and the next one to get rid of them (RFC 8460 5.6: try for 24 hours).
const KEPT_DAYS: u64 = 2;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
/// Keys of one scan.
const PAGE: usize = 500;
/// Reports of one pass; more wait for the next one.
const DUE_MAX: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_when_and_whose() {
        let domain: Domain = "mail.example".parse().unwrap();
        let key = key(20_781, 7, &domain);
        assert_eq!(read_key(&key), Some((20_781, 7, domain)));
        assert!(key < self::key(20_781, 10, &"a.example".parse().unwrap()));
        assert_eq!(read_key("tls/x"), None);
    }
}
