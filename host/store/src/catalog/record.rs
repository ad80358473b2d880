//! What a record is, how it is named, and how it looks in the database.

use std::fmt;

use baton_mail::UnixMs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CatalogError;
use crate::error::StoreError;
use crate::format::{FORMAT, after_prefix, decode as decode_record, encode as encode_record};

/// Octets of a record's name at most.
pub const NAME_OCTETS_MAX: usize = 255;
/// Octets of a tenant's name at most.
pub const TENANT_OCTETS_MAX: usize = 63;
/// Octets of a value at most: records are small, and what is large is in several.
pub const VALUE_OCTETS_MAX: usize = 1 << 20;

/// A kind of records. Declared once, as a constant, by who keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    name: &'static str,
    records_max: usize,
}

impl Kind {
    /// A kind of which each tenant may have so many records; `usize::MAX` is no bound, for those that expire. The name has
    /// lower case letters and hyphens only.
    #[allow(
        clippy::indexing_slicing,
        reason = "a constant function knows no other way, and the index is below the length"
    )]
    pub const fn new(name: &'static str, records_max: usize) -> Kind {
        let octets = name.as_bytes();
        assert!(!octets.is_empty(), "a kind has a name");
        let mut index = 0;
        while index < octets.len() {
            assert!(
                octets[index].is_ascii_lowercase() || octets[index] == b'-',
                "lower case letters and hyphens"
            );
            index += 1;
        }
        Kind { name, records_max }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// How many records of it a tenant may have.
    pub const fn records_max(self) -> usize {
        self.records_max
    }

    pub(super) fn is_bounded(self) -> bool {
        self.records_max != usize::MAX
    }
}

/// Names a record: its kind, whose it is, and its name there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) kind: Kind,
    tenant_octets: usize,
    /// As in the database: format octet, kind, 0, tenant, 0, name.
    octets: Vec<u8>,
}

impl Key {
    /// A record of a tenant, or of the relay as a whole.
    ///
    /// # Errors
    /// When a name is empty, too long or has a control character.
    pub fn new(kind: Kind, tenant: Option<&str>, name: &str) -> Result<Key, CatalogError> {
        let tenant = tenant.unwrap_or_default();
        let check = |what: &str, text: &str, most: usize| match text {
            _ if text.len() > most => {
                Err(CatalogError::Unfit(format!("the {what} of a record has {most} octets at most")))
            }
            _ if text.chars().any(char::is_control) => {
                Err(CatalogError::Unfit(format!("the {what} of a record has no control characters")))
            }
            _ => Ok(()),
        };
        check("tenant", tenant, TENANT_OCTETS_MAX)?;
        check("name", name, NAME_OCTETS_MAX)?;
        if name.is_empty() {
            return Err(CatalogError::Unfit("a record has a name".to_owned()));
        }
        let octets = [&prefix(kind, Some(tenant)), name.as_bytes()].concat();
        Ok(Key { kind, tenant_octets: tenant.len(), octets })
    }

    /// Reads a key of that kind.
    pub(super) fn decode(kind: Kind, octets: &[u8]) -> Option<Key> {
        let rest = octets.strip_prefix(prefix(kind, None).as_slice())?;
        let tenant_octets = rest.iter().position(|octet| *octet == 0)?;
        std::str::from_utf8(rest).ok()?;
        Some(Key { kind, tenant_octets, octets: octets.to_vec() })
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn tenant_at(&self) -> usize {
        1 + self.kind.name.len() + 1
    }

    fn text(&self, from: usize, to: usize) -> &str {
        let octets = self.octets.get(from..to).unwrap_or_default();
        std::str::from_utf8(octets).unwrap_or_default()
    }

    /// Whose it is; none is the relay's.
    pub fn tenant(&self) -> Option<&str> {
        let at = self.tenant_at();
        Some(self.text(at, at + self.tenant_octets)).filter(|tenant| !tenant.is_empty())
    }

    /// Its name there.
    pub fn name(&self) -> &str {
        self.text(self.tenant_at() + self.tenant_octets + 1, self.octets.len())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind.name, self.name())?;
        self.tenant().map_or(Ok(()), |tenant| write!(formatter, " of {tenant}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({self})")
    }
}

/// What keys of a kind, and of a tenant, begin with.
fn prefix(kind: Kind, tenant: Option<&str>) -> Vec<u8> {
    let mut octets = vec![FORMAT];
    octets.extend_from_slice(kind.name.as_bytes());
    octets.push(0);
    if let Some(tenant) = tenant {
        octets.extend_from_slice(tenant.as_bytes());
        octets.push(0);
    }
    octets
}

/// The kind in a key.
pub(super) fn kind_of(key: &[u8]) -> Option<&str> {
    let rest = key.get(1..)?;
    let end = rest.iter().position(|octet| *octet == 0).filter(|end| *end > 0)?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub key: Key,
    /// Another one after each change.
    pub version: u64,
    /// When it was changed last.
    pub changed_at: UnixMs,
    /// From when on it is not there any more; none for never.
    pub expires_at: Option<UnixMs>,
    /// What it holds.
    pub value: Vec<u8>,
}

impl Record {
    pub(super) fn is_live(&self, now: UnixMs) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    /// What it holds, where that is JSON.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CatalogError> {
        let read = serde_json::from_slice(&self.value);
        Ok(read.map_err(|cause| StoreError::Damaged(format!("the record {}: {cause}", self.key)))?)
    }
}

