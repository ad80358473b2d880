//! Identifiers: time-ordered, unique without coordination, short enough for a log line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::UnixMs;

/// Names one message for its whole life, and stays its name in the history after it.
///
/// A ULID: 48 bits of milliseconds, 80 bits of chance, so that ids sort by the time of their making.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u128);

impl MessageId {
    /// A new id for a message that began at `now`.
    pub fn new(now: UnixMs) -> MessageId {
        MessageId((u128::from(now.0) << 80) | (rand::random::<u128>() >> 48))
    }

    /// The smallest id that a message of time `at` can have: a bound for scans by time.
    pub fn first_at(at: UnixMs) -> MessageId {
        MessageId(u128::from(at.0) << 80)
    }

    /// When the id was made.
    pub fn time(self) -> UnixMs {
        UnixMs(u64::try_from(self.0 >> 80).unwrap_or(u64::MAX))
    }

    /// The least id behind this one; the last is its own next.
    pub fn next(self) -> MessageId {
        MessageId(self.0.saturating_add(1))
    }

    /// The key form: 16 octets, big-endian, sorts as the ids do.
    pub fn to_octets(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id behind a key form.
    pub const fn from_octets(octets: [u8; 16]) -> MessageId {
        MessageId(u128::from_be_bytes(octets))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        ulid::Ulid(self.0).fmt(formatter)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<MessageId, InvalidId> {
        ulid::Ulid::from_string(text.trim()).map(|id| MessageId(id.0)).map_err(|_| InvalidId)
    }
}

impl Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<MessageId, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(MessageId)
        }
    }
}

/// The text is not a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message id: expected 26 letters and digits, such as 01KB3Z5Y8M2Q4R6S8T0V2W4X6Y")]
pub struct InvalidId;

/// Names one SMTP session in logs and history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

impl SessionId {
    /// A new id.
    pub fn random() -> SessionId {
        SessionId(rand::random())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_survive_text() {
        let early = MessageId::new(UnixMs(1_000));
        let late = MessageId::new(UnixMs(2_000));
        assert!(early < late);
        assert_eq!(early.time(), UnixMs(1_000));
        assert_eq!(late.to_string().parse(), Ok(late));
        assert_eq!("nonsense".parse::<MessageId>(), Err(InvalidId));
    }
}
