//! Buckets in memory, with what the store promises: expiry, decimal counters, token buckets, pages in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_mail::{Clock, UnixMs};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use crate::host::{KvBackend, KvError, Page, Taken};

/// Octets of a key and of a value at most, as the store has it.
const KEY_OCTETS_MAX: usize = 512;
const VALUE_OCTETS_MAX: usize = 64 << 10;
/// Nanoseconds in a millisecond.
const MS: u128 = 1_000_000;

/// Buckets that live as long as this value, by the time of a clock.
#[derive(Debug)]
pub struct MemoryKv {
    clock: Arc<dyn Clock>,
    buckets: Mutex<BTreeMap<String, Entries>>,
}

type Entries = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<UnixMs>,
}

impl MemoryKv {
    /// No bucket has anything in it.
    pub fn new(clock: Arc<dyn Clock>) -> MemoryKv {
        MemoryKv { clock, buckets: Mutex::default() }
    }

    /// Puts a value into a bucket for good, as if it had been there before. The bucket's name is the backend's:
    /// `plugin/name` or `shared/name`.
    pub fn put(&self, bucket: &str, key: &str, value: Vec<u8>) {
        self.with(bucket, |entries, _| store(entries, key, value, None));
    }

    /// Empties all buckets.
    pub fn clear(&self) {
        self.buckets.lock().clear();
    }

    /// The value of a key now.
    pub fn value(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.with(bucket, |entries, _| entries.get(key).map(|entry| entry.value.clone()))
    }

    /// Runs on the entries of a bucket that did not expire.
    fn with<T>(&self, bucket: &str, operation: impl FnOnce(&mut Entries, UnixMs) -> T) -> T {
        let now = self.clock.now();
        let mut buckets = self.buckets.lock();
        let entries = buckets.entry(bucket.to_owned()).or_default();
        entries.retain(|_, entry| entry.expires.is_none_or(|at| at > now));
        operation(entries, now)
    }

    fn change(
        &self,
        bucket: &str,
        key: &str,
        expected: Option<Option<Vec<u8>>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> Result<bool, KvError> {
        check_size(key, value.as_deref().unwrap_or_default())?;
        Ok(self.with(bucket, |entries, now| {
            let current = entries.get(key).map(|entry| &entry.value);
            if expected.is_some_and(|expected| expected.as_ref() != current) {
                return false;
            }
            match value {
                Some(value) => store(entries, key, value, expiry(now, ttl_ms)),
                None => drop(entries.remove(key)),
            }
            true
        }))
    }

    fn add(&self, bucket: &str, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        check_size(key, &[])?;
        self.with(bucket, |entries, now| {
            let (before, expires) = match entries.get(key) {
                Some(entry) => (number(&entry.value)?, entry.expires),
                None => (0, expiry(now, ttl_ms)),
            };
            let after = before.checked_add(delta).ok_or_else(not_a_number)?;
            store(entries, key, after.to_string().into_bytes(), expires);
            Ok(after)
        })
    }

    /// The generic cell rate algorithm: the value is the moment at which the token bucket is full again, in nanoseconds.
    fn take_tokens(
        &self,
        bucket: &str,
        key: &str,
        cost: u32,
        burst: u32,
        period_ms: u64,
    ) -> Result<Taken, KvError> {
        check_size(key, &[])?;
        if cost > burst {
            return Ok(Taken { allowed: false, remaining: 0, retry_after_ms: u64::MAX });
        }
        self.with(bucket, |entries, now| {
            let now = u128::from(now.0) * MS;
            let full_at = match entries.get(key) {
                Some(entry) => {
                    u128::from_be_bytes(entry.value.as_slice().try_into().map_err(|_| not_a_number())?)
                }
                None => 0,
            };
            let token = (u128::from(period_ms) * MS / u128::from(burst.max(1))).max(1);
            let (debt, debt_max) = (full_at.saturating_sub(now), token * u128::from(burst));
            let debt_after = debt + token * u128::from(cost);
            let remaining =
                |debt: u128| u32::try_from(debt_max.saturating_sub(debt) / token).unwrap_or(u32::MAX);
            if debt_after > debt_max {
                let wait = u64::try_from((debt_after - debt_max).div_ceil(MS)).unwrap_or(u64::MAX);
                return Ok(Taken { allowed: false, remaining: remaining(debt), retry_after_ms: wait });
            }
            let full_at = now + debt_after;
            let expires = UnixMs(u64::try_from(full_at.div_ceil(MS)).unwrap_or(u64::MAX));
            store(entries, key, full_at.to_be_bytes().to_vec(), Some(expires));
            Ok(Taken { allowed: true, remaining: remaining(debt_after), retry_after_ms: 0 })
        })
    }

    fn page(&self, bucket: &str, prefix: &str, cursor: Option<&str>, limit: u32) -> Page {
        let limit = limit.max(1) as usize;
        self.with(bucket, |entries, _| {
            let is_wanted =
                |key: &&String| key.starts_with(prefix) && cursor.is_none_or(|cursor| key.as_str() > cursor);
            let mut keys: Vec<String> = entries.keys().filter(is_wanted).take(limit + 1).cloned().collect();
            let more = keys.len() > limit;
            keys.truncate(limit);
            Page { cursor: keys.last().filter(|_| more).cloned(), keys }
        })
    }
}

fn store(entries: &mut Entries, key: &str, value: Vec<u8>, expires: Option<UnixMs>) {
    entries.insert(key.to_owned(), Entry { value, expires });
}

fn expiry(now: UnixMs, ttl_ms: Option<u64>) -> Option<UnixMs> {
    ttl_ms.map(|ttl| UnixMs(now.0.saturating_add(ttl)))
}

fn check_size(key: &str, value: &[u8]) -> Result<(), KvError> {
    let fits = !key.is_empty() && key.len() <= KEY_OCTETS_MAX && value.len() <= VALUE_OCTETS_MAX;
    if fits { Ok(()) } else { Err(KvError::TooLarge) }
}

fn number(value: &[u8]) -> Result<i64, KvError> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(not_a_number)
}

