//! One more set for a chain (RFC 8617 5.1).

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_mail::Domain;
use baton_mail::header::{HeaderIndex, HeaderName, encode_field};

use super::chain::{self, RESULTS, SEAL, SIGNATURE, Set};
use super::{ArcOutcome, SETS_MAX};
use crate::Verdict;
use crate::dkim::{Form, KeyFailure, SigningKey, fold, fold_anywhere, push_field, signed_fields};
use crate::results::own_results;

/// What goes into a set.
pub(crate) struct Sealing<'a> {
    /// Whose seal it is.
    pub(crate) domain: &'a Domain,
    /// The key: RSA, as no other kind is sure to be understood (RFC 8617 4.1.3).
    pub(crate) key: &'a SigningKey,
    /// The name under which our results stand in the header.
    pub(crate) authserv_id: &'a Domain,
    /// What was found about the chain when the message came in.
    pub(crate) outcome: &'a ArcOutcome,
    /// SHA-256 of the body in relaxed form, as it leaves.
    pub(crate) body_hash: &'a [u8; SHA256_OUTPUT_LEN],
    /// Now, in seconds since 1970.
    pub(crate) now_s: i64,
}

/// The three fields of a set over the header as it leaves, each with its line end; none when the chain can take no more.
pub(crate) fn seal_set(sealing: &Sealing<'_>, header: &HeaderIndex) -> Result<Option<String>, KeyFailure> {
    let outcome = sealing.outcome;
    let sets = match chain::read(header) {
        None => Vec::new(),
        Some(Ok(sets)) => sets,
        // It is sealed as failed, which covers nothing before it.
        Some(Err(_)) => Vec::new(),
    };
    let state = match outcome.verdict {
        Verdict::None => "none",
        // What a plugin left of the chain is not what was checked.
        Verdict::Pass if sets.len() != outcome.sets as usize => "fail",
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        // What could not be found out is no failure, and can not be sealed as anything else.
        _ => return Ok(None),
    };
    let number = outcome.sets + 1;
    if outcome.is_closed || number > SETS_MAX {
        return Ok(None);
    }
    let results = results_field(number, sealing.authserv_id, header);
    let signature = signature_field(sealing, number, header)?;
    let mut octets = if state == "pass" { before(&sets, header) } else { Vec::new() };
    push_line(&results, &mut octets);
    push_line(&signature, &mut octets);
    let key = sealing.key;
    let mut seal = format!(
        "{SEAL}: i={number}; a={}; cv={state}; d={};\r\n\ts={}; t={};\r\n\tb=",
        key.secret.algorithm().as_str(),
        sealing.domain,
        key.selector,
        sealing.now_s
    );
    sign(key, &mut octets, &mut seal)?;
    Ok(Some(format!("{seal}{signature}{results}")))
}

/// All results in our name, as one (RFC 8617 4.1.1).
fn results_field(number: u32, authserv_id: &Domain, header: &HeaderIndex) -> String {
    let own = own_results(header, authserv_id);
    let own = if own.is_empty() { "none".to_owned() } else { own.join("; ") };
    let name: HeaderName = RESULTS.parse().expect("the name is plain text");
    let field = encode_field(&name, &format!("i={number}; {authserv_id}; {own}"), false);
    String::from_utf8_lossy(&field).into_owned()
}

/// A signature like that of DKIM, over the signatures of others too (RFC 8617 4.1.2).
fn signature_field(sealing: &Sealing<'_>, number: u32, header: &HeaderIndex) -> Result<String, KeyFailure> {
    let key = sealing.key;
    let (mut names, mut octets) = signed_fields(header);
    let fields: Vec<(&str, &[u8])> = header.fields().collect();
    let signed = fields.iter().rev().filter(|(name, _)| name.eq_ignore_ascii_case("DKIM-Signature"));
    for (_, field) in signed.take(SIGNATURES_MAX) {
        names.push("dkim-signature");
        push_field(field, Form::Relaxed, &mut octets);
    }
    let mut field = format!(
        "{SIGNATURE}: i={number}; a={}; c=relaxed/relaxed;\r\n\td={}; s={}; t={};\r\n\th=",
        key.secret.algorithm().as_str(),
        sealing.domain,
        key.selector,
        sealing.now_s
    );
    fold(&names.join(":"), ':', &mut field);
    field.push_str(&format!(";\r\n\tbh={};\r\n\tb=", STANDARD.encode(sealing.body_hash)));
    sign(key, &mut octets, &mut field)?;
    Ok(field)
}

/// Signs `octets` with the unfinished field behind them, and finishes it.
fn sign(key: &SigningKey, octets: &mut Vec<u8>, field: &mut String) -> Result<(), KeyFailure> {
    push_field(field.as_bytes(), Form::Relaxed, octets);
    octets.truncate(octets.len().saturating_sub(b"\r\n".len()));
    fold_anywhere(&key.secret.sign(octets)?, field);
    field.push_str("\r\n");
    Ok(())
}

/// The sets at hand in canonical form, the oldest first (RFC 8617 5.1.1).
fn before(sets: &[Set], header: &HeaderIndex) -> Vec<u8> {
    let fields: Vec<(&str, &[u8])> = header.fields().collect();
    let mut octets = Vec::with_capacity(4 << 10);
    for at in sets.iter().flat_map(|set| [set.results, set.signature, set.seal]) {
        if let Some((_, field)) = fields.get(at) {
            push_field(field, Form::Relaxed, &mut octets);
        }
    }
    octets
}

/// A field that still has its line end.
fn push_line(field: &str, octets: &mut Vec<u8>) {
    push_field(field.strip_suffix("\r\n").unwrap_or(field).as_bytes(), Form::Relaxed, octets);
}

/// Signatures of others that are signed, from the bottom.
const SIGNATURES_MAX: usize = 10;
