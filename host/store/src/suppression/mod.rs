//! To whom no mail is sent, and why: by everybody, by a tenant, or by one stream.
//!
//! Invariant: an entry that was answered is on disk; one that follows from an outcome is in the same batch as the outcome.
//!
//! Invariant: an address is found by its keyed hash alone, so one that was erased stays suppressed.
//!
//! Invariant: mail to an address of which nothing is kept costs a hash and one line of memory, and nothing at all while nothing
//! is kept of anybody.

mod entry;
mod filter;
mod leave;
mod list;
mod record;
mod rules;
mod state;

use std::sync::Arc;

use baton_mail::event::Event;
use baton_mail::{Envelope, Mailbox, UnixMs};
use tokio::sync::oneshot;

pub(crate) use entry::Record;
pub use entry::{Change, Entry, NewEntry, Reason, SOFT_BOUNCES_MAX, Scope, TEXT_OCTETS_MAX};
pub use leave::Leaving;
pub use list::{Page, Wanted};
pub(crate) use record::Hasher;
pub use record::{AddressNames, HASH_OCTETS, Hash, SCOPE_OCTETS_MAX, hash_text};
pub use rules::{Automatic, NEVER, Reach, Rules};
pub(crate) use state::{Batched, SuppressionState, sweep};

use crate::commit::{Op, SuppressOp};
use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::StoreError;
use crate::format::{after_prefix, decode_owned};
use record::{entry_key, person_prefix, read_scope, scope_octets, split_entry_key};

/// Changes that one call takes at most.
pub const CHANGES_MAX: usize = 1_000;

/// A change to one address in one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppress {
    /// Whose mail.
    pub scope: Scope,
    /// To whom.
    pub address: Mailbox,
    /// What is to become of it.
    pub change: Change,
}

/// An entry with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whose mail it stops.
    pub scope: Scope,
    /// The keyed hash of the address.
    pub hash: Hash,
    /// The entry.
    pub entry: Entry,
}

/// Whose mail an address is asked about for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender<'a> {
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The stream.
    pub stream: Option<&'a str>,
    /// Who wants no mail of the tenant, or of anybody, gets that of this stream all the same: it brings what the recipient
    /// asked for, such as a code. What was said to this very stream counts, and every other reason too.
    pub ignores_unsubscribe: bool,
}

/// A change with its keys, for the commit thread.
#[derive(Clone, Debug)]
pub(crate) struct Keyed {
    pub(crate) hash: Hash,
    pub(crate) scope: Vec<u8>,
    pub(crate) address: Option<String>,
    pub(crate) change: Change,
}

/// The suppression lists. Cheap to clone.
#[derive(Clone)]
pub struct Suppressions {
    core: Arc<Core>,
}

impl Suppressions {
    pub(crate) fn new(core: Arc<Core>) -> Suppressions {
        Suppressions { core }
    }

    /// False when nothing is kept of this address, in no scope. Never waits; true may be wrong.
    pub fn may_hold(&self, address: &Mailbox) -> bool {
        let state = &self.core.suppressions;
        !state.is_known_empty() && state.may_hold(&self.core.hasher.hash(address))
    }

    /// The rules of the settings.
    pub fn rules(&self) -> Arc<Rules> {
        self.core.suppressions.rules.load_full()
    }

    /// From now on these are the rules.
    pub fn set_rules(&self, rules: Arc<Rules>) {
        self.core.suppressions.rules.store(rules);
    }

    /// False when nothing keeps mail from being sent out to this address. Never waits; true may be wrong.
    pub fn may_stop(&self, address: &Mailbox) -> bool {
        self.may_hold(address) && self.rules().are_about(address)
    }

