//! How long stories and the addresses in them are kept, where a stream wants less than the settings keep; and the addresses of
//! all other mail, by the settings.
//!
//! Invariant: a message that is in the queue keeps its story whole.

use std::collections::BTreeSet;

use baton_mail::event::What;
use baton_mail::{Mailbox, MessageId, UnixMs};
use tokio::sync::oneshot;

use crate::commit::Op;
use crate::core::Core;
use crate::database::{Database, Family};
use crate::format::{
    FORMAT, KEPT_PREFIX, KeptRecord, after_prefix, body_key, decode_history, decode_owned, encode_history,
    envelope_key, kept_key, message_of, retention_key,
};
use crate::person::{Needles, Puts, Ranges, RewriteOp, stand_in, without};
use crate::search;

/// Messages that one batch is about.
const BATCH_MESSAGES: usize = 200;
const DAY_MS: u64 = 86_400_000;

/// Deletes and hides what is older than streams and settings want to know.
pub(crate) fn apply(core: &Core, is_stopped: impl Fn() -> bool) {
    let now = core.clock.now();
    let before = |days: u32| UnixMs(now.0.saturating_sub(u64::from(days) * DAY_MS));
    for (tenant, stream, kept) in core.catalog.tables.retentions() {
        let work = Work { core, owner: Some((tenant.as_deref(), &stream)), is_stopped: &is_stopped };
        let done = kept.events_days.map_or(Ok(()), |days| work.forget_stories(before(days)));
        let done =
            done.and_then(|()| kept.addresses_days.map_or(Ok(()), |days| work.hide_addresses(before(days))));
        if let Err(cause) = done {
            tracing::warn!(target: "store", stream, cause, "what a stream keeps no longer could not be deleted");
        }
    }
    if let Err(cause) = drop_kept(core, now) {
        tracing::warn!(target: "store", cause, "content that is kept no longer could not be deleted");
    }
    if core.settings.addresses_days > 0 {
        let work = Work { core, owner: None, is_stopped: &is_stopped };
        if let Err(cause) = work.hide_addresses(before(core.settings.addresses_days)) {
            tracing::warn!(target: "store", cause, "old addresses could not be hidden");
        }
    }
}

/// Deletes the content of messages that left the queue, whose time is over.
fn drop_kept(core: &Core, now: UnixMs) -> Result<(), String> {
    let prefix = [&[FORMAT], KEPT_PREFIX].concat();
    let end = after_prefix(&prefix);
    let db = core.db().map_err(|away| away.to_string())?;
    let mut marks = db.iterate(Family::Meta, &prefix, end.as_deref());
    marks.seek_to_first();
    let mut changes = Changes::default();
    while let Some((key, value)) = marks.item() {
        let id = key.get(prefix.len()..).and_then(|id| id.try_into().ok()).map(MessageId::from_octets);
        let is_over = decode_owned::<KeptRecord>(value).is_ok_and(|kept| kept.until <= now);
        if let Some(message) = id.filter(|_| is_over) {
            changes.forget_content(message);
        }
        if changes.ranges.len() == BATCH_MESSAGES {
            write(core, std::mem::take(&mut changes))?;
        }
        marks.next();
    }
    marks.status().map_err(rocksdb::Error::into_string)?;
    write(core, changes)
}

/// The mail of a stream, or that of no stream which says something itself.
struct Work<'a> {
    core: &'a Core,
    owner: Option<(Option<&'a str>, &'a str)>,
    is_stopped: &'a dyn Fn() -> bool,
}

/// What one batch changes.
#[derive(Default)]
struct Changes {
    puts: Puts,
    ranges: Ranges,
}

impl Changes {
    /// Kept content goes.
    fn forget_content(&mut self, message: MessageId) {
        let (puts, ranges) = (&mut self.puts, &mut self.ranges);
        puts.push((Family::Meta, kept_key(message), None));
        ranges.push((Family::Body, body_key(message, 0).to_vec(), body_key(message, u32::MAX).to_vec()));
    }
}

