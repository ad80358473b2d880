//! Signatures on messages: DKIM by RFC 6376, RFC 8301 (no SHA-1, no short keys) and RFC 8463 (Ed25519).
//!
//! Checking and signing share one canonical form, so what one makes the other accepts. It is written here and not taken
//! from `mail-auth` 0.13, whose relaxed form keeps lines of blanks at the end of a body, against RFC 6376 3.4.4.
//!
//! Invariant: work is bounded: [`HEADERS_MAX`] names in a signature, keys of 8,192 bits at most, and as many signatures
//! as the settings say; the body is read once for each form and length.

mod canonical;
mod key;
mod secret;
mod sign;
mod signature;
mod verify;

use crate::Verdict;

pub(crate) use canonical::{BodyHash, Form, hash_bodies, hash_body, push_field};
pub(crate) use key::{Key, KeyError, find_key};
pub use secret::KeyFailure;
pub(crate) use secret::Secret;
pub(crate) use sign::{SigningKey, fold, fold_anywhere, signature_field, signed_fields};
pub(crate) use signature::{Algorithm, Flaw, HEADERS_MAX, Own, Signature, number};
pub(crate) use verify::{
    Candidate, candidates, forbidden_length, judge, signed_octets, value_of, without_signature,
};

/// What became of one signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimOutcome {
    /// How its check ended. Only [`Verdict::Pass`] says anything about who signed.
    pub verdict: Verdict,
    /// The domain that signed; empty when the field could not be read.
    pub domain: String,
    /// Which of its keys.
    pub selector: String,
    /// For whom it signed, as the signature says (`i=`).
    pub identity: Option<String>,
    /// How: `rsa-sha256` or `ed25519-sha256`; empty when the field could not be read.
    pub algorithm: &'static str,
    /// The beginning of the signature, which tells it from others of the same domain (RFC 8601 2.7.1).
    pub mark: String,
    /// What is wrong; or, after a pass, what is weak about it.
    pub reason: Option<String>,
}
