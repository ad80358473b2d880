//! Changes that wait for their write, and what each bucket holds.
//!
//! Invariant: what is not in a shard is as the database says, so a read looks there first and in the database
//! second, both under the shard's lock.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use baton_mail::UnixMs;
use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use rocksdb::Snapshot;

use super::{BUCKET_OCTETS_MAX, KEY_OCTETS_MAX, VALUE_OCTETS_MAX};
use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::KvError;
use crate::format::{FORMAT, after_prefix};

/// Locks that share out the keys.
const SHARDS: usize = 16;
/// Format octet and expiry, before the value.
const HEADER_OCTETS: usize = 9;
/// Entries that one page of a scan or sweep looks at.
const PAGE_ENTRIES: usize = 10_000;

/// All that is in memory of the key-value store.
pub(crate) struct KvState {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    pending_octets: AtomicU64,
    pending_octets_max: u64,
    octets_per_bucket_max: u64,
    /// Octets of keys and values by bucket, expired ones included until they are swept.
    usage: Mutex<HashMap<Box<[u8]>, i64>>,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<Bytes, Entry>,
    /// Keys whose entries wait for the next group.
    queued: Vec<Bytes>,
}

/// A change that is not in the database yet, or just gets there.
struct Entry {
    /// As the database will have it; none when it is deleted.
    value: Option<Bytes>,
    version: u64,
    is_queued: bool,
}

/// A change that a group writes.
pub(crate) struct Written {
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
    version: u64,
}

/// A value that did not expire.
#[derive(Clone, Copy)]
pub(super) struct Live<'a> {
    pub(super) value: &'a [u8],
    pub(super) expires: Option<UnixMs>,
}

/// What becomes of a value.
pub(super) enum Change {
    Keep,
    Put(Bytes),
    Delete,
}

/// What came of an attempt to change a value.
pub(super) enum Seen<R> {
    Done {
        result: R,
        changed: bool,
    },
    /// Only the disk knows the value.
    OnDisk,
}

impl Change {
    /// A new value; checked.
    pub(super) fn put(value: &[u8], expires: Option<UnixMs>) -> Result<Change, KvError> {
        if value.len() > VALUE_OCTETS_MAX {
            return Err(KvError::TooLarge);
        }
        let mut octets = BytesMut::with_capacity(HEADER_OCTETS + value.len());
        octets.put_u8(FORMAT);
        octets.put_u64(expires.map_or(0, |at| at.0.max(1)));
        octets.put_slice(value);
        Ok(Change::Put(octets.freeze()))
    }

    /// The new value.
    #[cfg(test)]
    pub(super) fn value(&self) -> Option<&[u8]> {
        match self {
            Change::Put(octets) => octets.get(HEADER_OCTETS..),
            _ => None,
        }
    }
}

/// The key in the `kv` family: format octet, length of the bucket's name, the name, the key.
pub(super) fn key(bucket: &str, key: &str) -> Result<Vec<u8>, KvError> {
    let bucket_len = u8::try_from(bucket.len()).map_err(|_| KvError::TooLarge)?;
    if bucket.is_empty() || bucket.len() > BUCKET_OCTETS_MAX || key.len() > KEY_OCTETS_MAX {
        return Err(KvError::TooLarge);
    }
    let mut octets = Vec::with_capacity(2 + bucket.len() + key.len());
    octets.extend_from_slice(&[FORMAT, bucket_len]);
    octets.extend_from_slice(bucket.as_bytes());
    octets.extend_from_slice(key.as_bytes());
    Ok(octets)
}

/// The bucket and the key in it that a key of the `kv` family means.
pub(crate) fn split_key(octets: &[u8]) -> Option<(String, String)> {
    let bucket = bucket_of(octets)?;
    let key = octets.get(2 + bucket.len()..)?;
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).ok();
    Some((text(bucket)?, text(key)?))
}

/// What stands behind the header of a value.
pub(crate) fn content(octets: &[u8]) -> &[u8] {
    octets.get(HEADER_OCTETS..).unwrap_or_default()
}

/// The bucket's name in a key.
fn bucket_of(key: &[u8]) -> Option<&[u8]> {
    let len = usize::from(*key.get(1)?);
    key.get(2..2 + len)
}

/// The value behind its header, unless it expired.
fn live(octets: &[u8], now: UnixMs) -> Option<Live<'_>> {
    let (&format, rest) = octets.split_first()?;
    let (expires, value) = rest.split_first_chunk::<8>()?;
    let expires = Some(UnixMs(u64::from_be_bytes(*expires))).filter(|at| at.0 != 0);
    (format == FORMAT && expires.is_none_or(|at| at > now)).then_some(Live { value, expires })
}

/// True when the value is there but too old.
fn is_expired(octets: &[u8], now: UnixMs) -> bool {
    octets.first() == Some(&FORMAT) && live(octets, now).is_none()
}

