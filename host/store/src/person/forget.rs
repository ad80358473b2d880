//! Forgetting a person.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::event::Event;
use baton_mail::{Mailbox, MessageId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::text::Needles;
use super::{Person, message_at};
use crate::commit::{Action, Answer, Op};
use crate::core::Core;
use crate::database::Family;
use crate::error::StoreError;
use crate::find::Filter;
use crate::format::{FORMAT, JobKey, body_key, decode_history, encode_history, kept_key, message_of};
use crate::look::JobView;
use crate::search;

/// Records that one batch writes anew.
const BATCH_RECORDS: usize = 500;
/// How long the removal of a job may take.
const REMOVE_TIME: Duration = Duration::from_secs(5);
/// Digits of the keyed hash that stand for an address.
const STAND_IN_DIGITS: usize = 16;

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Records of the history that were written anew.
    pub records: usize,
    /// Jobs that were taken out of the queue.
    pub jobs: usize,
    /// Jobs that stay until they are done: others wait in them too, or they are being delivered.
    pub jobs_left: usize,
    /// Lists that the person stays on, by its hash.
    pub suppressions: usize,
    /// Entries of the key-value store that were deleted.
    pub kv: usize,
}

/// Family, key, value.
pub(crate) type Puts = Vec<(Family, Vec<u8>, Option<Vec<u8>>)>;
/// Family, first key, key behind the last.
pub(crate) type Ranges = Vec<(Family, Vec<u8>, Vec<u8>)>;

/// Records that are written anew and deleted, in one batch. Somebody waits for it.
pub(crate) struct RewriteOp {
    /// Family, key, and the value; none to delete it.
    pub(crate) puts: Puts,
    /// Ranges that are deleted: from here to before there.
    pub(crate) ranges: Ranges,
    pub(crate) answer: Answer<()>,
}

impl Person {
    /// Forgets the person. What waits for it alone leaves the queue; what keeps mail from it stays, by its hash.
    ///
    /// # Errors
    /// When the store can not be read or written; asked again, it goes on.
    pub async fn forget(&self, by: &str) -> Result<Forgotten, StoreError> {
        let mut done = Forgotten::default();
        self.forget_jobs(by, &mut done).await?;
        self.core.barrier().await?;
        if self.tenant.is_none() {
            self.forget_kv(&mut done).await?;
            self.forget_set_aside().await?;
        }
        done.suppressions = self.forget_on_lists().await?;
        self.forget_history(&mut done).await?;
        let core = Arc::clone(&self.core);
        let purged =
            tokio::task::spawn_blocking(move || core.db()?.merge_away().map_err(StoreError::Unreadable));
        purged.await.map_err(|_| StoreError::Closed)??;
        Ok(done)
    }

    /// Jobs for the person alone are removed; others would lose their mail with the rest.
    async fn forget_jobs(&self, by: &str, done: &mut Forgotten) -> Result<(), StoreError> {
        for job in self.jobs().await? {
            let is_theirs = job.recipients.iter().all(|one| self.is_it(one));
            let removed = if is_theirs { self.remove(&job, by).await? } else { 0 };
            done.jobs += removed;
            done.jobs_left += usize::from(removed == 0);
        }
        Ok(())
    }

    /// Only this one of the message's jobs.
    async fn remove(&self, job: &JobView, by: &str) -> Result<usize, StoreError> {
        let JobKey { message, job: number } = job.key;
        let after = number.checked_sub(1).map(|job| JobKey { message, job });
        let filter = Filter { recipient: Some(self.address.to_string()), ..Filter::of(message) };
        Ok(self.store.operate_for(Action::Remove, &filter, by, after, REMOVE_TIME).await?.jobs)
    }

    async fn forget_kv(&self, done: &mut Forgotten) -> Result<(), StoreError> {
        let mut from = Some(vec![FORMAT]);
        while let Some(start) = from.take() {
            let page = self.page(Family::Kv, start).await?;
            for (bucket, key) in page.found.iter().filter_map(|(key, _)| crate::kv::split_key(key)) {
                let deleted = self.store.kv().delete(&bucket, &key).await;
                deleted.map_err(|error| StoreError::Unreadable(error.to_string()))?;
                done.kv += 1;
            }
            from = page.next;
        }
        Ok(())
    }

    /// Damaged records that name the person can not be written anew.
    async fn forget_set_aside(&self) -> Result<(), StoreError> {
        let mut from = Some(vec![FORMAT]);
        while let Some(start) = from.take() {
            let page = self.page(Family::Corrupt, start).await?;
            let gone = page.found.into_iter().map(|(key, _)| (Family::Corrupt, key, None));
            write(&self.core, gone.collect(), Vec::new()).await?;
            from = page.next;
        }
        Ok(())
    }

