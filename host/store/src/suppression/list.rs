//! Pages of the lists.

use baton_mail::UnixMs;

use super::entry::{Reason, Scope};
use super::record::{entry_key, read_scope, scope_octets, split_list_key, tenant_prefix};
use super::{Listed, decode_record};
use crate::database::{Database, Family};
use crate::error::StoreError;
use crate::format::{FORMAT, after_prefix};

/// Entries that one page has at most.
const PAGE_ENTRIES_MAX: usize = 1_000;
/// Entries that one page looks at before it ends, whatever it found.
const PAGE_LOOKED_AT_MAX: usize = 20_000;

/// Which entries are wanted. What is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those of exactly this scope.
    pub scope: Option<Scope>,
    /// Those of this tenant and of its streams.
    pub tenant: Option<String>,
    /// Those for this reason.
    pub reason: Option<Reason>,
    /// Those whose address has this part, in any case.
    pub text: Option<String>,
    /// Those that came to their end too.
    pub with_ended: bool,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Listed>,
    /// Where the next page begins; none after the last one.
    pub next: Option<Vec<u8>>,
}

impl Wanted {
    /// What the keys in the list begin with; none when there can be no entry.
    fn prefix(&self) -> Option<Vec<u8>> {
        match (&self.scope, &self.tenant) {
            (Some(scope), _) => Some([&[FORMAT][..], &scope_octets(scope)?].concat()),
            (None, Some(tenant)) => tenant_prefix(Some(tenant)),
            (None, None) => Some(vec![FORMAT]),
        }
    }

    fn takes(&self, listed: &Listed, now: UnixMs) -> bool {
        let entry = &listed.entry;
        let has_text = |text: &String| {
            let address = entry.address.as_ref().map(|address| address.to_lowercase());
            address.is_some_and(|address| address.contains(&text.to_lowercase()))
        };
        self.reason.is_none_or(|reason| reason == entry.reason)
            && self.text.as_ref().is_none_or(has_text)
            && self.scope.as_ref().is_none_or(|scope| *scope == listed.scope)
            && (self.with_ended || entry.holds(now))
    }
}

/// Reads one page. `after` is where the page before ended.
pub(super) fn page(
    db: &Database,
    wanted: &Wanted,
    after: Option<&[u8]>,
    limit: usize,
    now: UnixMs,
) -> Result<Page, StoreError> {
    let Some(prefix) = wanted.prefix() else { return Ok(Page::default()) };
    let end = after_prefix(&prefix);
    let from = match after {
        // The least key behind it.
        Some(after) if after.starts_with(&prefix) => [after, &[0]].concat(),
        Some(_) => return Err(StoreError::Misuse("the cursor is of another list")),
        None => prefix,
    };
    let limit = limit.clamp(1, PAGE_ENTRIES_MAX);
    let mut keys = db.iterate(Family::SuppressionList, &from, end.as_deref());
    keys.seek_to_first();
    let mut page = Page::default();
    let mut looked_at = 0;
    while let Some(key) = keys.key() {
        looked_at += 1;
        if let Some(listed) = read(db, key)?.filter(|listed| wanted.takes(listed, now)) {
            page.entries.push(listed);
        }
        if page.entries.len() >= limit || looked_at >= PAGE_LOOKED_AT_MAX {
            page.next = Some(key.to_vec());
            break;
        }
        keys.next();
    }
    keys.status().map_err(|error| StoreError::Unreadable(error.into_string()))?;
    Ok(page)
}

/// The entry that a key of the list leads to; none when it was changed since.
fn read(db: &Database, key: &[u8]) -> Result<Option<Listed>, StoreError> {
    let Some((octets, hash)) = split_list_key(key) else { return Ok(None) };
    let Some(scope) = read_scope(octets) else { return Ok(None) };
    let value = db.get(Family::Suppression, &entry_key(&hash, octets)).map_err(StoreError::Unreadable)?;
    let entry = value.as_deref().map(decode_record).transpose()?.and_then(|record| record.entry);
    Ok(entry.map(|entry| Listed { scope, hash, entry }))
}