/// What must be there for an edit to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Anything,
    /// No such record.
    Nothing,
    /// A record of that name.
    Something,
    /// The record with that version.
    Version(u64),
}

impl Expect {
    pub(super) fn holds(self, found: Option<u64>) -> bool {
        match self {
            Expect::Anything => true,
            Expect::Nothing => found.is_none(),
            Expect::Something => found.is_some(),
            Expect::Version(version) => found == Some(version),
        }
    }
}

/// A change to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub(super) key: Key,
    pub(super) expect: Expect,
    value: Option<Vec<u8>>,
    expires_at: Option<UnixMs>,
}

impl Edit {
    /// A record with these octets, in place of what may be there.
    ///
    /// # Errors
    /// When it is too large.
    pub fn put(key: Key, value: Vec<u8>) -> Result<Edit, CatalogError> {
        if value.len() > VALUE_OCTETS_MAX {
            return Err(CatalogError::Unfit(format!("a record has {VALUE_OCTETS_MAX} octets at most")));
        }
        Ok(Edit { key, expect: Expect::Anything, value: Some(value), expires_at: None })
    }

    /// A record with this as JSON, in place of what may be there.
    ///
    /// # Errors
    /// When it is too large, or is nothing that JSON can say.
    pub fn put_json(key: Key, value: &impl Serialize) -> Result<Edit, CatalogError> {
        let value = serde_json::to_vec(value).map_err(|error| CatalogError::Unfit(error.to_string()))?;
        Edit::put(key, value)
    }

    /// No such record any more.
    pub fn remove(key: Key) -> Edit {
        Edit { key, expect: Expect::Anything, value: None, expires_at: None }
    }

    /// Only when that is there.
    #[must_use]
    pub fn expecting(self, expect: Expect) -> Edit {
        Edit { expect, ..self }
    }

    /// The record is there until then.
    #[must_use]
    pub fn until(self, expires_at: UnixMs) -> Edit {
        Edit { expires_at: Some(expires_at), ..self }
    }

    /// Octets that it takes in the store, about.
    pub(crate) fn octets(&self) -> u64 {
        (self.key.octets.len() + self.value.as_ref().map_or(0, Vec::len)) as u64
    }

    pub(super) fn is_put(&self) -> bool {
        self.value.is_some()
    }
}

/// Which records are wanted.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) kind: Kind,
    tenant: Option<String>,
    name_prefix: String,
    after: Option<Key>,
    pub(super) limit: usize,
}

impl Query {
    /// All of a kind, of all tenants.
    pub fn of(kind: Kind) -> Query {
        Query { kind, tenant: None, name_prefix: String::new(), after: None, limit: usize::MAX }
    }

    /// Those of one tenant; none is the relay itself.
    #[must_use]
    pub fn tenant(self, tenant: Option<&str>) -> Query {
        Query { tenant: Some(tenant.unwrap_or_default().to_owned()), ..self }
    }

    /// Those whose name begins so. Counts only together with a tenant.
    #[must_use]
    pub fn starting(self, name_prefix: &str) -> Query {
        Query { name_prefix: name_prefix.to_owned(), ..self }
    }

    /// Those behind this one.
    #[must_use]
    pub fn after(self, key: Option<Key>) -> Query {
        Query { after: key, ..self }
    }

    /// So many at most; 1,000 in any case.
    #[must_use]
    pub fn limit(self, limit: usize) -> Query {
        Query { limit, ..self }
    }

