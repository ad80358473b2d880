//! The one place that knows RocksDB: how it is opened, read and written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_mail::UnixMs;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, CompactionDecision,
    DB, DBCompressionType, DBPinnableSlice, DBRawIterator, DBRecoveryMode, ErrorKind, InfoLogger, LogLevel,
    Options, ReadOptions, ReadTier, Snapshot, WriteBatch, WriteOptions,
};

use crate::StoreSettings;
use crate::error::OpenError;
use crate::format::{
    DATABASE_FORMAT, DATABASE_FORMAT_MIN, FORMAT, FORMAT_KEY, PERSON_KEY_KEY, RESHELVING_KEY, decode, encode,
};
use crate::reshelve::reshelve;
use crate::search::message_of;
use crate::wal_check::{WalError, check_logs, has_log};

/// A column family. The README tells what each holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Meta,
    Envelope,
    Body,
    Job,
    Due,
    History,
    Feed,
    Index,
    Rollup,
    Kv,
    Account,
    Catalog,
    Suppression,
    SuppressionList,
    Corrupt,
}

impl Family {
    pub(crate) const ALL: [Family; 15] = [
        Family::Meta,
        Family::Envelope,
        Family::Body,
        Family::Job,
        Family::Due,
        Family::History,
        Family::Feed,
        Family::Index,
        Family::Rollup,
        Family::Kv,
        Family::Account,
        Family::Catalog,
        Family::Suppression,
        Family::SuppressionList,
        Family::Corrupt,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::Meta => "meta",
            Family::Envelope => "envelope",
            Family::Body => "body",
            Family::Job => "job",
            Family::Due => "due",
            Family::History => "history",
            Family::Feed => "feed",
            Family::Index => "index",
            Family::Rollup => "rollup",
            Family::Kv => "kv",
            Family::Account => "account",
            Family::Catalog => "catalog",
            Family::Suppression => "suppression",
            Family::SuppressionList => "suppression-list",
            Family::Corrupt => "corrupt",
        }
    }
}

/// Why a write did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// RocksDB wants writers to wait. Nothing was written.
    Stalled,
    /// The disk is full. Goes on by itself when there is space again: see `commit::recovery`.
    DiskFull,
    /// Anything else: what the disk holds is not known any more.
    Failed(String),
}

/// An open database.
pub(crate) struct Database {
    db: DB,
    synced: WriteOptions,
    reserve_octets: u64,
    /// Entries of the index about messages of before this moment go when their tables are merged.
    index_from: Arc<AtomicU64>,
}

impl Database {
    /// Opens or makes the database, in a folder that is this store's alone. Fails rather than forgets: see
    /// [`OpenError`].
    pub(crate) fn open(settings: &StoreSettings) -> Result<Database, OpenError> {
        let path = settings.path.as_path();
        check_writable(path)?;
        check_files(path)?;
        let buffer = buffer_octets(settings);
        let options = database_options(buffer);
        check_families(&options, path)?;
        let cache = Cache::new_lru_cache(settings.block_cache_octets);
        let index_from = Arc::new(AtomicU64::new(0));
        let mut families: Vec<ColumnFamilyDescriptor> = Family::ALL
            .map(|family| {
                let mut options = family_options(family, buffer, &cache);
                if family == Family::Index {
                    forget_in_merges(&mut options, Arc::clone(&index_from));
                }
                ColumnFamilyDescriptor::new(family.name(), options)
            })
            .into();
        // It holds nothing, but its buffer counts when RocksDB reckons how much disk it needs.
        families.push(ColumnFamilyDescriptor::new("default", family_options(Family::Meta, buffer, &cache)));
        let db =
            DB::open_cf_descriptors(&options, path, families).map_err(|error| open_error(path, &error))?;
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        synced.set_no_slowdown(true);
        let database = Database { db, synced, reserve_octets: buffer as u64 * 5 / 4, index_from };
        database.check_blobs(path)?;
        database.check_format(path)?;
        yield_to_mail();
        Ok(database)
    }

