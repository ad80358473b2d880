//! The catalog: small named records that operators and the API keep, such as tenants, tokens and templates.
//!
//! Invariant: a change is on disk when it is answered, all of its edits or none of them.
//!
//! Invariant: an edit that expects something is made on exactly that. Changes of the same record wait for one another.
//!
//! Invariant: a version is given out once, so who expects one never meets another record of the same name.

mod expiry;
mod record;
mod table;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_mail::UnixMs;
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, oneshot};

pub(crate) use expiry::{expired, sweep};
pub(crate) use record::Put;
pub use record::{
    Edit, Expect, Key, Kind, NAME_OCTETS_MAX, Page, Query, Record, TENANT_OCTETS_MAX, VALUE_OCTETS_MAX,
};
pub use table::{Row, STREAM, TENANT, TOKEN, Tenants};

use crate::commit::{CatalogOp, Op};
use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::StoreError;
use record::{decode, encode_edit, kind_of};
use table::Tables;

/// Records that one page has at most.
pub const PAGE_RECORDS_MAX: usize = 1_000;
/// Octets of values that one page has at most, but for its first record.
const PAGE_OCTETS_MAX: usize = 8 << 20;
/// Edits of one change at most.
pub const EDITS_MAX: usize = 100;
/// Locks that share out the records. Two records of one lock wait for each other without need, and that is all.
const LOCKS: usize = 64;

/// Why the catalog was not read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// What was expected is not what is there.
    #[error("{key} is not as expected: {}", found_in_words(*found))]
    Conflict {
        /// The record.
        key: String,
        /// The version that is there; none when there is no such record.
        found: Option<u64>,
    },
    /// The tenant has as many records of that kind as are allowed.
    #[error("there are {most} records of kind {kind} already, and no more are taken")]
    TooMany {
        /// The kind.
        kind: &'static str,
        /// How many are allowed.
        most: usize,
    },
    /// A name, tenant or value that no record can have.
    #[error("{0}")]
    Unfit(String),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a record was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError<E> {
    /// The caller did not want to, seeing what is there.
    #[error(transparent)]
    Refused(E),
    /// The catalog could not.
    #[error(transparent)]
    Catalog(CatalogError),
}

/// What is in memory of the catalog.
#[derive(Default)]
pub(crate) struct CatalogState {
    locks: Locks,
    /// Counts the changes of each kind, so that who knows a record learns that it may be another one.
    revisions: Mutex<HashMap<&'static str, Arc<AtomicU64>>>,
    /// The last version that was given out.
    last_version: AtomicU64,
    pub(crate) tables: Tables,
}

struct Locks {
    hasher: RandomState,
    locks: [Arc<tokio::sync::Mutex<()>>; LOCKS],
}

impl Default for Locks {
    fn default() -> Locks {
        Locks { hasher: RandomState::new(), locks: std::array::from_fn(|_| Arc::default()) }
    }
}

impl Locks {
    /// Waits until nobody else changes one of these records. Always in the same order, so nobody waits in a ring.
    async fn take(&self, keys: impl Iterator<Item = &Key>) -> Vec<OwnedMutexGuard<()>> {
        let mut wanted: Vec<usize> =
            keys.map(|key| self.hasher.hash_one(key.octets()) as usize % LOCKS).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut guards = Vec::with_capacity(wanted.len());
        for lock in wanted.into_iter().filter_map(|index| self.locks.get(index)) {
            guards.push(Arc::clone(lock).lock_owned().await);
        }
        guards
    }
}

impl CatalogState {
    /// A version that no record has or had: the time, or the number behind the last one.
    fn next_version(&self, now: UnixMs) -> u64 {
        let next = |last: u64| now.0.max(last + 1);
        let given =
            self.last_version.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        given.map_or_else(next, next)
    }

