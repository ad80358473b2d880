//! A disk that was full has room again, and the database does not notice.
//!
//! RocksDB goes on by itself after most writes that met a full disk; it looks every five seconds. But when it could
//! not make a file (no inode left), it takes that for fatal and refuses every write until it is opened again. So it
//! is opened again here, in the commit thread, where nothing else is being written.
//!
//! Invariant: only a full disk leads here. After a failed sync the store is poisoned, and opening the database again
//! would hide what the kernel threw away.
//!
//! What is in memory stays as it is: it tells what was written and answered, and every batch that was answered is
//! synced. A batch that failed for want of space never is in the log as a whole (its last octets are what did not
//! fit; one whose sync failed is not called a full disk), so the database that comes back is the one that went.

use std::time::Duration;

use tokio::time::Instant;

use crate::core::Core;
use crate::error::OpenError;
use crate::slot::ReopenError;

/// How long there must be room and no success before the database is opened again: a little longer than RocksDB
/// takes to go on by itself. It doubles with each time that did not help, up to `PAUSE_MAX`.
const PAUSE_MIN: Duration = Duration::from_secs(6);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Openings in a row after which no write succeeded, before the store gives up and asks for a restart.
const OPENINGS_MAX: u32 = 8;
/// Inodes that opening takes: logs, tables and blob files of every family, and the database's own books.
const INODES_MIN: u64 = 64;

/// What the commit thread remembers while the disk is full.
#[derive(Default)]
pub(super) struct Recovery {
    room_since: Option<Instant>,
    openings: u32,
}

impl Recovery {
    /// A write succeeded.
    pub(super) fn reset(&mut self) {
        *self = Recovery::default();
    }

    /// Called again and again while writes meet a full disk.
    pub(super) fn look(&mut self, core: &Core) {
        if !has_room(core) {
            self.room_since = None;
            return;
        }
        let since = *self.room_since.get_or_insert_with(Instant::now);
        if since.elapsed() < (PAUSE_MIN * 2_u32.saturating_pow(self.openings)).min(PAUSE_MAX) {
            return;
        }
        self.room_since = None;
        if self.openings >= OPENINGS_MAX {
            core.poison("the disk has room, but no write succeeded after the database was opened again");
            return;
        }
        self.openings += 1;
        reopen(core, self.openings);
    }
}

/// Whether the disk has room for what opening writes: the buffers that are in the logs only, and new logs.
fn has_room(core: &Core) -> bool {
    let owed = core.db().map_or(0, |db| db.owed_octets());
    let (octets, inodes) = crate::space::free_now(&core.settings.path);
    octets > owed && inodes >= INODES_MIN
}

fn reopen(core: &Core, opening: u32) {
    match core.slot.reopen(&core.settings) {
        Ok(()) => {
            core.metrics.reopened.inc();
            core.schedule.lock().rewind();
            tracing::warn!(
                target: "store", opening,
                "the disk has room again, but the database took no writes: it was opened again"
            );
        }
        Err(ReopenError::Open(error @ (OpenError::Damaged { .. } | OpenError::NewerFormat { .. }))) => {
            core.poison(&error.to_string());
        }
        Err(error) => {
            tracing::warn!(target: "store", opening, %error, "the database was not opened again; later once more");
        }
    }
}
