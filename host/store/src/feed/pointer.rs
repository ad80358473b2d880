//! The feed on disk: under the number of its first event, one record points to what a batch wrote to the history.
//!
//! So a batch of a thousand outcomes costs one more entry, not a thousand.

use baton_mail::{MessageId, UnixMs};

use crate::format::FORMAT;

/// Where an entry of the history is: its key without the format octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pointer(pub(crate) [u8; 28]);

/// Pointers in one record: bounds what has to be read to find one of them.
pub(crate) const POINTERS_MAX: usize = 256;

impl Pointer {
    /// To the record of this key.
    pub(crate) fn to(key: &[u8; 29]) -> Pointer {
        let mut octets = [0; 28];
        octets.copy_from_slice(&key[1..]);
        Pointer(octets)
    }

    /// The key in the history.
    pub(crate) fn key(&self) -> [u8; 29] {
        let mut key = [FORMAT; 29];
        key[1..].copy_from_slice(&self.0);
        key
    }

    /// The message.
    pub(crate) fn message(&self) -> MessageId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        MessageId::from_octets(id)
    }

    /// When the first of its events was.
    pub(crate) fn time(&self) -> UnixMs {
        let mut at = [0; 8];
        at.copy_from_slice(&self.0[16..24]);
        UnixMs(u64::from_be_bytes(at))
    }
}

/// Key of the record whose first pointer has this number.
pub(crate) fn feed_key(number: u64) -> [u8; 9] {
    let mut key = [FORMAT; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The number in a key of the feed.
pub(crate) fn number_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?))
}

/// A record of the feed.
pub(crate) fn encode_pointers(pointers: &[Pointer]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + 28 * pointers.len());
    value.push(FORMAT);
    pointers.iter().for_each(|pointer| value.extend_from_slice(&pointer.0));
    value
}

/// The pointers of a record; none when it makes no sense.
pub(crate) fn decode_pointers(value: &[u8]) -> Option<impl ExactSizeIterator<Item = Pointer>> {
    let (&FORMAT, octets) = value.split_first()? else { return None };
    let (pointers, rest) = octets.as_chunks::<28>();
    rest.is_empty().then(|| pointers.iter().copied().map(Pointer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::history_key;

    #[test]
    fn pointers_lead_to_their_keys() {
        let message = MessageId::new(UnixMs(7));
        let keys = [history_key(message, UnixMs(7), 1), history_key(message, UnixMs(9), 2)];
        let value = encode_pointers(&keys.each_ref().map(Pointer::to));
        let pointers: Vec<Pointer> = decode_pointers(&value).unwrap().collect();
        assert_eq!(pointers.iter().map(Pointer::key).collect::<Vec<_>>(), keys);
        assert!(pointers.iter().all(|pointer| pointer.message() == message));
        assert_eq!(pointers[1].time(), UnixMs(9));
        assert!(decode_pointers(&value[..30]).is_none() && decode_pointers(&[]).is_none());
        assert_eq!(number_of(&feed_key(77)), Some(77));
    }
}