/// Notes what is to change of some messages; false when that is enough.
type Noting<'a> = dyn FnMut(&Database, &[MessageId], &mut Changes) -> Result<bool, String> + 'a;

impl Work<'_> {
    /// Deletes the stories of messages from before then.
    fn forget_stories(&self, before: UnixMs) -> Result<(), String> {
        self.each_message(MessageId::from_octets([0; 16]), before, &mut |db, messages, changes| {
            for message in messages {
                if self.is_queued(db, *message)? {
                    continue;
                }
                let from = envelope_key(*message).to_vec();
                let to = after_prefix(&from).unwrap_or_default();
                for key in entries(db, *message)? {
                    changes.puts.push((Family::Index, key, None));
                }
                changes.ranges.push((Family::History, from, to));
                self.core.feed.forget_facts(*message);
            }
            Ok(true)
        })
    }

    /// Writes stand-ins for the addresses of recipients of messages from before then.
    fn hide_addresses(&self, before: UnixMs) -> Result<(), String> {
        let mark = retention_key(self.owner);
        let db = self.core.db().map_err(|away| away.to_string())?;
        let done = db.get(Family::Meta, &mark)?.and_then(|value| message_of(&value));
        drop(db);
        let from = done.map_or(MessageId::from_octets([0; 16]), MessageId::next);
        self.each_message(from, before, &mut |db, messages, changes| {
            for message in messages {
                // It and what follows has its turn when it left the queue.
                if self.is_queued(db, *message)? {
                    return Ok(false);
                }
                self.hide_in(db, *message, changes)?;
                changes.puts.push((Family::Meta, mark.clone(), Some(envelope_key(*message).to_vec())));
            }
            Ok(true)
        })
    }

    fn hide_in(&self, db: &Database, message: MessageId, changes: &mut Changes) -> Result<(), String> {
        let recipients = recipients(db, message)?;
        let needles: Vec<Needles> =
            recipients.iter().map(|one| Needles::of(one, &stand_in(self.core, one))).collect();
        let prefix = envelope_key(message);
        let end = after_prefix(&prefix);
        let mut records = db.iterate(Family::History, &prefix, end.as_deref());
        records.seek_to_first();
        while let Some((key, value)) = records.item() {
            // A damaged record is told of by who reads its message.
            if let Ok((facts, events)) = decode_history(value) {
                let mut replace = |text: &str| {
                    needles.iter().fold(text.to_owned(), |text, needles| needles.replaced(&text))
                };
                let (facts, events): (Option<_>, Vec<_>) =
                    (without(&facts, &mut replace)?, without(&events, &mut replace)?);
                let value = encode_history(facts.as_ref(), &events);
                changes.puts.push((Family::History, key.to_vec(), Some(value)));
            }
            records.next();
        }
        records.status().map_err(rocksdb::Error::into_string)?;
        for recipient in &recipients {
            let keys = search::entries_of_address(recipient, message);
            changes.puts.extend(keys.map(|key| (Family::Index, key, None)));
        }
        self.core.feed.forget_facts(message);
        Ok(())
    }

    /// Does something about each of its messages from `from` on and from before then, some at a time, until it says no.
    fn each_message(&self, from: MessageId, before: UnixMs, work: &mut Noting<'_>) -> Result<(), String> {
        let mut next = Some(from);
        while let Some(from) = next.filter(|_| !(self.is_stopped)()) {
            let db = self.core.db().map_err(|away| away.to_string())?;
            let (messages, more) = self.messages(&db, from, MessageId::first_at(before))?;
            let mut changes = Changes::default();
            let goes_on = work(&db, &messages, &mut changes)?;
            drop(db);
            write(self.core, changes)?;
            next = more.filter(|_| goes_on);
        }
        Ok(())
    }

    /// Its messages in that range, and where to go on.
    fn messages(
        &self,
        db: &Database,
        from: MessageId,
        before: MessageId,
    ) -> Result<(Vec<MessageId>, Option<MessageId>), String> {
        let (family, prefix) = match self.owner {
            Some((tenant, stream)) => (Family::Index, search::stream_prefix(tenant, stream).to_vec()),
            None => (Family::History, vec![FORMAT]),
        };
        let place = |message: MessageId| [&prefix[..], &message.to_octets()].concat();
        let mut records = db.iterate(family, &place(from), Some(&place(before)));
        records.seek_to_first();
        let (mut found, mut looked_at) = (Vec::new(), 0);
        while let Some(key) = records.key() {
            let message = match family {
                Family::Index => search::message_of(key),
                _ => message_of(key),
            };
            let Some(message) = message else { return Err("a key makes no sense".to_owned()) };
            if found.len() == BATCH_MESSAGES || looked_at == BATCH_MESSAGES * 10 {
                return Ok((found, Some(message)));
            }
            looked_at += 1;
            if self.is_its(db, message) {
                found.push(message);
            }
            // A message has many records.
            records.seek(place(message.next()));
        }
        records.status().map_err(rocksdb::Error::into_string)?;
        Ok((found, None))
    }

    /// Whether a message is of the stream; or of none that says itself how long addresses are kept.
    fn is_its(&self, db: &Database, message: MessageId) -> bool {
        let facts = self.core.feed.facts_of(db, message);
        match self.owner {
            Some((tenant, stream)) => {
                facts.tenant.as_deref() == tenant && facts.stream.as_deref() == Some(stream)
            }
            None => {
                let tables = &self.core.catalog.tables;
                let stream =
                    facts.stream.as_deref().and_then(|name| tables.stream(facts.tenant.as_deref(), name));
                stream.is_none_or(|stream| stream.value.retention.addresses_days.is_none())
            }
        }
    }

    fn is_queued(&self, db: &Database, message: MessageId) -> Result<bool, String> {
        Ok(db.get(Family::Envelope, &envelope_key(message))?.is_some())
    }
}

