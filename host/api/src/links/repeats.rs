//! Which visits are mere repetitions: somebody who asks for one link again and again fills no history.

use std::hash::{BuildHasher, RandomState};

use baton_mail::UnixMs;
use quick_cache::sync::Cache;

/// Links that are remembered at most.
const LINKS_REMEMBERED: usize = 65_536;
/// So long after a visit another one of the same link by the same kind of visitor is the same visit, in milliseconds.
const SAME_VISIT_MS: u64 = 60_000;
/// Visits of one link that are written down while it is remembered.
const VISITS_MAX: u32 = 100;

/// The visits of the last while. Bounded; what it forgets counts as new.
pub(super) struct Repeats {
    hasher: RandomState,
    seen: Cache<u64, Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    last: UnixMs,
    visits: u32,
}

impl Default for Repeats {
    fn default() -> Repeats {
        Repeats { hasher: RandomState::new(), seen: Cache::new(LINKS_REMEMBERED) }
    }
}

impl Repeats {
    /// True when the visit is to be written down.
    pub(super) fn is_new(&self, token: &str, is_automatic: bool, now: UnixMs) -> bool {
        let key = self.hasher.hash_one((token, is_automatic));
        let before = self.seen.get(&key);
        let is_same = before.is_some_and(|seen| now.0 < seen.last.0.saturating_add(SAME_VISIT_MS));
        let visits = before.map_or(0, |seen| seen.visits);
        if is_same || visits >= VISITS_MAX {
            return false;
        }
        self.seen.insert(key, Seen { last: now, visits: visits + 1 });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_counts_once_a_minute_and_not_without_end() {
        let repeats = Repeats::default();
        assert!(repeats.is_new("a", false, UnixMs(0)));
        assert!(!repeats.is_new("a", false, UnixMs(SAME_VISIT_MS - 1)));
        assert!(repeats.is_new("a", true, UnixMs(1)), "a proxy before does not hide the person");
        assert!(repeats.is_new("b", false, UnixMs(1)));
        assert!(repeats.is_new("a", false, UnixMs(SAME_VISIT_MS)));
        let later = (2..1_000).filter(|minute| repeats.is_new("a", false, UnixMs(minute * SAME_VISIT_MS)));
        assert_eq!(later.count(), VISITS_MAX as usize - 2);
    }
}