    /// RocksDB checks at open that its tables are there, but not its blob files: these hold the bodies.
    fn check_blobs(&self, path: &Path) -> Result<(), OpenError> {
        loop {
            let live = self.body_property(c"rocksdb.num-blob-files");
            let octets = self.body_property(c"rocksdb.live-blob-file-size");
            let (found, found_octets) = blobs_on_disk(path)
                .map_err(|cause| OpenError::Failed { path: path.to_owned(), cause: cause.to_string() })?;
            if found >= live && found_octets >= octets {
                return Ok(());
            }
            // A compaction may have removed some since they were counted.
            if live == self.body_property(c"rocksdb.num-blob-files") {
                let cause =
                    format!("{found} of {live} blob files are there, {found_octets} of {octets} octets");
                return Err(OpenError::Damaged { path: path.to_owned(), cause });
            }
        }
    }

    fn body_property(&self, name: &std::ffi::CStr) -> u64 {
        self.db.property_int_value_cf(self.family(Family::Body), name).ok().flatten().unwrap_or(0)
    }

    /// Reads or writes the format of the whole database.
    fn check_format(&self, path: &Path) -> Result<(), OpenError> {
        let failed = |cause: String| OpenError::Failed { path: path.to_owned(), cause };
        match self.get(Family::Meta, FORMAT_KEY).map_err(failed)? {
            Some(value) => match decode::<u32>(&value) {
                Ok(DATABASE_FORMAT) => Ok(()),
                Ok(DATABASE_FORMAT_MIN..DATABASE_FORMAT) => {
                    self.put_format(&[RESHELVING_KEY]).map_err(failed)
                }
                found => Err(OpenError::NewerFormat {
                    path: path.to_owned(),
                    found: found.map_or_else(|cause| cause, |number| number.to_string()),
                    known: DATABASE_FORMAT,
                }),
            },
            None => self.put_format(&[]).map_err(failed),
        }?;
        if self.get(Family::Meta, RESHELVING_KEY).map_err(failed)?.is_some() {
            self.reshelve().map_err(failed)?;
        }
        Ok(())
    }