    async fn forget_on_lists(&self) -> Result<usize, StoreError> {
        let scopes = self.lists().await?.into_iter().map(|listed| listed.scope).collect();
        self.store.suppression().erase(&self.address, scopes).await
    }

    async fn forget_history(&self, done: &mut Forgotten) -> Result<(), StoreError> {
        let needles = self.needles();
        let mut from = Some(vec![FORMAT]);
        while let Some(start) = from.take() {
            let page = self.page(Family::History, start).await?;
            for batch in page.found.chunks(BATCH_RECORDS) {
                let (mut puts, mut ranges) = (Vec::with_capacity(batch.len()), Vec::new());
                for (key, value) in batch {
                    let anew = written_anew(value, &needles).map_err(|cause| {
                        StoreError::Damaged(format!("the story of {}: {cause}", message_at(key)))
                    })?;
                    let Some(anew) = anew else { continue };
                    puts.push((Family::History, key.clone(), Some(anew)));
                    done.records += 1;
                    if let Some(message) = message_of(key) {
                        self.core.feed.forget_facts(message);
                        let entries = search::entries_of_address(&self.address, message);
                        puts.extend(entries.map(|key| (Family::Index, key, None)));
                        self.forget_content(message, &mut puts, &mut ranges)?;
                    }
                }
                write(&self.core, puts, ranges).await?;
            }
            from = page.next;
        }
        if self.tenant.is_none() {
            let ranges = search::ranges_of_address(&self.address);
            let ranges = ranges.into_iter().map(|(from, to)| (Family::Index, from, to)).collect();
            write(&self.core, Vec::new(), ranges).await?;
        }
        self.core.feed.forget_tail();
        Ok(())
    }
}

impl Person {
    /// Content that is kept after its message left the queue.
    fn forget_content(
        &self,
        message: MessageId,
        puts: &mut Puts,
        ranges: &mut Ranges,
    ) -> Result<(), StoreError> {
        let mark = kept_key(message);
        if self.core.db()?.get(Family::Meta, &mark).map_err(StoreError::Unreadable)?.is_some() {
            puts.push((Family::Meta, mark, None));
            ranges.push((Family::Body, body_key(message, 0).to_vec(), body_key(message, u32::MAX).to_vec()));
        }
        Ok(())
    }
}

/// Writes, and returns when it is on disk.
pub(crate) async fn write(core: &Core, puts: Puts, ranges: Ranges) -> Result<(), StoreError> {
    if puts.is_empty() && ranges.is_empty() {
        return Ok(());
    }
    let (answer, answered) = oneshot::channel();
    core.commit.push(Op::Rewrite(RewriteOp { puts, ranges, answer }))?;
    answered.await.map_err(|_| core.lost())??;
    Ok(())
}

/// The local part that stands for an address in stories: the beginning of its keyed hash, so that its events still belong
/// together.
pub(crate) fn stand_in(core: &Core, address: &Mailbox) -> String {
    let name = core.hasher.text(address);
    format!("erased-{}", name.get(..STAND_IN_DIGITS).unwrap_or(&name))
}

/// The record without the person; none when it does not name it after all.
fn written_anew(value: &[u8], needles: &Needles) -> Result<Option<Vec<u8>>, String> {
    let (facts, events) = decode_history(value)?;
    let new_events: Vec<Event> = without(&events, &mut |text| needles.replaced(text))?;
    let new_facts = without(&facts, &mut |text| needles.replaced(text))?;
    if new_events == events && new_facts == facts {
        return Ok(None);
    }
    Ok(Some(encode_history(new_facts.as_ref(), &new_events)))
}

/// A value with other texts.
pub(crate) fn without<T: Serialize + DeserializeOwned>(
    value: &T,
    replace: &mut dyn FnMut(&str) -> String,
) -> Result<T, String> {
    let mut plain = serde_json::to_value(value).map_err(|error| error.to_string())?;
    replace_in(&mut plain, replace);
    serde_json::from_value(plain).map_err(|error| error.to_string())
}

fn replace_in(value: &mut serde_json::Value, replace: &mut dyn FnMut(&str) -> String) {
    match value {
        serde_json::Value::String(text) => *text = replace(text),
        serde_json::Value::Array(values) => values.iter_mut().for_each(|value| replace_in(value, replace)),
        serde_json::Value::Object(members) => {
            members.values_mut().for_each(|value| replace_in(value, replace));
        }
        _ => {}
    }
}
