//! When a job comes back that found no room in the ready queue of its site.

use std::time::Duration;

use tokio::time::Instant;

/// A burst is soon over, so jobs stay away for this part of the bound at first.
const FIRST_PART: u32 = 8;

/// The jobs of a lane that are away.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    /// When the next one may come back.
    next_slot: Option<Instant>,
    /// Since when jobs find no room, with no moment in which none was waiting.
    full_since: Option<Instant>,
}

impl Overflow {
    /// The longest that a job stays away while nobody knows how fast the site could go: no longer than the queue has been
    /// full for, so that a site that has run out of work is idle for no longer than it was busy.
    pub(crate) fn bound(&mut self, most: Duration, now: Instant) -> Duration {
        let since = *self.full_since.get_or_insert(now);
        now.saturating_duration_since(since).max(most / FIRST_PART).min(most)
    }

    /// Nothing waits any more.
    pub(crate) fn note_empty(&mut self) {
        self.full_since = None;
    }

    /// How long the next job stays away: until there is room, and after those that went before it.
    pub(crate) fn wait(
        &mut self,
        until_room: Duration,
        apart: Duration,
        most: Duration,
        now: Instant,
    ) -> Duration {
        let slot = self.next_slot.unwrap_or(now).max(now + until_room.min(most)).min(now + most);
        self.next_slot = Some(slot + apart.min(most));
        slot - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_comes_back_soon_and_a_backlog_stays_away_longer_and_longer() {
        let (mut overflow, begun) = (Overflow::default(), Instant::now());
        let second = Duration::from_secs;
        let mut bound = |at: u64| overflow.bound(second(16), begun + second(at));
        assert_eq!([0, 1, 5, 9, 100].map(&mut bound), [2, 2, 5, 9, 16].map(second));
        overflow.note_empty();
        assert_eq!(overflow.bound(second(16), begun + second(101)), second(2));
    }
}
