//! Deletes records whose time is over. They are not seen any more before that.

use baton_mail::UnixMs;
use tokio::sync::oneshot;

use super::record::{Put, expired_range, expiring, expiry_of};
use crate::commit::Op;
use crate::core::Core;
use crate::database::{Database, Family};

/// Notes that one batch is about at most.
const PAGE_NOTES: usize = 1_000;

/// Has everything deleted that expired, page by page.
pub(crate) fn sweep(core: &Core, stopped: impl Fn() -> bool) {
    let now = core.clock.now();
    // Only the commit thread sees what is there and deletes it in one step: it may have been changed since.
    while !stopped() && core.db().is_ok_and(|db| !expired(&db, now).is_empty()) {
        let (answer, answered) = oneshot::channel();
        let is_pushed = core.commit.push(Op::Expire(now, answer)).is_ok();
        // Refused or failed: the next round finds them again.
        if !is_pushed || !matches!(answered.blocking_recv(), Ok(Ok(()))) {
            return;
        }
    }
}

/// Deletes a page of notes, and the records that they are about and that did expire. A record that was changed since has
/// a note of its own.
pub(crate) fn expired(db: &Database, now: UnixMs) -> Vec<Put> {
    let (from, to) = expired_range(now);
    let mut notes = db.iterate(Family::Catalog, &from, Some(&to));
    notes.seek_to_first();
    let mut puts = Vec::new();
    let mut seen = 0;
    while let Some(note) = notes.key().filter(|_| seen < PAGE_NOTES) {
        seen += 1;
        let record = expiring(note).unwrap_or_default();
        let is_expired = |value: &[u8]| expiry_of(value).is_some_and(|at| at <= now);
        if matches!(db.get(Family::Catalog, record), Ok(Some(value)) if is_expired(&value)) {
            puts.push(Put { key: record.to_vec(), value: None });
        }
        puts.push(Put { key: note.to_vec(), value: None });
        notes.next();
    }
    puts
}
