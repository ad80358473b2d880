//! The accounts of users. A change is on disk when it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use baton_mail::{Account, AccountName};
use tokio::sync::oneshot;

use crate::commit::{AccountOp, Op};
use crate::core::Core;
use crate::database::{Database, Family};
use crate::error::StoreError;
use crate::format::{FORMAT, after_prefix, decode_owned, encode};

/// Accounts that one page of a list has at most.
const PAGE_ACCOUNTS_MAX: usize = 1_000;

/// What is in memory of the accounts.
#[derive(Default)]
pub(crate) struct AccountState {
    /// Changes are made one after another, each on what the one before it left.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// Counts changes, so that who knows an account learns that it may be another one.
    revision: AtomicU64,
    /// Whether there are any: 0 is not known yet, 1 is none, 2 is some.
    presence: AtomicU8,
}

/// The accounts. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    core: Arc<Core>,
}

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The caller did not want to, seeing what is there.
    #[error(transparent)]
    Refused(E),
    /// The store could not.
    #[error(transparent)]
    Store(StoreError),
}

impl AccountState {
    /// An account was written, or removed: who knows one must look again.
    pub(crate) fn note(&self, is_there: bool) {
        self.presence.store(if is_there { SOME } else { UNKNOWN }, Ordering::Release);
        self.revision.fetch_add(1, Ordering::AcqRel);
    }
}

impl Accounts {
    pub(crate) fn new(core: Arc<Core>) -> Accounts {
        Accounts { core }
    }

    /// The account of that name.
    ///
    /// # Errors
    /// When the record can not be read, or makes no sense.
    pub async fn get(&self, name: &AccountName) -> Result<Option<Account>, StoreError> {
        let key = key(name);
        // What is in memory, which is the rule, is read without a thread for it.
        {
            let db = self.core.db()?;
            let found = db.get_cached(Family::Account, &key).map_err(StoreError::Unreadable)?;
            if let Some(value) = found {
                return value.as_deref().map(read).transpose();
            }
        }
        let core = Arc::clone(&self.core);
        let read = tokio::task::spawn_blocking(move || {
            let db = core.db()?;
            let value = db.get(Family::Account, &key).map_err(StoreError::Unreadable)?;
            value.as_deref().map(read).transpose()
        });
        read.await.map_err(|_| StoreError::Closed)?
    }

    /// Accounts after `after` in the order of their names, at most `limit` and 1,000.
    ///
    /// # Errors
    /// When the records can not be read, or one makes no sense.
    pub async fn list(&self, after: Option<AccountName>, limit: usize) -> Result<Vec<Account>, StoreError> {
        let core = Arc::clone(&self.core);
        let limit = limit.clamp(1, PAGE_ACCOUNTS_MAX);
        let listed = tokio::task::spawn_blocking(move || list(&*core.db()?, after.as_ref(), limit));
        listed.await.map_err(|_| StoreError::Closed)?
    }

    /// Changes one account as one step: `change` gets what is there and says what is to be there. Returns what is there
    /// then, on disk.
    ///
    /// # Errors
    /// When `change` refuses, or the store can not read or write.
    pub async fn change<E>(
        &self,
        name: &AccountName,
        change: impl FnOnce(Option<Account>) -> Result<Option<Account>, E>,
    ) -> Result<Option<Account>, ChangeError<E>> {
        let state = &self.core.accounts;
        let alone = Arc::clone(&state.changing).lock_owned().await;
        let before = self.get(name).await.map_err(ChangeError::Store)?;
        let after = change(before).map_err(ChangeError::Refused)?;
        let value = after.as_ref().map(encode);
        let (answer, answered) = oneshot::channel();
        let op = Op::Account(AccountOp { key: key(name), value, answer, _alone: alone });
        self.core.commit.push(op).map_err(|closed| ChangeError::Store(closed.into()))?;
        let written = answered.await.map_err(|_| ChangeError::Store(self.core.lost()))?;
        written.map_err(|error| ChangeError::Store(error.into()))?;
        Ok(after)
    }

    /// A number that is another one after each change.
    pub fn revision(&self) -> u64 {
        self.core.accounts.revision.load(Ordering::Acquire)
    }

    /// True when there is an account at all. Reads one key after a start and after an account was removed, else nothing.
    pub fn are_there(&self) -> bool {
        let presence = &self.core.accounts.presence;
        match presence.load(Ordering::Acquire) {
            UNKNOWN => {
                // Where it can not be read, who asks for an account is told why.
                let Ok(db) = self.core.db() else { return true };
                let mut records = db.iterate(Family::Account, &[FORMAT], None);
                records.seek_to_first();
                let is_there = records.valid();
                if !is_there && records.status().is_err() {
                    return true;
                }
                // Who made or removed one meanwhile knows better.
                let found = if is_there { SOME } else { NONE };
                let kept = presence.compare_exchange(UNKNOWN, found, Ordering::AcqRel, Ordering::Acquire);
                kept.map_or_else(|known| known != NONE, |_| is_there)
            }
            known => known == SOME,
        }
    }
}

fn list(db: &Database, after: Option<&AccountName>, limit: usize) -> Result<Vec<Account>, StoreError> {
    let from = match after {
        // The least key behind that name.
        Some(name) => [&key(name)[..], &[0]].concat(),
        None => vec![FORMAT],
    };
    let end = after_prefix(&[FORMAT]);
    let mut records = db.iterate(Family::Account, &from, end.as_deref());
    records.seek_to_first();
    let mut accounts = Vec::new();
    while let Some(value) = records.value().filter(|_| accounts.len() < limit) {
        accounts.push(read(value)?);
        records.next();
    }
    records.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(accounts)
}

fn read(value: &[u8]) -> Result<Account, StoreError> {
    decode_owned(value).map_err(|cause| StoreError::Damaged(format!("an account: {cause}")))
}

fn key(name: &AccountName) -> Vec<u8> {
    [&[FORMAT], name.as_str().as_bytes()].concat()
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Accounts").finish_non_exhaustive()
    }
}

const UNKNOWN: u8 = 0;
const NONE: u8 = 1;
const SOME: u8 = 2;
