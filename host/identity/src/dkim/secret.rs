//! Private keys: made, kept as text, and used (RFC 6376 3.3, RFC 8463 3).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Algorithm;

/// A private key. It shows itself to nobody.
pub(crate) enum Secret {
    /// 2,048 bits: what all verify, and what fits a record (RFC 8301 3.2).
    Rsa(Box<RsaKeyPair>),
    /// Short and fast, and not verified by all: never alone.
    Ed25519(Box<Ed25519KeyPair>),
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({})", self.algorithm().as_str())
    }
}

/// The cryptographic library refused; what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key could not be {0}")]
pub struct KeyFailure(pub(crate) &'static str);

impl Secret {
    /// Makes a key.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Secret, KeyFailure> {
        let failure = |_| KeyFailure("made");
        Ok(match algorithm {
            Algorithm::RsaSha256 => {
                Secret::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failure)?))
            }
            Algorithm::Ed25519Sha256 => {
                Secret::Ed25519(Box::new(Ed25519KeyPair::generate().map_err(failure)?))
            }
        })
    }

    /// Reads a key in PKCS #8, in base64.
    pub(crate) fn read(algorithm: Algorithm, text: &str) -> Result<Secret, KeyFailure> {
        let der = STANDARD.decode(text).map_err(|_| KeyFailure("read"))?;
        let failure = |_| KeyFailure("read");
        Ok(match algorithm {
            Algorithm::RsaSha256 => Secret::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).map_err(failure)?)),
            Algorithm::Ed25519Sha256 => {
                Secret::Ed25519(Box::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(failure)?))
            }
        })
    }

    /// The key in PKCS #8, in base64.
    pub(crate) fn text(&self) -> Result<String, KeyFailure> {
        let der: Pkcs8V1Der<'_> = match self {
            Secret::Rsa(key) => key.as_der(),
            Secret::Ed25519(key) => key.as_der(),
        }
        .map_err(|_| KeyFailure("written"))?;
        Ok(STANDARD.encode(der.as_ref()))
    }

    /// What is published of it, in base64: SubjectPublicKeyInfo for RSA, the bare key for Ed25519 (RFC 8463 4).
    pub(crate) fn public(&self) -> Result<String, KeyFailure> {
        match self {
            Secret::Rsa(key) => {
                let der: PublicKeyX509Der<'_> =
                    key.public_key().as_der().map_err(|_| KeyFailure("published"))?;
                Ok(STANDARD.encode(der.as_ref()))
            }
            Secret::Ed25519(key) => Ok(STANDARD.encode(key.public_key().as_ref())),
        }
    }

    /// How it signs.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Secret::Rsa(_) => Algorithm::RsaSha256,
            Secret::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// Signs the canonical octets of the header, and gives the signature in base64.
    pub(crate) fn sign(&self, header: &[u8]) -> Result<String, KeyFailure> {
        let failure = |_| KeyFailure("used");
        match self {
            Secret::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), header, &mut signature).map_err(failure)?;
                Ok(STANDARD.encode(signature))
            }
            Secret::Ed25519(key) => {
                let hash = digest(&SHA256, header);
                Ok(STANDARD.encode(key.try_sign(hash.as_ref()).map_err(failure)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::Key;

    #[test]
    fn what_a_secret_signs_its_published_key_verifies() {
        for (algorithm, kind) in [(Algorithm::RsaSha256, "rsa"), (Algorithm::Ed25519Sha256, "ed25519")] {
            let made = Secret::generate(algorithm).unwrap();
            let kept = Secret::read(algorithm, &made.text().unwrap()).unwrap();
            let record = format!("v=DKIM1; k={kind}; p={}", kept.public().unwrap());
            let key = Key::read(record.as_bytes(), algorithm).unwrap();
            let signature = STANDARD.decode(kept.sign(b"from:a@b.example\r\n").unwrap()).unwrap();
            assert!(key.verifies(b"from:a@b.example\r\n", &signature));
            assert!(!key.verifies(b"from:e@b.example\r\n", &signature));
            assert!(!format!("{made:?}").contains(&made.text().unwrap()));
        }
        assert_eq!(Secret::read(Algorithm::RsaSha256, "YWI=").unwrap_err(), KeyFailure("read"));
    }
}
