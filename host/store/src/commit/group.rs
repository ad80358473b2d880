//! The commit thread: takes a group, writes it, tells everybody.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::Envelope;
use tokio::time::Instant;

use super::batch::{Builder, Changes, Effect};
use super::operation::{Action, Answer, Message, MessageJob, Op, OperateOp, SuppressOp};
use super::recovery::Recovery;
use crate::census::Counted;
use crate::core::Core;
use crate::database::WriteError;
use crate::format::{JobKey, is_held};
use crate::kv::Written;
use crate::records::{ReadError, load_job};
use crate::schedule::{Entry, Intent, Job, Stage, Window};
use crate::shelf::Shelf;

/// How long to wait before a batch is offered again that RocksDB did not want.
const STALL_PAUSE: Duration = Duration::from_millis(5);
/// How long to wait before outcomes are offered again to a full disk.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// The thread's whole life.
pub(crate) fn run(core: &Core) {
    let delay = Duration::from_millis(core.settings.sync_delay_ms);
    let mut kept: Vec<Op> = Vec::new();
    let mut recovery = Recovery::default();
    while let Some(ops) = core.commit.take(if core.health.is_full() { FULL_PAUSE } else { delay }) {
        kept.extend(ops);
        kept = write_all(core, std::mem::take(&mut kept));
        if core.health.is_poisoned() {
            answer_failed(core, std::mem::take(&mut kept), &WriteError::Failed(core.health.poison()));
        } else if core.health.is_full() {
            recovery.look(core);
            // Refused only when the store is closed, and then this was the last try.
            let _ = core.commit.push(Op::Probe);
        } else {
            recovery.reset();
        }
    }
    if !kept.is_empty() {
        tracing::error!(
            target: "store", operations = kept.len(),
            "closed while the disk was full: outcomes are lost, their deliveries will be repeated"
        );
    }
}

/// Writes the operations in order. An operator's change, and the deletion of what expired, get a batch of their own,
/// because they read what the ones before them wrote. Returns what has to be tried again.
fn write_all(core: &Core, ops: Vec<Op>) -> Vec<Op> {
    let mut kept = Vec::new();
    let mut group = Vec::with_capacity(ops.len());
    for op in ops {
        if matches!(op, Op::Operate(_) | Op::Expire(..)) {
            kept.extend(write_group(core, std::mem::take(&mut group)));
            kept.extend(write_group(core, vec![op]));
        } else {
            group.push(op);
        }
    }
    kept.extend(write_group(core, group));
    kept
}

/// Writes one batch with one sync. Returns what has to be tried again.
fn write_group(core: &Core, mut ops: Vec<Op>) -> Vec<Op> {
    if core.health.is_poisoned() {
        answer_failed(core, ops, &WriteError::Failed(core.health.poison()));
        return Vec::new();
    }
    prepare(core, &mut ops);
    let written = core.kv.take_pending();
    if ops.is_empty() && written.is_empty() {
        return Vec::new();
    }
    let begun = Instant::now();
    core.health.write_begins(core.clock.now());
    let outcome = write_until_deadline(core, &ops, &written, begun);
    core.health.write_ends();
    core.metrics.sync_seconds.observe(begun.elapsed().as_secs_f64());
    match outcome {
        Ok(Changes { effects, told }) => {
            core.metrics.group_operations.observe(ops.len() as f64);
            if !effects.is_empty() || !written.is_empty() || ops.iter().any(|op| matches!(op, Op::Probe)) {
                core.health.set_full(false);
            }
            crash_point(&ops, "written");
            core.kv.forget_written(written);
            // Before the answers: who begins to watch after one is not told of what it was about, and who reads the feed
            // after one finds it.
            core.watchers.tell(&told);
            core.feed.publish(told);
            answer_written(core, ops, &effects);
            Vec::new()
        }
        Err(error) => {
            core.kv.give_back_pending(written);
            if let WriteError::Failed(cause) = &error {
                core.poison(cause);
            }
            core.health.set_full(error == WriteError::DiskFull);
            let (kept, lost): (Vec<Op>, Vec<Op>) = ops.into_iter().partition(Op::is_kept);
            answer_failed(core, lost, &error);
            kept
        }
    }
}

