//! Fair turns between those who share a lane: tenants and their streams.
//!
//! Invariant: of those that have work, each gets the same part of what goes out, by size, however much of it waits. So
//! nobody starves behind somebody else's backlog.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Octets that one unit of cost stands for.
const UNIT_OCTETS: u64 = 64 << 10;
/// Units that the largest message costs: bounds how long its flow saves up for it.
const COST_MAX: u64 = 64;

/// Who shares: a tenant and a stream, or nobody. Two whose names have the same digest share one turn, which is rare and
/// harms nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow(u64);

impl Flow {
    /// The flow of a tenant's stream.
    pub fn of(tenant: Option<&str>, stream: Option<&str>) -> Flow {
        if tenant.is_none() && stream.is_none() {
            return Flow::default();
        }
        let mut digest = DefaultHasher::new();
        (tenant, stream).hash(&mut digest);
        Flow(digest.finish())
    }
}

/// What the turn of a message costs: its size, but no message is for nothing.
pub fn cost_of(octets: u64) -> u64 {
    (1 + octets / UNIT_OCTETS).min(COST_MAX)
}

/// A queue that serves its flows by deficit round robin.
#[derive(Clone, Debug)]
pub struct FairQueue<T> {
    shares: HashMap<Flow, Share<T>>,
    /// The flows that have items. The first can pay for its first item.
    turns: VecDeque<Flow>,
    len: usize,
}

/// The items of one flow, first come first served.
#[derive(Clone, Debug)]
struct Share<T> {
    items: VecDeque<(u64, T)>,
    /// What it may still spend in this turn.
    credit: u64,
}

impl<T> Share<T> {
    fn can_pay(&self) -> bool {
        self.items.front().is_none_or(|(cost, _)| *cost <= self.credit)
    }
}

