//! What the operator may set about the store.

use std::path::PathBuf;

use baton_mail::lane::{LANE_WEIGHTS, LaneWeights};

use crate::seal::BodyKeys;

/// The settings of the store. Every bound has its unit in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder of the database; made when it is missing. Nothing else may live in it.
    pub path: PathBuf,
    /// How long an outcome or an event may wait for a sync to ride on. A power cut may repeat deliveries of this
    /// window. Default 50.
    pub sync_delay_ms: u64,
    /// Below this much free space no mail is taken (452). Default 64 MiB.
    pub free_octets_min: u64,
    /// Below this many free inodes no mail is taken (452). Default 100.
    pub free_inodes_min: u64,
    /// How long an accept may wait for a slow disk before it is refused. Default 10,000.
    pub write_deadline_ms: u64,
    /// Bodies kept in memory for immediate delivery, all together. Beyond it they are read back. Default 64 MiB.
    pub memory_body_octets_max: u64,
    /// Bodies above this size are written in chunks of this size, ahead of the accept. Default 1 MiB.
    pub chunk_octets: usize,
    /// Octets that may wait for the commit thread; beyond it callers wait. Default 64 MiB.
    pub commit_octets_max: usize,
    /// Keys by which bodies are sealed on disk, until [`crate::Store::set_body_keys`]. Default none: they lie as they are.
    pub body_keys: BodyKeys,
    /// How many days the story of a message is kept. Default 14.
    pub history_days: u32,
    /// How many days the addresses of recipients stay in stories of mail whose stream does not say it; 0 is as long as the
    /// stories. Default 0.
    pub addresses_days: u32,
    /// How many days of the feed are kept for those who read it. Not more than the stories, which it points to.
    /// Default 14.
    pub events_days: u32,
    /// Size of RocksDB's write buffer for bodies. A body whose message leaves before the buffer is flushed never
    /// reaches a table. All buffers together hold one and a half times as much. Default 64 MiB.
    pub write_buffer_octets: usize,
    /// Size of RocksDB's block cache. Default 32 MiB.
    pub block_cache_octets: usize,
    /// A job that is due for so long, in seconds, and that nobody takes is told of. Default 300.
    pub stuck_after_s: u64,
    /// How many jobs may be claimed or ready in memory at once. Default 10,000.
    pub claimed_max: usize,
    /// Beside new mail, so many jobs a second of the normal and the low lane are given out that wait on disk, unless the
    /// runtime's threads are busy, and one for each fifteen new ones. Without new mail there is no bound. Default 2,000.
    pub backlog_per_s: u32,
    /// The shares of the lanes when each has work; see [`baton_mail::lane`].
    pub lane_weights: LaneWeights,
    /// How much one bucket of the key-value store may hold, keys and values. Default 64 MiB.
    pub kv_octets_per_bucket_max: u64,
    /// How much of the key-value store may wait for its write. Default 16 MiB.
    pub kv_pending_octets_max: u64,
}

impl StoreSettings {
    /// The defaults, for a database in `path`.
    pub fn new(path: impl Into<PathBuf>) -> StoreSettings {
        StoreSettings {
            path: path.into(),
            sync_delay_ms: 50,
            free_octets_min: 64 << 20,
            free_inodes_min: 100,
            write_deadline_ms: 10_000,
            memory_body_octets_max: 64 << 20,
            chunk_octets: 1 << 20,
            commit_octets_max: 64 << 20,
            body_keys: BodyKeys::default(),
            history_days: 14,
            addresses_days: 0,
            events_days: 14,
            write_buffer_octets: 64 << 20,
            block_cache_octets: 32 << 20,
            stuck_after_s: 300,
            claimed_max: 10_000,
            backlog_per_s: 2_000,
            lane_weights: LANE_WEIGHTS,
            kv_octets_per_bucket_max: 64 << 20,
            kv_pending_octets_max: 16 << 20,
        }
    }
}
