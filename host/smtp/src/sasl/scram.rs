//! SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677), as a pure machine: messages in, messages out. Bound to the
//! connection it is SCRAM-SHA-256-PLUS, by `tls-exporter` (RFC 9266).
//!
//! `rsasl` is not used: its server asks for the keys from within a step, where nobody can wait for the store; it gives
//! users that are not there another salt each time; and it would bring a second cryptographic library.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_mail::account::ScramKeys;

use super::name::unescape;

/// Characters of a nonce at most.
const NONCE_OCTETS_MAX: usize = 256;

/// Why an exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The message does not follow the grammar of RFC 5802 7.
    #[error("the message does not follow the grammar")]
    Malformed,
    /// The client wants something that has to be understood and is not.
    #[error("an extension that is not known")]
    Extension,
    /// The proof is wrong, or the nonce, or what the exchange is bound to.
    #[error("wrong")]
    Wrong,
}

/// What a client binds the exchange to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    /// `n`: the client can not.
    None,
    /// `y`: the client could, and thinks that the server can not.
    Unused,
    /// `p=tls-exporter`.
    TlsExporter,
}

/// The first message of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst {
    username: String,
    header: String,
    bare: String,
    nonce: String,
    binding: Binding,
}

/// The exchange, waiting for the client's proof.
#[derive(Debug)]
pub struct AwaitingProof {
    keys: ScramKeys,
    bound: Vec<u8>,
    nonce: String,
    /// The client's first message without its header, and ours, with a comma behind each.
    before: String,
}

impl ClientFirst {
    /// Reads the message of the plain mechanism, or with `is_plus` of the bound one.
    ///
    /// # Errors
    /// When it is malformed, or wants what can not be.
    pub fn parse(message: &[u8], is_plus: bool) -> Result<ClientFirst, ScramError> {
        let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let (flag, rest) = text.split_once(',').ok_or(ScramError::Malformed)?;
        let (authority, bare) = rest.split_once(',').ok_or(ScramError::Malformed)?;
        let binding = match flag {
            "n" => Binding::None,
            "y" => Binding::Unused,
            "p=tls-exporter" => Binding::TlsExporter,
            _ if flag.starts_with("p=") && flag.len() > 2 => return Err(ScramError::Extension),
            _ => return Err(ScramError::Malformed),
        };
        if (binding == Binding::TlsExporter) != is_plus {
            return Err(ScramError::Wrong);
        }
        if bare.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let mut attributes = bare.split(',');
        let mut next = |name: &str| attributes.next().and_then(|text| text.strip_prefix(name));
        let username = read_name(next("n=").ok_or(ScramError::Malformed)?)?;
        let nonce = next("r=").filter(|nonce| is_nonce(nonce)).ok_or(ScramError::Malformed)?.to_owned();
        if !attributes.all(is_attribute) {
            return Err(ScramError::Malformed);
        }
        // Nobody acts for somebody else.
        match authority.strip_prefix("a=").map(read_name).transpose()? {
            None if !authority.is_empty() => return Err(ScramError::Malformed),
            Some(other) if other != username => return Err(ScramError::Wrong),
            _ => {}
        }
        let header = format!("{flag},{authority},");
        Ok(ClientFirst { username, header, bare: bare.to_owned(), nonce, binding })
    }

    /// Who the client says it is.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Our first message. `nonce` are random characters; `exporter` is what the connection exports, where the other
    /// mechanism was offered too.
    ///
    /// # Errors
    /// When somebody in between made the client believe that it can not bind itself to the connection (RFC 5802 6).
    pub fn answer(
        self,
        keys: ScramKeys,
        nonce: &str,
        exporter: Option<&[u8]>,
    ) -> Result<(String, AwaitingProof), ScramError> {
        let data = match (self.binding, exporter) {
            (Binding::TlsExporter, Some(exporter)) => exporter,
            (Binding::TlsExporter, None) | (Binding::Unused, Some(_)) => return Err(ScramError::Wrong),
            (Binding::None | Binding::Unused, _) => &[],
        };
        let bound = [self.header.as_bytes(), data].concat();
        let nonce = format!("{}{nonce}", self.nonce);
        let ours = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), keys.iterations);
        let before = format!("{},{ours},", self.bare);
        Ok((ours, AwaitingProof { keys, bound, nonce, before }))
    }
}

impl AwaitingProof {
    /// Judges the client's last message; the answer is our proof.
    ///
    /// # Errors
    /// When the message is malformed or the proof wrong.
    pub fn finish(self, message: &[u8]) -> Result<String, ScramError> {
        let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let mut next = |name: &str| attributes.next().and_then(|text| text.strip_prefix(name));
        let bound = next("c=").ok_or(ScramError::Malformed)?;
        let nonce = next("r=").ok_or(ScramError::Malformed)?;
        if !attributes.all(is_attribute) {
            return Err(ScramError::Malformed);
        }
        let bound = STANDARD.decode(bound).map_err(|_| ScramError::Malformed)?;
        let proof = STANDARD.decode(proof).map_err(|_| ScramError::Malformed)?;
        let proof: [u8; 32] = proof.try_into().map_err(|_| ScramError::Malformed)?;
        let auth_message = format!("{}{without_proof}", self.before);
        let is_bound = verify_slices_are_equal(&bound, &self.bound).is_ok();
        let is_proven = self.is_proof(&proof, auth_message.as_bytes());
        if !(is_bound && nonce == self.nonce && is_proven) {
            return Err(ScramError::Wrong);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.keys.server_key);
        Ok(format!("v={}", STANDARD.encode(hmac::sign(&key, auth_message.as_bytes()))))
    }

    /// RFC 5802 3: `ClientProof XOR HMAC(StoredKey, AuthMessage)` is the key whose hash is the stored one.
    fn is_proof(&self, proof: &[u8; 32], auth_message: &[u8]) -> bool {
        let stored = hmac::Key::new(hmac::HMAC_SHA256, &self.keys.stored_key);
        let signature = hmac::sign(&stored, auth_message);
        let client_key: Vec<u8> =
            proof.iter().zip(signature.as_ref()).map(|(one, other)| one ^ other).collect();
        let hash = digest::digest(&digest::SHA256, &client_key);
        verify_slices_are_equal(hash.as_ref(), &self.keys.stored_key).is_ok()
    }
}

/// The name is prepared as the client prepared it (RFC 5802 5.1).
fn read_name(text: &str) -> Result<String, ScramError> {
    let name = unescape(text).ok_or(ScramError::Malformed)?;
    let prepared = stringprep::saslprep(&name).map_err(|_| ScramError::Malformed)?.into_owned();
    if prepared.is_empty() { Err(ScramError::Malformed) } else { Ok(prepared) }
}

/// RFC 5802 7 `printable`: ASCII without blanks and commas.
fn is_nonce(text: &str) -> bool {
    (1..=NONCE_OCTETS_MAX).contains(&text.len())
        && text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b',')
}

/// RFC 5802 7 `attr-val`. Those that are not known are passed over.
fn is_attribute(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
        && characters.next() == Some('=')
        && characters.next().is_some()
        && !text.contains('\0')
}

#[cfg(test)]
mod tests;
