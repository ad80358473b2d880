//! The domains in whose name this relay signs: their keys, and what must be published for them.
//!
//! Each domain is one file below the relay's state, readable by its owner only, and replaced as a whole: no crash leaves
//! a domain half-changed. The commands write the files, a relay reads them at its start and at each reload.
//!
//! A key lives in three states. It is made as *new*: its record is published and nothing is signed with it. Once its
//! record was seen in the DNS it is *active*, and the keys before it become *old*: they sign nothing more, and their
//! records stay published until the last mail that they signed can have arrived ([`OVERLAP_MS`]). So a rotation never
//! leaves mail under way without the key that proves it.

mod check;
mod file;
mod inspect;
mod publish;

use std::path::{Path, PathBuf};

use baton_mail::{Domain, UnixMs};

use crate::dkim::{Algorithm, KeyFailure, Secret, SigningKey};
pub use check::{Finding, FindingState, Host};
pub use file::{DomainFile, FileError, KeyRecord, KeyState};
pub use inspect::{DomainRow, Inspection, Inspector, KeyRow};
pub use publish::DnsRecord;

/// How long the record of an old key stays published: longer than mail waits in queues (RFC 5321 4.5.4.1: 4 to 5 days).
pub const OVERLAP_MS: u64 = 7 * 86_400_000;

/// The folder of the domains.
#[derive(Clone, Debug)]
pub struct Domains {
    folder: PathBuf,
}

/// A domain could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// Its file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyFailure),
    /// It is known already.
    #[error(
        "{0} is known already; `baton domain check {0}` says what is missing, `baton domain rotate {0}` makes new keys"
    )]
    Known(Domain),
    /// It is not known.
    #[error("{0} is not known; `baton domain add {0}` makes its keys")]
    Unknown(Domain),
    /// The last rotation is not over.
    #[error("{0} has new keys that are not published yet; `baton domain check {0}` shows their records")]
    Rotating(Domain),
    /// A literal such as `[192.0.2.1]`.
    #[error("{0} is an address; only names can have keys")]
    Literal(Domain),
}

impl Domains {
    /// The domains of a folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Domains {
        Domains { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All domains, in the order of their names.
    pub fn list(&self) -> Result<Vec<DomainFile>, FileError> {
        file::list(&self.folder)
    }

    /// One domain.
    pub fn get(&self, domain: &Domain) -> Result<DomainFile, DomainError> {
        file::read(&self.folder, domain)?.ok_or_else(|| DomainError::Unknown(domain.clone()))
    }

    /// Makes a domain with two new keys.
    pub fn add(&self, domain: &Domain, now: UnixMs) -> Result<DomainFile, DomainError> {
        if domain.as_literal().is_some() {
            return Err(DomainError::Literal(domain.clone()));
        }
        if file::read(&self.folder, domain)?.is_some() {
            return Err(DomainError::Known(domain.clone()));
        }
        let mut added = DomainFile::new(domain.clone(), now);
        added.add_keys(now)?;
        file::write(&self.folder, &added)?;
        Ok(added)
    }

    /// Makes two further keys. The keys at hand go on signing until the new ones were seen in the DNS.
    pub fn rotate(&self, domain: &Domain, now: UnixMs) -> Result<DomainFile, DomainError> {
        let mut rotated = self.get(domain)?;
        if rotated.keys.iter().any(|key| key.state == KeyState::New) {
            return Err(DomainError::Rotating(domain.clone()));
        }
        rotated.add_keys(now)?;
        file::write(&self.folder, &rotated)?;
        Ok(rotated)
    }

    /// Takes new keys into use, whose records were all seen, and forgets old ones whose time is over. True when
    /// anything changed.
    pub fn activate(&self, domain: &Domain, now: UnixMs) -> Result<bool, DomainError> {
        let before = self.get(domain)?;
        let mut after = before.clone();
        after.activate(now);
        after.forget(now);
        if after == before {
            return Ok(false);
        }
        file::write(&self.folder, &after)?;
        Ok(true)
    }

    /// Forgets a domain with its keys.
    pub fn remove(&self, domain: &Domain) -> Result<(), DomainError> {
        if file::remove(&self.folder, domain)? { Ok(()) } else { Err(DomainError::Unknown(domain.clone())) }
    }
}

impl DomainFile {
    /// Adds one key of each kind.
    fn add_keys(&mut self, now: UnixMs) -> Result<(), KeyFailure> {
        let day = file::day(now);
        for (algorithm, letter) in [(Algorithm::RsaSha256, 'r'), (Algorithm::Ed25519Sha256, 'e')] {
            let secret = Secret::generate(algorithm)?;
            let is_free = |selector: &String| !self.keys.iter().any(|key| key.selector == *selector);
            let mut names = (1..).map(|number: u32| match number {
                1 => format!("{letter}{day}"),
                _ => format!("{letter}{day}-{number}"),
            });
            let selector = names.find(is_free).unwrap_or_default();
            self.keys.push(KeyRecord {
                selector,
                algorithm: algorithm.as_str().to_owned(),
                state: KeyState::New,
                since: now,
                public: secret.public()?,
                private: secret.text()?,
            });
        }
        Ok(())
    }

    fn activate(&mut self, now: UnixMs) {
        if !self.keys.iter().any(|key| key.state == KeyState::New) {
            return;
        }
        for key in &mut self.keys {
            let next = match key.state {
                KeyState::New => KeyState::Active,
                KeyState::Active => KeyState::Old,
                KeyState::Old => continue,
            };
            key.state = next;
            key.since = now;
        }
        self.seen_at.get_or_insert(now);
    }

    fn forget(&mut self, now: UnixMs) {
        self.keys.retain(|key| key.state != KeyState::Old || now.0.saturating_sub(key.since.0) < OVERLAP_MS);
    }

    /// The keys that sign.
    pub(crate) fn signing_keys(&self) -> Result<Vec<SigningKey>, KeyFailure> {
        let active = self.keys.iter().filter(|key| key.state == KeyState::Active);
        active.map(KeyRecord::signing_key).collect()
    }
}

impl KeyRecord {
    fn signing_key(&self) -> Result<SigningKey, KeyFailure> {
        let known = [Algorithm::RsaSha256, Algorithm::Ed25519Sha256];
        let algorithm = known.into_iter().find(|algorithm| algorithm.as_str() == self.algorithm);
        let secret =
            Secret::read(algorithm.ok_or(KeyFailure("read: its kind is not known"))?, &self.private)?;
        Ok(SigningKey { selector: self.selector.clone(), secret })
    }
}

#[cfg(test)]
mod tests;
