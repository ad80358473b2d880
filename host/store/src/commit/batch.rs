//! Turns operations into one write batch. Every change of the queue's state is here; the README has the table.

use std::collections::HashMap;

use baton_mail::event::{Event, Removal, What};
use baton_mail::{Envelope, MessageId, UnixMs};
use bytes::Bytes;
use rocksdb::WriteBatch;

use super::operation::{
    AcceptOp, AccountOp, Action, ChunkOp, Message, Op, OperateOp, SettleOp, SplitOp, held_by,
};
use crate::catalog::{Put, expired};
use crate::census::Counted;
use crate::change::GiveUp;
use crate::database::{Database, Family};
use crate::feed::{CursorOp, POINTERS_MAX, Pointer, encode_pointers, feed_key};
use crate::format::{
    DueRecord, FORMAT, HistoryRecord, JobKey, JobRecord, KeptRecord, PROBE_KEY, after_prefix, body_key,
    corrupt_key, decode, decode_job_key, due_key, encode, encode_events, encode_job, envelope_key,
    held_until, history_key, is_held, job_key, kept_key, partial_key,
};
use crate::parcel::moved_by;
use crate::person::RewriteOp;
use crate::records::Damage;
use crate::schedule::{Entry, Intent, Job};
use crate::shelf::Shelf;
use crate::suppression::{Batched, Keyed};

/// A batch in the making.
pub(super) struct Builder<'a> {
    db: &'a Database,
    batch: WriteBatch,
    /// The live jobs of messages with several jobs, as they are after the operations so far.
    live: HashMap<MessageId, Vec<u16>>,
    /// What became of addresses by the operations so far.
    suppressed: Batched,
    /// What the window and the figures learn when the batch is written, in order.
    pub(super) effects: Vec<Effect>,
    /// Events of the batch, as they are written.
    told: Vec<(Pointer, Bytes)>,
    /// The number that the first of them has in the feed.
    feed_head: u64,
    now: UnixMs,
    number: &'a dyn Fn() -> u32,
    /// How long content is kept after its message left the queue; none when it goes at once.
    kept_until: &'a dyn Fn(&Envelope) -> Option<UnixMs>,
}

/// What a batch changes.
pub(super) struct Changes {
    pub(super) effects: Vec<Effect>,
    /// The events of it, encoded, in their order.
    pub(super) told: Vec<(Pointer, Bytes)>,
}

/// What a written batch changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A job is new. The window learns of it by the operation itself.
    Added(Counted),
    /// A job that was in the window left the queue, or goes on on this shelf at this entry.
    Moved { key: JobKey, was: Counted, next: Option<(Shelf, Counted)> },
    /// A damaged record was set aside.
    Damaged,
    /// So many entries of the suppression lists more, or fewer.
    Suppressed(i64),
}

