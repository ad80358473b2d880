//! Whether the disk takes mail: free space, failed writes, hanging writes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use baton_mail::UnixMs;
use parking_lot::Mutex;

use crate::error::Refusal;

/// How long a look at the disk is good for.
const LOOK_MS: u64 = 1_000;

/// What is known of the disk's free space.
#[derive(Debug)]
pub(crate) struct Space {
    /// When it was looked at; 0 is never.
    looked_at: AtomicU64,
    free_octets: AtomicU64,
    free_inodes: AtomicU64,
    /// Octets that were written since, and those that the database will need for what it has.
    owed_octets: AtomicU64,
}

impl Default for Space {
    /// Taken for roomy until the first look is over: whoever asks beside that look must not be turned away.
    fn default() -> Space {
        Space {
            looked_at: AtomicU64::new(0),
            free_octets: AtomicU64::new(u64::MAX),
            free_inodes: AtomicU64::new(u64::MAX),
            owed_octets: AtomicU64::new(0),
        }
    }
}

impl Space {
    /// Octets went to the log: they take space there now, and once more when the buffers are flushed.
    pub(crate) fn note_written(&self, octets: u64) {
        self.owed_octets.fetch_add(octets.saturating_mul(2), Ordering::Relaxed);
    }

    /// Octets and inodes that are free for new mail. Looks at the disk at most once a second.
    pub(crate) fn free(&self, path: &Path, now: UnixMs, owed: impl FnOnce() -> u64) -> (u64, u64) {
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        let is_old = looked_at == 0 || now.0 < looked_at || now.0 - looked_at >= LOOK_MS;
        let taken = is_old
            && self
                .looked_at
                .compare_exchange(looked_at, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if taken {
            let (octets, inodes) = free_now(path);
            self.free_octets.store(octets, Ordering::Relaxed);
            self.free_inodes.store(inodes, Ordering::Relaxed);
            self.owed_octets.store(owed(), Ordering::Relaxed);
        }
        let owed = self.owed_octets.load(Ordering::Relaxed);
        (
            self.free_octets.load(Ordering::Relaxed).saturating_sub(owed),
            self.free_inodes.load(Ordering::Relaxed),
        )
    }

    /// Octets that the file system reported, for the gauge.
    pub(crate) fn reported_octets(&self) -> u64 {
        self.free_octets.load(Ordering::Relaxed)
    }
}

/// Octets and inodes that the file system has for us. One that can not tell is taken for a roomy one: the write itself
/// will tell.
pub(crate) fn free_now(path: &Path) -> (u64, u64) {
    match rustix::fs::statvfs(path) {
        Ok(found) => {
            // Some file systems make inodes as they are needed and report none.
            let inodes = if found.f_files == 0 { u64::MAX } else { found.f_favail };
            (found.f_bavail.saturating_mul(found.f_frsize), inodes)
        }
        Err(_) => (u64::MAX, u64::MAX),
    }
}

/// What became of the last writes.
#[derive(Debug, Default)]
pub(crate) struct Health {
    poisoned: AtomicBool,
    cause: Mutex<String>,
    full: AtomicBool,
    /// When the write in progress began; 0 is none.
    writing_since: AtomicU64,
}

impl Health {
    /// After a failed write or sync, nothing is written any more (house rule 20): the kernel may have thrown away
    /// what it could not write, and a second sync would not say so.
    pub(crate) fn set_poisoned(&self, cause: &str) {
        let mut text = self.cause.lock();
        if text.is_empty() {
            cause.clone_into(&mut text);
            tracing::error!(target: "store", cause, "a write failed: no mail is taken until a restart");
        }
        self.poisoned.store(true, Ordering::Release);
    }

    /// True after [`Health::set_poisoned`].
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// What failed.
    pub(crate) fn poison(&self) -> String {
        self.cause.lock().clone()
    }

    /// The last write met a full disk, or did not.
    pub(crate) fn set_full(&self, full: bool) {
        if self.full.swap(full, Ordering::Relaxed) != full {
            tracing::warn!(target: "store", full, "a write met a full disk (true), or succeeded again (false)");
        }
    }

    /// True while the last write met a full disk.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// A write begins.
    pub(crate) fn write_begins(&self, now: UnixMs) {
        self.writing_since.store(now.0.max(1), Ordering::Relaxed);
    }

    /// The write ended, one way or the other.
    pub(crate) fn write_ends(&self) {
        self.writing_since.store(0, Ordering::Relaxed);
    }

    /// Refuses when the last writes give no hope.
    pub(crate) fn check(&self, now: UnixMs, deadline_ms: u64) -> Result<(), Refusal> {
        if self.is_poisoned() {
            return Err(Refusal::Poisoned(self.poison()));
        }
        if self.is_full() {
            return Err(Refusal::DiskFull);
        }
        let since = self.writing_since.load(Ordering::Relaxed);
        if since != 0 && now.0.saturating_sub(since) > deadline_ms {
            return Err(Refusal::Stalled);
        }
        Ok(())
    }
}
