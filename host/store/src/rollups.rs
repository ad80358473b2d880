//! Sums over time that a reader of the feed keeps: small values under ordered keys, written with its cursor.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::StoreError;
use crate::feed::{ConsumerName, Derived, Feed};
use crate::format::{FORMAT, after_prefix, decode_owned, encode};

/// The sums. Cheap to clone.
#[derive(Clone)]
pub struct Rollups {
    core: Arc<Core>,
}

/// A value as it is kept.
pub fn encode_value(value: &impl Serialize) -> Vec<u8> {
    encode(value)
}

/// What a value says; none when it makes no sense.
pub fn decode_value<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    decode_owned(value).ok()
}

/// Reads the sums, in a place where that may take a while.
pub struct Reader<'a>(&'a Database);

impl Reader<'_> {
    /// Shows entries whose keys begin with `prefix`, in order, until `show` has enough.
    ///
    /// # Errors
    /// When they can not be read.
    pub fn scan(&self, prefix: &[u8], mut show: impl FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let from = own(prefix);
        let mut entries = self.0.iterate(Family::Rollup, &from, after_prefix(&from).as_deref());
        entries.seek_to_first();
        while let Some((key, value)) = entries.item() {
            if !show(key.get(1..).unwrap_or_default(), value) {
                break;
            }
            entries.next();
        }
        entries.status().map_err(|error| StoreError::Unreadable(error.into_string()))
    }
}

fn own(key: &[u8]) -> Vec<u8> {
    [&[FORMAT], key].concat()
}

impl Rollups {
    pub(crate) fn new(core: Arc<Core>) -> Rollups {
        Rollups { core }
    }

    /// The values of these keys, in their order.
    ///
    /// # Errors
    /// When they can not be read.
    pub async fn get(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.read(move |reader| {
            let get = |key: &Vec<u8>| {
                let value = reader.0.get(Family::Rollup, &own(key)).map_err(StoreError::Unreadable)?;
                Ok(value.map(|value| value.to_vec()))
            };
            keys.iter().map(get).collect()
        })
        .await
    }

    /// How many keys begin with each of these, as far as `most`.
    ///
    /// # Errors
    /// When they can not be read.
    pub async fn count(&self, prefixes: Vec<Vec<u8>>, most: usize) -> Result<Vec<usize>, StoreError> {
        if prefixes.is_empty() {
            return Ok(Vec::new());
        }
        self.read(move |reader| {
            let count = |prefix: &Vec<u8>| {
                let mut count = 0;
                reader.scan(prefix, |_, _| {
                    count += 1;
                    count < most
                })?;
                Ok(count)
            };
            prefixes.iter().map(count).collect()
        })
        .await
    }

    /// Reads on a thread that may wait for the disk.
    ///
    /// # Errors
    /// Those of `read`, and when the store is closed.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let core = Arc::clone(&self.core);
        let read = move || {
            let db = core.db()?;
            read(&Reader(&db))
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)?
    }

    /// Writes what a consumer made of all before `next`, and deletes ranges; on disk when this returns.
    ///
    /// # Errors
    /// When nothing was written.
    pub async fn write(
        &self,
        consumer: &ConsumerName,
        next: u64,
        puts: Vec<(Vec<u8>, Vec<u8>)>,
        forget: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let puts = puts.into_iter().map(|(key, value)| (own(&key), value)).collect();
        let forget = forget.iter().map(|(from, to)| (own(from), own(to))).collect();
        Feed::new(Arc::clone(&self.core)).derive(Derived::Rollup, puts, forget, consumer, next, false).await
    }
}
