//! The fake's key-value store: the real semantics, in memory and by the test's clock.

use std::collections::BTreeMap;

use super::FakeHost;
use crate::host::BucketHost;
use crate::{KvError, Page, Taken};

/// The keys of one bucket.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// A value, until it expires.
#[derive(Clone)]
pub(crate) struct Entry {
    value: Vec<u8>,
    expires_ms: Option<u64>,
}

/// An open bucket of a [`FakeHost`].
pub(crate) struct FakeBucket {
    host: FakeHost,
    name: String,
}

impl FakeBucket {
    pub(crate) fn new(host: FakeHost, name: &str) -> FakeBucket {
        FakeBucket { host, name: name.to_owned() }
    }

    /// Runs on the entries that have not expired, and with the time of now in milliseconds.
    fn with<T>(&self, operation: impl FnOnce(&mut Entries, u64) -> T) -> T {
        let mut state = self.host.state_mut();
        let now_ms = state.now_ms;
        let entries = state.buckets.entry(self.name.clone()).or_default();
        entries.retain(|_, entry| entry.expires_ms.is_none_or(|at| at > now_ms));
        operation(entries, now_ms)
    }
}

fn store(entries: &mut Entries, key: &str, value: &[u8], expires_ms: Option<u64>) {
    entries.insert(key.to_owned(), Entry { value: value.to_vec(), expires_ms });
}

fn number(entries: &Entries, key: &str) -> Option<i64> {
    let value: [u8; 8] = entries.get(key)?.value.as_slice().try_into().ok()?;
    Some(i64::from_be_bytes(value))
}

impl BucketHost for FakeBucket {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.with(|entries, _| Ok(entries.get(key).map(|entry| entry.value.clone())))
    }

    fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        self.with(|entries, now_ms| store(entries, key, value, ttl_ms.map(|ttl| now_ms + ttl)));
        Ok(())
    }

    fn set_if_absent(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<bool, KvError> {
        self.compare_and_set(key, None, Some(value), ttl_ms)
    }

    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
    ) -> Result<bool, KvError> {
        self.with(|entries, now_ms| {
            if entries.get(key).map(|entry| entry.value.as_slice()) != expected {
                return Ok(false);
            }
            match value {
                Some(value) => store(entries, key, value, ttl_ms.map(|ttl| now_ms + ttl)),
                None => drop(entries.remove(key)),
            }
            Ok(true)
        })
    }

    fn delete(&self, key: &str) -> Result<(), KvError> {
        self.with(|entries, _| drop(entries.remove(key)));
        Ok(())
    }

    fn increment(&self, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        self.with(|entries, now_ms| {
            let expires_ms = match entries.get(key) {
                Some(entry) => entry.expires_ms,
                None => ttl_ms.map(|ttl| now_ms + ttl),
            };
            let sum = number(entries, key).unwrap_or(0).saturating_add(delta);
            store(entries, key, &sum.to_be_bytes(), expires_ms);
            Ok(sum)
        })
    }

    /// GCRA: the key holds the moment at which the bucket is full again.
    fn take(&self, key: &str, cost: u32, burst: u32, period_ms: u64) -> Result<Taken, KvError> {
        self.with(|entries, now_ms| {
            let (period_us, burst_count) = (period_ms.saturating_mul(1_000), u64::from(burst.max(1)));
            let (now_us, token_us) = (now_ms.saturating_mul(1_000), period_us / burst_count);
            let full_us = number(entries, key).map_or(now_us, |at| (at as u64).max(now_us));
            let after_us = full_us + token_us * u64::from(cost);
            let used_us = after_us - now_us;
            let remaining = |used_us: u64| (period_us.saturating_sub(used_us) / token_us.max(1)) as u32;
            if used_us > period_us {
                let retry_after_ms = (used_us - period_us).div_ceil(1_000);
                return Ok(Taken { allowed: false, remaining: remaining(full_us - now_us), retry_after_ms });
            }
            store(entries, key, &(after_us as i64).to_be_bytes(), Some(after_us.div_ceil(1_000)));
            Ok(Taken { allowed: true, remaining: remaining(used_us), retry_after_ms: 0 })
        })
    }

    fn scan(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, KvError> {
        self.with(|entries, _| {
            let from = cursor.unwrap_or(prefix).to_owned();
            let mut keys = entries.range(from..).map(|(key, _)| key).filter(|key| key.starts_with(prefix));
            let page: Vec<String> = keys.by_ref().take(limit as usize).cloned().collect();
            Ok(Page { keys: page, cursor: keys.next().cloned() })
        })
    }
}
