//! The relay's key-value store. A bucket needs a grant by name.

use std::fmt;
use std::time::Duration;

use crate::host::{BucketHost, CurrentBucket};

/// Why an operation on a bucket failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvError {
    /// The operator did not grant this bucket, or it is asked for in `init`.
    Denied,
    /// The bucket is full.
    Quota,
    /// Key or value is too large.
    TooLarge,
    /// The store does not answer.
    Unavailable(String),
}

impl fmt::Display for KvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KvError::Denied => formatter.write_str("kv: not granted"),
            KvError::Quota => formatter.write_str("kv: the bucket is full"),
            KvError::TooLarge => formatter.write_str("kv: key or value too large"),
            KvError::Unavailable(why) => write!(formatter, "kv: {why}"),
        }
    }
}

impl std::error::Error for KvError {}

/// The answer of a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// True when the cost was taken; nothing was taken otherwise.
    pub allowed: bool,
    /// What could still be taken right now.
    pub remaining: u32,
    /// When it is worth trying again, in milliseconds; 0 when allowed.
    pub retry_after_ms: u64,
}

/// A part of a listing of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys in order.
    pub keys: Vec<String>,
    /// Where the next page starts; none when this was the last.
    pub cursor: Option<String>,
}

/// A bucket of keys that outlives calls, sessions and restarts. Single operations are atomic.
pub struct Bucket {
    pub(crate) inner: CurrentBucket,
}

impl Bucket {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.inner.get(key)
    }

    /// Sets a key; with a time to live it vanishes by itself.
    pub fn set(&self, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), KvError> {
        self.inner.set(key, value, ttl.map(milliseconds))
    }

    /// Sets a key which does not exist; true when it did so.
    pub fn set_if_absent(&self, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<bool, KvError> {
        self.inner.set_if_absent(key, value, ttl.map(milliseconds))
    }

    /// Replaces the value if it is the expected one (`None`: absent); true when it did so.
    pub fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl: Option<Duration>,
    ) -> Result<bool, KvError> {
        self.inner.compare_and_set(key, expected, value, ttl.map(milliseconds))
    }

    /// Removes a key.
    pub fn delete(&self, key: &str) -> Result<(), KvError> {
        self.inner.delete(key)
    }

    /// Adds to a counter and returns the sum. The time to live counts from the creation of the key: a fixed window.
    pub fn increment(&self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, KvError> {
        self.inner.increment(key, delta, ttl.map(milliseconds))
    }

    /// A rate limit: at most `burst` at once, and `burst` per `period` in the long run.
    pub fn take(&self, key: &str, cost: u32, burst: u32, period: Duration) -> Result<Taken, KvError> {
        self.inner.take(key, cost, burst, milliseconds(period))
    }

    /// Keys that begin with a prefix, in order.
    pub fn scan(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, KvError> {
        self.inner.scan(prefix, cursor, limit)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
