//! The key-value store of the plugins: buckets with expiry, counters and token buckets.
//!
//! A change is visible at once and rides on the next sync, at most `sync_delay_ms` later; a crash may undo the
//! changes of that window. Nothing waits for the disk but a read of what is in no memory.

mod state;
mod take;

use std::sync::Arc;

use baton_mail::UnixMs;

pub(crate) use state::{KvState, Written, content, split_key};
pub use take::Taken;

use crate::core::Core;
use crate::error::KvError;
use state::{Change, Live, Seen};

/// Octets of a bucket's name at most.
pub const BUCKET_OCTETS_MAX: usize = 64;
/// Octets of a key at most.
pub const KEY_OCTETS_MAX: usize = 512;
/// Octets of a value at most.
pub const VALUE_OCTETS_MAX: usize = 64 << 10;
/// Keys that one scan returns at most.
pub const SCAN_KEYS_MAX: usize = 1_000;
/// Reads from disk before an operation gives up because others keep pushing its block out of memory.
const LOADS_MAX: usize = 3;

/// The key-value store. Cheap to clone.
#[derive(Clone)]
pub struct Kv {
    core: Arc<Core>,
}

/// One page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvPage {
    /// The keys, sorted.
    pub keys: Vec<String>,
    /// Where the next page begins; none after the last one.
    pub cursor: Option<String>,
}

impl Kv {
    pub(crate) fn new(core: Arc<Core>) -> Kv {
        Kv { core }
    }

    /// The value, when it is set and did not expire.
    pub async fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.update(bucket, key, |live, _| Ok((Change::Keep, live.map(|live| live.value.to_vec())))).await
    }

    /// Sets a value, for `ttl_ms` milliseconds or for good.
    pub async fn set(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<(), KvError> {
        self.update(bucket, key, |_, now| Ok((Change::put(value, expiry(now, ttl_ms))?, ()))).await
    }

    /// Sets a value unless there is one. True when it was set.
    pub async fn set_if_absent(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<bool, KvError> {
        self.compare_and_set(bucket, key, None, Some(value), ttl_ms).await
    }

    /// Sets (or with `None` deletes) the value if it is `expected` (`None`: absent). True when it was done.
    pub async fn compare_and_set(
        &self,
        bucket: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
    ) -> Result<bool, KvError> {
        self.update(bucket, key, |live, now| {
            if live.map(|live| live.value) != expected {
                return Ok((Change::Keep, false));
            }
            match value {
                Some(value) => Ok((Change::put(value, expiry(now, ttl_ms))?, true)),
                None => Ok((Change::Delete, true)),
            }
        })
        .await
    }

    /// Deletes the value, if there is one.
    pub async fn delete(&self, bucket: &str, key: &str) -> Result<(), KvError> {
        self.update(bucket, key, |_, _| Ok((Change::Delete, ()))).await
    }

    /// Adds to a number, which begins at 0 and is stored as decimal text. `ttl_ms` counts only when the key is
    /// made: a fixed window. Returns the sum.
    pub async fn increment(
        &self,
        bucket: &str,
        key: &str,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, KvError> {
        self.update(bucket, key, |live, now| {
            let (before, expires) = match live {
                Some(live) => (number(live.value)?, live.expires),
                None => (0, expiry(now, ttl_ms)),
            };
            let after = before.checked_add(delta).ok_or(KvError::NotANumber)?;
            Ok((Change::put(after.to_string().as_bytes(), expires)?, after))
        })
        .await
    }

    /// Takes `cost` tokens out of a bucket that holds `burst` and fills up within `period_ms`.
    pub async fn take(
        &self,
        bucket: &str,
        key: &str,
        cost: u32,
        burst: u32,
        period_ms: u64,
    ) -> Result<Taken, KvError> {
        self.update(bucket, key, |live, now| take::take(live, now, cost, burst, period_ms)).await
    }

    /// The keys that begin with `prefix`, after `cursor`; at most `limit` and [`SCAN_KEYS_MAX`].
    pub async fn scan(
        &self,
        bucket: &str,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<KvPage, KvError> {
        let bucket_key = state::key(bucket, "")?;
        let prefix = [&bucket_key[..], prefix.as_bytes()].concat();
        let after = cursor.map(|cursor| [&bucket_key[..], cursor.as_bytes()].concat());
        let core = Arc::clone(&self.core);
        let limit = limit.clamp(1, SCAN_KEYS_MAX);
        let skip = bucket_key.len();
        let read = tokio::task::spawn_blocking(move || {
            let now = core.clock.now();
            let db = core.db().map_err(|away| away.to_string())?;
            state::scan(&core.kv, &db, &prefix, after, limit, now)
        });
        let page = read.await.map_err(|_| KvError::Unavailable("closed".to_owned()))?;
        let (keys, more) = page.map_err(KvError::Unavailable)?;
        let text = |key: &Vec<u8>| String::from_utf8_lossy(key.get(skip..).unwrap_or_default()).into_owned();
        Ok(KvPage { keys: keys.iter().map(text).collect(), cursor: more.as_ref().map(text) })
    }

    /// Reads and changes one value, as one step. `change` may be called again after a read from disk.
    async fn update<R>(
        &self,
        bucket: &str,
        key: &str,
        change: impl Fn(Option<Live<'_>>, UnixMs) -> Result<(Change, R), KvError>,
    ) -> Result<R, KvError> {
        if key.is_empty() {
            return Err(KvError::TooLarge);
        }
        let key = state::key(bucket, key)?;
        let core = &self.core;
        for _ in 0..LOADS_MAX {
            match core.kv.update(core, bucket, &key, &change)? {
                Seen::Done { result, changed } => {
                    if changed {
                        core.commit.push_kv();
                    }
                    return Ok(result);
                }
                Seen::OnDisk => self.load(key.clone()).await?,
            }
        }
        Err(KvError::Unavailable("the block cache is too small".to_owned()))
    }

    /// Brings the block of a key into memory.
    async fn load(&self, key: Vec<u8>) -> Result<(), KvError> {
        let core = Arc::clone(&self.core);
        let read = tokio::task::spawn_blocking(move || {
            core.db()?.get(crate::database::Family::Kv, &key).map(|_| ()).map_err(KvError::Unavailable)
        });
        read.await.map_err(|_| KvError::Unavailable("closed".to_owned()))?
    }
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kv").finish_non_exhaustive()
    }
}

/// When a value expires; none for never.
fn expiry(now: UnixMs, ttl_ms: Option<u64>) -> Option<UnixMs> {
    ttl_ms.map(|ttl| UnixMs(now.0.saturating_add(ttl)))
}

/// A number as decimal text.
fn number(value: &[u8]) -> Result<i64, KvError> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(KvError::NotANumber)
}