impl<'a> Builder<'a> {
    /// An empty batch.
    pub(super) fn new(
        db: &'a Database,
        now: UnixMs,
        number: &'a dyn Fn() -> u32,
        feed_head: u64,
        kept_until: &'a dyn Fn(&Envelope) -> Option<UnixMs>,
    ) -> Builder<'a> {
        Builder {
            db,
            batch: WriteBatch::default(),
            live: HashMap::new(),
            suppressed: Batched::default(),
            effects: Vec::new(),
            told: Vec::new(),
            feed_head,
            now,
            number,
            kept_until,
        }
    }

    /// The batch and what it will have changed.
    pub(super) fn finish(mut self) -> (WriteBatch, Changes) {
        self.put_feed();
        (self.batch, Changes { effects: self.effects, told: self.told })
    }

    /// What this batch writes to the history, at the end of the feed.
    fn put_feed(&mut self) {
        let pointers: Vec<Pointer> = self.told.iter().map(|(pointer, _)| *pointer).collect();
        let mut number = self.feed_head;
        for pointers in pointers.chunks(POINTERS_MAX) {
            self.put(Family::Feed, &feed_key(number), &encode_pointers(pointers));
            number += pointers.len() as u64;
        }
    }

    /// Adds an operation.
    pub(super) fn add(&mut self, op: &Op) {
        match op {
            Op::Accept(AcceptOp { message, .. }) => self.add_message(message),
            Op::Chunk(op) => self.add_chunk(op),
            Op::DropChunks(message) => self.drop_chunks(*message),
            Op::Settle(op) => self.settle(op),
            Op::Split(op) => self.split(op),
            Op::Record(history, _) => self.put_history(history),
            Op::Operate(op) => self.operate(op),
            Op::Account(AccountOp { key, value, .. }) => self.put_account(key, value.as_deref()),
            Op::Catalog(op) => self.put_records(&op.puts),
            Op::Expire(at, _) => self.put_records(&expired(self.db, *at)),
            Op::Suppress(op) => {
                self.put_history(&op.history);
                self.suppress(&op.changes);
            }
            Op::SetAside(damage, entry) => self.set_aside(damage, *entry),
            Op::Forget(before) => self.forget(*before),
            Op::ForgetFeed(from, before) => {
                let family = self.db.family(Family::Feed);
                self.batch.delete_range_cf(family, feed_key(*from), feed_key(*before));
            }
            Op::Cursor(cursor) => self.put_cursor(cursor),
            Op::Derive(op) => {
                let family = op.kind.family();
                for (from, to) in &op.forget {
                    self.batch.delete_range_cf(self.db.family(family), from, to);
                }
                op.puts.iter().for_each(|(key, value)| self.put(family, key, value));
                self.put_cursor(&op.cursor);
            }
            Op::Rewrite(op) => self.rewrite(op),
            Op::Probe => self.put(Family::Meta, PROBE_KEY, &[FORMAT]),
            Op::Barrier(_) => {}
        }
    }

    fn rewrite(&mut self, op: &RewriteOp) {
        for (family, from, to) in &op.ranges {
            self.batch.delete_range_cf(self.db.family(*family), from, to);
        }
        for (family, key, value) in &op.puts {
            match value {
                Some(value) => self.put(*family, key, value),
                None => self.batch.delete_cf(self.db.family(*family), key),
            }
        }
    }

    /// Puts or deletes an entry of the key-value store.
    pub(super) fn put_kv(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.put(Family::Kv, key, value),
            None => self.batch.delete_cf(self.db.family(Family::Kv), key),
        }
    }

    fn put_account(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.put(Family::Account, key, value),
            None => self.batch.delete_cf(self.db.family(Family::Account), key),
        }
    }

    fn put_records(&mut self, puts: &[Put]) {
        for Put { key, value } in puts {
            match value {
                Some(value) => self.put(Family::Catalog, key, value),
                None => self.batch.delete_cf(self.db.family(Family::Catalog), key),
            }
        }
    }

    /// Entry and place in the list, each on what is there.
    fn suppress(&mut self, changes: &[Keyed]) {
        for keyed in changes {
            let writes = match self.suppressed.apply(self.db, keyed, self.now) {
                Ok(Some(writes)) => writes,
                Ok(None) => continue,
                Err(cause) => {
                    tracing::error!(target: "store", cause, "a suppression entry can not be read, nor changed");
                    continue;
                }
            };
            match writes.record {
                (key, Some(value)) => self.put(Family::Suppression, &key, &value),
                (key, None) => self.batch.delete_cf(self.db.family(Family::Suppression), key),
            }
            if let Some(left) = writes.left {
                self.batch.delete_cf(self.db.family(Family::SuppressionList), left);
            }
            if let Some(taken) = writes.taken {
                self.put(Family::SuppressionList, &taken, &[FORMAT]);
            }
            if writes.count != 0 {
                self.effects.push(Effect::Suppressed(writes.count));
            }
        }
    }

    fn put_cursor(&mut self, CursorOp { key, value }: &CursorOp) {
        match value {
            Some(value) => self.put(Family::Meta, key, value),
            None => self.batch.delete_cf(self.db.family(Family::Meta), key),
        }
    }

    fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.batch.put_cf(self.db.family(family), key, value);
    }

    /// Deletes a key that was put once since it was last deleted; the pair vanishes when the buffer is flushed.
    fn delete_once(&mut self, family: Family, key: &[u8]) {
        self.batch.single_delete_cf(self.db.family(family), key);
    }

    fn put_history(&mut self, records: &[HistoryRecord]) {
        for record in records {
            self.put(Family::History, &record.key, &record.value);
            self.told.push((Pointer::to(&record.key), record.value.clone()));
        }
    }

    fn put_event(&mut self, message: MessageId, what: What) {
        let number = self.number;
        self.put_history(&encode_events(&[Event { message, at: self.now, what }], None, number));
    }

    fn put_due(&mut self, entry: Entry, key: JobKey, size: u64, queue: &str) {
        self.put(Family::Due, &due_key(entry.shelf, entry.due, key), &encode(&DueRecord { size, queue }));
    }

    /// Envelope, body, jobs, due entries and history at once.
    fn add_message(&mut self, message: &Message) {
        self.put(Family::Envelope, &envelope_key(message.id), &message.record);
        for (piece, chunk) in message.pieces.iter().zip(message.chunks_ahead..) {
            self.put(Family::Body, &body_key(message.id, chunk), piece);
        }
        if message.chunks_ahead > 0 {
            self.batch.delete_cf(self.db.family(Family::Meta), partial_key(message.id));
        }
        for job in &message.jobs {
            let key = JobKey { message: message.id, job: job.seed.job };
            self.put_due(
                Entry { shelf: job.shelf, due: job.seed.due },
                key,
                message.envelope.size,
                &job.seed.queue,
            );
            if let Some(record) = &job.record {
                self.put(Family::Job, &job_key(key), record);
            }
            let (due, queue) = (job.seed.due, job.seed.queue.clone());
            self.effects.push(Effect::Added(Counted { due, queue, size: message.envelope.size }));
        }
        self.put_history(&message.history);
        self.put_records(&message.records);
    }

    /// A chunk and the mark by which it is found if its message never comes.
    fn add_chunk(&mut self, op: &ChunkOp) {
        if op.chunk == 0 {
            self.put(Family::Meta, &partial_key(op.message), &[FORMAT]);
        }
        self.put(Family::Body, &body_key(op.message, op.chunk), &op.value);
    }

    fn drop_chunks(&mut self, message: MessageId) {
        let from = body_key(message, 0);
        let to = body_key(message, u32::MAX);
        self.batch.delete_range_cf(self.db.family(Family::Body), from, to);
        self.batch.delete_cf(self.db.family(Family::Meta), partial_key(message));
    }

    /// Outcome, reports and history in one batch (house rule 19).
    fn settle(&mut self, op: &SettleOp) {
        self.put_history(&op.history);
        self.suppress(&op.suppress);
        for report in &op.reports {
            self.add_message(report);
        }
        match (&op.next, &op.intent) {
            (None, _) => self.end_job(&op.job),
            (Some(next), Some(Intent { action, by })) => self.act(&op.job, next.clone(), action, by),
            (Some(next), None) => self.move_job(&op.job, next),
        }
    }

    /// The job goes on with another record.
    fn move_job(&mut self, job: &Job, next: &JobRecord) {
        self.delete_once(Family::Due, &due_key(job.shelf(), job.due, job.key));
        // The shelf may be another one from now on.
        let shelf = Shelf::of(&next.changes.applied(&job.envelope));
        let entry = Entry { shelf, due: next.due };
        self.put_due(entry, job.key, job.envelope.size, &next.queue);
        self.put(Family::Job, &job_key(job.key), &encode_job(next));
        let next = Counted { due: next.due, queue: next.queue.clone(), size: job.envelope.size };
        self.effects.push(Effect::Moved { key: job.key, was: counted(job), next: Some((shelf, next)) });
    }

    /// The job is done. The last one takes envelope and body with it.
    fn end_job(&mut self, job: &Job) {
        self.delete_once(Family::Due, &due_key(job.shelf(), job.due, job.key));
        if job.stored {
            self.batch.delete_cf(self.db.family(Family::Job), job_key(job.key));
        }
        let is_last = if job.shared {
            let live = self.live_jobs(job.key.message);
            live.retain(|other| *other != job.key.job);
            live.is_empty()
        } else {
            true
        };
        let kept = if is_last { (self.kept_until)(&job.envelope) } else { None };
        if is_last {
            self.delete_once(Family::Envelope, &envelope_key(job.key.message));
        }
        if let Some(until) = kept {
            let record = encode(&KeptRecord { until, chunks: job.chunks });
            self.put(Family::Meta, &kept_key(job.key.message), &record);
        } else if is_last {
            for chunk in 0..job.chunks {
                self.delete_once(Family::Body, &body_key(job.key.message, chunk));
            }
        }
        self.effects.push(Effect::Moved { key: job.key, was: counted(job), next: None });
    }

    /// The live jobs of a message with several jobs: what the database has, and what this batch did since.
    fn live_jobs(&mut self, message: MessageId) -> &mut Vec<u16> {
        self.live.entry(message).or_insert_with(|| {
            read_live(self.db, message).unwrap_or_else(|cause| {
                // Rather an envelope too many than one too few: take it that another job lives.
                tracing::error!(target: "store", %message, cause, "the jobs of a message can not be read");
                vec![u16::MAX]
            })
        })
    }

    /// One part keeps name and due entry of the job; the others are new.
    fn split(&mut self, op: &SplitOp) {
        if op.was_single {
            self.live.insert(op.kept.message, Vec::new());
        }
        let live = self.live_jobs(op.kept.message);
        for (key, _) in &op.parts {
            if !live.contains(&key.job) {
                live.push(key.job);
            }
        }
        for (key, record) in &op.parts {
            self.put(Family::Job, &job_key(*key), &encode_job(record));
            if *key != op.kept {
                let entry = Entry { shelf: op.shelf, due: record.due };
                self.put_due(entry, *key, op.size, &record.queue);
                let (due, queue) = (record.due, record.queue.clone());
                self.effects.push(Effect::Added(Counted { due, queue, size: op.size }));
            }
        }
    }

    /// An operator's change to the jobs that are in nobody's hands.
    fn operate(&mut self, op: &OperateOp) {
        for job in &op.jobs {
            let record = JobRecord {
                shared: job.shared,
                due: job.due,
                attempt: job.attempt,
                recipients: job.recipients.clone(),
                queue: job.queue.clone(),
                last: job.last.clone(),
                hold: job.hold.clone(),
                delay_told: job.delay_told,
                changes: job.changes.clone(),
            };
            self.act(job, record, &op.action, &op.by);
        }
    }

    /// What an operator wants of a job that else would go on as `record`.
    fn act(&mut self, job: &Job, mut record: JobRecord, action: &Action, by: &str) {
        let by = by.to_owned();
        let go_on = |record: &mut JobRecord, now| (record.due, record.hold) = (now, None);
        let what = match action {
            Action::Hold => {
                record.due = held_until(job.envelope.given_up_at());
                record.hold = Some(held_by(&by));
                What::Held { reason: held_by(&by), by }
            }
            Action::Release => {
                go_on(&mut record, self.now);
                What::Released { by }
            }
            Action::Retry => {
                go_on(&mut record, self.now);
                What::RetryAsked { by }
            }
            Action::Remove => {
                self.put_event(job.key.message, removed(job, &record, by));
                return self.end_job(job);
            }
            Action::MoveOut(to) => {
                self.put_event(job.key.message, removed(job, &record, moved_by(&by, to)));
                return self.end_job(job);
            }
            Action::Bounce(reason) => {
                go_on(&mut record, self.now);
                record.changes.give_up = Some(GiveUp { by: by.clone(), reason: reason.clone() });
                What::BounceAsked { reason: reason.clone(), by }
            }
            Action::Route(next_hop) => {
                if !is_held(record.due) {
                    go_on(&mut record, self.now);
                }
                record.changes.route.clone_from(next_hop);
                What::Rerouted { next_hop: next_hop.clone(), by }
            }
            Action::Assign(assignment) => {
                record.changes = record.changes.assigned(assignment);
                What::Reassigned { to: assignment.in_words(), by }
            }
        };
        self.put_event(job.key.message, what);
        self.move_job(job, &record);
    }

    /// Moves a damaged record into the `corrupt` family, and the job that led to it out of the due index.
    fn set_aside(&mut self, damage: &Damage, entry: Option<(JobKey, Entry)>) {
        for family in Family::ALL.into_iter().filter(|family| family.name() == damage.family) {
            // What a checksum error hides can not be copied; the record then stays where it is.
            if let Ok(Some(value)) = self.db.get(family, &damage.key) {
                self.put(Family::Corrupt, &corrupt_key(damage.family, &damage.key), &value);
                match family {
                    Family::Envelope | Family::Body => self.delete_once(family, &damage.key),
                    _ => self.batch.delete_cf(self.db.family(family), &damage.key),
                }
            }
        }
        if let Some((key, Entry { shelf, due })) = entry {
            let octets = due_key(shelf, due, key);
            let mut was = Counted { due, queue: String::new(), size: 0 };
            if let Ok(Some(value)) = self.db.get(Family::Due, &octets) {
                self.put(Family::Corrupt, &corrupt_key(Family::Due.name(), &octets), &value);
                if let Ok(DueRecord { size, queue }) = decode::<DueRecord<'_>>(&value) {
                    (was.size, was.queue) = (size, queue.to_owned());
                }
            }
            self.delete_once(Family::Due, &octets);
            self.effects.push(Effect::Moved { key, was, next: None });
        }
        self.put_event(damage.message, What::Damaged { detail: damage.detail.clone() });
        self.effects.push(Effect::Damaged);
    }

    fn forget(&mut self, before: MessageId) {
        let from = history_key(MessageId::from_octets([0; 16]), UnixMs(0), 0);
        let to = history_key(before, UnixMs(0), 0);
        self.batch.delete_range_cf(self.db.family(Family::History), from, to);
    }
}

/// The end of a job without a delivery, for the recipients that it still had.
fn removed(job: &Job, record: &JobRecord, by: String) -> What {
    let recipient = |index: &u16| job.envelope.recipients.get(usize::from(*index));
    let left = record.recipients.iter().filter_map(recipient);
    What::Removed(Removal { by, recipients: left.map(|one| one.address.clone()).collect() })
}

/// A job as the figures count it.
fn counted(job: &Job) -> Counted {
    Counted { due: job.due, queue: job.queue.clone(), size: job.envelope.size }
}

/// The jobs of a message that have a record.
fn read_live(db: &Database, message: MessageId) -> Result<Vec<u16>, String> {
    let prefix = envelope_key(message);
    let end = after_prefix(&prefix);
    let mut live = Vec::new();
    let mut records = db.iterate(Family::Job, &prefix, end.as_deref());
    records.seek_to_first();
    while let Some(key) = records.key() {
        live.extend(decode_job_key(key).map(|key| key.job));
        records.next();
    }
    records.status().map_err(rocksdb::Error::into_string)?;
    Ok(live)
}