    /// Records of these kinds were written, or removed.
    pub(crate) fn note(&self, puts: &[Put]) {
        if puts.is_empty() {
            return;
        }
        self.tables.learn(puts);
        let revisions = self.revisions.lock();
        for put in puts {
            if let Some(revision) = kind_of(&put.key).and_then(|kind| revisions.get(kind)) {
                revision.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    fn revision(&self, kind: Kind) -> Arc<AtomicU64> {
        Arc::clone(self.revisions.lock().entry(kind.name()).or_default())
    }
}

/// The edits as the database takes them, with the records that they leave.
pub(crate) fn encode(core: &Core, edits: &[Edit]) -> (Vec<Put>, Vec<Option<Record>>) {
    let now = core.clock.now();
    let mut puts = Vec::with_capacity(edits.len());
    let mut records = Vec::with_capacity(edits.len());
    for edit in edits {
        records.push(encode_edit(edit, core.catalog.next_version(now), now, &mut puts));
    }
    (puts, records)
}

/// The catalog. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    core: Arc<Core>,
}

impl Catalog {
    pub(crate) fn new(core: Arc<Core>) -> Catalog {
        Catalog { core }
    }

    /// The record, when it is there and did not expire.
    ///
    /// # Errors
    /// When it can not be read, or makes no sense.
    pub async fn get(&self, key: &Key) -> Result<Option<Record>, CatalogError> {
        // What is in memory, which is the rule, is read without a thread for it.
        {
            let db = self.core.db().map_err(StoreError::from)?;
            let found = db.get_cached(Family::Catalog, key.octets()).map_err(StoreError::Unreadable)?;
            if let Some(value) = found {
                return Ok(self.live(key, value.as_deref())?);
            }
        }
        let (this, key) = (self.clone(), key.clone());
        let read = tokio::task::spawn_blocking(move || this.read(&key));
        Ok(read.await.map_err(|_| StoreError::Closed)??)
    }

    fn read(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let db = self.core.db()?;
        let value = db.get(Family::Catalog, key.octets()).map_err(StoreError::Unreadable)?;
        self.live(key, value.as_deref())
    }

    fn live(&self, key: &Key, value: Option<&[u8]>) -> Result<Option<Record>, StoreError> {
        let Some(value) = value else { return Ok(None) };
        let record = decode(key.clone(), value)
            .map_err(|cause| StoreError::Damaged(format!("the record {key} of the catalog: {cause}")))?;
        let now = self.core.clock.now();
        Ok(Some(record).filter(|record| record.is_live(now)))
    }

    /// A page of records in the order of their tenants and names.
    ///
    /// # Errors
    /// When the records can not be read, or one makes no sense.
    pub async fn list(&self, query: &Query) -> Result<Page, CatalogError> {
        let (this, query) = (self.clone(), query.clone());
        let listed = tokio::task::spawn_blocking(move || this.read_page(&query));
        Ok(listed.await.map_err(|_| StoreError::Closed)??)
    }

    fn read_page(&self, query: &Query) -> Result<Page, StoreError> {
        let db = self.core.db()?;
        let (from, end) = query.range();
        let limit = query.limit.clamp(1, PAGE_RECORDS_MAX);
        let mut entries = db.iterate(Family::Catalog, &from, end.as_deref());
        entries.seek_to_first();
        let (mut page, mut octets) = (Page::default(), 0);
        while let Some((key, value)) = entries.item() {
            let key = Key::decode(query.kind, key)
                .ok_or_else(|| StoreError::Damaged(format!("a key of kind {}", query.kind.name())))?;
            octets += value.len();
            if page.records.len() == limit || (octets > PAGE_OCTETS_MAX && !page.records.is_empty()) {
                page.next = page.records.last().map(|record: &Record| record.key.clone());
                return Ok(page);
            }
            page.records.extend(self.live(&key, Some(value))?);
            entries.next();
        }
        entries.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
        Ok(page)
    }

    /// Makes all of these edits, or none when one of them expects what is not there. Returns what each of them left, on
    /// disk.
    ///
    /// # Errors
    /// When something is not as expected, there are too many records, or the store can not read or write.
    pub async fn apply(&self, edits: Vec<Edit>) -> Result<Vec<Option<Record>>, CatalogError> {
        if edits.len() > EDITS_MAX {
            return Err(CatalogError::Unfit(format!("a change has {EDITS_MAX} edits at most")));
        }
        let alone = self.core.catalog.locks.take(edits.iter().map(|edit| &edit.key)).await;
        self.check(&edits).await?;
        self.write(&edits, alone).await
    }

    /// Changes one record as one step: `change` gets what is there and says what is to be there. Returns the record that
    /// is there then, on disk, with what is written `beside` it when it is changed.
    ///
    /// # Errors
    /// When `change` refuses, or the catalog can not be read or changed.
    pub async fn change<E>(
        &self,
        key: &Key,
        change: impl FnOnce(Option<Record>) -> Result<Option<Edit>, E>,
        beside: Vec<Edit>,
    ) -> Result<Option<Record>, EditError<E>> {
        let keys = std::iter::once(key).chain(beside.iter().map(|edit| &edit.key));
        let alone = self.core.catalog.locks.take(keys).await;
        let before = self.get(key).await.map_err(EditError::Catalog)?;
        let is_new = before.is_none();
        let Some(edit) = change(before).map_err(EditError::Refused)? else { return Ok(None) };
        if edit.key != *key {
            let other = CatalogError::Unfit(format!("the change of {key} is one of {}", edit.key));
            return Err(EditError::Catalog(other));
        }
        if is_new && edit.is_put() {
            self.check_room(std::slice::from_ref(key)).await.map_err(EditError::Catalog)?;
        }
        let edits: Vec<Edit> = std::iter::once(edit).chain(beside).collect();
        let written = self.write(&edits, alone).await.map_err(EditError::Catalog)?;
        Ok(written.into_iter().next().flatten())
    }

    /// A number that is another one after each change of a record of that kind.
    pub fn revision(&self, kind: Kind) -> u64 {
        self.core.catalog.revision(kind).load(Ordering::Acquire)
    }

    async fn check(&self, edits: &[Edit]) -> Result<(), CatalogError> {
        let mut new = Vec::new();
        for edit in edits {
            if edit.expect == Expect::Anything && !(edit.is_put() && edit.key.kind.is_bounded()) {
                continue;
            }
            let found = self.get(&edit.key).await?;
            let version = found.as_ref().map(|record| record.version);
            if !edit.expect.holds(version) {
                return Err(CatalogError::Conflict { key: edit.key.to_string(), found: version });
            }
            if found.is_none() && edit.is_put() {
                new.push(edit.key.clone());
            }
        }
        self.check_room(&new).await
    }

    /// Whether as many records more than there are would be within the bounds of their kinds.
    async fn check_room(&self, new: &[Key]) -> Result<(), CatalogError> {
        for (index, key) in new.iter().enumerate().filter(|(_, key)| key.kind.is_bounded()) {
            let is_beside = |other: &&Key| other.kind == key.kind && other.tenant() == key.tenant();
            let before = new.iter().take(index).filter(is_beside).count();
            let (this, query) = (self.clone(), Query::of(key.kind).tenant(key.tenant()));
            let most = key.kind.records_max();
            let counted = tokio::task::spawn_blocking(move || {
                let db = this.core.db()?;
                count(&db, &query, most)
            });
            if before + counted.await.map_err(|_| StoreError::Closed)?? >= most {
                return Err(CatalogError::TooMany { kind: key.kind.name(), most });
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        edits: &[Edit],
        alone: Vec<OwnedMutexGuard<()>>,
    ) -> Result<Vec<Option<Record>>, CatalogError> {
        let (puts, records) = encode(&self.core, edits);
        let (answer, answered) = oneshot::channel();
        let op = Op::Catalog(CatalogOp { puts, answer, _alone: alone });
        self.core.commit.push(op).map_err(StoreError::from)?;
        answered.await.map_err(|_| self.core.lost())?.map_err(StoreError::from)?;
        Ok(records)
    }
}

fn found_in_words(found: Option<u64>) -> String {
    found.map_or_else(|| "it is not there".to_owned(), |version| format!("it has version {version}"))
}

/// The records there, as far as `most`; expired ones count until they are swept.
fn count(db: &Database, query: &Query, most: usize) -> Result<usize, StoreError> {
    let (from, end) = query.range();
    let mut entries = db.iterate(Family::Catalog, &from, end.as_deref());
    entries.seek_to_first();
    let mut found = 0;
    while entries.valid() && found < most {
        found += 1;
        entries.next();
    }
    entries.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(found)
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Catalog").finish_non_exhaustive()
    }
}