fn not_a_number() -> KvError {
    KvError::Unavailable("the value is not a number in range".to_owned())
}

/// An answer that is there at once: nothing in memory waits.
fn at_once<'a, T: Send + 'a>(answer: Result<T, KvError>) -> BoxFuture<'a, Result<T, KvError>> {
    ready(answer).boxed()
}

impl KvBackend for MemoryKv {
    fn get<'a>(&'a self, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, KvError>> {
        at_once(check_size(key, &[]).map(|()| self.value(bucket, key)))
    }

    fn set<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<(), KvError>> {
        at_once(self.change(bucket, key, None, Some(value), ttl_ms).map(drop))
    }

    fn set_if_absent<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, KvError>> {
        at_once(self.change(bucket, key, Some(None), Some(value), ttl_ms))
    }

    fn compare_and_set<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, KvError>> {
        at_once(self.change(bucket, key, Some(expected), value, ttl_ms))
    }

    fn delete<'a>(&'a self, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<(), KvError>> {
        at_once(self.change(bucket, key, None, None, None).map(drop))
    }

    fn increment<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<i64, KvError>> {
        at_once(self.add(bucket, key, delta, ttl_ms))
    }

    fn take<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        cost: u32,
        burst: u32,
        period_ms: u64,
    ) -> BoxFuture<'a, Result<Taken, KvError>> {
        at_once(self.take_tokens(bucket, key, cost, burst, period_ms))
    }

    fn scan<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
        cursor: Option<String>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Page, KvError>> {
        at_once(Ok(self.page(bucket, prefix, cursor.as_deref(), limit)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::worlds::World;

    #[tokio::test]
    async fn values_expire_when_the_clock_is_moved() {
        let world = World::default();
        world.kv.set("p/b", "k", b"v".to_vec(), Some(1_000)).await.unwrap();
        world.kv.increment("p/b", "n", 5, Some(1_000)).await.unwrap();
        assert_eq!(world.kv.increment("p/b", "n", 2, Some(9_000)).await, Ok(7));
        assert_eq!(world.kv.value("p/b", "n"), Some(b"7".to_vec()), "a number is decimal text");
        world.clock.advance(Duration::from_millis(999));
        assert_eq!(world.kv.get("p/b", "k").await, Ok(Some(b"v".to_vec())));
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(world.kv.get("p/b", "k").await, Ok(None));
        assert_eq!(world.kv.increment("p/b", "n", 1, None).await, Ok(1), "the window began anew");
    }

    #[tokio::test]
    async fn a_value_is_set_only_when_it_is_what_was_expected() {
        let kv = World::default().kv;
        assert_eq!(kv.set_if_absent("b", "k", b"1".to_vec(), None).await, Ok(true));
        assert_eq!(kv.set_if_absent("b", "k", b"2".to_vec(), None).await, Ok(false));
        let (one, two) = (Some(b"1".to_vec()), Some(b"2".to_vec()));
        assert_eq!(kv.compare_and_set("b", "k", two.clone(), one.clone(), None).await, Ok(false));
        assert_eq!(kv.compare_and_set("b", "k", one, two.clone(), None).await, Ok(true));
        assert_eq!(kv.compare_and_set("b", "k", two, None, None).await, Ok(true));
        assert_eq!(kv.value("b", "k"), None);
        assert_eq!(kv.set("b", "", b"1".to_vec(), None).await, Err(KvError::TooLarge));
    }

    #[tokio::test]
    async fn tokens_come_back_with_time() {
        let world = World::default();
        let take = || world.kv.take("b", "k", 1, 2, 2_000);
        assert_eq!(take().await, Ok(Taken { allowed: true, remaining: 1, retry_after_ms: 0 }));
        assert_eq!(take().await, Ok(Taken { allowed: true, remaining: 0, retry_after_ms: 0 }));
        assert_eq!(take().await, Ok(Taken { allowed: false, remaining: 0, retry_after_ms: 1_000 }));
        world.clock.advance(Duration::from_millis(1_000));
        assert!(take().await.unwrap().allowed);
    }

    #[tokio::test]
    async fn keys_come_in_pages() {
        let kv = World::default().kv;
        for key in ["a1", "a3", "a2", "b"] {
            kv.put("b", key, Vec::new());
        }
        let first = kv.scan("b", "a", None, 2).await.unwrap();
        assert_eq!(
            (first.keys, first.cursor.clone()),
            (vec!["a1".to_owned(), "a2".to_owned()], Some("a2".to_owned()))
        );
        let second = kv.scan("b", "a", first.cursor, 2).await.unwrap();
        assert_eq!(second, Page { keys: vec!["a3".to_owned()], cursor: None });
    }
}
