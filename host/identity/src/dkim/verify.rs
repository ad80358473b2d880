//! The check of the signatures of one message. Three steps, so that the DNS is asked between the two that compute:
//! read the fields, find the keys, judge.

use baton_mail::header::HeaderIndex;
use baton_mail::text::sanitize;

use super::canonical::push_field;
use super::{Algorithm, BodyHash, DkimOutcome, Flaw, Key, KeyError, Signature};
use crate::Verdict;

/// A field that may be a signature.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Which field of the header it is.
    pub(crate) at: usize,
    /// What could be read of it.
    pub(crate) read: Result<Signature, Flaw>,
}

/// The signatures of a message, from the top, at most `max` of them.
pub(crate) fn candidates(header: &HeaderIndex, max: usize) -> Vec<Candidate> {
    header
        .fields()
        .enumerate()
        .filter(|(_, (name, _))| name.eq_ignore_ascii_case("DKIM-Signature"))
        .take(max)
        .map(|(at, (_, field))| Candidate { at, read: Signature::read(value_of(field)) })
        .collect()
}

/// What stands behind the colon of a field.
pub(crate) fn value_of(field: &[u8]) -> &[u8] {
    let colon = memchr::memchr(b':', field).map_or(field.len(), |colon| colon + 1);
    field.get(colon..).unwrap_or_default()
}

/// Judges one signature.
pub(crate) fn judge(
    candidate: &Candidate,
    header: &HeaderIndex,
    body: Option<BodyHash>,
    key: Option<Result<Key, KeyError>>,
    now_s: u64,
) -> DkimOutcome {
    let signature = match &candidate.read {
        Ok(signature) => signature,
        Err(flaw) => return unreadable(flaw),
    };
    let (verdict, reason) = verdict(candidate.at, signature, header, body, key, now_s);
    DkimOutcome {
        verdict,
        domain: signature.domain.clone(),
        selector: signature.selector.clone(),
        identity: signature.identity.as_deref().map(|identity| sanitize(identity, IDENTITY_OCTETS_MAX)),
        algorithm: signature.algorithm.as_str(),
        mark: mark(&signature.octets),
        reason,
    }
}

fn unreadable(flaw: Flaw) -> DkimOutcome {
    DkimOutcome {
        verdict: Verdict::PermError,
        domain: String::new(),
        selector: String::new(),
        identity: None,
        algorithm: "",
        mark: String::new(),
        reason: Some(flaw.to_owned()),
    }
}

fn verdict(
    at: usize,
    signature: &Signature,
    header: &HeaderIndex,
    body: Option<BodyHash>,
    key: Option<Result<Key, KeyError>>,
    now_s: u64,
) -> (Verdict, Option<String>) {
    let because = |verdict, reason: &str| (verdict, Some(reason.to_owned()));
    if signature.expires_s.is_some_and(|expires_s| expires_s < now_s) {
        return because(Verdict::Fail, "the signature has expired");
    }
    let key = match key {
        Some(Ok(key)) => key,
        Some(Err(KeyError::Permanent(flaw))) => return because(Verdict::PermError, flaw),
        Some(Err(KeyError::Temporary(trouble))) => return because(Verdict::TempError, &trouble),
        None => return because(Verdict::TempError, "the key was not looked up in time"),
    };
    if let Some(flaw) = forbidden(signature, &key) {
        return because(Verdict::PermError, flaw);
    }
    let Some(body) = body else { return because(Verdict::TempError, "the body could not be hashed") };
    if body.digest[..] != signature.body_hash[..] {
        return because(Verdict::Fail, "the body was changed");
    }
    if !key.verifies(&signed_octets(at, signature, header), &signature.octets) {
        return because(Verdict::Fail, "the signature does not fit the header");
    }
    weaknesses(signature, &key, body)
}

/// What the key or the standard rule out before anything is computed.
fn forbidden(signature: &Signature, key: &Key) -> Option<Flaw> {
    let identity = signature.identity.as_deref().and_then(|identity| identity.rsplit_once('@'));
    let is_foreign = identity.is_some_and(|(_, own)| !own.eq_ignore_ascii_case(&signature.domain));
    if key.is_exact && is_foreign {
        return Some("the key is for the very domain only");
    }
    forbidden_length(signature.algorithm, signature.octets.len())
}

