//! The check of a chain (RFC 8617 5.2): its structure, the last signature, and each seal.

use std::collections::HashMap;

use baton_dns::Resolver;
use baton_mail::body::Content;
use baton_mail::header::HeaderIndex;

use super::ArcOutcome;
use super::chain::{self, Broken, Set};
use crate::Verdict;
use crate::dkim::{
    Algorithm, BodyHash, Flaw, Form, Key, KeyError, Own, Signature, find_key, forbidden_length, hash_bodies,
    push_field, signed_octets, value_of, without_signature,
};

/// Checks the chain of a message.
pub(crate) async fn evaluate(resolver: &Resolver, header: &HeaderIndex, content: &Content) -> ArcOutcome {
    let sets = match chain::read(header) {
        None => return ArcOutcome::without_chain(Verdict::None, None),
        Some(Ok(sets)) => sets,
        Some(Err(Broken { highest, is_closed, flaw })) => {
            let outcome = ArcOutcome::without_chain(Verdict::Fail, Some(flaw));
            return ArcOutcome { sets: highest, is_closed, ..outcome };
        }
    };
    let sealer = sets.last().map(|set| set.sealed.own.domain.clone()).unwrap_or_default();
    let count = u32::try_from(sets.len()).unwrap_or(u32::MAX);
    let checked = check(resolver, header, content, &sets).await;
    let oldest_pass = checked.as_ref().ok().copied();
    let (verdict, reason) = match checked {
        Ok(_) => (Verdict::Pass, None),
        Err(Trouble::Permanent(flaw)) => (Verdict::Fail, Some(flaw.to_owned())),
        Err(Trouble::Temporary(trouble)) => (Verdict::TempError, Some(trouble)),
    };
    ArcOutcome { verdict, sets: count, sealer, oldest_pass, is_closed: count >= super::SETS_MAX, reason }
}

/// Why a chain does not pass.
enum Trouble {
    Permanent(Flaw),
    Temporary(String),
}

/// A signature of a set.
struct Signed {
    /// Its place in the header.
    at: usize,
    signature: Signature,
    own: Own,
}

impl Signed {
    fn read(at: usize, field: &[u8]) -> Result<Signed, Flaw> {
        let signature = Signature::read_in_chain(value_of(field))?;
        let own = Own {
            algorithm: signature.algorithm,
            octets: signature.octets.clone(),
            domain: signature.domain.clone(),
            selector: signature.selector.clone(),
        };
        Ok(Signed { at, signature, own })
    }

    fn check(&self, keys: &Keys, header: &HeaderIndex, hash: Option<BodyHash>) -> Result<(), Trouble> {
        let hash = hash.ok_or_else(|| Trouble::Temporary("the body could not be hashed".to_owned()))?;
        let Signature { body_hash, length, .. } = &self.signature;
        // A signature of a part of the body says nothing about the rest (RFC 6376 8.2).
        if hash.digest[..] != body_hash[..] || length.is_some_and(|own| own != hash.octets) {
            return Err(Trouble::Permanent("the body was changed since the last seal"));
        }
        let octets = signed_octets(self.at, &self.signature, header);
        keys.check(&self.own, &octets, "the last signature does not fit the header")
    }
}

/// Answers the oldest set whose signature still holds, or 0 when all do (RFC 8617 5.2, step 5).
async fn check(
    resolver: &Resolver,
    header: &HeaderIndex,
    content: &Content,
    sets: &[Set],
) -> Result<u32, Trouble> {
    let fields: Vec<(&str, &[u8])> = header.fields().collect();
    let field = |at: usize| fields.get(at).map(|(_, field)| *field).unwrap_or_default();
    let signed = |set: &Set| Signed::read(set.signature, field(set.signature));
    let Some((newest, older)) = sets.split_last() else { return Ok(0) };
    let newest = signed(newest).map_err(Trouble::Permanent)?;
    // Those of parts of the body are left out: each length would cost one more pass over it.
    let older = older.iter().rev().map_while(|set| signed(set).ok());
    let older: Vec<Signed> = older.take_while(|signed| signed.signature.length.is_none()).collect();
    let signatures: Vec<&Signed> = std::iter::once(&newest).chain(&older).collect();

    let owns = signatures.iter().map(|signed| &signed.own);
    let keys = Keys::find(resolver, owns.chain(sets.iter().map(|set| &set.sealed.own))).await;
    let hashes = hash_bodies(signatures.iter().map(|signed| &signed.signature), content).await;
    newest.check(&keys, header, hashes.first().copied().flatten())?;
    check_seals(sets, &keys, field)?;
    let rest = older.iter().zip(hashes.into_iter().skip(1));
    let unbroken = 1 + rest.take_while(|(signed, hash)| signed.check(&keys, header, *hash).is_ok()).count();
    let oldest = sets.len() + 1 - unbroken;
    Ok(if oldest == 1 { 0 } else { u32::try_from(oldest).unwrap_or(u32::MAX) })
}

fn check_seals<'a>(sets: &[Set], keys: &Keys, field: impl Fn(usize) -> &'a [u8]) -> Result<(), Trouble> {
    let mut before = Vec::with_capacity(4 << 10);
    for set in sets {
        push_field(field(set.results), Form::Relaxed, &mut before);
        push_field(field(set.signature), Form::Relaxed, &mut before);
        let known = before.len();
        push_field(&without_signature(field(set.seal)), Form::Relaxed, &mut before);
        let sealed = before.get(..before.len().saturating_sub(b"\r\n".len())).unwrap_or_default();
        keys.check(&set.sealed.own, sealed, "a seal does not fit the chain")?;
        before.truncate(known);
        push_field(field(set.seal), Form::Relaxed, &mut before);
    }
    Ok(())
}

/// The keys of a chain, each asked for once.
struct Keys(HashMap<(Algorithm, String, String), Result<Key, KeyError>>);

impl Keys {
    async fn find<'a>(resolver: &Resolver, wanted: impl Iterator<Item = &'a Own>) -> Keys {
        let mut names: Vec<_> = wanted.map(name).collect();
        names.sort();
        names.dedup();
        let found = names.into_iter().map(|name| async {
            let key = find_key(resolver, name.0, &name.1, &name.2).await;
            (name, key)
        });
        Keys(futures_util::future::join_all(found).await.into_iter().collect())
    }

    fn check(&self, own: &Own, octets: &[u8], otherwise: Flaw) -> Result<(), Trouble> {
        let key = match self.0.get(&name(own)) {
            Some(Ok(key)) => key,
            Some(Err(KeyError::Temporary(trouble))) => return Err(Trouble::Temporary(trouble.clone())),
            Some(Err(KeyError::Permanent(flaw))) => return Err(Trouble::Permanent(flaw)),
            None => return Err(Trouble::Permanent("no key in the DNS")),
        };
        if let Some(flaw) = forbidden_length(own.algorithm, own.octets.len()) {
            return Err(Trouble::Permanent(flaw));
        }
        if key.verifies(octets, &own.octets) { Ok(()) } else { Err(Trouble::Permanent(otherwise)) }
    }
}

fn name(own: &Own) -> (Algorithm, String, String) {
    (own.algorithm, own.selector.clone(), own.domain.clone())
}
