//! How much of each lane somebody who claims has room for.

use baton_mail::Lane;
use baton_mail::lane::PerLane;

/// How many jobs of each lane may be claimed. A job of any lane takes from the room of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneRoom(PerLane<usize>);

impl LaneRoom {
    /// What is left of a bound when `used` of it is taken; the more urgent lanes may fill more of it.
    pub fn left(bound: usize, used: usize) -> LaneRoom {
        LaneRoom(PerLane::from_fn(|lane| lane.share_of(bound).saturating_sub(used)))
    }

    /// No lane may claim more than this.
    #[must_use]
    pub fn at_most(self, limit: usize) -> LaneRoom {
        LaneRoom(PerLane::from_fn(|lane| (*self.0.of(lane)).min(limit)))
    }

    /// True when no lane has room.
    pub fn is_empty(self) -> bool {
        Lane::ALL.into_iter().all(|lane| self.of(lane) == 0)
    }

    /// True when every lane has room.
    pub fn is_open(self) -> bool {
        Lane::ALL.into_iter().all(|lane| self.of(lane) > 0)
    }

    pub(crate) fn of(self, lane: Lane) -> usize {
        *self.0.of(lane)
    }
}

impl From<usize> for LaneRoom {
    /// The same room for every lane.
    fn from(limit: usize) -> LaneRoom {
        LaneRoom(PerLane::from_fn(|_| limit))
    }
}
