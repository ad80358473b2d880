//! What goes first: the lane that a message's priority makes, and fair turns between the lanes.
//!
//! Invariant: no lane starves. Each lane with work gets its weight's share of the turns, whatever waits in the others.

use crate::fair::{FairQueue, Flow, cost_of};

/// Priorities from here on travel in the high lane.
const HIGH_MIN: i8 = 4;
/// Priorities up to here travel in the low lane.
const LOW_MAX: i8 = -4;

/// Messages of like urgency. In a lane, flows take turns, and in a flow first come is first served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Priority 4 and above: somebody waits for it.
    High,
    /// What nobody said anything about.
    #[default]
    Normal,
    /// Priority -4 and below: it may be late.
    Low,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Lane; 3] = [Lane::High, Lane::Normal, Lane::Low];

    /// The lane of a priority, -9 to 9 (the range of MT-PRIORITY, RFC 6710 2).
    pub fn of(priority: i8) -> Lane {
        match priority {
            HIGH_MIN.. => Lane::High,
            ..=LOW_MAX => Lane::Low,
            _ => Lane::Normal,
        }
    }

    /// The part of a bound that this lane may fill, so that there is always room for what is more urgent: all of it,
    /// seven eighths, three quarters.
    pub fn share_of(self, bound: usize) -> usize {
        match self {
            Lane::High => bound,
            Lane::Normal => bound - bound / 8,
            Lane::Low => bound - bound / 4,
        }
    }
}

/// Something for each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerLane<T> {
    /// Of the high lane.
    pub high: T,
    /// Of the normal lane.
    pub normal: T,
    /// Of the low lane.
    pub low: T,
}

impl<T> PerLane<T> {
    /// Made for each lane by `make`.
    pub fn from_fn(mut make: impl FnMut(Lane) -> T) -> PerLane<T> {
        PerLane { high: make(Lane::High), normal: make(Lane::Normal), low: make(Lane::Low) }
    }

    /// That of one lane.
    pub fn of(&self, lane: Lane) -> &T {
        match lane {
            Lane::High => &self.high,
            Lane::Normal => &self.normal,
            Lane::Low => &self.low,
        }
    }

    /// That of one lane, to be changed.
    pub fn of_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::High => &mut self.high,
            Lane::Normal => &mut self.normal,
            Lane::Low => &mut self.low,
        }
    }
}

/// The shares of the lanes when all of them have work. Each is at least 1.
pub type LaneWeights = PerLane<u32>;

/// Of 21 turns, 16 for the high lane, 4 for the normal one, 1 for the low one.
pub const LANE_WEIGHTS: LaneWeights = PerLane { high: 16, normal: 4, low: 1 };

/// Whose turn it is: smooth weighted round robin. A lane without work loses nothing and saves nothing.
#[derive(Clone, Debug)]
pub struct Turns {
    weights: LaneWeights,
    credit: PerLane<i64>,
}

impl Turns {
    /// Turns by these weights.
    pub fn new(weights: LaneWeights) -> Turns {
        Turns { weights, credit: PerLane::default() }
    }

    /// Whose turn it is among the lanes that have work. Asked again, it is the same.
    pub fn next(&self, has_work: impl Fn(Lane) -> bool) -> Option<Lane> {
        let credit = |lane: &Lane| self.credit.of(*lane) + self.weight(*lane);
        // Of equals the most urgent: `max_by_key` returns the last.
        Lane::ALL.into_iter().rev().filter(|lane| has_work(*lane)).max_by_key(credit)
    }

    /// The lane takes its turn.
    pub fn take(&mut self, lane: Lane, has_work: impl Fn(Lane) -> bool) {
        let mut sum = 0;
        for other in Lane::ALL {
            let weight = self.weight(other);
            let credit = self.credit.of_mut(other);
            if other == lane || has_work(other) {
                *credit += weight;
                sum += weight;
            } else {
                *credit = 0;
            }
        }
        *self.credit.of_mut(lane) -= sum;
    }

    fn weight(&self, lane: Lane) -> i64 {
        i64::from((*self.weights.of(lane)).max(1))
    }
}

/// Where an item waits: in which lane, with whose mail, and what its turn costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The lane.
    pub lane: Lane,
    /// Whose it is.
    pub flow: Flow,
    /// What its turn costs, at least 1.
    pub cost: u64,
}

impl Place {
    /// The place of a message of so many octets.
    pub fn new(lane: Lane, flow: Flow, octets: u64) -> Place {
        Place { lane, flow, cost: cost_of(octets) }
    }
}

impl From<Lane> for Place {
    /// Nobody's, at the least cost.
    fn from(lane: Lane) -> Place {
        Place { lane, flow: Flow::default(), cost: 1 }
    }
}

/// A queue with lanes, and fair turns in each lane.
#[derive(Clone, Debug)]
pub struct LaneQueue<T> {
    lanes: PerLane<FairQueue<T>>,
    turns: Turns,
}

impl<T> LaneQueue<T> {
    /// An empty queue with these weights.
    pub fn new(weights: LaneWeights) -> LaneQueue<T> {
        LaneQueue { lanes: PerLane::default(), turns: Turns::new(weights) }
    }

    /// Puts an item behind those of its flow, in its lane.
    pub fn push(&mut self, place: impl Into<Place>, item: T) {
        let Place { lane, flow, cost } = place.into();
        self.lanes.of_mut(lane).push(flow, cost, item);
    }