impl<T> Default for FairQueue<T> {
    fn default() -> FairQueue<T> {
        FairQueue { shares: HashMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<T> FairQueue<T> {
    /// Puts an item behind those of its flow. `cost` is at least 1; see [`cost_of`].
    pub fn push(&mut self, flow: Flow, cost: u64, item: T) {
        let cost = cost.clamp(1, COST_MAX);
        let share = self.shares.entry(flow).or_insert_with(|| {
            self.turns.push_back(flow);
            Share { items: VecDeque::new(), credit: 0 }
        });
        share.items.push_back((cost, item));
        self.len += 1;
        self.find_payer();
    }

    /// The item that [`FairQueue::pop`] takes next.
    pub fn front(&self) -> Option<&T> {
        let share = self.shares.get(self.turns.front()?)?;
        share.items.front().map(|(_, item)| item)
    }

    /// Takes the next item.
    pub fn pop(&mut self) -> Option<T> {
        let flow = *self.turns.front()?;
        let share = self.shares.get_mut(&flow)?;
        let (cost, item) = share.items.pop_front()?;
        share.credit = share.credit.saturating_sub(cost);
        self.len -= 1;
        if share.items.is_empty() {
            // Who has nothing to send saves nothing up.
            self.shares.remove(&flow);
            self.turns.pop_front();
        } else if !share.can_pay() {
            self.turns.rotate_left(1);
        }
        self.find_payer();
        Some(item)
    }

    /// Turns on until the first flow can pay for its first item. It ends: each turn adds a unit, and no item costs more
    /// than `COST_MAX`.
    fn find_payer(&mut self) {
        while let Some(share) = self.turns.front().and_then(|flow| self.shares.get_mut(flow)) {
            if share.can_pay() {
                return;
            }
            share.credit += 1;
            if !share.can_pay() {
                self.turns.rotate_left(1);
            }
        }
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many items of one flow wait.
    pub fn len_of(&self, flow: Flow) -> usize {
        self.shares.get(&flow).map_or(0, |share| share.items.len())
    }

    /// All items, flow by flow.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.shares.values().flat_map(|share| share.items.iter().map(|(_, item)| item))
    }

    /// Takes out all items that are `wanted`; the others keep their order and their turns.
    pub fn take_all(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for share in self.shares.values_mut() {
            let items = std::mem::take(&mut share.items).into_iter();
            let (out, kept): (VecDeque<_>, VecDeque<_>) = items.partition(|(_, item)| wanted(item));
            taken.extend(out.into_iter().map(|(_, item)| item));
            share.items = kept;
        }
        self.shares.retain(|_, share| !share.items.is_empty());
        self.turns.retain(|flow| self.shares.contains_key(flow));
        self.len -= taken.len();
        self.find_payer();
        taken
    }

    /// Takes everything in the order of the turns.
    pub fn drain(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.pop()).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn flow(name: &str) -> Flow {
        Flow::of(Some(name), None)
    }

    #[test]
    fn a_newcomer_does_not_wait_for_a_backlog() {
        let mut queue = FairQueue::default();
        (0..1_000).for_each(|number| queue.push(flow("large"), 1, ("large", number)));
        queue.push(flow("small"), 1, ("small", 0));
        let first: Vec<_> = std::iter::from_fn(|| queue.pop()).take(3).collect();
        assert!(first.contains(&("small", 0)), "{first:?}");
        assert_eq!(queue.len(), 998);
    }

    #[test]
    fn the_front_is_what_is_popped_and_a_flow_keeps_its_order() {
        let mut queue = FairQueue::default();
        for number in 0..30_u32 {
            queue.push(flow(["a", "b", "c"][number as usize % 3]), u64::from(number % 5) + 1, number);
        }
        let mut last = HashMap::new();
        while let Some(front) = queue.front().copied() {
            assert_eq!(queue.pop(), Some(front));
            assert!(last.insert(front % 3, front) < Some(front));
        }
        assert!(queue.is_empty() && queue.shares.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn large_messages_cost_their_size() {
        assert_eq!([0, 4_096, 65_536, 1 << 20, u64::MAX].map(cost_of), [1, 1, 2, 17, COST_MAX]);
        let mut queue = FairQueue::default();
        for _ in 0..100 {
            queue.push(flow("large"), 10, 10);
            queue.push(flow("small"), 1, 1);
        }
        let sent: Vec<u64> = std::iter::from_fn(|| queue.pop()).take(55).collect();
        assert_eq!(sent.iter().filter(|cost| **cost == 10).count(), 5, "as many units of each: {sent:?}");
    }

    #[test]
    fn what_is_taken_out_leaves_the_others_their_turns() {
        let mut queue = FairQueue::default();
        for number in 0..30_u32 {
            queue.push(flow(["a", "b", "c"][number as usize % 3]), u64::from(number % 5) + 1, number);
        }
        assert_eq!(queue.take_all(|number| number % 3 == 1 || *number < 10).len(), 17);
        assert_eq!(queue.len(), 13);
        let mut left: Vec<u32> = queue.drain();
        assert!(queue.is_empty() && queue.shares.is_empty() && queue.turns.is_empty());
        left.sort_unstable();
        assert_eq!(left, (10..30).filter(|number| number % 3 != 1).collect::<Vec<_>>());
    }

    /// From seeds: flows come and go with any sizes; while several have work all the time, what they got differs by no more
    /// than one largest message, and everything comes out once.
    #[test]
    fn nobody_gets_more_than_its_share_and_nobody_starves() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut queue = FairQueue::default();
            let names: Vec<String> =
                (0..random.random_range(2..6)).map(|number| format!("t{number}")).collect();
            let mut left: HashMap<usize, usize> = HashMap::new();
            for (index, name) in names.iter().enumerate() {
                let count = random.random_range(50..400);
                left.insert(index, count);
                for number in 0..count {
                    let cost = random.random_range(1..=COST_MAX);
                    queue.push(flow(name), cost, (index, cost, number));
                }
            }
            let mut got = vec![0; names.len()];
            let mut next = vec![0; names.len()];
            let mut all_have_work = true;
            while let Some((index, cost, number)) = queue.pop() {
                assert_eq!(next[index], number, "seed {seed}: in order, each once");
                next[index] += 1;
                got[index] += cost;
                all_have_work &= left.get(&index).is_some_and(|count| next[index] < *count);
                if all_have_work {
                    let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
                    assert!(most - least <= 2 * COST_MAX, "seed {seed}: {got:?}");
                }
            }
            assert!(left.iter().all(|(index, count)| next[*index] == *count), "seed {seed}");
        }
    }
}