impl KvState {
    /// Nothing in memory.
    pub(crate) fn new(octets_per_bucket_max: u64, pending_octets_max: u64) -> KvState {
        KvState {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            pending_octets: AtomicU64::new(0),
            pending_octets_max,
            octets_per_bucket_max,
            usage: Mutex::default(),
        }
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards.get(index).expect("the index is within the number of shards")
    }

    /// Reads and changes one value as one step.
    pub(super) fn update<R>(
        &self,
        core: &Core,
        bucket: &str,
        key: &[u8],
        change: impl Fn(Option<Live<'_>>, UnixMs) -> Result<(Change, R), KvError>,
    ) -> Result<Seen<R>, KvError> {
        let now = core.clock.now();
        let mut shard = self.shard(key).lock();
        let (db, stored);
        let current: Option<&[u8]> = match shard.entries.get(key) {
            Some(entry) => entry.value.as_deref(),
            None => {
                db = core.db()?;
                match db.get_cached(Family::Kv, key).map_err(KvError::Unavailable)? {
                    Some(found) => {
                        stored = found;
                        stored.as_deref()
                    }
                    None => return Ok(Seen::OnDisk),
                }
            }
        };
        let (change, result) = change(current.and_then(|octets| live(octets, now)), now)?;
        let value = match change {
            Change::Keep => return Ok(Seen::Done { result, changed: false }),
            Change::Delete if current.is_none() => return Ok(Seen::Done { result, changed: false }),
            Change::Delete => None,
            Change::Put(octets) => Some(octets),
        };
        if core.health.is_poisoned() {
            return Err(KvError::Unavailable(core.health.poison()));
        }
        let size = |octets: usize| (key.len() + octets) as i64;
        let before = current.map_or(0, |octets| size(octets.len()));
        let after = value.as_ref().map_or(0, |octets| size(octets.len()));
        self.check_room(bucket.as_bytes(), after - before)?;
        self.put(&mut shard, Bytes::copy_from_slice(key), value);
        Ok(Seen::Done { result, changed: true })
    }

    /// Counts a change against the bucket's quota and against what may wait.
    fn check_room(&self, bucket: &[u8], growth: i64) -> Result<(), KvError> {
        if self.pending_octets.load(Ordering::Relaxed) > self.pending_octets_max {
            return Err(KvError::Unavailable("too much waits to be written".to_owned()));
        }
        let mut usage = self.usage.lock();
        let used = match usage.get_mut(bucket) {
            Some(used) => used,
            None => usage.entry(bucket.into()).or_default(),
        };
        let after = *used + growth;
        if growth > 0 && u64::try_from(after).is_ok_and(|after| after > self.octets_per_bucket_max) {
            return Err(KvError::Quota);
        }
        *used = after;
        Ok(())
    }

    fn put(&self, shard: &mut Shard, key: Bytes, value: Option<Bytes>) {
        let size = entry_octets(&key, value.as_ref());
        match shard.entries.get_mut(&key) {
            Some(entry) => {
                let before = if entry.is_queued { entry_octets(&key, entry.value.as_ref()) } else { 0 };
                self.pending_octets.fetch_add(size, Ordering::Relaxed);
                self.pending_octets.fetch_sub(before, Ordering::Relaxed);
                entry.value = value;
                entry.version += 1;
                if !std::mem::replace(&mut entry.is_queued, true) {
                    shard.queued.push(key);
                }
            }
            None => {
                self.pending_octets.fetch_add(size, Ordering::Relaxed);
                shard.queued.push(key.clone());
                shard.entries.insert(key, Entry { value, version: 0, is_queued: true });
            }
        }
    }

    /// For the commit thread: what waits, one write for each key however often it changed.
    pub(crate) fn take_pending(&self) -> Vec<Written> {
        let mut written = Vec::new();
        if self.pending_octets.load(Ordering::Relaxed) == 0 {
            return written;
        }
        for shard in &self.shards {
            let mut shard = shard.lock();
            for key in std::mem::take(&mut shard.queued) {
                if let Some(entry) = shard.entries.get_mut(&key) {
                    entry.is_queued = false;
                    self.pending_octets
                        .fetch_sub(entry_octets(&key, entry.value.as_ref()), Ordering::Relaxed);
                    written.push(Written { key, value: entry.value.clone(), version: entry.version });
                }
            }
        }
        written
    }

    /// For the commit thread: these are in the database now.
    pub(crate) fn forget_written(&self, written: Vec<Written>) {
        for Written { key, version, .. } in written {
            let mut shard = self.shard(&key).lock();
            if shard.entries.get(&key).is_some_and(|entry| entry.version == version && !entry.is_queued) {
                shard.entries.remove(&key);
            }
        }
    }

    /// For the commit thread: these could not be written and wait again.
    pub(crate) fn give_back_pending(&self, written: Vec<Written>) {
        for Written { key, .. } in written {
            let mut shard = self.shard(&key).lock();
            let Some(entry) = shard.entries.get_mut(&key) else { continue };
            if !std::mem::replace(&mut entry.is_queued, true) {
                self.pending_octets.fetch_add(entry_octets(&key, entry.value.as_ref()), Ordering::Relaxed);
                shard.queued.push(key);
            }
        }
    }

    /// Counts what the buckets held at start. Changes since then are counted as they happen.
    pub(crate) fn count_usage(&self, db: &Database, snapshot: &Snapshot<'_>, stopped: impl Fn() -> bool) {
        let mut found: HashMap<Box<[u8]>, i64> = HashMap::new();
        let mut entries = db.iterate_at(snapshot, Family::Kv, &[FORMAT], None);
        entries.seek_to_first();
        let mut seen = 0_u32;
        while let Some((key, value)) = entries.item() {
            if let Some(bucket) = bucket_of(key) {
                *found.entry(bucket.into()).or_default() += (key.len() + value.len()) as i64;
            }
            seen = seen.wrapping_add(1);
            if seen.is_multiple_of(1_000) && stopped() {
                return;
            }
            entries.next();
        }
        let mut usage = self.usage.lock();
        for (bucket, octets) in found {
            *usage.entry(bucket).or_default() += octets;
        }
    }

    /// Deletes what expired, page by page.
    pub(crate) fn sweep(&self, core: &Core, stopped: impl Fn() -> bool) {
        let mut from = Some(vec![FORMAT]);
        while let Some(start) = from.take().filter(|_| !stopped()) {
            let now = core.clock.now();
            let mut expired = Vec::new();
            let Ok(db) = core.db() else { return };
            let mut entries = db.iterate(Family::Kv, &start, None);
            entries.seek_to_first();
            let mut seen = 0;
            while let Some((key, value)) = entries.item() {
                if seen == PAGE_ENTRIES {
                    from = Some(key.to_vec());
                    break;
                }
                seen += 1;
                if is_expired(value, now) {
                    expired.push(key.to_vec());
                }
                entries.next();
            }
            for key in expired {
                self.delete_expired(core, &key, now);
            }
        }
    }

    /// Deletes one entry, if it is still expired.
    fn delete_expired(&self, core: &Core, key: &[u8], now: UnixMs) {
        let mut shard = self.shard(key).lock();
        if shard.entries.contains_key(key) {
            return;
        }
        let Ok(db) = core.db() else { return };
        let Ok(Some(Some(value))) = db.get_cached(Family::Kv, key) else { return };
        let Some(bucket) = bucket_of(key).filter(|_| is_expired(&value, now)) else { return };
        if self.check_room(bucket, -((key.len() + value.len()) as i64)).is_ok() {
            self.put(&mut shard, Bytes::copy_from_slice(key), None);
            drop(shard);
            core.commit.push_kv();
        }
    }
}

fn entry_octets(key: &Bytes, value: Option<&Bytes>) -> u64 {
    (key.len() + value.map_or(0, Bytes::len)) as u64
}

/// Keys, and where the next page begins when there is one.
type RawPage = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// Keys that begin with `prefix`, after `after`, and the last one looked at when there may be more.
pub(super) fn scan(
    state: &KvState,
    db: &Database,
    prefix: &[u8],
    after: Option<Vec<u8>>,
    limit: usize,
    now: UnixMs,
) -> Result<RawPage, String> {
    let is_wanted = |key: &[u8]| key.starts_with(prefix) && after.as_deref().is_none_or(|after| key > after);
    let mut pending: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
    for shard in &state.shards {
        for (key, entry) in shard.lock().entries.iter().filter(|(key, _)| is_wanted(key)) {
            let is_live = entry.value.as_deref().is_some_and(|octets| live(octets, now).is_some());
            pending.insert(key.to_vec(), is_live);
        }
    }
    let end = after_prefix(prefix);
    let start = after.as_deref().map_or(prefix, |after| after.max(prefix));
    let mut entries = db.iterate(Family::Kv, start, end.as_deref());
    entries.seek_to_first();
    let mut keys = Vec::new();
    let mut reached = None;
    let mut seen = 0;
    while let Some((key, octets)) = entries.item() {
        if keys.len() == limit || seen == PAGE_ENTRIES {
            reached = Some(key.to_vec());
            break;
        }
        seen += 1;
        if is_wanted(key) && !pending.contains_key(key) && live(octets, now).is_some() {
            keys.push(key.to_vec());
        }
        entries.next();
    }
    entries.status().map_err(rocksdb::Error::into_string)?;
    // What is pending and lies behind the page belongs to a later page.
    let in_page = |key: &Vec<u8>| reached.as_ref().is_none_or(|reached| key < reached);
    keys.extend(pending.into_iter().filter(|(key, is_live)| *is_live && in_page(key)).map(|(key, _)| key));
    keys.sort_unstable();
    let is_cut = reached.is_some() || keys.len() > limit;
    keys.truncate(limit);
    let cursor = if keys.len() == limit || reached.is_none() { keys.last().cloned() } else { reached };
    Ok((keys, cursor.filter(|_| is_cut)))
}