    /// The keys from the first to before the second.
    pub(super) fn range(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut from = prefix(self.kind, self.tenant.as_deref());
        if self.tenant.is_some() {
            from.extend_from_slice(self.name_prefix.as_bytes());
        }
        let end = after_prefix(&from);
        if let Some(after) = &self.after {
            let next = [after.octets(), &[0]].concat();
            from = from.max(next);
        }
        (from, end)
    }
}

/// Some records, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their tenants and names.
    pub records: Vec<Record>,
    /// The last of them, when there are more behind it.
    pub next: Option<Key>,
}

/// One entry of the `catalog` family that is written, or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// Value of the `catalog` family.
#[derive(Debug, Serialize, Deserialize)]
struct Stored<'a> {
    version: u64,
    changed_at: UnixMs,
    expires_at: Option<UnixMs>,
    #[serde(borrow)]
    value: &'a [u8],
}

/// Adds the entries of an edit. Returns the record that it leaves.
pub(super) fn encode_edit(edit: &Edit, version: u64, now: UnixMs, puts: &mut Vec<Put>) -> Option<Record> {
    let Edit { key, value, expires_at, .. } = edit;
    let stored = value
        .as_deref()
        .map(|value| encode_record(&Stored { version, changed_at: now, expires_at: *expires_at, value }));
    puts.push(Put { key: key.octets.clone(), value: stored });
    if let Some(at) = expires_at.filter(|_| value.is_some()) {
        puts.push(Put { key: expiry_key(at, &key.octets), value: Some(vec![FORMAT]) });
    }
    let value = value.clone()?;
    Some(Record { key: key.clone(), version, changed_at: now, expires_at: *expires_at, value })
}

/// The record in a value of the `catalog` family, or what is wrong with it.
pub(super) fn decode(key: Key, value: &[u8]) -> Result<Record, String> {
    let Stored { version, changed_at, expires_at, value } = decode_record(value)?;
    Ok(Record { key, version, changed_at, expires_at, value: value.to_vec() })
}

/// When a record expires, without the rest of it.
pub(super) fn expiry_of(value: &[u8]) -> Option<UnixMs> {
    decode_record::<Stored<'_>>(value).ok()?.expires_at
}

/// Key of the note that a record expires. No kind has an empty name, so these stand before all records.
fn expiry_key(at: UnixMs, record: &[u8]) -> Vec<u8> {
    [&[FORMAT, 0][..], &at.0.to_be_bytes(), record].concat()
}

/// The keys of the notes about what expired until then.
pub(super) fn expired_range(now: UnixMs) -> (Vec<u8>, Vec<u8>) {
    (expiry_key(UnixMs(0), &[]), expiry_key(UnixMs(now.0.saturating_add(1)), &[]))
}

/// The record that such a note is about.
pub(super) fn expiring(key: &[u8]) -> Option<&[u8]> {
    key.get(2 + 8..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind::new("thing", 3);

    #[test]
    fn keys_tell_what_they_were_made_of() {
        for (tenant, name) in [(None, "a"), (Some("acme"), "a/b c"), (Some("a"), "cme"), (None, "\u{e4}")] {
            let key = Key::new(KIND, tenant, name).unwrap();
            let read = Key::decode(KIND, key.octets()).unwrap();
            assert_eq!((read.tenant(), read.name(), read.kind()), (tenant, name, KIND));
            assert_eq!(kind_of(key.octets()), Some("thing"));
        }
        assert_eq!(Key::new(KIND, Some("acme"), "x").unwrap().to_string(), "thing x of acme");
        assert_eq!(kind_of(&expiry_key(UnixMs(1), b"x")), None);
    }

    #[test]
    fn names_that_could_be_taken_for_others_are_refused() {
        let long = "x".repeat(256);
        for (tenant, name) in [(None, ""), (None, "a\0b"), (Some("a\0"), "b"), (None, "a\nb"), (None, &long)]
        {
            assert!(matches!(Key::new(KIND, tenant, name), Err(CatalogError::Unfit(_))), "{name:?}");
        }
        assert!(Key::new(KIND, Some(&"t".repeat(64)), "a").is_err());
        let large = vec![0; VALUE_OCTETS_MAX + 1];
        assert!(Edit::put(Key::new(KIND, None, "a").unwrap(), large).is_err());
    }

    #[test]
    fn a_kind_is_no_prefix_of_another() {
        const LONGER: Kind = Kind::new("thing-s", 3);
        let key = Key::new(LONGER, None, "a").unwrap();
        let (from, end) = Query::of(KIND).range();
        assert!(key.octets() < from.as_slice() || key.octets() >= end.unwrap().as_slice());
        assert!(Key::decode(KIND, key.octets()).is_none());
    }
}
