//! Passwords: prepared as SASL wants it, hashed by argon2id, checked off the threads that serve sessions.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use baton_mail::account::{ScramKeys, Secrets};
use tokio::sync::Semaphore;

use crate::AccountSettings;

/// Octets of a password at most.
pub const PASSWORD_OCTETS_MAX: usize = 1_024;

/// Why a password can not be used or was not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is empty, too long, or has characters that no password may have (RFC 4013).
    #[error("a password has 1 to {PASSWORD_OCTETS_MAX} octets and no control characters")]
    Unfit,
    /// Too many others are checked.
    #[error("too many passwords are checked at the moment")]
    Busy,
    /// The library refused.
    #[error("the password could not be hashed")]
    Failed,
}

/// Hashes and checks.
#[derive(Debug)]
pub(crate) struct Passwords {
    slots: Arc<Semaphore>,
    /// Checked in the place of a hash that is not there, so that this takes as long.
    decoy: String,
}

impl Passwords {
    pub(crate) fn new(settings: &AccountSettings) -> Result<Passwords, PasswordError> {
        let permits = settings.hashes_at_once_max.clamp(1, Semaphore::MAX_PERMITS);
        let decoy = decoy(settings)?;
        Ok(Passwords { slots: Arc::new(Semaphore::new(permits)), decoy })
    }

    /// What is kept of a new password.
    pub(crate) async fn make(
        &self,
        password: &str,
        settings: &AccountSettings,
    ) -> Result<Secrets, PasswordError> {
        let password = prepare(password).ok_or(PasswordError::Unfit)?;
        let settings = settings.clone();
        self.run(settings.hash_wait_ms, move || {
            let scram = settings.scram_iterations;
            let scram = scram.map(|rounds| scram_keys(&password, &random::<16>()?, rounds)).transpose()?;
            Ok(Secrets { password: hash(&password, &settings)?, scram })
        })
        .await?
    }

    /// Whether the password is the one of the hash; without a hash the work is the same, and the answer no.
    pub(crate) async fn check(
        &self,
        hash: Option<String>,
        password: &str,
        wait_ms: u64,
    ) -> Result<bool, PasswordError> {
        let Some(password) = prepare(password) else { return Ok(false) };
        let is_there = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let matches = self.run(wait_ms, move || matches(&hash, &password)).await?;
        Ok(matches && is_there)
    }

    /// Does work on a thread of its own, when it is its turn.
    async fn run<T: Send + 'static>(
        &self,
        wait_ms: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = self.slots.clone().acquire_owned();
        let turn = tokio::time::timeout(Duration::from_millis(wait_ms), turn).await;
        let turn = turn.map_err(|_| PasswordError::Busy)?.map_err(|_| PasswordError::Busy)?;
        // The turn goes with the work: whoever hangs up in between does not make room for one more.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.map_err(|_| PasswordError::Failed)
    }
}

/// The password as SASLprep (RFC 4013) makes it, which both sides do; none when it is none.
pub(crate) fn prepare(password: &str) -> Option<String> {
    let fits = |text: &str| (1..=PASSWORD_OCTETS_MAX).contains(&text.len());
    let prepared = Some(password).filter(|text| fits(text)).map(stringprep::saslprep)?.ok()?;
    fits(&prepared).then(|| prepared.into_owned())
}

/// A hash of no password. To be wrong about it costs what it costs to be wrong about a real one, and to make it costs no
/// memory at the start.
fn decoy(settings: &AccountSettings) -> Result<String, PasswordError> {
    let (memory, passes) = (settings.hash_memory_kib, settings.hash_passes);
    Params::new(memory, passes, 1, None).map_err(|_| PasswordError::Failed)?;
    let encoded = |octets: &[u8]| SaltString::encode_b64(octets).map_err(|_| PasswordError::Failed);
    let (salt, output) = (encoded(&random::<16>()?)?, encoded(&random::<32>()?)?);
    Ok(format!("$argon2id$v=19$m={memory},t={passes},p=1${salt}${output}"))
}

fn hash(password: &str, settings: &AccountSettings) -> Result<String, PasswordError> {
    let params = Params::new(settings.hash_memory_kib, settings.hash_passes, 1, None);
    let params = params.map_err(|_| PasswordError::Failed)?;
    let salt = SaltString::encode_b64(&random::<16>()?).map_err(|_| PasswordError::Failed)?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = hasher.hash_password(password.as_bytes(), &salt).map_err(|_| PasswordError::Failed)?;
    Ok(hash.to_string())
}

/// The cost is the one that the hash itself names.
fn matches(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// RFC 5802 3, with SHA-256.
pub(crate) fn scram_keys(password: &str, salt: &[u8], iterations: u32) -> Result<ScramKeys, PasswordError> {
    let rounds = NonZeroU32::new(iterations).ok_or(PasswordError::Failed)?;
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client_key.as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let octets = |octets: &[u8]| octets.try_into().map_err(|_| PasswordError::Failed);
    Ok(ScramKeys {
        salt: salt.to_vec(),
        iterations,
        stored_key: octets(stored.as_ref())?,
        server_key: octets(server.as_ref())?,
    })
}

/// Octets that nobody can guess.
pub(crate) fn random<const COUNT: usize>() -> Result<[u8; COUNT], PasswordError> {
    let mut octets = [0; COUNT];
    rand::fill(&mut octets).map_err(|_| PasswordError::Failed)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> AccountSettings {
        AccountSettings { hash_memory_kib: 64, hash_passes: 1, ..AccountSettings::default() }
    }

    #[tokio::test]
    async fn a_password_is_checked_against_its_hash_only() {
        let settings = cheap();
        let passwords = Passwords::new(&settings).unwrap();
        let decoy = PasswordHash::new(&passwords.decoy).unwrap();
        assert_eq!(Params::try_from(&decoy).unwrap().m_cost(), settings.hash_memory_kib);
        let secrets = passwords.make("pässword", &settings).await.unwrap();
        assert!(secrets.password.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", secrets.password);
        assert_eq!(secrets.scram.as_ref().unwrap().iterations, 65_536);
        let check = async |hash: Option<&str>, password: &str| {
            passwords.check(hash.map(str::to_owned), password, 1_000).await
        };
        assert_eq!(check(Some(&secrets.password), "pässword").await, Ok(true));
        // The same letter, put together of two (RFC 4013 2.2).
        assert_eq!(check(Some(&secrets.password), "pa\u{308}ssword").await, Ok(true));
        for wrong in ["password", "pässword ", "", "\u{7}", &"x".repeat(2_000)] {
            assert_eq!(check(Some(&secrets.password), wrong).await, Ok(false), "{wrong:?}");
        }
        assert_eq!(check(None, "a password that nobody has").await, Ok(false));
        assert_eq!(check(Some("not a hash"), "x").await, Ok(false));
        for unfit in ["", "a\u{0}b", &"x".repeat(2_000)] {
            assert_eq!(passwords.make(unfit, &settings).await, Err(PasswordError::Unfit), "{unfit:?}");
        }
    }

    #[tokio::test]
    async fn who_does_not_get_a_turn_in_time_is_told_so() {
        let settings = AccountSettings { hashes_at_once_max: 1, ..cheap() };
        let passwords = Passwords::new(&settings).unwrap();
        let _taken = passwords.slots.clone().acquire_owned().await.unwrap();
        assert_eq!(passwords.check(None, "x", 1).await, Err(PasswordError::Busy));
    }
}