/// All recipients that the story of a message names.
fn recipients(db: &Database, message: MessageId) -> Result<BTreeSet<Mailbox>, String> {
    let prefix = envelope_key(message);
    let end = after_prefix(&prefix);
    let mut records = db.iterate(Family::History, &prefix, end.as_deref());
    records.seek_to_first();
    let mut found = BTreeSet::new();
    while let Some(value) = records.value() {
        for event in decode_history(value).map(|(_, events)| events).unwrap_or_default() {
            match event.what {
                What::Accepted { recipients, .. }
                | What::Discarded { recipients, .. }
                | What::Suppressed { recipients, .. } => found.extend(recipients),
                What::Rejected { recipient, .. } | What::Complained { recipient, .. } => {
                    found.extend(recipient)
                }
                _ => {}
            }
        }
        records.next();
    }
    records.status().map_err(rocksdb::Error::into_string)?;
    Ok(found)
}

/// The entries of the index that lead to a message, as far as its story tells them.
fn entries(db: &Database, message: MessageId) -> Result<Vec<Vec<u8>>, String> {
    let prefix = envelope_key(message);
    let end = after_prefix(&prefix);
    let mut records = db.iterate(Family::History, &prefix, end.as_deref());
    records.seek_to_first();
    let mut keys = Vec::new();
    while let Some(value) = records.value() {
        if let Ok((facts, events)) = decode_history(value) {
            search::entries_of(facts.unwrap_or_default(), events, &mut |key| keys.push(key.to_vec()));
        }
        records.next();
    }
    records.status().map_err(rocksdb::Error::into_string)?;
    Ok(keys)
}

fn write(core: &Core, changes: Changes) -> Result<(), String> {
    let Changes { puts, ranges } = changes;
    if puts.is_empty() && ranges.is_empty() {
        return Ok(());
    }
    let (answer, answered) = oneshot::channel();
    let op = Op::Rewrite(RewriteOp { puts, ranges, answer });
    core.commit.push(op).map_err(|_| "the store is closing".to_owned())?;
    match answered.blocking_recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("{error:?}")),
        Err(_) => Err("the store is closing".to_owned()),
    }
}