    /// The item that [`LaneQueue::pop`] takes next.
    pub fn front(&self) -> Option<&T> {
        let lane = self.turns.next(|lane| !self.lanes.of(lane).is_empty())?;
        self.lanes.of(lane).front()
    }

    /// Takes the next item.
    pub fn pop(&mut self) -> Option<T> {
        let has_work = |lane: Lane| !self.lanes.of(lane).is_empty();
        let lane = self.turns.next(has_work)?;
        self.turns.take(lane, has_work);
        self.lanes.of_mut(lane).pop()
    }

    /// Takes the item of one lane whose turn it is there, out of turn of the lane.
    pub fn pop_of(&mut self, lane: Lane) -> Option<T> {
        self.lanes.of_mut(lane).pop()
    }

    /// The item of one lane whose turn it is there.
    pub fn front_of(&self, lane: Lane) -> Option<&T> {
        self.lanes.of(lane).front()
    }

    /// How many items wait in one lane.
    pub fn len_of(&self, lane: Lane) -> usize {
        self.lanes.of(lane).len()
    }

    /// True when one more item of this place finds room among `max` in its lane: one flow's backlog leaves a quarter of the
    /// room to the others, and of what they take again a quarter to more.
    pub fn has_room(&self, place: Place, max: usize) -> bool {
        let lane = self.lanes.of(place.lane);
        let room = max.saturating_sub(lane.len());
        room > 0 && lane.len_of(place.flow) <= 3 * room
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        Lane::ALL.into_iter().map(|lane| self.len_of(lane)).sum()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All items, the most urgent lane first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        Lane::ALL.into_iter().flat_map(|lane| self.lanes.of(lane).iter())
    }

    /// Takes out all items that are `wanted`.
    pub fn take_all(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        Lane::ALL.into_iter().flat_map(|lane| self.lanes.of_mut(lane).take_all(&wanted)).collect()
    }

    /// Takes everything, the most urgent lane first.
    pub fn drain(&mut self) -> Vec<T> {
        Lane::ALL.into_iter().flat_map(|lane| self.lanes.of_mut(lane).drain()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_make_lanes() {
        use Lane::{High, Low, Normal};
        let lanes = [9, 4, 3, 0, -3, -4, -9].map(Lane::of);
        assert_eq!(lanes, [High, High, Normal, Normal, Normal, Low, Low]);
    }

    fn filled(counts: [usize; 3]) -> LaneQueue<Lane> {
        let mut queue = LaneQueue::new(LANE_WEIGHTS);
        for (lane, count) in Lane::ALL.into_iter().zip(counts) {
            (0..count).for_each(|_| queue.push(lane, lane));
        }
        queue
    }

    #[test]
    fn lanes_take_turns_by_their_weights() {
        let mut queue = filled([1_000, 1_000, 1_000]);
        let taken: Vec<Lane> = std::iter::from_fn(|| queue.pop()).take(210).collect();
        let count = |lane| taken.iter().filter(|taken| **taken == lane).count();
        assert_eq!((count(Lane::High), count(Lane::Normal), count(Lane::Low)), (160, 40, 10));
        assert_eq!(taken.first(), Some(&Lane::High));
        let longest = taken.split(|lane| *lane != Lane::High).map(<[Lane]>::len).max();
        assert!(longest <= Some(5), "turns are spread out: {longest:?}");
    }

    #[test]
    fn what_is_urgent_goes_first_although_it_came_last() {
        let mut queue = filled([0, 500, 500]);
        for _ in 0..100 {
            queue.pop();
        }
        queue.push(Lane::High, Lane::High);
        assert_eq!(queue.front(), Some(&Lane::High));
        assert_eq!(queue.pop(), Some(Lane::High));
    }

    #[test]
    fn a_lane_alone_has_every_turn_and_owes_nothing_later() {
        let mut queue = filled([0, 0, 50]);
        assert!((0..50).all(|_| queue.pop() == Some(Lane::Low)));
        assert!(queue.pop().is_none() && queue.is_empty());
        let mut queue = filled([50, 0, 0]);
        assert!((0..50).all(|_| queue.pop() == Some(Lane::High)));
        queue.push(Lane::Low, Lane::Low);
        queue.push(Lane::High, Lane::High);
        assert_eq!((queue.pop(), queue.pop()), (Some(Lane::High), Some(Lane::Low)));
    }

    #[test]
    fn the_front_is_what_is_popped() {
        let mut queue = filled([7, 9, 11]);
        while let Some(front) = queue.front().copied() {
            assert_eq!(queue.pop(), Some(front));
        }
    }

    #[test]
    fn one_flow_leaves_room_to_others() {
        let of = |tenant| Place::new(Lane::Normal, Flow::of(Some(tenant), None), 1_000);
        let mut queue = LaneQueue::new(LANE_WEIGHTS);
        let mut fill = |tenant| {
            let before = queue.len();
            while queue.has_room(of(tenant), 100) {
                queue.push(of(tenant), tenant);
            }
            queue.len() - before
        };
        assert_eq!([fill("flood"), fill("small"), fill("smaller"), fill("flood")], [76, 19, 4, 0]);
    }

    #[test]
    fn there_is_always_room_for_what_is_more_urgent() {
        assert_eq!(Lane::ALL.map(|lane| lane.share_of(8_000)), [8_000, 7_000, 6_000]);
        assert_eq!(Lane::ALL.map(|lane| lane.share_of(1)), [1, 1, 1]);
    }
}
