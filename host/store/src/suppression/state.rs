//! What is in memory of the lists: the filter, made at start and again when it became too small; and how a batch changes them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use baton_mail::UnixMs;
use parking_lot::Mutex;
use rocksdb::Snapshot;

use super::entry::{Change, Record};
use super::filter::Filter;
use super::record::{Hash, entry_key, list_key, split_entry_key};
use super::rules::Rules;
use super::{Keyed, decode_record};
use crate::commit::{Op, SuppressOp};
use crate::core::Core;
use crate::database::{Database, Family};
use crate::format::{FORMAT, decode_owned, encode};

/// Entries that one page of a sweep looks at, and changes of one batch of it at most.
const PAGE_ENTRIES: usize = 5_000;

/// The filter and the count.
#[derive(Default)]
pub(crate) struct SuppressionState {
    /// None until what was there at start is in it: then every address may have an entry.
    filter: ArcSwapOption<Filter>,
    /// Those that learn of new addresses: the one that serves, and the one that is being made.
    growing: Mutex<Vec<Arc<Filter>>>,
    entries: AtomicI64,
    pub(super) rules: ArcSwap<Rules>,
}

impl SuppressionState {
    /// True when nothing is kept of anybody.
    pub(crate) fn is_known_empty(&self) -> bool {
        self.filter.load().as_ref().is_some_and(|filter| filter.is_empty())
    }

    /// False when nothing is kept of that address.
    pub(crate) fn may_hold(&self, hash: &Hash) -> bool {
        self.filter.load().as_ref().is_none_or(|filter| filter.may_hold(hash))
    }

    /// For the commit thread, before something is written: from now on these may be there.
    pub(crate) fn note(&self, changes: &[Keyed]) {
        let adds = |change: &&Keyed| matches!(change.change, Change::Add(_) | Change::SoftBounce { .. });
        let hashes: Vec<&Hash> = changes.iter().filter(adds).map(|change| &change.hash).collect();
        if hashes.is_empty() {
            return;
        }
        for filter in self.growing.lock().iter() {
            hashes.iter().for_each(|hash| filter.insert(hash));
        }
    }

