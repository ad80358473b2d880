//! Reading the feed: from memory, or through the pointers on disk.

use std::sync::{Arc, OnceLock};

use baton_mail::UnixMs;

use super::tail::Fresh;
use super::{Page, Pointer, Told, decode_pointers, feed_key, number_of};
use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::StoreError;
use crate::format::decode_history;

/// What records in memory say. Each is decoded once, whoever asks.
pub(super) fn decode_fresh(core: &Core, from: u64, fresh: &[Arc<Fresh>]) -> Result<Page, StoreError> {
    let told = fresh.iter().filter_map(|fresh| {
        let told = fresh.told.get_or_init(|| {
            let db = core.db().ok();
            told(core, db.as_deref(), fresh.number, &fresh.pointer, &fresh.value)
        });
        told.clone()
    });
    Ok(Page { told: told.collect(), next: fresh.last().map_or(from, |last| last.number + 1), missed: 0 })
}

/// Up to `max` numbers from this one on, from the disk.
pub(super) fn read_stored(core: &Core, from: u64, max: usize) -> Result<Page, StoreError> {
    let db = core.db()?;
    let mut page = Page { told: Vec::new(), next: from, missed: 0 };
    for (number, pointer) in pointers(&db, core.feed.first(), from, max)? {
        // Forgotten meanwhile: its message is too old, or its recipient wants to be.
        if let Some(value) = db.get(Family::History, &pointer.key()).map_err(StoreError::Unreadable)? {
            page.told.extend(told(core, Some(&db), number, &pointer, &value));
        }
        page.next = number + 1;
    }
    Ok(page)
}

fn told(
    core: &Core,
    db: Option<&Database>,
    number: u64,
    pointer: &Pointer,
    value: &[u8],
) -> Option<Arc<Told>> {
    match decode_history(value) {
        Ok((own, events)) => {
            let facts = core.feed.facts.of(db, pointer.message(), own, &events);
            Some(Arc::new(Told { number, events, facts, text: OnceLock::new() }))
        }
        Err(detail) => {
            let message = pointer.message();
            tracing::error!(target: "store", %message, detail, "a history record is damaged");
            None
        }
    }
}

/// Up to `max` pointers with their numbers, from this one on.
fn pointers(db: &Database, first: u64, from: u64, max: usize) -> Result<Vec<(u64, Pointer)>, StoreError> {
    // The bound keeps the look back off what was deleted.
    let mut records = db.iterate(Family::Feed, &feed_key(first), None);
    records.seek_for_prev(feed_key(from));
    if !records.valid() {
        records.seek_to_first();
    }
    let mut found = Vec::new();
    while let Some((key, value)) = records.item().filter(|_| found.len() < max) {
        match number_of(key).zip(decode_pointers(value)) {
            Some((number, pointers)) => {
                let all = (number..).zip(pointers).skip_while(|(number, _)| *number < from);
                found.extend(all.take(max - found.len()));
            }
            None => tracing::error!(target: "store", "a record of the feed is damaged"),
        }
        records.next();
    }
    records.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(found)
}

/// About the first number of this time or later: by halving, because numbers grow with time.
pub(super) fn at_time(core: &Core, time: UnixMs) -> Result<u64, StoreError> {
    let db = core.db()?;
    let first = core.feed.first();
    let (mut low, mut high) = (first, core.feed.head());
    while low < high {
        let middle = low + (high - low) / 2;
        match pointers(&db, first, middle, 1)?.first() {
            Some((_, pointer)) if pointer.time() < time => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Where the record begins that has the first number of this time; never behind the newest record.
pub(crate) fn kept_from(core: &Core, time: UnixMs) -> Result<u64, StoreError> {
    let number = at_time(core, time)?;
    let db = core.db()?;
    let mut records = db.iterate(Family::Feed, &feed_key(core.feed.first()), None);
    records.seek_for_prev(feed_key(number));
    Ok(records.key().and_then(number_of).unwrap_or(0))
}

/// The least number on disk, and the one behind the greatest.
pub(super) fn bounds(db: &Database) -> Result<(u64, u64), String> {
    let mut records = db.iterate(Family::Feed, &feed_key(0), None);
    records.seek_to_first();
    let first = records.key().and_then(number_of).unwrap_or(0);
    records.seek_to_last();
    let last = records.item().and_then(|(key, value)| {
        let count = decode_pointers(value).map_or(1, |pointers| pointers.len());
        Some(number_of(key)? + count as u64)
    });
    records.status().map_err(rocksdb::Error::into_string)?;
    Ok((first, last.unwrap_or(first)))
}
