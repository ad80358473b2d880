//! The end of the feed in memory, so that who keeps up never asks the disk, and each record is decoded once for all.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{Pointer, Told};

/// Octets of records that are kept in memory.
const TAIL_OCTETS_MAX: usize = 16 << 20;
/// What a record costs beside its octets, about: it is larger when it is decoded, and has its text beside it.
const RECORD_OCTETS: usize = 1_024;

/// A record that was written a moment ago.
pub(super) struct Fresh {
    pub(super) number: u64,
    pub(super) pointer: Pointer,
    pub(super) value: Bytes,
    /// What it says; none when that can not be read.
    pub(super) told: OnceLock<Option<Arc<Told>>>,
}

/// The newest records, in order and without gaps.
pub(super) struct Tail {
    records: VecDeque<Arc<Fresh>>,
    octets: usize,
    head: u64,
}

impl Tail {
    /// An empty one in front of this number.
    pub(super) fn new(head: u64) -> Tail {
        Tail { records: VecDeque::new(), octets: 0, head }
    }

    /// Adds what was written; the oldest make room. Returns the number that comes next.
    pub(super) fn push(&mut self, told: Vec<(Pointer, Bytes)>) -> u64 {
        for (pointer, value) in told {
            self.octets += value.len() + RECORD_OCTETS;
            let number = self.head;
            self.records.push_back(Arc::new(Fresh { number, pointer, value, told: OnceLock::new() }));
            self.head += 1;
        }
        while self.octets > TAIL_OCTETS_MAX {
            let Some(oldest) = self.records.pop_front() else { break };
            self.octets -= oldest.value.len() + RECORD_OCTETS;
        }
        self.head
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.octets = 0;
    }

    /// Up to `max` from this number on; none when that is not in memory any more.
    pub(super) fn read(&self, from: u64, max: usize) -> Option<Vec<Arc<Fresh>>> {
        let first = self.head - self.records.len() as u64;
        let skipped = usize::try_from(from.checked_sub(first)?).ok()?;
        Some(self.records.iter().skip(skipped).take(max).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_and_without_gaps() {
        let mut tail = Tail::new(100);
        assert!(tail.read(99, 5).is_none(), "before it");
        let record = || (Pointer([0; 28]), Bytes::from(vec![0; 1 << 20]));
        let head = tail.push((0..40).map(|_| record()).collect());
        assert_eq!(head, 140);
        assert!(tail.octets <= TAIL_OCTETS_MAX && tail.read(100, 5).is_none());
        let numbers: Vec<u64> = tail.read(138, 5).unwrap().iter().map(|fresh| fresh.number).collect();
        assert_eq!(numbers, [138, 139]);
        assert!(tail.read(140, 5).unwrap().is_empty());
    }
}
