//! What is done beside the mail, by a thread of its own: counting at start, orphans, old history, dead space.

use std::time::Duration;

use baton_mail::{MessageId, UnixMs};
use parking_lot::{Condvar, Mutex};
use rocksdb::Snapshot;

use tokio::sync::oneshot;

use crate::catalog;
use crate::census::Counted;
use crate::commit::{Action, Op, OperateOp};
use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::Refusal;
use crate::feed;
use crate::format::{
    DueRecord, FORMAT, PARTIAL_PREFIX, after_prefix, decode, decode_due_key, expired_held_range, is_held,
    message_of,
};
use crate::retention;
use crate::suppression;
use crate::watchdog::Watchdog;

/// How often it looks whether the disk is short of space that dead bodies hold.
const SHORT_ROUND: Duration = Duration::from_secs(5);
/// So many short rounds make an hour; then comes what is seldom needed.
const ROUNDS: u32 = 720;
/// Held jobs whose time is over that one round lets go.
const EXPIRED_JOBS_MAX: usize = 1_000;
/// Dead bodies worth the merging of their tables.
const DEAD_OCTETS_MIN: u64 = 64 << 20;

/// Tells the thread to end.
#[derive(Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// From now on the thread ends at the next chance.
    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }

    /// Sleeps; true when it is time to end.
    fn sleep(&self, pause: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_for(&mut stopped, pause);
        }
        *stopped
    }
}

/// The thread's whole life. `ready` is called when the state at start is pinned: from then on every change is
/// counted as it happens.
pub(crate) fn run(core: &Core, stop: &Stop, ready: impl FnOnce()) {
    count_at_start(core, stop, ready);
    let mut watchdog = Watchdog::default();
    loop {
        forget_history(core);
        forget_feed(core);
        core.kv.sweep(core, || stop.is_stopped());
        catalog::sweep(core, || stop.is_stopped());
        suppression::sweep(core, || stop.is_stopped());
        retention::apply(core, || stop.is_stopped());
        if core.db().is_ok_and(|db| db.dead_body_octets() >= DEAD_OCTETS_MIN) {
            reclaim(core);
        }
        let mut finished = 0;
        for _ in 0..ROUNDS {
            if stop.sleep(SHORT_ROUND) {
                return;
            }
            release_expired(core);
            core.suppressions.grow(core, || stop.is_stopped());
            watchdog.look(core);
            // Only what left the queue since the last time can have made space.
            let finished_now = core.metrics.finished.get();
            if finished_now != finished && core.check_space() == Err(Refusal::DiskFull) {
                finished = finished_now;
                reclaim(core);
            }
        }
    }
}

/// Looks at all that was there at start.
fn count_at_start(core: &Core, stop: &Stop, ready: impl FnOnce()) {
    let Ok(db) = core.db() else { return ready() };
    core.suppressions.prepare();
    let snapshot = db.snapshot();
    ready();
    core.suppressions.load(&db, &snapshot, || stop.is_stopped());
    count_queue(core, stop, &db, &snapshot);
    drop_orphans(core, &db, &snapshot);
    core.kv.count_usage(&db, &snapshot, || stop.is_stopped());
}

/// Counts the jobs that were there at start.
fn count_queue(core: &Core, stop: &Stop, db: &Database, snapshot: &Snapshot<'_>) {
    let mut entries = db.iterate_at(snapshot, Family::Due, &[FORMAT], None);
    entries.seek_to_first();
    let (mut jobs, mut held) = (0, 0);
    while let Some((key, value)) = entries.item() {
        jobs += 1;
        let due = decode_due_key(key).map(|(_, due)| due.at);
        held += i64::from(due.is_some_and(is_held));
        if let (Some(due), Ok(DueRecord { size, queue })) = (due, decode::<DueRecord<'_>>(value)) {
            core.census.add(&Counted { due, queue: queue.to_owned(), size });
        }
        if jobs % 1_000 == 0 && stop.is_stopped() {
            return;
        }
        entries.next();
    }
    core.census.complete();
    core.metrics.jobs.inc_by(jobs);
    core.metrics.jobs_held.inc_by(held);
}

/// Deletes chunks that were written ahead of messages which never came: the process ended in between.
fn drop_orphans(core: &Core, db: &Database, snapshot: &Snapshot<'_>) {
    let prefix = [&[FORMAT], PARTIAL_PREFIX].concat();
    let end = after_prefix(&prefix);
    let mut marks = db.iterate_at(snapshot, Family::Meta, &prefix, end.as_deref());
    marks.seek_to_first();
    while let Some(key) = marks.key() {
        let id = key.get(prefix.len()..).and_then(|id| id.try_into().ok()).map(MessageId::from_octets);
        if let Some(message) = id {
            tracing::info!(target: "store", %message, "removing the body of a message that was not accepted");
            core.drop_chunks_later(message, 1);
        }
        marks.next();
    }
}

/// Deletes the stories of messages that are older than the operator wants to know.
fn forget_history(core: &Core) {
    let age_ms = u64::from(core.settings.history_days) * 24 * 3_600 * 1_000;
    let oldest = MessageId::first_at(UnixMs(core.clock.now().0.saturating_sub(age_ms)));
    let Ok(db) = core.db() else { return };
    db.forget_index_before(oldest.time());
    let mut records = db.iterate(Family::History, &[FORMAT], None);
    records.seek_to_first();
    if records.key().and_then(message_of).is_some_and(|first| first < oldest) {
        // Refused only when the store is closed; the next start asks again.
        let _ = core.commit.push(Op::Forget(oldest));
    }
}

/// Deletes the oldest part of the feed. The newest entry stays, so that no number is used twice.
pub(crate) fn forget_feed(core: &Core) {
    let age_ms = u64::from(core.settings.events_days) * 24 * 3_600 * 1_000;
    let oldest = UnixMs(core.clock.now().0.saturating_sub(age_ms));
    let first = core.feed.first();
    match feed::kept_from(core, oldest) {
        // Refused only when the store is closed; the next start asks again.
        Ok(from) if from > first => drop(core.commit.push(Op::ForgetFeed(first, from))),
        Ok(_) => {}
        Err(error) => tracing::warn!(target: "store", %error, "the old part of the feed can not be found"),
    }
}

/// Lets held mail go whose time is over: expiry holds in every state of the queue, and delivery then reports it.
fn release_expired(core: &Core) {
    let (from, to) = expired_held_range(core.clock.now());
    let Ok(db) = core.db() else { return };
    let mut entries = db.iterate(Family::Due, &from, Some(&to));
    entries.seek_to_first();
    let mut keys = Vec::new();
    while let Some((_, due)) = entries.key().and_then(decode_due_key) {
        keys.push(due.job);
        if keys.len() >= EXPIRED_JOBS_MAX {
            break;
        }
        entries.next();
    }
    drop(entries);
    drop(db);
    if keys.is_empty() {
        return;
    }
    let (answer, answered) = oneshot::channel();
    let by = "the end of its lifetime".to_owned();
    let op = OperateOp { action: Action::Release, by, keys, jobs: Vec::new(), reached: 0, answer };
    // Refused or failed: the next round finds them again.
    if core.commit.push(Op::Operate(op)).is_ok() {
        let _ = answered.blocking_recv();
    }
}

/// Merges the tables of bodies, so that dead ones give their disk back.
fn reclaim(core: &Core) {
    let Ok(db) = core.db() else { return };
    if let Err(cause) = db.compact_bodies() {
        tracing::warn!(target: "store", cause, "dead bodies could not be removed");
    }
}
