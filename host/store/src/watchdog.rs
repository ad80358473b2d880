//! Notices a queue that should move and does not, and says why: in the log, as a figure, and in the story of the message
//! that waits longest.

use baton_mail::event::{Event, What};
use baton_mail::{Lane, UnixMs};

use crate::commit::{Op, Room};
use crate::core::Core;
use crate::database::Family;
use crate::format::{Due, after_prefix, decode_due_key, due_key, is_held, shelf_prefix};
use crate::shelf::Shelf;

/// Entries of a shelf that are in somebody's hands and passed over, at most.
const PASSED_MAX: usize = 10_000;
/// A queue that still does not move is told of again after this long, in milliseconds.
const AGAIN_MS: u64 = 600_000;

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    told_at: Option<UnixMs>,
}

impl Watchdog {
    /// Looks at the job that is due for longest, of those that nobody claimed.
    pub(crate) fn look(&mut self, core: &Core) {
        let now = core.clock.now();
        let in_memory = core.schedule.lock().oldest_ready();
        let shelves = core.schedule.lock().due_shelves(now);
        let on_disk = shelves.into_iter().filter_map(|(shelf, from)| oldest_due(core, shelf, from, now));
        let oldest = on_disk.chain(in_memory).min();
        let late_s = oldest.map_or(0, |due| now.since(due.at).as_secs());
        core.metrics.oldest_due_s.set(i64::try_from(late_s).unwrap_or(i64::MAX));
        match oldest {
            Some(due) if late_s >= core.settings.stuck_after_s => self.tell(core, now, due, late_s),
            _ if self.told_at.take().is_some() => {
                tracing::info!(target: "store", "the queue moves again");
            }
            _ => {}
        }
    }

    fn tell(&mut self, core: &Core, now: UnixMs, due: Due, late_s: u64) {
        if self.told_at.is_some_and(|at| now.0.saturating_sub(at.0) < AGAIN_MS) {
            return;
        }
        self.told_at = Some(now);
        let reason = reason(core);
        let message = due.job.message;
        tracing::error!(target: "store", %message, late_s, reason, "the queue should move and does not");
        core.metrics.stuck.inc();
        let what = What::Stuck { due: due.at, reason };
        let records = core.encode_events(&[Event { message, at: now, what }]);
        // Refused only when the store is closed.
        let _ = core.commit.push(Op::Record(records, Room::default()));
    }
}

/// Why nobody takes what is due.
fn reason(core: &Core) -> String {
    if core.health.is_poisoned() {
        return format!("the store takes no writes until a restart: {}", core.health.poison());
    }
    let window = core.schedule.lock();
    let claimed = window.claimed();
    match Lane::ALL.into_iter().all(|lane| window.room(lane) > 0) {
        true => {
            format!("delivery asks for no more work; {claimed} jobs are in its hands (delivery.jobs_max)")
        }
        false => {
            format!("all places in memory are taken, {claimed} of them by deliveries (store.claimed_max)")
        }
    }
}

/// The job of a shelf that is due for longest, of those that are only in the index.
fn oldest_due(core: &Core, shelf: Shelf, from: Due, now: UnixMs) -> Option<Due> {
    let db = core.db().ok()?;
    let end = after_prefix(&shelf_prefix(shelf));
    let mut entries = db.iterate(Family::Due, &due_key(shelf, from.at, from.job), end.as_deref());
    entries.seek_to_first();
    for _ in 0..PASSED_MAX {
        let (_, due) = decode_due_key(entries.key()?)?;
        if due.at > now || is_held(due.at) {
            return None;
        }
        if core.schedule.lock().get(due.job).is_none() {
            return Some(due);
        }
        entries.next();
    }
    None
}
