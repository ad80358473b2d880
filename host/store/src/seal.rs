//! Bodies encrypted at rest, where keys are set: AES-256-GCM, each piece bound to its place.
//!
//! A piece begins with a format octet of its own, the number of the key, and the nonce. So keys can be changed while mail
//! waits: the first of the file seals, all of them open.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};

use crate::format::{FORMAT, FORMAT_SEALED};

/// Octets of a key.
const KEY_OCTETS: usize = 32;
/// Keys in a file at most.
const KEYS_MAX: usize = 100;
/// Format octet, number of the key.
const HEADER_OCTETS: usize = 1 + 4;

/// The keys of a file, the first of which seals. Without any, bodies lie as they are.
#[derive(Clone, Default)]
pub struct BodyKeys(Arc<[BodyKey]>);

struct BodyKey {
    number: u32,
    octets: [u8; KEY_OCTETS],
    key: RandomizedNonceKey,
}

/// Why a file of keys can not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyKeysError {
    /// A line is none of `NUMBER BASE64`.
    #[error(
        "line {0} is not a number and a key of 32 octets in base64, such as `openssl rand -base64 32` makes"
    )]
    Line(usize),
    /// Two keys have the same number.
    #[error("line {0} has the number of an earlier key; what it sealed could not be opened")]
    Repeated(usize),
    /// There is no key, or there are too many.
    #[error("1 to {KEYS_MAX} keys are expected, {0} are there")]
    Count(usize),
}

impl BodyKeys {
    /// Reads a file of keys: a line each, the one that seals first; lines that begin with `#` are remarks.
    ///
    /// # Errors
    /// The first thing that is wrong with it. No key is told.
    pub fn parse(text: &str) -> Result<BodyKeys, BodyKeysError> {
        let mut keys: Vec<BodyKey> = Vec::new();
        for (line, at) in text.lines().map(str::trim).zip(1..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = read_line(line).ok_or(BodyKeysError::Line(at))?;
            if keys.iter().any(|other| other.number == key.number) {
                return Err(BodyKeysError::Repeated(at));
            }
            keys.push(key);
        }
        match keys.len() {
            1..=KEYS_MAX => Ok(BodyKeys(keys.into())),
            count => Err(BodyKeysError::Count(count)),
        }
    }

    /// A number that other keys give to another key.
    pub fn conflict(&self, others: &BodyKeys) -> Option<u32> {
        let is_other = |key: &&BodyKey| {
            others.0.iter().any(|other| other.number == key.number && other.octets != key.octets)
        };
        self.0.iter().find(is_other).map(|key| key.number)
    }

    /// A value of the `body` family, sealed for its place when there are keys.
    ///
    /// # Panics
    /// Never: AES-GCM seals whatever has less than 64 GiB.
    pub(crate) fn seal(&self, place: &[u8], value: Bytes) -> Bytes {
        let Some(first) = self.0.first() else { return value };
        let content = value.get(1..).unwrap_or_default();
        let mut sealed =
            BytesMut::with_capacity(HEADER_OCTETS + NONCE_LEN + content.len() + AES_256_GCM.tag_len());
        sealed.put_u8(FORMAT_SEALED);
        sealed.put_u32(first.number);
        let mut content = content.to_vec();
        let nonce = first.key.seal_in_place_append_tag(Aad::from(place), &mut content);
        let nonce = nonce.expect("a piece is far below the 64 GiB that AES-GCM seals");
        sealed.put_slice(nonce.as_ref());
        sealed.put_slice(&content);
        sealed.freeze()
    }

    /// The content of a value of the `body` family.
    pub(crate) fn open(&self, place: &[u8], value: Bytes) -> Result<Bytes, OpenFailure> {
        match value.first() {
            Some(&FORMAT) => return Ok(value.slice(1..)),
            Some(&FORMAT_SEALED) => {}
            other => return Err(OpenFailure::Damaged(format!("format octet {other:?}"))),
        }
        let short = || OpenFailure::Damaged("a sealed piece is too short".to_owned());
        let (number, rest) =
            value.get(1..).and_then(|rest| rest.split_first_chunk::<4>()).ok_or_else(short)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(short)?;
        let number = u32::from_be_bytes(*number);
        let Some(key) = self.0.iter().find(|key| key.number == number) else {
            return Err(OpenFailure::NoKey(number));
        };
        let mut content = sealed.to_vec();
        let opened = key.key.open_in_place(Nonce::from(nonce), Aad::from(place), &mut content);
        let len = opened.map_err(|_| OpenFailure::WrongKey(number))?.len();
        content.truncate(len);
        Ok(content.into())
    }
}

