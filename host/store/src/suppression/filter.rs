//! Tells without looking into the database that nothing is kept of an address: a blocked Bloom filter over the hashes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::record::Hash;

/// Bits for each address. Of those that are not kept, one in a thousand or fewer is taken for kept.
const BITS_PER_KEY: u64 = 16;
/// Words of a block: one line of the processor's cache.
const BLOCK_WORDS: usize = 8;
/// The least number of addresses that there is room for.
const KEYS_MIN: u64 = 1 << 16;
/// Beyond this number it becomes less sure instead of larger: 256 MiB.
const KEYS_MAX: u64 = 1 << 27;

/// The filter. Addresses are only ever added; it is made anew when it became too small.
pub(super) struct Filter {
    blocks: Box<[[AtomicU64; BLOCK_WORDS]]>,
    keys: AtomicU64,
    room: u64,
}

impl Filter {
    /// Room for so many addresses and as many again.
    pub(super) fn for_keys(keys: u64) -> Filter {
        let room = (keys.saturating_mul(2)).clamp(KEYS_MIN, KEYS_MAX);
        let blocks = usize::try_from(room * BITS_PER_KEY / (64 * BLOCK_WORDS as u64)).unwrap_or(1).max(1);
        let block = || std::array::from_fn(|_| AtomicU64::new(0));
        Filter { blocks: (0..blocks).map(|_| block()).collect(), keys: AtomicU64::new(0), room }
    }

    pub(super) fn insert(&self, hash: &Hash) {
        let Some(block) = self.block(hash) else { return };
        for (word, bit) in block.iter().zip(bits(hash)) {
            word.fetch_or(bit, Ordering::Release);
        }
        self.keys.fetch_add(1, Ordering::Relaxed);
    }

    /// False when it was certainly never inserted.
    pub(super) fn may_hold(&self, hash: &Hash) -> bool {
        let Some(block) = self.block(hash) else { return true };
        block.iter().zip(bits(hash)).all(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
    }

    /// True when nothing was inserted.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.load(Ordering::Acquire) == 0
    }

    /// How many keys were inserted, when it is too small for them and a larger one would help.
    pub(super) fn outgrown(&self) -> Option<u64> {
        let keys = self.keys.load(Ordering::Relaxed);
        (keys > self.room && self.room < KEYS_MAX).then_some(keys)
    }

    fn block(&self, hash: &Hash) -> Option<&[AtomicU64; BLOCK_WORDS]> {
        let index = half(hash, 0) % self.blocks.len() as u64;
        self.blocks.get(usize::try_from(index).unwrap_or_default())
    }
}

/// One bit for each word of the block.
fn bits(hash: &Hash) -> impl Iterator<Item = u64> {
    let chosen = half(hash, 8);
    (0..BLOCK_WORDS).map(move |word| 1 << (chosen >> (6 * word) & 63))
}

fn half(hash: &Hash, from: usize) -> u64 {
    let octets = hash.get(from..from + 8).and_then(|octets| octets.try_into().ok()).unwrap_or_default();
    u64::from_be_bytes(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes as good as those of addresses.
    fn hash(number: u64) -> Hash {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &number.to_be_bytes());
        digest.as_ref()[..16].try_into().unwrap()
    }

    #[test]
    fn what_was_inserted_is_found_and_little_else_is() {
        let filter = Filter::for_keys(KEYS_MIN / 2);
        assert!(filter.is_empty() && !filter.may_hold(&hash(1)));
        for number in 0..KEYS_MIN {
            filter.insert(&hash(number));
        }
        assert!((0..KEYS_MIN).all(|number| filter.may_hold(&hash(number))));
        let wrong = (KEYS_MIN..2 * KEYS_MIN).filter(|number| filter.may_hold(&hash(*number))).count();
        assert!(wrong < 300, "{wrong} of 65,536");
        assert_eq!(filter.outgrown(), None);
        filter.insert(&hash(KEYS_MIN));
        assert_eq!(filter.outgrown(), Some(KEYS_MIN + 1));
    }
}
