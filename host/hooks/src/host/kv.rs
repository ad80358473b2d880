//! `kv`: buckets of the store, by grant, each plugin's own unless it is shared.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::bindings::baton::host::kv::{self, Error, Page, Taken};
use crate::host::{KvBackend, KvError};
use crate::state::{State, Stop};

/// Keys of one page at most.
const PAGE_KEYS_MAX: u32 = 1_000;
/// Buckets with this prefix belong to no plugin.
const SHARED: &str = "shared/";

/// An open bucket: the name that the backend knows it by.
#[derive(Clone, Debug)]
#[allow(unreachable_pub, reason = "the generated code re-exports it within this crate")]
pub struct Bucket(Arc<str>);

impl State {
    /// What a call on a bucket needs.
    fn bucket(&mut self, handle: &Resource<Bucket>) -> wasmtime::Result<(Arc<dyn KvBackend>, Arc<str>)> {
        self.charge()?;
        let bucket = self.table.get(handle)?;
        Ok((Arc::clone(&self.terms.capabilities.kv), Arc::clone(&bucket.0)))
    }

    /// The backend's name for a bucket, when the plugin may open it.
    fn check_bucket(&self, name: &str) -> Result<Arc<str>, Error> {
        let is_granted = self.terms.grants.kv.iter().any(|granted| granted == name);
        match self.hook {
            Some(_) if is_granted && name.starts_with(SHARED) => Ok(name.into()),
            Some(_) if is_granted => Ok(format!("{}/{name}", self.terms.name).into()),
            _ => Err(Error::Denied),
        }
    }
}

impl kv::Host for State {}

impl kv::HostBucket for State {
    async fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Bucket>, Error>> {
        self.charge()?;
        match self.check_bucket(&name) {
            Ok(name) => Ok(Ok(self.table.push(Bucket(name)).map_err(|_| Stop::Handles)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let (kv, bucket) = self.bucket(&bucket)?;
        let value = kv.get(&bucket, &key).await;
        if let Ok(Some(value)) = &value {
            self.charge_read(value.len())?;
        }
        Ok(value.map_err(Error::from))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let (kv, bucket) = self.bucket(&bucket)?;
        Ok(kv.set(&bucket, &key, value, ttl_ms).await.map_err(Error::from))
    }

    async fn set_if_absent(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let (kv, bucket) = self.bucket(&bucket)?;
        Ok(kv.set_if_absent(&bucket, &key, value, ttl_ms).await.map_err(Error::from))
    }

    async fn compare_and_set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let (kv, bucket) = self.bucket(&bucket)?;
        Ok(kv.compare_and_set(&bucket, &key, expected, value, ttl_ms).await.map_err(Error::from))
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<(), Error>> {
        let (kv, bucket) = self.bucket(&bucket)?;
        Ok(kv.delete(&bucket, &key).await.map_err(Error::from))
    }

    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<i64, Error>> {
        let (kv, bucket) = self.bucket(&bucket)?;
        Ok(kv.increment(&bucket, &key, delta, ttl_ms).await.map_err(Error::from))
    }

    async fn take(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        cost: u32,
        burst: u32,
        period_ms: u64,
    ) -> wasmtime::Result<Result<Taken, Error>> {
        let (kv, bucket) = self.bucket(&bucket)?;
        let taken = kv.take(&bucket, &key, cost, burst, period_ms).await;
        Ok(taken
            .map(|taken| Taken {
                allowed: taken.allowed,
                remaining: taken.remaining,
                retry_after_ms: taken.retry_after_ms,
            })
            .map_err(Error::from))
    }

    async fn scan(
        &mut self,
        bucket: Resource<Bucket>,
        prefix: String,
        cursor: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Page, Error>> {
        let (kv, bucket) = self.bucket(&bucket)?;
        let page = kv.scan(&bucket, &prefix, cursor, limit.min(PAGE_KEYS_MAX)).await;
        if let Ok(page) = &page {
            self.charge_read(page.keys.iter().map(String::len).sum())?;
        }
        Ok(page.map(|page| Page { keys: page.keys, cursor: page.cursor }).map_err(Error::from))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl From<KvError> for Error {
    fn from(error: KvError) -> Error {
        match error {
            KvError::Quota => Error::Quota,
            KvError::TooLarge => Error::TooLarge,
            KvError::Unavailable(detail) => Error::Unavailable(detail),
        }
    }
}
