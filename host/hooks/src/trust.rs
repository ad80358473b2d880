//! Who made an artefact: detached ed25519 signatures (RFC 8032) and the keys that an operator trusts.
//!
//! The signature of `x.wasm` lies beside it in `x.wasm.sig`, four lines of text: the form, the public key, the SHA-256
//! of the file, the signature over both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

use crate::load::hex;

const FORM: &str = "baton-signature-1";
const SECRET_FORM: &str = "baton-secret-key-1";
/// Octets of a signature file, a few lines.
const FILE_OCTETS_MAX: u64 = 4_096;

/// A public key: 32 octets, written in base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// A key that the operator trusts, under the operator's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The name.
    pub name: String,
    /// The key.
    pub public: PublicKey,
}

/// Whose artefacts may be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The keys.
    pub keys: Arc<[TrustedKey]>,
    /// Only what one of them signed may be loaded.
    pub required: bool,
}

/// A detached signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key that is said to have made it.
    pub public: PublicKey,
    /// SHA-256 of the file that was signed.
    pub sha256: [u8; 32],
    signature: Vec<u8>,
}

/// A secret key, which signs.
pub struct SecretKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

/// Why an artefact is not trusted, or a key or signature can not be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// There is no signature.
    #[error(
        "it is not signed: there is no {0}; sign it with `baton plugin sign KEY FILE`, or let plugin_trust.require allow it"
    )]
    Unsigned(PathBuf),
    /// The key is not one of the trusted ones.
    #[error(
        "it is signed by a key that is not trusted, {0}; add it to plugin_trust.keys if you trust its owner"
    )]
    UnknownKey(PublicKey),
    /// The file is another one than was signed.
    #[error(
        "it is not the file that was signed: its SHA-256 is {found}, signed was {signed}; get the original, or have it signed again"
    )]
    Changed {
        /// The digest of the file.
        found: String,
        /// The digest that was signed.
        signed: String,
    },
    /// The signature does not fit the key.
    #[error(
        "its signature was not made by the key that it names ({0}): it is forged or damaged; get the original"
    )]
    Forged(PublicKey),
    /// The text is not a signature.
    #[error("{path} is not a signature: {detail}; make it with `baton plugin sign KEY FILE`")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: &'static str,
    },
    /// The signature can not be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no public key.
    #[error("not a public key: it is 32 octets in base64, as `baton plugin keygen` prints them")]
    NoPublicKey,
    /// The text is no secret key.
    #[error("not a secret key of `baton plugin keygen`")]
    NoSecretKey,
    /// The system gives no random octets.
    #[error("the system gives no random octets")]
    NoRandom,
}

/// Where the signature of a file lies.
pub fn signature_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

impl Trust {
    /// The name of the trusted key that signed the file with that digest. None when it needs no signature and has none
    /// of a trusted key; an error when it needs one.
    pub fn check(&self, file: &Path, sha256: &[u8; 32]) -> Result<Option<String>, TrustError> {
        match self.signer(file, sha256) {
            Ok(name) => Ok(Some(name)),
            Err(TrustError::Unsigned(_) | TrustError::UnknownKey(_)) if !self.required => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The name of the trusted key that signed a file, which must be signed.
    pub fn check_file(&self, file: &Path) -> Result<String, TrustError> {
        let unreadable = |source| TrustError::Unreadable { path: file.to_owned(), source };
        let contents = std::fs::read(file).map_err(unreadable)?;
        self.signer(file, &sha2::Sha256::digest(&contents).into())
    }

    fn signer(&self, file: &Path, sha256: &[u8; 32]) -> Result<String, TrustError> {
        let signature = Signature::read(&signature_path(file))?;
        signature.verify(sha256)?;
        let key = self.keys.iter().find(|key| key.public == signature.public);
        key.map(|key| key.name.clone()).ok_or(TrustError::UnknownKey(signature.public))
    }
}

impl Signature {
    /// Reads a signature file.
    pub fn read(path: &Path) -> Result<Signature, TrustError> {
        let unreadable = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => TrustError::Unsigned(path.to_owned()),
            _ => TrustError::Unreadable { path: path.to_owned(), source },
        };
        let malformed = |detail| TrustError::Malformed { path: path.to_owned(), detail };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_OCTETS_MAX {
            return Err(malformed("it is too long"));
        }
        let text = std::fs::read(path).map_err(unreadable)?;
        Signature::parse(&String::from_utf8_lossy(&text)).map_err(malformed)
    }

    /// Reads the text of a signature.
    pub fn parse(text: &str) -> Result<Signature, &'static str> {
        let mut lines = text.lines();
        if lines.next() != Some(FORM) {
            return Err("it does not begin with baton-signature-1");
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let public = field("key").and_then(|text| text.parse().ok()).ok_or("its second line is no key")?;
        let sha256 = field("sha256").and_then(unhex).ok_or("its third line is no SHA-256")?;
        let signature = field("signature").and_then(|text| STANDARD.decode(text).ok());
        Ok(Signature { public, sha256, signature: signature.ok_or("its fourth line is no signature")? })
    }

    /// Checks that its key signed a file of that digest.
    pub fn verify(&self, sha256: &[u8; 32]) -> Result<(), TrustError> {
        let key = UnparsedPublicKey::new(&ED25519, self.public.0);
        key.verify(&signed_octets(&self.sha256), &self.signature)
            .map_err(|_| TrustError::Forged(self.public))?;
        if self.sha256 != *sha256 {
            return Err(TrustError::Changed { found: hex(sha256), signed: hex(&self.sha256) });
        }
        Ok(())
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sha256, signature) = (hex(&self.sha256), STANDARD.encode(&self.signature));
        writeln!(formatter, "{FORM}\nkey {}\nsha256 {sha256}\nsignature {signature}", self.public)
    }
}