/// A signature is as long as its key (RFC 8301 3.2: shorter ones prove nothing).
pub(crate) fn forbidden_length(algorithm: Algorithm, octets: usize) -> Option<Flaw> {
    let is_rsa = algorithm == Algorithm::RsaSha256;
    match octets {
        0..RSA_OCTETS_MIN if is_rsa => Some("the key is shorter than 1,024 bits"),
        length if is_rsa && length > RSA_OCTETS_MAX => Some("the key is longer than 8,192 bits"),
        _ => None,
    }
}

/// A signature that holds may still be worth little.
fn weaknesses(signature: &Signature, key: &Key, body: BodyHash) -> (Verdict, Option<String>) {
    if let Some(length) = signature.length {
        // RFC 6376 8.2: whoever appended the rest is not who signed.
        if length < body.octets {
            let reason = format!("{} octets of the body are not signed", body.octets - length);
            return (Verdict::Policy, Some(reason));
        }
        if length > body.octets {
            return (Verdict::PermError, Some("more octets are signed than there are".to_owned()));
        }
    }
    let mut notes = Vec::new();
    if signature.algorithm == Algorithm::RsaSha256 && signature.octets.len() < RSA_OCTETS_STRONG {
        notes.push(format!("weak key of {} bits", signature.octets.len() * 8));
    }
    if signature.length.is_some() {
        notes.push("the length of the body is signed".to_owned());
    }
    if key.is_test {
        notes.push("the domain is testing".to_owned());
    }
    (Verdict::Pass, (!notes.is_empty()).then(|| notes.join(", ")))
}

/// What was signed (RFC 6376 3.7, 5.4.2): the named fields, of equal ones the lowest first, and the signature's own field
/// without the signature.
pub(crate) fn signed_octets(at: usize, signature: &Signature, header: &HeaderIndex) -> Vec<u8> {
    let fields: Vec<(&str, &[u8])> = header.fields().collect();
    let mut octets = Vec::with_capacity(2 << 10);
    let mut used = vec![false; fields.len()];
    // A signature may name the fields of others; its own is not yet there when it is made.
    if let Some(own) = used.get_mut(at) {
        *own = true;
    }
    for name in &signature.headers {
        let found = fields
            .iter()
            .zip(&mut used)
            .rev()
            .find(|((own, _), used)| !**used && own.eq_ignore_ascii_case(name));
        // A name without a field says that there was none.
        if let Some(((_, field), used)) = found {
            *used = true;
            push_field(field, signature.header_form, &mut octets);
        }
    }
    if let Some((_, own)) = fields.get(at) {
        push_field(&without_signature(own), signature.header_form, &mut octets);
        octets.truncate(octets.len().saturating_sub(b"\r\n".len()));
    }
    octets
}

/// The field with the value of its `b=` left out.
pub(crate) fn without_signature(field: &[u8]) -> Vec<u8> {
    let colon = memchr::memchr(b':', field).map_or(field.len(), |colon| colon + 1);
    let mut start = colon;
    for piece in field.get(colon..).unwrap_or_default().split(|octet| *octet == b';') {
        let end = start + piece.len();
        let equals = memchr::memchr(b'=', piece).unwrap_or(piece.len());
        if piece.get(..equals).unwrap_or_default().trim_ascii() == b"b" {
            let before = field.get(..(start + equals + 1).min(end)).unwrap_or_default();
            return [before, field.get(end..).unwrap_or_default()].concat();
        }
        start = end + 1;
    }
    field.to_vec()
}

/// The first eight characters of the signature (RFC 8601 2.7.1).
fn mark(signature: &[u8]) -> String {
    use base64::Engine;

    base64::engine::general_purpose::STANDARD.encode(signature.get(..6).unwrap_or(signature))
}

/// 1,024 bits.
const RSA_OCTETS_MIN: usize = 128;
/// 2,048 bits.
const RSA_OCTETS_STRONG: usize = 256;
/// 8,192 bits.
const RSA_OCTETS_MAX: usize = 1_024;
/// Octets of an address.
const IDENTITY_OCTETS_MAX: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signature_itself_is_left_out() {
        for (field, expected) in [
            ("DKIM-Signature: v=1; bh=ab; b=cd\r\n ef; h=x", "DKIM-Signature: v=1; bh=ab; b=; h=x"),
            ("DKIM-Signature: b = cd", "DKIM-Signature: b ="),
            ("DKIM-Signature:v=1;\r\n\tb\r\n\t=cd;", "DKIM-Signature:v=1;\r\n\tb\r\n\t=;"),
            ("DKIM-Signature: bb=1", "DKIM-Signature: bb=1"),
        ] {
            assert_eq!(String::from_utf8(without_signature(field.as_bytes())).unwrap(), expected);
        }
    }
}