    /// Writes down the format of this program, and what is still to be done for it: older programs refuse to open the
    /// database from now on.
    fn put_format(&self, marks: &[&[u8]]) -> Result<(), String> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(Family::Meta), FORMAT_KEY, encode(&DATABASE_FORMAT));
        for mark in marks {
            batch.put_cf(self.family(Family::Meta), mark, [FORMAT]);
        }
        self.write(batch).map_err(in_words)
    }

    /// Puts the due index of an older format on shelves.
    fn reshelve(&self) -> Result<(), String> {
        reshelve(self).map_err(in_words)?;
        let mut batch = WriteBatch::default();
        batch.delete_cf(self.family(Family::Meta), RESHELVING_KEY);
        self.write(batch).map_err(in_words)
    }

    /// The key by which addresses are hashed; made once.
    pub(crate) fn person_key(&self, path: &Path) -> Result<[u8; 32], OpenError> {
        let failed = |cause: String| OpenError::Failed { path: path.to_owned(), cause };
        if let Some(value) = self.get(Family::Meta, PERSON_KEY_KEY).map_err(failed)? {
            let damaged = |cause| OpenError::Damaged { path: path.to_owned(), cause };
            return decode(&value).map_err(|cause| damaged(format!("the key of hashed addresses: {cause}")));
        }
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key)
            .map_err(|_| failed("the system gives no random octets".to_owned()))?;
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(Family::Meta), PERSON_KEY_KEY, encode(&key));
        self.write(batch).map_err(|error| failed(format!("{error:?}")))?;
        Ok(key)
    }

    /// The handle of a family.
    pub(crate) fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("the database was opened with every family")
    }

    /// Writes the batch and syncs the log. Only the commit thread calls this.
    pub(crate) fn write(&self, batch: WriteBatch) -> Result<(), WriteError> {
        self.db.write_opt(batch, &self.synced).map_err(|error| match error.kind() {
            ErrorKind::Incomplete => WriteError::Stalled,
            _ if is_full_disk(error.as_ref()) => WriteError::DiskFull,
            _ => WriteError::Failed(error.into_string()),
        })
    }

    /// A value, wherever it is. May wait for the disk.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, String> {
        self.db.get_pinned_cf(self.family(family), key).map_err(rocksdb::Error::into_string)
    }

    /// A value if it is in memory; `None` when only the disk can tell. Never waits for the disk.
    pub(crate) fn get_cached(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<Option<DBPinnableSlice<'_>>>, String> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::BlockCache);
        match self.db.get_pinned_cf_opt(self.family(family), key, &options) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::Incomplete => Ok(None),
            Err(error) => Err(error.into_string()),
        }
    }

    /// An iterator over `from..to` of a family; not yet positioned. Short-lived: it pins memory and files.
    pub(crate) fn iterate(&self, family: Family, from: &[u8], to: Option<&[u8]>) -> DBRawIterator<'_> {
        self.db.raw_iterator_cf_opt(self.family(family), range(from, to))
    }

    /// The database as it is now.
    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        self.db.snapshot()
    }

    /// As [`Database::iterate`], on a snapshot.
    pub(crate) fn iterate_at<'a>(
        &'a self,
        snapshot: &'a Snapshot<'a>,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> DBRawIterator<'a> {
        snapshot.raw_iterator_cf_opt(self.family(family), range(from, to))
    }

    /// Octets that the database will still need for what it has: its buffers when they are flushed, and the next
    /// log, which takes its space at once. Without them it would have to stop in the middle of a write.
    pub(crate) fn owed_octets(&self) -> u64 {
        let of = |family| self.db.property_int_value_cf(self.family(family), c"rocksdb.size-all-mem-tables");
        let buffered: u64 = Family::ALL.iter().filter_map(|family| of(*family).ok().flatten()).sum();
        buffered + self.reserve_octets
    }

    /// From now on entries of the index about older messages go, without a tombstone.
    pub(crate) fn forget_index_before(&self, oldest: UnixMs) {
        self.index_from.fetch_max(oldest.0, Ordering::Relaxed);
    }

    /// Flushes the bodies and merges their tables, so that the space of dead bodies comes back.
    pub(crate) fn compact_bodies(&self) -> Result<(), String> {
        let families = Family::ALL.map(|family| self.family(family));
        self.db
            .flush_cfs_opt(&families, &rocksdb::FlushOptions::default())
            .map_err(rocksdb::Error::into_string)?;
        self.db.compact_range_cf(self.family(Family::Body), None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }

    /// Leaves nothing on the disk of what was deleted or written anew before, but what content had: that goes with the next
    /// merge of its own. Reads and writes all of these families.
    pub(crate) fn merge_away(&self) -> Result<(), String> {
        self.compact_bodies()?;
        let families = [Family::History, Family::Index, Family::Kv, Family::Catalog, Family::Suppression];
        let others = [Family::SuppressionList, Family::Envelope, Family::Job, Family::Corrupt, Family::Meta];
        let mut options = rocksdb::CompactOptions::default();
        // Tables of the last level too, where nothing lies over them.
        options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
        for family in families.into_iter().chain(others) {
            self.db.compact_range_cf_opt(self.family(family), None::<&[u8]>, None::<&[u8]>, &options);
        }
        Ok(())
    }

    /// Octets of blob files of which the larger part is dead bodies, as RocksDB reckons.
    pub(crate) fn dead_body_octets(&self) -> u64 {
        self.body_property(c"rocksdb.live-blob-file-garbage-size")
    }
}

fn in_words(error: WriteError) -> String {
    match error {
        WriteError::Failed(cause) => cause,
        WriteError::DiskFull => "the disk is full".to_owned(),
        WriteError::Stalled => "the database is stalled".to_owned(),
    }
}

fn range(from: &[u8], to: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(from);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    options
}

/// True when nothing of the batch is acknowledged and nothing before it is in doubt. A sync of the log that failed for
/// want of space is not that: the kernel may have thrown away what it could not write.
fn is_full_disk(cause: &str) -> bool {
    let is_log_sync =
        cause.contains(".log") && ["While fdatasync", "While fsync"].iter().any(|call| cause.contains(call));
    cause.contains("No space left") && !is_log_sync
}

/// Lets the threads that merge tables take less of a busy processor than those that move mail. What flushes the buffers
/// keeps its share: writes wait for that. Where the system does not allow it, all share alike.
fn yield_to_mail() {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
    for thread in threads.flatten() {
        let is_merging = std::fs::read_to_string(thread.path().join("comm"))
            .is_ok_and(|name| name.trim_end() == "rocksdb:low");
        let number = thread.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(thread) = number.and_then(rustix::process::Pid::from_raw).filter(|_| is_merging) {
            let _ = rustix::process::setpriority_process(Some(thread), MERGING_NICE);
        }
    }
}

