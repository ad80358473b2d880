//! Public keys in the DNS (RFC 6376 3.6, RFC 8463 4), and the check of a signature with one.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY as RSA_SHA256, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_dns::{DnsError, Resolver};

use super::{Algorithm, Flaw};
use crate::tags::{Tags, items, without_blanks};

/// A published key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    algorithm: Algorithm,
    octets: Vec<u8>,
    /// The domain only tries DKIM out (`t=y`).
    pub(crate) is_test: bool,
    /// The identity must be of the very domain (`t=s`).
    pub(crate) is_exact: bool,
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// The DNS gave no answer.
    Temporary(String),
    /// There is none that could be used.
    Permanent(Flaw),
}

/// Looks up a key by its selector and domain.
pub(crate) async fn find_key(
    resolver: &Resolver,
    algorithm: Algorithm,
    selector: &str,
    domain: &str,
) -> Result<Key, KeyError> {
    let name = format!("{selector}._domainkey.{domain}");
    let texts = match resolver.texts(&name).await {
        Ok(texts) => texts.records,
        Err(DnsError::BadName) => return Err(KeyError::Permanent("the key has no name")),
        Err(error) => return Err(KeyError::Temporary(error.to_string())),
    };
    let mut flaw = "no key in the DNS";
    // Of several records, the first that is a key counts (RFC 6376 3.6.2.2 leaves it open).
    for text in &texts {
        match Key::read(text, algorithm) {
            Ok(key) => return Ok(key),
            Err(found) => flaw = found,
        }
    }
    Err(KeyError::Permanent(flaw))
}

impl Key {
    /// Reads a record as a key for signatures of that kind.
    pub(crate) fn read(text: &[u8], algorithm: Algorithm) -> Result<Key, Flaw> {
        let text = std::str::from_utf8(text).map_err(|_| "the key is no text")?;
        let tags = Tags::read(text).ok_or("the key is no list of tags")?;
        // RFC 6376 3.6.1: a version, when there is one, comes first.
        if tags.get("v").is_some_and(|version| version != "DKIM1" || tags.first() != Some(("v", version))) {
            return Err("the key is of another version");
        }
        let kind = match algorithm {
            Algorithm::RsaSha256 => "rsa",
            Algorithm::Ed25519Sha256 => "ed25519",
        };
        if tags.get("k").unwrap_or("rsa") != kind {
            return Err("the key is of another kind");
        }
        if tags.get("h").is_some_and(|hashes| !items(hashes).any(|hash| hash == "sha256")) {
            return Err("the key is for other hashes");
        }
        if tags.get("s").is_some_and(|services| !items(services).any(|name| matches!(name, "*" | "email"))) {
            return Err("the key is not for mail");
        }
        let octets = match tags.get("p").map(without_blanks) {
            None => return Err("the key is missing in its record"),
            Some(text) if text.is_empty() => return Err("the key was revoked"),
            Some(text) => STANDARD.decode(text).map_err(|_| "the key is not base64")?,
        };
        if octets.len() > KEY_OCTETS_MAX {
            return Err("the key is too long");
        }
        let flag = |name| tags.get("t").is_some_and(|flags| items(flags).any(|flag| flag == name));
        Ok(Key { algorithm, octets, is_test: flag("y"), is_exact: flag("s") })
    }

    /// True when `signature` was made over `header`, the canonical octets of the signed fields.
    pub(crate) fn verifies(&self, header: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::RsaSha256 => {
                UnparsedPublicKey::new(&RSA_SHA256, &self.octets).verify(header, signature).is_ok()
            }
            Algorithm::Ed25519Sha256 => {
                // RFC 8463 3: what is signed is the hash.
                let hash = digest(&SHA256, header);
                UnparsedPublicKey::new(&ED25519, &self.octets).verify(hash.as_ref(), signature).is_ok()
            }
        }
    }
}

/// Room for 8,192 bits with their wrapping.
const KEY_OCTETS_MAX: usize = 1_200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flaw_has_its_word() {
        for (text, flaw) in [
            ("v=DKIM2; p=YWI=", "the key is of another version"),
            ("p=YWI=; v=DKIM1", "the key is of another version"),
            ("v=DKIM1; k=ed25519; p=YWI=", "the key is of another kind"),
            ("v=DKIM1; h=sha1; p=YWI=", "the key is for other hashes"),
            ("v=DKIM1; s=tlsrpt; p=YWI=", "the key is not for mail"),
            ("v=DKIM1", "the key is missing in its record"),
            ("v=DKIM1; p=", "the key was revoked"),
            ("v=DKIM1; p=!!", "the key is not base64"),
            ("garbage", "the key is no list of tags"),
        ] {
            assert_eq!(Key::read(text.as_bytes(), Algorithm::RsaSha256), Err(flaw), "{text}");
        }
        let key = Key::read(b"k=rsa; t=y:s; h=sha1:sha256; s=*; p=YW I=", Algorithm::RsaSha256).unwrap();
        assert!(key.is_test && key.is_exact && key.octets == b"ab");
        assert!(!key.verifies(b"a", b"b"));
    }
}
