//! All that is kept of one person, told and forgotten: queue, history with its index, suppression lists, and the plugins'
//! key-value store. For the relay as a whole, or for one tenant's mail.
//!
//! Invariant: after a person was forgotten by the relay, no record of the store has the address: records are written anew
//! without it, and what was before is merged away. Keys of the plugins' entries stand in the database's own journal until the
//! next start. What keeps mail from the person stays, by the keyed hash.

mod forget;
mod text;

use std::sync::Arc;
use std::time::Duration;

use baton_mail::event::Event;
use baton_mail::{Mailbox, MessageId};

use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::StoreError;
use crate::find::Filter;
use crate::format::{FORMAT, decode_history, message_of};
use crate::look::JobView;
use crate::store::Store;
use crate::suppression::Listed;
pub use forget::Forgotten;
pub(crate) use forget::{Puts, Ranges, RewriteOp, stand_in, without};
pub use text::Needles;

/// Records that one page looks at.
const PAGE_RECORDS: usize = 20_000;
/// Jobs that one page looks at, and how long it may take.
const PAGE_JOBS: usize = 1_000;
const PAGE_TIME: Duration = Duration::from_secs(1);
/// Events and entries that are told at most.
const TOLD_MAX: usize = 100_000;

/// One person's traces. Made by [`Store::person`].
#[derive(Clone)]
pub struct Person {
    store: Store,
    core: Arc<Core>,
    address: Mailbox,
    /// Only in the mail of this tenant.
    tenant: Option<String>,
}

/// All that is kept of a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traces {
    /// What happened to messages to the person or from it, in the order of messages.
    pub events: Vec<Event>,
    /// What waits in the queue, to the person or from it.
    pub jobs: Vec<JobView>,
    /// What keeps mail from the person.
    pub suppressions: Vec<Listed>,
    /// Entries of the key-value store that name the person: `bucket/key`.
    pub kv: Vec<String>,
    /// There is more than is told.
    pub is_cut: bool,
}

impl Person {
    pub(crate) fn new(store: Store, core: Arc<Core>, address: Mailbox, tenant: Option<String>) -> Person {
        Person { store, core, address, tenant }
    }

    /// Finds the address in texts, and puts there what stands for it after it was forgotten.
    pub fn needles(&self) -> Needles {
        Needles::of(&self.address, &stand_in(&self.core, &self.address))
    }

    /// All that is kept. Reads the whole history.
    ///
    /// # Errors
    /// When the store can not be read.
    pub async fn traces(&self) -> Result<Traces, StoreError> {
        self.core.barrier().await?;
        let mut traces =
            Traces { jobs: self.jobs().await?, suppressions: self.lists().await?, ..Traces::default() };
        let needles = self.needles();
        let mut from = Some(vec![FORMAT]);
        while let Some(start) = from.take() {
            let page = self.page(Family::History, start).await?;
            for (_, value) in page.found {
                // A damaged record tells nothing; whoever reads its message is told of it.
                let Ok((_, events)) = decode_history(&value) else { continue };
                traces.events.extend(events.into_iter().filter(|event| names(&needles, event)));
            }
            from = page.next;
            if traces.events.len() >= TOLD_MAX {
                traces.is_cut = from.is_some();
                break;
            }
        }
        if self.tenant.is_none() {
            self.find_kv(&mut traces).await?;
        }
        Ok(traces)
    }

    async fn find_kv(&self, traces: &mut Traces) -> Result<(), StoreError> {
        let mut from = Some(vec![FORMAT]);
        while let Some(start) = from.take() {
            let page = self.page(Family::Kv, start).await?;
            let named = page.found.iter().filter_map(|(key, _)| crate::kv::split_key(key));
            traces.kv.extend(named.map(|(bucket, key)| format!("{bucket}/{key}")));
            from = page.next;
            if traces.kv.len() >= TOLD_MAX {
                traces.is_cut |= from.is_some();
                break;
            }
        }
        Ok(())
    }

    /// Jobs to the person, or from it.
    async fn jobs(&self) -> Result<Vec<JobView>, StoreError> {
        let filter = Filter { tenant: self.tenant.clone(), ..Filter::default() };
        let mut jobs = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.find_for(&filter, after, PAGE_JOBS, PAGE_TIME).await?;
            let is_theirs = |job: &JobView| {
                let is_sender = job.sender.mailbox().is_some_and(|sender| self.is_it(sender));
                is_sender || job.recipients.iter().any(|one| self.is_it(one))
            };
            jobs.extend(page.jobs.into_iter().filter(is_theirs));
            after = page.next;
            if after.is_none() {
                return Ok(jobs);
            }
        }
    }

    /// What keeps mail from the person.
    async fn lists(&self) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.store.suppression().of_person(&self.address).await?;
        listed.retain(|one| self.tenant.is_none() || one.scope.tenant == self.tenant);
        Ok(listed)
    }

    /// The same mailbox: people write local parts in either case.
    fn is_it(&self, other: &Mailbox) -> bool {
        other.domain() == self.address.domain() && other.local().eq_ignore_ascii_case(self.address.local())
    }

    /// Records that name the person, from a key on.
    async fn page(&self, family: Family, from: Vec<u8>) -> Result<Page, StoreError> {
        let (core, needles, tenant) = (Arc::clone(&self.core), self.needles(), self.tenant.clone());
        let read = tokio::task::spawn_blocking(move || {
            let db = core.db()?;
            let mut page = page(&db, family, &from, &needles)?;
            if let (Family::History, Some(tenant)) = (family, tenant) {
                page.found.retain(|(key, _)| {
                    let facts = message_of(key).map(|message| core.feed.facts_of(&db, message));
                    facts.is_some_and(|facts| facts.tenant.as_ref() == Some(&tenant))
                });
            }
            Ok(page)
        });
        read.await.map_err(|_| StoreError::Closed)?
    }
}

fn names(needles: &Needles, event: &Event) -> bool {
    serde_json::to_string(event).is_ok_and(|text| needles.names(&text))
}

/// Records that name a person, and where to go on.
struct Page {
    found: Vec<(Vec<u8>, Vec<u8>)>,
    next: Option<Vec<u8>>,
}

fn page(db: &Database, family: Family, from: &[u8], needles: &Needles) -> Result<Page, StoreError> {
    let mut records = db.iterate(family, from, None);
    records.seek_to_first();
    let mut page = Page { found: Vec::new(), next: None };
    let mut seen = 0;
    while let Some((key, value)) = records.item() {
        if seen == PAGE_RECORDS {
            page.next = Some(key.to_vec());
            break;
        }
        seen += 1;
        let is_theirs = match family {
            // Texts of plugins: the octets before an address may be a part of a longer one.
            Family::Kv => {
                let text = crate::kv::content(value);
                let key = crate::kv::split_key(key).map(|(_, key)| key).unwrap_or_default();
                needles.names(&key)
                    || needles.may_be_in(text) && needles.names(&String::from_utf8_lossy(text))
            }
            _ => needles.may_be_in(value),
        };
        if is_theirs {
            page.found.push((key.to_vec(), value.to_vec()));
        }
        records.next();
    }
    records.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(page)
}

/// The message of a key of the history, for errors.
fn message_at(key: &[u8]) -> String {
    message_of(key).map_or_else(|| "?".to_owned(), |message: MessageId| message.to_string())
}

impl std::fmt::Debug for Person {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Person").finish_non_exhaustive()
    }
}