/// Tables of the first level that are merged together with the next one. Such a merge goes over most of a long queue, so it is
/// worth waiting for many; what reads looks into each of them.
const LEVEL_ZERO_FILES: i32 = 12;
/// How much more willingly the system runs others than what merges tables (nice): about a third of a full share.
const MERGING_NICE: i32 = 5;

/// Proves that the folder can be written.
fn check_writable(path: &Path) -> Result<(), OpenError> {
    let not_writable =
        |cause: std::io::Error| OpenError::NotWritable { path: path.to_owned(), cause: cause.to_string() };
    let probe = path.join("write-probe");
    std::fs::write(&probe, b"").map_err(not_writable)?;
    std::fs::remove_file(&probe).map_err(not_writable)
}

/// Refuses a folder that RocksDB would wrongly take for an empty one, and damaged logs.
fn check_files(path: &Path) -> Result<(), OpenError> {
    let damaged = |cause: String| OpenError::Damaged { path: path.to_owned(), cause };
    let failed =
        |cause: std::io::Error| OpenError::Failed { path: path.to_owned(), cause: cause.to_string() };
    if path.join("CURRENT").exists() {
        return match check_logs(path) {
            Ok(_) => Ok(()),
            Err(WalError::Io { file, cause }) => Err(OpenError::Failed {
                path: path.to_owned(),
                cause: format!("{}: {cause}", file.display()),
            }),
            Err(error) => Err(damaged(error.to_string())),
        };
    }
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("MANIFEST-") || [".sst", ".log", ".blob"].iter().any(|end| name.ends_with(end)) {
            return Err(damaged(format!("the file CURRENT is missing beside {name}")));
        }
    }
    Ok(())
}

/// How many blob files there are, and their octets.
fn blobs_on_disk(path: &Path) -> std::io::Result<(u64, u64)> {
    let (mut count, mut octets) = (0, 0);
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|end| end == "blob") {
            count += 1;
            // One that vanishes while we look was not needed any more.
            octets += entry.metadata().map_or(0, |data| data.len());
        }
    }
    Ok((count, octets))
}

/// Refuses families that this program does not know: a later version made them.
fn check_families(options: &Options, path: &Path) -> Result<(), OpenError> {
    if !path.join("CURRENT").exists() {
        return Ok(());
    }
    let names = DB::list_cf(options, path).map_err(|error| open_error(path, &error))?;
    let is_known = |name: &str| name == "default" || Family::ALL.iter().any(|family| family.name() == name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        let found = format!("with a family {name}");
        return Err(OpenError::NewerFormat { path: path.to_owned(), found, known: DATABASE_FORMAT });
    }
    // RocksDB makes a log before it makes our families, and never leaves a folder without one.
    if names.iter().any(|name| name == Family::Envelope.name()) && !has_log(path) {
        return Err(OpenError::Damaged { path: path.to_owned(), cause: "every log is missing".to_owned() });
    }
    Ok(())
}

/// Sorts RocksDB's words into our cases.
fn open_error(path: &Path, error: &rocksdb::Error) -> OpenError {
    let (path, cause) = (path.to_owned(), error.as_ref().to_owned());
    let missing = cause.contains("No such file") || cause.contains("file size mismatch");
    match error.kind() {
        _ if cause.contains("lock hold by") || cause.contains("While lock file") => {
            OpenError::Locked { path }
        }
        _ if cause.contains("Permission denied") || cause.contains("Read-only file system") => {
            OpenError::NotWritable { path, cause }
        }
        ErrorKind::Corruption => OpenError::Damaged { path, cause },
        ErrorKind::IOError if missing => OpenError::Damaged { path, cause },
        ErrorKind::NotSupported => OpenError::NewerFormat { path, found: cause, known: DATABASE_FORMAT },
        _ => OpenError::Failed { path, cause },
    }
}