/// Why a piece was not opened.
pub(crate) enum OpenFailure {
    /// It will not get better.
    Damaged(String),
    /// The key of that number is not in the file.
    NoKey(u32),
    /// It does not open the piece: another key had that number, or the piece was changed. What is damaged by accident
    /// RocksDB tells by its sums.
    WrongKey(u32),
}

fn read_line(line: &str) -> Option<BodyKey> {
    let (number, text) = line.split_once(char::is_whitespace)?;
    let octets: [u8; KEY_OCTETS] = STANDARD.decode(text.trim()).ok()?.try_into().ok()?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, &octets).ok()?;
    Some(BodyKey { number: number.parse().ok()?, octets, key })
}

impl PartialEq for BodyKeys {
    fn eq(&self, other: &BodyKeys) -> bool {
        let same =
            |(one, other): (&BodyKey, &BodyKey)| (one.number, one.octets) == (other.number, other.octets);
        self.0.len() == other.0.len() && self.0.iter().zip(other.0.iter()).all(same)
    }
}

impl Eq for BodyKeys {}

impl fmt::Debug for BodyKeys {
    /// Their numbers only.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|key| key.number)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: &[u32]) -> BodyKeys {
        let line = |number: &u32| {
            let octets = [u8::try_from(*number).unwrap(); KEY_OCTETS];
            format!("{number} {}\n", STANDARD.encode(octets))
        };
        BodyKeys::parse(&numbers.iter().map(line).collect::<String>()).unwrap()
    }

    fn opened(keys: &BodyKeys, place: &[u8], value: &Bytes) -> Option<Bytes> {
        keys.open(place, value.clone()).ok()
    }

    #[test]
    fn a_piece_opens_at_its_place_by_its_key_only() {
        let value = Bytes::from_static(b"\x01Subject: secret\r\n");
        let sealed = keys(&[1]).seal(b"place", value.clone());
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(
            opened(&keys(&[2, 1]), b"place", &sealed).as_deref(),
            value.get(1..),
            "after a change of keys"
        );
        assert_eq!(opened(&keys(&[1]), b"other", &sealed), None, "pieces can not be swapped");
        assert!(matches!(keys(&[2]).open(b"place", sealed.clone()), Err(OpenFailure::NoKey(1))));
        let mut changed = sealed.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let changed = keys(&[1]).open(b"place", changed.into());
        assert!(matches!(changed, Err(OpenFailure::WrongKey(1))), "it may be the key that was changed");
        let other = BodyKeys::parse(&format!("1 {}\n", STANDARD.encode([9; KEY_OCTETS]))).unwrap();
        assert_eq!((other.conflict(&keys(&[2, 1])), keys(&[1]).conflict(&keys(&[2, 1]))), (Some(1), None));
        assert_eq!(opened(&keys(&[1]), b"place", &value).as_deref(), value.get(1..), "what lay here before");
        assert_eq!(opened(&BodyKeys::default(), b"place", &sealed), None);
        assert_ne!(sealed, keys(&[1]).seal(b"place", value), "no nonce is used twice");
    }

    #[test]
    fn files_are_read_strictly_and_keys_are_not_shown() {
        let good = STANDARD.encode([7; KEY_OCTETS]);
        let shown = format!("{:?}", BodyKeys::parse(&format!("# remark\n\n7 {good}\n")));
        assert!(shown.contains('7') && !shown.contains(&good), "{shown}");
        for (text, error) in [
            (String::new(), BodyKeysError::Count(0)),
            (format!("x {good}"), BodyKeysError::Line(1)),
            ("1 abc".to_owned(), BodyKeysError::Line(1)),
            (format!("1 {good}\n1 {good}"), BodyKeysError::Repeated(2)),
        ] {
            assert_eq!(BodyKeys::parse(&text), Err(error));
        }
    }
}
