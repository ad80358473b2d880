//! How far somebody has read, kept for it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use baton_mail::UnixMs;
use serde::{Deserialize, Serialize};

use super::Feed;
use crate::commit::Op;
use crate::core::Core;
use crate::database::Family;
use crate::error::StoreError;
use crate::format::{FORMAT, after_prefix, encode, strip_format};

/// Names who reads: letters of a kind and a name, such as `webhook/acme/orders`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerName(Arc<str>);

/// The text is no name of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a consumer's name: 1 to {NAME_OCTETS_MAX} letters, digits and any of `-_./`")]
pub struct InvalidName;

impl FromStr for ConsumerName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<ConsumerName, InvalidName> {
        let is_fit = |octet: u8| octet.is_ascii_alphanumeric() || b"-_./".contains(&octet);
        let fits = (1..=NAME_OCTETS_MAX).contains(&text.len()) && text.bytes().all(is_fit);
        fits.then(|| ConsumerName(text.into())).ok_or(InvalidName)
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a consumer does not get on, kept beside its cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when.
    pub since: UnixMs,
    /// The reason when it began.
    pub why: String,
}

/// Octets of a consumer's name.
const NAME_OCTETS_MAX: usize = 200;
/// Consumers that are listed.
const CONSUMERS_MAX: usize = 10_000;

/// A cursor to be written, or to be forgotten.
pub(crate) struct CursorOp {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// Key of a cursor in the `meta` family.
pub(crate) fn cursor_key(name: &ConsumerName) -> Vec<u8> {
    [&[FORMAT], CURSOR_PREFIX, name.0.as_bytes()].concat()
}

/// What the keys of cursors begin with, after the format octet.
const CURSOR_PREFIX: &[u8] = b"cursor:";

impl Feed {
    /// Where a consumer goes on; none when it has never acknowledged anything.
    pub async fn cursor(&self, consumer: &ConsumerName) -> Result<Option<u64>, StoreError> {
        Ok(self.standing(consumer).await?.map(|(next, _)| next))
    }

    /// As [`Feed::cursor`], with the trouble that the consumer was in when it was acknowledged last.
    pub async fn standing(
        &self,
        consumer: &ConsumerName,
    ) -> Result<Option<(u64, Option<Trouble>)>, StoreError> {
        self.0.barrier().await?;
        let (core, key) = (Arc::clone(&self.0), cursor_key(consumer));
        blocking(move || {
            let db = core.db()?;
            let value = db.get(Family::Meta, &key).map_err(StoreError::Unreadable)?;
            value.map(|value| decode_cursor(&value).map_err(StoreError::Damaged)).transpose()
        })
        .await
    }

    /// All before `next` is done with. Rides on the next sync: a crash before it tells the last part again.
    pub fn acknowledge(&self, consumer: &ConsumerName, next: u64) -> Result<(), StoreError> {
        self.acknowledge_in_trouble(consumer, next, None)
    }

    /// As [`Feed::acknowledge`], and what keeps the consumer from getting on, if anything, in the same value.
    pub fn acknowledge_in_trouble(
        &self,
        consumer: &ConsumerName,
        next: u64,
        trouble: Option<&Trouble>,
    ) -> Result<(), StoreError> {
        let op = CursorOp { key: cursor_key(consumer), value: Some(encode_cursor(next, trouble)) };
        Ok(self.0.commit.push(Op::Cursor(op))?)
    }

    /// The consumer is gone.
    pub fn forget(&self, consumer: &ConsumerName) -> Result<(), StoreError> {
        Ok(self.0.commit.push(Op::Cursor(CursorOp { key: cursor_key(consumer), value: None }))?)
    }

    /// All consumers whose names begin with this, and where each goes on.
    pub async fn consumers(&self, prefix: &str) -> Result<Vec<(ConsumerName, u64)>, StoreError> {
        self.0.barrier().await?;
        let (core, prefix) = (Arc::clone(&self.0), prefix.to_owned());
        blocking(move || list(&core, &prefix)).await
    }
}

/// The number, and trouble behind it: older programs read the number and pass over the rest.
fn encode_cursor(next: u64, trouble: Option<&Trouble>) -> Vec<u8> {
    match trouble {
        None => encode(&next),
        Some(trouble) => encode(&(next, trouble)),
    }
}

fn decode_cursor(value: &[u8]) -> Result<(u64, Option<Trouble>), String> {
    let read = |record| {
        let (next, rest) = postcard::take_from_bytes::<u64>(record)?;
        let trouble = (!rest.is_empty()).then(|| postcard::from_bytes(rest)).transpose()?;
        Ok((next, trouble))
    };
    read(strip_format(value)?).map_err(|error: postcard::Error| error.to_string())
}

fn list(core: &Core, prefix: &str) -> Result<Vec<(ConsumerName, u64)>, StoreError> {
    let begin = [&[FORMAT], CURSOR_PREFIX].concat();
    let from = [begin.as_slice(), prefix.as_bytes()].concat();
    let db = core.db()?;
    let mut cursors = db.iterate(Family::Meta, &from, after_prefix(&from).as_deref());
    cursors.seek_to_first();
    let mut found = Vec::new();
    while let Some((key, value)) = cursors.item().filter(|_| found.len() < CONSUMERS_MAX) {
        let name = key.get(begin.len()..).and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
        found.extend(name.zip(decode_cursor(value).ok().map(|(next, _)| next)));
        cursors.next();
    }
    cursors.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(found)
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)?
}