/// The size of a write buffer: what is set, but on a small disk not more than a 32nd of it.
fn buffer_octets(settings: &StoreSettings) -> usize {
    let disk = rustix::fs::statvfs(&settings.path)
        .map_or(u64::MAX, |found| found.f_blocks.saturating_mul(found.f_frsize));
    settings.write_buffer_octets.min(usize::try_from(disk / 32).unwrap_or(usize::MAX)).max(BUFFER_OCTETS_MIN)
}

/// The least size of a write buffer.
const BUFFER_OCTETS_MIN: usize = 1 << 20;

/// Options of the whole database. RocksDB's defaults are wrong for mail.
fn database_options(buffer_octets: usize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // Point-in-time recovery, the default, silently drops all that follows a bad record. See also `wal_check`.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_recycle_log_file_num(0);
    options.set_manual_wal_flush(false);
    // All families leave memory together: a log is free as soon as it is closed, and recovery reads little.
    options.set_atomic_flush(true);
    // Bodies fill most of it; a long queue that is tried anew fills the other families' buffers instead.
    options.set_db_write_buffer_size(buffer_octets + buffer_octets / 2);
    options.set_max_total_wal_size(4 * buffer_octets as u64);
    // One thread writes, so nothing is gained by code for many.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    options.set_max_background_jobs(2);
    options.set_max_open_files(512);
    options.set_max_manifest_file_size(16 << 20);
    options.set_manifest_preallocation_size(64 << 10);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, |level, text| match level {
        LogLevel::Warn | LogLevel::Error | LogLevel::Fatal => {
            tracing::warn!(target: "store", "rocksdb: {}", text.trim_end());
        }
        // The list of all options comes at a lower level than the one that was asked for.
        _ => tracing::trace!(target: "store", "rocksdb: {}", text.trim_end()),
    }));
    options
}

/// Options of one family.
fn family_options(family: Family, buffer_octets: usize, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // Index and filter of a table in small parts: a look-up reads one of each, not the whole, when they left the cache.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(4 << 10);
    table.set_pin_top_level_index_and_filter(true);
    table.set_format_version(5);
    if !matches!(family, Family::Due | Family::History | Family::Feed | Family::Index) {
        table.set_bloom_filter(10.0, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(buffer_octets);
    options.set_arena_block_size(128 << 10);
    options.set_max_write_buffer_number(3);
    options.set_target_file_size_base(16 << 20);
    // Writers are never slowed down little by little: they go on, or are told to wait and may give up.
    options.set_level_zero_file_num_compaction_trigger(LEVEL_ZERO_FILES);
    options.set_level_zero_slowdown_writes_trigger(1_000);
    options.set_level_zero_stop_writes_trigger(1_000);
    options.set_soft_pending_compaction_bytes_limit(0);
    options.set_hard_pending_compaction_bytes_limit(0);
    if family == Family::Body {
        options.set_enable_blob_files(true);
        options.set_min_blob_size(1 << 10);
        options.set_blob_file_size(64 << 20);
        options.set_blob_compression_type(DBCompressionType::Lz4);
        options.set_enable_blob_gc(true);
        options.set_blob_gc_age_cutoff(0.5);
        options.set_blob_gc_force_threshold(0.5);
    }
    options
}

/// Entries are in the order of what they are about, so no range of them is old: those of old messages are left out when
/// tables are merged, at least once in thirty days.
fn forget_in_merges(options: &mut Options, from: Arc<AtomicU64>) {
    options.set_periodic_compaction_seconds(30 * 86_400);
    options.set_compaction_filter("age", move |_, key, _| {
        let is_old = message_of(key).is_some_and(|message| message.time().0 < from.load(Ordering::Relaxed));
        if is_old { CompactionDecision::Remove } else { CompactionDecision::Keep }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_found_no_space_is_not_a_full_disk() {
        let append = "IO error: No space left on device: While appending to file: /spool/000012.log: No space left on device";
        let open = "IO error: No space left on device: While open a file for appending: /spool/000013.log: No space left on device";
        let table =
            "IO error: No space left on device: While fsync: /spool/000014.sst: No space left on device";
        assert!([append, open, table].into_iter().all(is_full_disk));
        let sync =
            "IO error: No space left on device: While fdatasync: /spool/000012.log: No space left on device";
        let broken = "IO error: While fdatasync: /spool/000012.log: Input/output error";
        assert!(![sync, broken].into_iter().any(is_full_disk));
    }
}
