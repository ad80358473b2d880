//! The durable queue.

use std::path::PathBuf;

use crate::settings::field::section;

section! {
    /// The durable queue.
    RawStore {
        /// The folder of the relay's state: the queue in `queue` below it, and the admin socket. Made when it is missing. One relay at a time may use it.
        path: PathBuf = PathBuf::from("./baton-data"),
        /// How long the outcome of a delivery may wait for a sync to ride on, in milliseconds. A power cut within it may repeat a delivery, never lose one.
        sync_delay_ms: u64 = 50,
        /// Octets that must be free on the disk; below it mail is refused with 452. Room to finish what is queued.
        free_octets_min: u64 = 64 << 20,
        /// Inodes that must be free on the disk; below it mail is refused with 452.
        free_inodes_min: u64 = 100,
        /// How long a client may wait for the disk before it is told 451, in milliseconds.
        write_deadline_ms: u64 = 10_000,
        /// Octets of content kept in memory for immediate delivery, all messages together. More is read back from the disk.
        memory_body_octets_max: u64 = 64 << 20,
        /// Octets of one piece of a large message on the disk. Larger messages are written ahead in such pieces.
        chunk_octets: usize = 1 << 20,
        /// A file of keys by which the content of messages is sealed on the disk (AES-256-GCM): a line `NUMBER BASE64` each, such as `1 $(openssl rand -base64 32)`, readable by its owner only. The first seals, all of them open, so a new key goes in front and an old one stays until its mail has left. Unset: content lies as it is. Sealed content is not compressed. Envelopes and stories are not sealed.
        body_keys_file: Option<PathBuf> = None,
        /// How long the story of a finished message is kept, in days.
        history_days: u32 = 14,
        /// How long the addresses of recipients stay in stories, in days; then a keyed hash stands in their place. 0 is as long as the stories. A stream may say it for itself (`baton stream set --addresses-days`).
        addresses_days: u32 = 0,
        /// Octets of content held in memory before they become a table on the disk; all else that is written may take half as much more.
        write_buffer_octets: usize = 64 << 20,
        /// Octets of read data kept in memory.
        block_cache_octets: usize = 32 << 20,
        /// Jobs in delivery or waiting for a connection at once. Bounds the memory of a long queue. An eighth of it is kept for the high lane, another one for all but the low lane.
        claimed_max: usize = 10_000,
        /// While new mail keeps coming, so many messages a second that wait on the disk are tried beside it, unless the machine is busy, and one for each fifteen new ones, so that a long queue does not slow down today's mail. Urgent ones are not counted; without new mail there is no bound.
        backlog_per_s: u32 = 2_000,
        /// When a message that is due finds nobody to take it for so long, in seconds, the queue is reported as stuck: in the log, by `baton_store_stuck_total`, and in the message's story.
        stuck_after_s: u64 = 300,
        /// How the lanes take turns.
        lanes: RawLanes = RawLanes::default(),
        /// Octets that may wait for the next sync; beyond it sessions wait.
        commit_octets_max: usize = 64 << 20,
        /// Octets that one key-value bucket of the plugins may hold.
        kv_octets_per_bucket_max: u64 = 64 << 20,
        /// Octets of the key-value store that may wait for their write.
        kv_pending_octets_max: u64 = 16 << 20,
    }
}

section! {
    /// How the lanes take turns, in the queue and for each site's connections: of all turns, each lane that has work gets its number's share. So what is urgent overtakes, and nothing waits for ever.
    RawLanes {
        /// The turns of priorities 4 to 9.
        high: u32 = 16,
        /// The turns of priorities -3 to 3.
        normal: u32 = 4,
        /// The turns of priorities -9 to -4.
        low: u32 = 1,
    }
}
