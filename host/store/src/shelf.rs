//! The shelves of the due index: each lane has one for mail of nobody, and 255 for tenants and their streams, who are told
//! apart by a digest. Each is in the order of time, so the mail of one tenant does not wait behind the backlog of another,
//! unless both have the same shelf.

use baton_mail::{Envelope, Lane};
use smallvec::SmallVec;

use crate::crc32c::crc32c;

/// How many shelves a lane has.
pub(crate) const SHELVES: usize = 1 << u8::BITS;

/// A shelf of the due index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shelf {
    pub(crate) lane: Lane,
    pub(crate) number: u8,
}

impl Shelf {
    /// Where held jobs wait, whatever their priority and whoever's they are.
    pub(crate) const HELD: Shelf = Shelf { lane: Lane::Normal, number: 0 };

    /// Where mail of a tenant's stream waits. What is on the disk was put there by this, so the digest never changes.
    pub(crate) fn new(lane: Lane, tenant: Option<&str>, stream: Option<&str>) -> Shelf {
        if tenant.is_none() && stream.is_none() {
            return Shelf { lane, number: 0 };
        }
        let names = [tenant.unwrap_or_default(), "/", stream.unwrap_or_default()];
        let name: SmallVec<[u8; 64]> = names.into_iter().flat_map(str::bytes).collect();
        let number = 1 + crc32c(&name) % u32::from(u8::MAX);
        Shelf { lane, number: u8::try_from(number).unwrap_or(u8::MAX) }
    }

    /// Where a message waits.
    pub(crate) fn of(envelope: &Envelope) -> Shelf {
        Shelf::new(envelope.lane(), envelope.tenant.as_deref(), envelope.stream.as_deref())
    }

    /// Every shelf of a lane, in the order of their numbers.
    pub(crate) fn all_of(lane: Lane) -> impl Iterator<Item = Shelf> {
        (0..=u8::MAX).map(move |number| Shelf { lane, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_is_for_good() {
        let number = |tenant, stream| Shelf::new(Lane::Low, tenant, stream).number;
        assert_eq!(number(None, None), 0);
        assert_ne!(number(Some("acme"), Some("orders")), number(Some("acme"), Some("news")));
        assert_eq!((number(Some("acme"), Some("orders")), number(None, Some("orders"))), (220, 206));
        let names = (0..1_000).map(|n| format!("t{n}"));
        assert!(names.map(|name| Shelf::new(Lane::Low, Some(&name), None).number).all(|number| number > 0));
    }
}