impl SecretKey {
    /// A new key, at random.
    pub fn generate() -> Result<SecretKey, TrustError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| TrustError::NoRandom)?;
        SecretKey::from_seed(seed)
    }

    /// Reads the text of a key file.
    pub fn parse(text: &str) -> Result<SecretKey, TrustError> {
        let mut lines = text.lines();
        let is_key = lines.next() == Some(SECRET_FORM);
        let seed = lines.next().filter(|_| is_key).and_then(|line| STANDARD.decode(line).ok());
        let seed = seed.and_then(|seed| seed.try_into().ok()).ok_or(TrustError::NoSecretKey)?;
        SecretKey::from_seed(seed)
    }

    /// The text of a key file, which only its owner should be able to read.
    pub fn to_text(&self) -> String {
        format!("{SECRET_FORM}\n{}\n", STANDARD.encode(self.seed))
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> PublicKey {
        let mut octets = [0; 32];
        octets.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(octets)
    }

    /// Signs a file's contents.
    pub fn sign(&self, file: &[u8]) -> Signature {
        let sha256 = sha2::Sha256::digest(file).into();
        let signature = self.pair.sign(&signed_octets(&sha256)).as_ref().to_vec();
        Signature { public: self.public(), sha256, signature }
    }

    fn from_seed(seed: [u8; 32]) -> Result<SecretKey, TrustError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| TrustError::NoSecretKey)?;
        Ok(SecretKey { seed, pair })
    }
}

impl std::str::FromStr for PublicKey {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<PublicKey, TrustError> {
        let octets = STANDARD.decode(text.trim()).map_err(|_| TrustError::NoPublicKey)?;
        octets.try_into().map(PublicKey).map_err(|_| TrustError::NoPublicKey)
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&STANDARD.encode(self.0))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PublicKey({self})")
    }
}

/// What is signed: the purpose, so that no signature made for something else fits, and the digest.
fn signed_octets(sha256: &[u8; 32]) -> Vec<u8> {
    [b"baton plugin signature 1\n".as_slice(), sha256].concat()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut octets = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(octets: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(octets).into()
    }

    fn trusting(keys: &[(&str, &SecretKey)], required: bool) -> Trust {
        let keys =
            keys.iter().map(|(name, key)| TrustedKey { name: (*name).to_owned(), public: key.public() });
        Trust { keys: keys.collect(), required }
    }

    #[test]
    fn keys_and_signatures_survive_being_written() {
        let key = SecretKey::generate().unwrap();
        let again = SecretKey::parse(&key.to_text()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
        let signature = key.sign(b"wasm");
        assert_eq!(Signature::parse(&signature.to_string()), Ok(signature.clone()));
        assert!(signature.verify(&digest(b"wasm")).is_ok());
        assert!(SecretKey::parse(&key.public().to_string()).is_err() && "AAAA".parse::<PublicKey>().is_err());
    }

    #[test]
    fn each_reason_for_distrust_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.wasm");
        let (ours, theirs) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let trust = trusting(&[("release", &ours)], true);
        let check = |trust: &Trust, signature: Option<String>| {
            let path = signature_path(&file);
            let _ = std::fs::remove_file(&path);
            if let Some(text) = signature {
                std::fs::write(path, text).unwrap();
            }
            trust.check(&file, &digest(b"wasm"))
        };
        let good = ours.sign(b"wasm").to_string();
        assert_eq!(check(&trust, Some(good.clone())).unwrap().as_deref(), Some("release"));
        assert!(matches!(check(&trust, None), Err(TrustError::Unsigned(_))));
        assert!(matches!(
            check(&trust, Some(theirs.sign(b"wasm").to_string())),
            Err(TrustError::UnknownKey(_))
        ));
        assert!(matches!(
            check(&trust, Some(ours.sign(b"other").to_string())),
            Err(TrustError::Changed { .. })
        ));
        // Somebody else's signature under our key, and ours under a digest that was put in.
        let stolen = theirs
            .sign(b"wasm")
            .to_string()
            .replace(&theirs.public().to_string(), &ours.public().to_string());
        assert!(matches!(check(&trust, Some(stolen)), Err(TrustError::Forged(_))));
        let moved = ours.sign(b"other").to_string().replace(&hex(&digest(b"other")), &hex(&digest(b"wasm")));
        assert!(matches!(check(&trust, Some(moved)), Err(TrustError::Forged(_))));
        for text in
            ["", "baton-signature-1\nkey x\n", &good.replace("sha256 ", "sha256 zz"), &"x".repeat(5_000)]
        {
            assert!(
                matches!(check(&trust, Some(text.to_owned())), Err(TrustError::Malformed { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn where_no_signature_is_needed_a_wrong_one_is_still_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.wasm");
        let (ours, theirs) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let trust = trusting(&[("release", &ours)], false);
        assert_eq!(trust.check(&file, &digest(b"wasm")).unwrap(), None);
        std::fs::write(signature_path(&file), theirs.sign(b"wasm").to_string()).unwrap();
        assert_eq!(trust.check(&file, &digest(b"wasm")).unwrap(), None);
        std::fs::write(signature_path(&file), theirs.sign(b"other").to_string()).unwrap();
        assert!(matches!(trust.check(&file, &digest(b"wasm")), Err(TrustError::Changed { .. })));
    }
}