/// Builds and writes the batch; again and again while RocksDB wants writers to wait, up to the deadline.
fn write_until_deadline(
    core: &Core,
    ops: &[Op],
    written: &[Written],
    begun: Instant,
) -> Result<Changes, WriteError> {
    let deadline = Duration::from_millis(core.settings.write_deadline_ms);
    let number = || core.next_number();
    let db = core.db().map_err(|_| WriteError::DiskFull)?;
    loop {
        let now = core.clock.now();
        let kept_until = |envelope: &Envelope| core.catalog.tables.content_until(envelope, now);
        let mut builder = Builder::new(&db, now, &number, core.feed.head(), &kept_until);
        for op in ops {
            builder.add(op);
        }
        for entry in written {
            builder.put_kv(&entry.key, entry.value.as_deref());
        }
        let (batch, changes) = builder.finish();
        if batch.is_empty() {
            return Ok(changes);
        }
        crash_point(ops, "built");
        core.space.note_written(batch.size_in_bytes() as u64);
        match db.write(batch) {
            Ok(()) => {
                core.metrics.groups.inc();
                return Ok(changes);
            }
            Err(WriteError::Stalled) if begun.elapsed() < deadline => {
                core.metrics.stalls.inc();
                std::thread::sleep(STALL_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Drops what nobody waits for any more, takes places in the window, learns what operators asked for.
fn prepare(core: &Core, ops: &mut Vec<Op>) {
    ops.retain(|op| match op {
        // The client is gone or was told to try again. Its chunks, if any, are found by their mark.
        Op::Accept(op) if op.answer.is_closed() => {
            core.commit.give_back_room(&op.room);
            core.drop_chunks_later(op.message.id, op.message.chunks_ahead);
            false
        }
        _ => true,
    });
    for op in ops.iter() {
        match op {
            Op::Settle(op) if !op.suppress.is_empty() => core.suppressions.note(&op.suppress),
            Op::Suppress(op) => core.suppressions.note(&op.changes),
            _ => {}
        }
    }
    let now = core.clock.now();
    let mut operations = Vec::new();
    let mut window = core.schedule.lock();
    for op in ops.iter_mut() {
        match op {
            Op::Accept(op) => reserve(&mut window, &mut op.message, now),
            Op::Settle(op) => {
                op.intent = window.get(op.job.key).and_then(|taken| taken.intent.clone());
                for report in &mut op.reports {
                    reserve(&mut window, report, now);
                }
            }
            Op::Operate(op) => operations.push(op),
            _ => {}
        }
    }
    drop(window);
    for op in operations {
        prepare_operate(core, op);
    }
}

/// Takes places for the jobs that are due at once, before anybody can see them in the database.
fn reserve(window: &mut Window, message: &mut Message, now: baton_mail::UnixMs) {
    let flow = message.envelope.flow();
    for job in message.jobs.iter_mut().filter(|job| job.is_fresh) {
        let key = JobKey { message: message.id, job: job.seed.job };
        let entry = Entry { shelf: job.shelf, due: job.seed.due };
        job.reserved = job.reserved || (job.seed.due <= now && window.reserve(key, entry, flow));
    }
}

/// Finds the jobs that the operator's change can be made to at once, and leaves word for those being delivered.
fn prepare_operate(core: &Core, op: &mut OperateOp) {
    for key in std::mem::take(&mut op.keys) {
        if !take_for_operator(core, op, key) {
            continue;
        }
        match core.db().map_err(ReadError::from).and_then(|db| load_job(&db, key)) {
            Ok(Some(job)) if core.is_due_entry(&job) && applies(&op.action, &job) => {
                op.reached += 1;
                op.jobs.push(job);
            }
            Ok(Some(job)) => core.schedule.lock().release(key, Some(job.entry())),
            Ok(None) => core.schedule.lock().release(key, None),
            Err(ReadError::Damaged(damage)) => {
                core.set_aside_later(damage, None);
                core.schedule.lock().release(key, None);
            }
            Err(ReadError::Unreadable(_)) => core.schedule.lock().release(key, None),
        }
    }
}

/// Marks the job as being written. False when it is not free; then the wish is left with its mark.
fn take_for_operator(core: &Core, op: &mut OperateOp, key: JobKey) -> bool {
    let mut window = core.schedule.lock();
    let Some(taken) = window.get(key) else {
        // Its place in the index is told when it is released.
        let unknown = Entry { shelf: Shelf::HELD, due: baton_mail::UnixMs(0) };
        return window.take(key, unknown, Stage::Writing);
    };
    match (taken.stage, &op.action) {
        (Stage::Ready | Stage::Reading | Stage::HandedBack, _) => {
            taken.stage = Stage::Writing;
            true
        }
        // What is being delivered needs no attempt at once and is not held.
        (Stage::Claimed, Action::Release | Action::Retry | Action::MoveOut(_)) => false,
        (Stage::Claimed, action) => {
            taken.intent = Some(Intent { action: action.clone(), by: op.by.clone() });
            op.reached += 1;
            false
        }
        (Stage::Settling | Stage::Writing, _) => false,
    }
}

/// Whether the action changes anything about the job.
fn applies(action: &Action, job: &Job) -> bool {
    let is_held = is_held(job.due);
    match action {
        Action::Hold | Action::Retry => !is_held,
        Action::Release | Action::MoveOut(_) => is_held,
        Action::Remove | Action::Bounce(_) => true,
        Action::Route(next_hop) => *next_hop != job.changes.route,
        Action::Assign(assignment) => job.changes.clone().assigned(assignment) != job.changes,
    }
}

/// Tells the window what is in the database now, then everybody who waits.
fn answer_written(core: &Core, ops: Vec<Op>, effects: &[Effect]) {
    let mut window = core.schedule.lock();
    for effect in effects {
        apply_effect(core, &mut window, effect);
    }
    let mut kib = 0;
    let mut answers: Vec<Answer<()>> = Vec::with_capacity(ops.len());
    let mut late = Vec::new();
    for op in ops {
        kib += op.room_kib();
        match op {
            Op::Accept(op) => {
                core.catalog.note(&op.message.records);
                publish(core, &mut window, op.message);
                answers.push(op.answer);
            }
            Op::Chunk(op) => answers.push(op.answer),
            Op::Derive(op) => answers.push(op.answer),
            Op::Account(op) => {
                core.accounts.note(op.value.is_some());
                answers.push(op.answer);
            }
            Op::Catalog(op) => {
                core.catalog.note(&op.puts);
                answers.push(op.answer);
            }
            Op::Expire(_, answer) => answers.push(answer),
            Op::Rewrite(op) => answers.push(op.answer),
            Op::Suppress(op) => answers.extend(op.answer),
            Op::Settle(op) => {
                let counter = if op.next.is_none() { &core.metrics.finished } else { &core.metrics.deferred };
                counter.inc();
                op.reports.into_iter().for_each(|report| publish(core, &mut window, report));
            }
            other => late.push(other),
        }
    }
    core.schedule.report(&window);
    drop(window);
    core.commit.give_back(kib);
    core.schedule.wake();
    for answer in answers {
        let _ = answer.send(Ok(()));
    }
    for op in late {
        match op {
            Op::Operate(op) => drop(op.answer.send(Ok(op.reached))),
            Op::ForgetFeed(_, before) => core.feed.note_forgotten(before),
            Op::Barrier(answer) => drop(answer.send(())),
            _ => {}
        }
    }
}

fn apply_effect(core: &Core, window: &mut Window, effect: &Effect) {
    let metrics = &core.metrics;
    match effect {
        Effect::Added(entry) => {
            core.census.add(entry);
            metrics.jobs.inc();
            metrics.jobs_held.inc_by(i64::from(is_held(entry.due)));
        }
        Effect::Moved { key, was, next } => {
            let entry = next.as_ref().map(|(shelf, next)| Entry { shelf: *shelf, due: next.due });
            window.release(*key, entry);
            let next = next.as_ref().map(|(_, next)| next);
            core.census.replace(was, next);
            let holds = |entry: &Counted| i64::from(is_held(entry.due));
            metrics.jobs_held.inc_by(next.map_or(0, holds) - holds(was));
            if next.is_none() {
                metrics.jobs.dec();
            }
        }
        Effect::Damaged => drop(metrics.damaged.inc()),
        Effect::Suppressed(change) => core.suppressions.count_change(*change),
    }
}

/// A written message: its jobs are ready, or the due scan will find them.
fn publish(core: &Core, window: &mut Window, message: Message) {
    core.metrics.accepted.inc();
    let shared = message.jobs.len() > 1;
    for MessageJob { seed, shelf, is_fresh, reserved, .. } in message.jobs {
        let key = JobKey { message: message.id, job: seed.job };
        let entry = Entry { shelf, due: seed.due };
        if !reserved {
            if is_fresh && seed.due <= core.clock.now() {
                window.note_newcomer(entry, key, message.envelope.flow());
            } else {
                window.note_insert(entry, key);
            }
            continue;
        }
        window.make_ready(Job {
            key,
            due: seed.due,
            envelope: Arc::clone(&message.envelope),
            chunks: message.chunks,
            recipients: seed.recipients,
            queue: seed.queue,
            attempt: 0,
            last: None,
            hold: None,
            delay_told: false,
            changes: crate::change::Changes::default(),
            shared,
            stored: shared,
            body: message.held.clone(),
        });
    }
}

/// Nothing of these operations was written.
fn answer_failed(core: &Core, ops: Vec<Op>, error: &WriteError) {
    let mut window = core.schedule.lock();
    for op in &ops {
        match op {
            Op::Accept(op) => {
                for job in op.message.jobs.iter().filter(|job| job.reserved) {
                    window.release(JobKey { message: op.message.id, job: job.seed.job }, None);
                }
            }
            Op::Operate(op) => op.jobs.iter().for_each(|job| window.release(job.key, Some(job.entry()))),
            _ => {}
        }
    }
    drop(window);
    core.schedule.wake();
    core.commit.give_back(ops.iter().map(Op::room_kib).sum());
    for op in ops {
        match op {
            Op::Accept(op) => {
                core.drop_chunks_later(op.message.id, op.message.chunks_ahead);
                drop(op.answer.send(Err(error.clone())));
            }
            Op::Chunk(op) => drop(op.answer.send(Err(error.clone()))),
            Op::Derive(op) => drop(op.answer.send(Err(error.clone()))),
            Op::Account(op) => drop(op.answer.send(Err(error.clone()))),
            Op::Catalog(op) => drop(op.answer.send(Err(error.clone()))),
            Op::Expire(_, answer) => drop(answer.send(Err(error.clone()))),
            Op::Rewrite(op) => drop(op.answer.send(Err(error.clone()))),
            Op::Suppress(SuppressOp { answer: Some(answer), .. }) => drop(answer.send(Err(error.clone()))),
            Op::Operate(op) => drop(op.answer.send(Err(error.clone()))),
            // What is in the database can be looked at all the same.
            Op::Barrier(answer) => drop(answer.send(())),
            _ => {}
        }
    }
}

/// Where crash tests end the process: at a named step of a named operation.
#[cfg(test)]
fn crash_point(ops: &[Op], step: &str) {
    crate::tests::crash::point(ops.iter().map(Op::name), step);
}

#[cfg(not(test))]
fn crash_point(_: &[Op], _: &str) {}