    /// The entry that stops the copy of this message for a recipient, by the rules.
    ///
    /// # Errors
    /// When a record can not be read, or makes no sense.
    pub async fn stops(
        &self,
        envelope: &Envelope,
        recipient: &Mailbox,
    ) -> Result<Option<Listed>, StoreError> {
        let rules = self.rules();
        if !rules.are_for(envelope) || !rules.are_about(recipient) {
            return Ok(None);
        }
        let (tenant, stream) = (envelope.tenant.as_deref(), envelope.stream.as_deref());
        self.find(rules.sender(tenant, stream), recipient).await
    }

    /// Entries of all scopes. Shortly after a start it is too low: they are being counted.
    pub fn count(&self) -> u64 {
        self.core.suppressions.count()
    }

    /// The keyed hashes of addresses, for people.
    pub fn names(&self) -> AddressNames {
        AddressNames(Arc::clone(&self.core.hasher))
    }

    /// The entry that stops mail of this sender to that address, if there is one: that of the stream before that of the
    /// tenant before that for everybody.
    ///
    /// # Errors
    /// When a record can not be read, or makes no sense.
    pub async fn find(&self, sender: Sender<'_>, address: &Mailbox) -> Result<Option<Listed>, StoreError> {
        if self.core.suppressions.is_known_empty() {
            return Ok(None);
        }
        let hash = self.core.hasher.hash(address);
        if !self.core.suppressions.may_hold(&hash) {
            return Ok(None);
        }
        let now = self.core.clock.now();
        for scope in Scope::of_mail(sender.tenant, sender.stream) {
            // A name that no scope can have has no entries.
            let Some(octets) = scope_octets(&scope) else { continue };
            let Some(record) = self.read(entry_key(&hash, &octets)).await? else { continue };
            let is_wide = scope.stream.is_none();
            let counts = |entry: &Entry| {
                let is_ignored = entry.reason == Reason::Unsubscribe && is_wide && sender.ignores_unsubscribe;
                entry.holds(now) && !is_ignored
            };
            if let Some(entry) = record.entry.filter(counts) {
                return Ok(Some(Listed { scope, hash, entry }));
            }
        }
        Ok(None)
    }

    /// The entry of an address in exactly this scope, whether it holds or not.
    ///
    /// # Errors
    /// When the record can not be read, or makes no sense.
    pub async fn get(&self, scope: &Scope, address: &Mailbox) -> Result<Option<Listed>, StoreError> {
        let hash = self.core.hasher.hash(address);
        let Some(octets) = scope_octets(scope) else { return Ok(None) };
        let record = self.read(entry_key(&hash, &octets)).await?;
        let entry = record.and_then(|record| record.entry);
        Ok(entry.map(|entry| Listed { scope: scope.clone(), hash, entry }))
    }

    /// All entries of an address, in all scopes.
    ///
    /// # Errors
    /// When a record can not be read, or makes no sense.
    pub async fn of_person(&self, address: &Mailbox) -> Result<Vec<Listed>, StoreError> {
        let core = Arc::clone(&self.core);
        let hash = self.core.hasher.hash(address);
        let read = tokio::task::spawn_blocking(move || of_person(&*core.db()?, &hash));
        read.await.map_err(|_| StoreError::Closed)?
    }

    /// Makes changes, all at once, and remembers events with them; on disk when this returns.
    ///
    /// # Errors
    /// When there are more than [`CHANGES_MAX`], a name of a scope is too long, or the store can not write.
    pub async fn change(&self, changes: Vec<Suppress>, events: Vec<Event>) -> Result<(), StoreError> {
        if changes.len() > CHANGES_MAX {
            return Err(StoreError::Misuse("too many changes at once"));
        }
        let changes =
            self.core.key_changes(changes).ok_or(StoreError::Misuse("the scope's name is too long"))?;
        let history = self.core.encode_events(&events);
        self.write(changes, history).await
    }