    /// So many entries more, or fewer, are written.
    pub(crate) fn count_change(&self, change: i64) {
        self.entries.fetch_add(change, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.entries.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// A filter that learns of all that comes from now on, for what is there already to be put in.
    fn begin(&self, keys: u64) -> Arc<Filter> {
        let filter = Arc::new(Filter::for_keys(keys));
        self.growing.lock().push(Arc::clone(&filter));
        filter
    }

    fn serve(&self, filter: Arc<Filter>) {
        let mut growing = self.growing.lock();
        growing.retain(|other| Arc::ptr_eq(other, &filter));
        self.filter.store(Some(filter));
    }

    /// Before the state at start is pinned: what comes from now on is in the filter that will serve.
    pub(crate) fn prepare(&self) {
        self.begin(0);
    }

    /// Puts what was there at start into the filter, and counts it.
    pub(crate) fn load(&self, db: &Database, snapshot: &Snapshot<'_>, stopped: impl Fn() -> bool) {
        let Some(filter) = self.growing.lock().last().cloned() else { return };
        if let Some(found) = fill(&filter, db, snapshot, stopped) {
            self.entries.fetch_add(found, Ordering::Relaxed);
            self.serve(filter);
        }
    }

    /// Makes a larger filter when the one that serves is too small.
    pub(crate) fn grow(&self, core: &Core, stopped: impl Fn() -> bool) {
        let serving = self.filter.load_full();
        let Some(keys) = serving.and_then(|filter| filter.outgrown()) else { return };
        let Ok(db) = core.db() else { return };
        let filter = self.begin(keys);
        // After it was begun: nothing falls between.
        let snapshot = db.snapshot();
        if fill(&filter, &db, &snapshot, stopped).is_some() {
            self.serve(filter);
        }
    }
}

/// Inserts every address that is kept; returns how many entries there are. None when it was stopped.
fn fill(filter: &Filter, db: &Database, snapshot: &Snapshot<'_>, stopped: impl Fn() -> bool) -> Option<i64> {
    let mut records = db.iterate_at(snapshot, Family::Suppression, &[FORMAT], None);
    records.seek_to_first();
    let (mut found, mut seen) = (0, 0_u32);
    while let Some((key, value)) = records.item() {
        if let Some((hash, _)) = split_entry_key(key) {
            filter.insert(&hash);
        }
        found += i64::from(decode_owned::<Record>(value).is_ok_and(|record| record.entry.is_some()));
        seen = seen.wrapping_add(1);
        if seen.is_multiple_of(1_000) && stopped() {
            return None;
        }
        records.next();
    }
    // What can not be read may be there.
    records.status().is_ok().then_some(found)
}

/// Forgets what came to its end, page by page.
pub(crate) fn sweep(core: &Core, stopped: impl Fn() -> bool) {
    let mut from = Some(vec![FORMAT]);
    while let Some(start) = from.take().filter(|_| !stopped()) {
        let now = core.clock.now();
        let Ok(db) = core.db() else { return };
        let mut records = db.iterate(Family::Suppression, &start, None);
        records.seek_to_first();
        let mut ended = Vec::new();
        let mut seen = 0;
        while let Some((key, value)) = records.item() {
            if seen == PAGE_ENTRIES {
                from = Some(key.to_vec());
                break;
            }
            seen += 1;
            if let (Some((hash, scope)), Ok(record)) = (split_entry_key(key), decode_record(value))
                && record.clone().changed(&Change::Sweep, None, now) != record
            {
                ended.push(Keyed { hash, scope: scope.to_vec(), address: None, change: Change::Sweep });
            }
            records.next();
        }
        if !ended.is_empty() {
            let op = SuppressOp { changes: ended, history: Vec::new(), answer: None };
            // Refused only when the store is closed.
            let _ = core.commit.push(Op::Suppress(op));
        }
    }
}

/// The changes of one batch, each on what the one before it left.
#[derive(Default)]
pub(crate) struct Batched {
    records: HashMap<Vec<u8>, Record>,
}

/// What a batch writes for one change.
pub(crate) struct Writes {
    /// Key and value of the record; without a value it is deleted.
    pub(crate) record: (Vec<u8>, Option<Vec<u8>>),
    /// The place in the list that is left, and the one that is taken.
    pub(crate) left: Option<Vec<u8>>,
    pub(crate) taken: Option<Vec<u8>>,
    /// Entries more or fewer.
    pub(crate) count: i64,
}

impl Batched {
    /// What a change writes; nothing when it changes nothing.
    pub(crate) fn apply(
        &mut self,
        db: &Database,
        keyed: &Keyed,
        now: UnixMs,
    ) -> Result<Option<Writes>, String> {
        let key = entry_key(&keyed.hash, &keyed.scope);
        let before = match self.records.get(&key) {
            Some(record) => record.clone(),
            None => match db.get(Family::Suppression, &key)? {
                // One that makes no sense is replaced: it stops nobody's mail as it is.
                Some(value) => decode_owned(&value).unwrap_or_default(),
                None => Record::default(),
            },
        };
        let after = before.clone().changed(&keyed.change, keyed.address.as_deref(), now);
        if after == before {
            return Ok(None);
        }
        let place = |record: &Record| {
            record.entry.as_ref().map(|entry| list_key(&keyed.scope, entry.at, &keyed.hash))
        };
        let (left, taken) = (place(&before), place(&after));
        let value = (!after.is_empty()).then(|| encode(&after));
        let count = i64::from(after.entry.is_some()) - i64::from(before.entry.is_some());
        self.records.insert(key.clone(), after);
        Ok(Some(Writes {
            record: (key, value),
            left: left.filter(|left| taken.as_ref() != Some(left)),
            taken,
            count,
        }))
    }
}
