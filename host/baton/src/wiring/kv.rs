//! Key-value buckets for plugins: the store's.

use baton_hooks::host::{KvBackend, KvError, Page, Taken};
use baton_store::Kv;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// The store's buckets as plugins see them.
pub(crate) struct PluginKv(pub(crate) Kv);

impl KvBackend for PluginKv {
    fn get<'a>(&'a self, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, KvError>> {
        self.0.get(bucket, key).map(to_plugin).boxed()
    }

    fn set<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<(), KvError>> {
        async move { to_plugin(self.0.set(bucket, key, &value, ttl_ms).await) }.boxed()
    }

    fn set_if_absent<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, KvError>> {
        async move { to_plugin(self.0.set_if_absent(bucket, key, &value, ttl_ms).await) }.boxed()
    }

    fn compare_and_set<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, KvError>> {
        async move {
            to_plugin(
                self.0.compare_and_set(bucket, key, expected.as_deref(), value.as_deref(), ttl_ms).await,
            )
        }
        .boxed()
    }

    fn delete<'a>(&'a self, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<(), KvError>> {
        self.0.delete(bucket, key).map(to_plugin).boxed()
    }

    fn increment<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<i64, KvError>> {
        self.0.increment(bucket, key, delta, ttl_ms).map(to_plugin).boxed()
    }

    fn take<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        cost: u32,
        burst: u32,
        period_ms: u64,
    ) -> BoxFuture<'a, Result<Taken, KvError>> {
        async move {
            let taken = to_plugin(self.0.take(bucket, key, cost, burst, period_ms).await)?;
            Ok(Taken {
                allowed: taken.allowed,
                remaining: taken.remaining,
                retry_after_ms: taken.retry_after_ms,
            })
        }
        .boxed()
    }

    fn scan<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
        cursor: Option<String>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Page, KvError>> {
        async move {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let page = to_plugin(self.0.scan(bucket, prefix, cursor.as_deref(), limit).await)?;
            Ok(Page { keys: page.keys, cursor: page.cursor })
        }
        .boxed()
    }
}

fn to_plugin<T>(result: Result<T, baton_store::KvError>) -> Result<T, KvError> {
    result.map_err(|error| match error {
        baton_store::KvError::Quota => KvError::Quota,
        baton_store::KvError::TooLarge => KvError::TooLarge,
        other => KvError::Unavailable(other.to_string()),
    })
}