    /// Forgets an address in some scopes, and keeps that it gets no mail there. Returns in how many that is.
    ///
    /// # Errors
    /// When the store can not read or write.
    pub(crate) async fn erase(&self, address: &Mailbox, scopes: Vec<Scope>) -> Result<usize, StoreError> {
        let hash = self.core.hasher.hash(address);
        let keyed = |scope: &Scope| {
            Some(Keyed { hash, scope: scope_octets(scope)?, address: None, change: Change::Erase })
        };
        let changes: Vec<Keyed> = scopes.iter().filter_map(keyed).collect();
        let count = changes.len();
        if count > 0 {
            self.write(changes, Vec::new()).await?;
        }
        Ok(count)
    }

    /// Entries of one list, the newest of each scope first, after `after`.
    ///
    /// # Errors
    /// When the records can not be read, or one makes no sense.
    pub async fn list(
        &self,
        wanted: Wanted,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let core = Arc::clone(&self.core);
        let read = tokio::task::spawn_blocking(move || {
            list::page(&*core.db()?, &wanted, after.as_deref(), limit, core.clock.now())
        });
        read.await.map_err(|_| StoreError::Closed)?
    }

    async fn write(
        &self,
        changes: Vec<Keyed>,
        history: Vec<crate::format::HistoryRecord>,
    ) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.core.commit.push(Op::Suppress(SuppressOp { changes, history, answer: Some(answer) }))?;
        answered.await.map_err(|_| self.core.lost())??;
        Ok(())
    }

    /// What is in memory, which is the rule, is read without a thread for it.
    async fn read(&self, key: Vec<u8>) -> Result<Option<Record>, StoreError> {
        {
            let db = self.core.db()?;
            let found = db.get_cached(Family::Suppression, &key).map_err(StoreError::Unreadable)?;
            if let Some(value) = found {
                return value.as_deref().map(decode_record).transpose();
            }
        }
        let core = Arc::clone(&self.core);
        let read = tokio::task::spawn_blocking(move || {
            let db = core.db()?;
            let value = db.get(Family::Suppression, &key).map_err(StoreError::Unreadable)?;
            value.as_deref().map(decode_record).transpose()
        });
        read.await.map_err(|_| StoreError::Closed)?
    }
}

impl Core {
    /// Changes with their keys; none when the name of a scope is too long.
    pub(crate) fn key_changes(&self, changes: Vec<Suppress>) -> Option<Vec<Keyed>> {
        let keyed = |Suppress { scope, address, change }: Suppress| {
            let (hash, scope) = (self.hasher.hash(&address), scope_octets(&scope)?);
            Some(Keyed { hash, scope, address: Some(address.to_string()), change })
        };
        changes.into_iter().map(keyed).collect()
    }
}

fn of_person(db: &Database, hash: &Hash) -> Result<Vec<Listed>, StoreError> {
    let prefix = person_prefix(hash);
    let end = after_prefix(&prefix);
    let mut records = db.iterate(Family::Suppression, &prefix, end.as_deref());
    records.seek_to_first();
    let mut found = Vec::new();
    while let Some((key, value)) = records.item() {
        let scope = split_entry_key(key).and_then(|(_, scope)| read_scope(scope));
        if let (Some(scope), Some(entry)) = (scope, decode_record(value)?.entry) {
            found.push(Listed { scope, hash: *hash, entry });
        }
        records.next();
    }
    records.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(found)
}

pub(crate) fn decode_record(value: &[u8]) -> Result<Record, StoreError> {
    decode_owned(value).map_err(|cause| StoreError::Damaged(format!("a suppression entry: {cause}")))
}

impl Listed {
    /// True while it holds.
    pub fn holds(&self, now: UnixMs) -> bool {
        self.entry.holds(now)
    }
}

impl std::fmt::Display for Listed {
    /// `hard-bounce on the list of tenant acme`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.scope {
            Scope::GLOBAL => write!(formatter, "{} on the global list", self.entry.reason),
            _ => write!(formatter, "{} on the list of {}", self.entry.reason, self.scope),
        }
    }
}

impl std::fmt::Debug for Suppressions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Suppressions").finish_non_exhaustive()
    }
}
