//! Keys of the families `suppression` and `suppression-list`.
//!
//! An address is named by its keyed hash, so that what is kept of it can lose the address and still be found by it.

use std::sync::Arc;

use aws_lc_rs::hmac;
use baton_mail::{Mailbox, UnixMs};

use super::entry::Scope;
use crate::format::FORMAT;

/// The keyed hash of an address.
pub type Hash = [u8; HASH_OCTETS];
/// Octets of it: half of SHA-256.
pub const HASH_OCTETS: usize = 16;
/// Octets of the name of a tenant or a stream at most.
pub const SCOPE_OCTETS_MAX: usize = 255;

/// Names addresses by their keyed hashes, without the store. Cheap to clone.
#[derive(Clone)]
pub struct AddressNames(pub(super) Arc<Hasher>);

impl AddressNames {
    /// 32 digits, the same for every way to write the address.
    pub fn of(&self, address: &Mailbox) -> String {
        self.0.text(address)
    }
}

/// Hashes addresses by a key of this store.
pub(crate) struct Hasher(hmac::Key);

impl Hasher {
    /// The hash for people.
    pub(crate) fn text(&self, address: &Mailbox) -> String {
        hash_text(&self.hash(address))
    }

    pub(crate) fn new(key: &[u8]) -> Hasher {
        Hasher(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    pub(crate) fn hash(&self, address: &Mailbox) -> Hash {
        let tag = hmac::sign(&self.0, normal(address).as_bytes());
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// The address in the form by which it is recognised: in lower case, without quotes that it does not need. Nothing is taken
/// away from it: `ann+news` is somebody else than `ann`.
pub(crate) fn normal(address: &Mailbox) -> String {
    let local = address.local();
    let unquoted = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let local = match unquoted {
        Some(inner) if Mailbox::new(inner, address.domain().clone()).is_ok() => inner,
        _ => local,
    };
    let mut text = local.to_lowercase();
    text.push('@');
    text.push_str(address.domain().as_str());
    text
}

/// A hash for people: 32 digits.
pub fn hash_text(hash: &Hash) -> String {
    hash.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The scope as keys hold it: two texts behind their lengths. What is kept of a tenant's streams begins as what is kept of
/// the tenant does.
pub(super) fn scope_octets(scope: &Scope) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(8);
    for name in [&scope.tenant, &scope.stream] {
        let name = name.as_deref().unwrap_or_default();
        octets.push(u8::try_from(name.len()).ok()?);
        octets.extend_from_slice(name.as_bytes());
    }
    Some(octets)
}

/// What the keys of all scopes of a tenant begin with in the list: the tenant's own and its streams'.
pub(super) fn tenant_prefix(tenant: Option<&str>) -> Option<Vec<u8>> {
    let tenant = tenant.unwrap_or_default();
    let mut octets = vec![FORMAT, u8::try_from(tenant.len()).ok()?];
    octets.extend_from_slice(tenant.as_bytes());
    Some(octets)
}

/// Key in the `suppression` family.
pub(super) fn entry_key(hash: &Hash, scope: &[u8]) -> Vec<u8> {
    [&[FORMAT][..], hash, scope].concat()
}

/// What all keys of an address begin with in the `suppression` family.
pub(super) fn person_prefix(hash: &Hash) -> Vec<u8> {
    [&[FORMAT][..], hash].concat()
}

/// Hash and scope of a key of the `suppression` family.
pub(super) fn split_entry_key(key: &[u8]) -> Option<(Hash, &[u8])> {
    let (hash, scope) = key.get(1..)?.split_first_chunk::<HASH_OCTETS>()?;
    Some((*hash, scope))
}

/// Key in the `suppression-list` family: the newest of a scope come first.
pub(super) fn list_key(scope: &[u8], at: UnixMs, hash: &Hash) -> Vec<u8> {
    [&[FORMAT][..], scope, &(!at.0).to_be_bytes(), hash].concat()
}

/// Scope and hash of a key of the `suppression-list` family.
pub(super) fn split_list_key(key: &[u8]) -> Option<(&[u8], Hash)> {
    let (rest, hash) = key.get(1..)?.split_last_chunk::<HASH_OCTETS>()?;
    let (scope, _) = rest.split_last_chunk::<8>()?;
    Some((scope, *hash))
}

/// The scope behind its octets.
pub(super) fn read_scope(octets: &[u8]) -> Option<Scope> {
    let mut rest = octets;
    let mut name = || {
        let (len, behind) = rest.split_first()?;
        let (name, behind) = behind.split_at_checked(usize::from(*len))?;
        rest = behind;
        Some(std::str::from_utf8(name).ok()?.to_owned())
            .map(|name| Some(name).filter(|name| !name.is_empty()))
    };
    let scope = Scope { tenant: name()?, stream: name()? };
    rest.is_empty().then_some(scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_recognised_however_it_is_written() {
        let hasher = Hasher::new(b"key");
        let hash = |text: &str| hasher.hash(&mailbox(text));
        assert_eq!(hash("Ann.Smith@EXAMPLE.org"), hash("ann.smith@example.org"));
        assert_eq!(hash("\"ann\"@example.org"), hash("ann@example.org"));
        assert_eq!(hash("ÄNN@münchen.example"), hash("änn@xn--mnchen-3ya.example"));
        assert_ne!(hash("ann+news@example.org"), hash("ann@example.org"));
        assert_ne!(hash("\"a b\"@example.org"), hash("ab@example.org"));
        assert_ne!(Hasher::new(b"other").hash(&mailbox("ann@example.org")), hash("ann@example.org"));
    }

    #[test]
    fn keys_tell_what_they_were_made_of() {
        let hash = [7; HASH_OCTETS];
        for scope in [Scope::GLOBAL, Scope::tenant(Some("acme")), Scope::stream(None, "news")] {
            let octets = scope_octets(&scope).unwrap();
            assert_eq!(split_entry_key(&entry_key(&hash, &octets)), Some((hash, octets.as_slice())));
            let key = list_key(&octets, UnixMs(5), &hash);
            assert_eq!(split_list_key(&key), Some((octets.as_slice(), hash)));
            assert_eq!(read_scope(&octets), Some(scope));
        }
        let long = Scope::tenant(Some(&"x".repeat(256)));
        assert_eq!(scope_octets(&long), None);
        assert_eq!(read_scope(b"\x05ab"), None);
    }

    #[test]
    fn a_tenants_scopes_stand_together_and_the_newest_first() {
        let prefix = tenant_prefix(Some("acme")).unwrap();
        let key = |scope: &Scope, at| list_key(&scope_octets(scope).unwrap(), UnixMs(at), &[0; 16]);
        assert!(key(&Scope::stream(Some("acme"), "news"), 1).starts_with(&prefix));
        assert!(key(&Scope::tenant(Some("acme")), 2) < key(&Scope::tenant(Some("acme")), 1));
        assert!(!key(&Scope::tenant(Some("acme2")), 1).starts_with(&prefix));
    }
}
