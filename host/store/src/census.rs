//! The queue in figures, kept as it changes: whoever asks is answered at once, however long the queue is.
//!
//! Invariant: once the entries that were there at start are counted, each figure is what a walk over the due index would
//! find, but that what is due within the running second counts as ready.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use baton_mail::UnixMs;
use parking_lot::Mutex;

use crate::format::is_held;
use crate::look::{QueueCount, Summary};

/// Queues that are told apart, at most; the others are counted together.
const QUEUES_MAX: usize = 100_000;

/// An entry of the due index as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) due: UnixMs,
    pub(crate) queue: String,
    pub(crate) size: u64,
}

/// The figures. Until the count at start is through, they are differences, and may be below zero.
#[derive(Debug, Default)]
pub(crate) struct Census {
    figures: Mutex<Figures>,
    is_complete: AtomicBool,
}

#[derive(Debug, Default)]
struct Figures {
    /// Jobs that are not held by the second in which they are due.
    due: BTreeMap<u64, i64>,
    held: i64,
    octets: i64,
    queues: HashMap<String, (i64, i64)>,
    others: (i64, i64),
}

impl Figures {
    fn change(&mut self, entry: &Counted, sign: i64) {
        let octets = sign.saturating_mul(i64::try_from(entry.size).unwrap_or(i64::MAX));
        self.octets = self.octets.saturating_add(octets);
        if is_held(entry.due) {
            self.held += sign;
        } else {
            let second = entry.due.0 / 1_000;
            let jobs = self.due.entry(second).or_default();
            *jobs += sign;
            if *jobs == 0 {
                self.due.remove(&second);
            }
        }
        let is_told_apart = self.queues.len() < QUEUES_MAX || self.queues.contains_key(&entry.queue);
        if !is_told_apart {
            self.others.0 += sign;
            self.others.1 = self.others.1.saturating_add(octets);
            return;
        }
        let count = match self.queues.get_mut(&entry.queue) {
            Some(count) => count,
            None => self.queues.entry(entry.queue.clone()).or_default(),
        };
        count.0 += sign;
        count.1 = count.1.saturating_add(octets);
        if *count == (0, 0) {
            self.queues.remove(&entry.queue);
        }
    }
}

impl Census {
    /// An entry is new.
    pub(crate) fn add(&self, entry: &Counted) {
        self.figures.lock().change(entry, 1);
    }

    /// An entry is gone; its job may go on at another.
    pub(crate) fn replace(&self, entry: &Counted, next: Option<&Counted>) {
        let mut figures = self.figures.lock();
        figures.change(entry, -1);
        if let Some(next) = next {
            figures.change(next, 1);
        }
    }

    /// All that was there at start is counted.
    pub(crate) fn complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    /// True when all that was there at start is counted.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// The figures; `claimed` jobs are in somebody's hands, and were due.
    pub(crate) fn summary(&self, now: UnixMs, claimed: usize, queues_max: usize) -> Summary {
        let figures = self.figures.lock();
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        let due = count(figures.due.range(..=now.0 / 1_000).map(|(_, jobs)| jobs).sum());
        let all = count(figures.due.values().sum());
        let claimed = (claimed as u64).min(due);
        let named = figures.queues.iter().map(|(queue, sums)| (queue.as_str(), *sums));
        let mut queues: Vec<(&str, (i64, i64))> = named.chain([("", figures.others)]).collect();
        queues.retain(|(_, (jobs, _))| *jobs > 0);
        queues.sort_unstable_by(|one, other| (other.1.0, one.0).cmp(&(one.1.0, other.0)));
        queues.truncate(queues_max);
        let queue = |(queue, (jobs, octets)): (&str, (i64, i64))| QueueCount {
            queue: queue.to_owned(),
            jobs: count(jobs),
            octets: count(octets),
        };
        Summary {
            ready: due - claimed,
            waiting: all.saturating_sub(due),
            held: count(figures.held),
            claimed,
            octets: count(figures.octets),
            queues: queues.into_iter().map(queue).collect(),
            truncated: !self.is_complete(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::held_until;

    fn entry(due: UnixMs, queue: &str) -> Counted {
        Counted { due, queue: queue.to_owned(), size: 10 }
    }

    #[test]
    fn figures_follow_the_queue_whatever_comes_first() {
        let census = Census::default();
        let (now, later) = (UnixMs(5_000), UnixMs(9_000));
        // One that was there at start is gone before it was counted.
        census.replace(&entry(now, "a"), None);
        census.add(&entry(now, "a"));
        census.add(&entry(now, "a"));
        census.add(&entry(now, "b"));
        census.replace(&entry(now, "b"), Some(&entry(later, "b")));
        census.add(&entry(held_until(later), "b"));
        assert!(census.summary(now, 0, 9).truncated);
        census.complete();
        let summary = census.summary(now, 1, 9);
        assert_eq!((summary.ready, summary.claimed, summary.waiting, summary.held), (0, 1, 1, 1));
        assert_eq!((summary.octets, summary.truncated), (30, false));
        let queues: Vec<_> = summary.queues.iter().map(|queue| (queue.queue.as_str(), queue.jobs)).collect();
        assert_eq!(queues, [("b", 2), ("a", 1)]);
        assert_eq!(census.summary(later, 0, 1).ready, 2);
    }

    #[test]
    fn queues_beyond_the_bound_are_counted_together() {
        let census = Census::default();
        for number in 0..QUEUES_MAX + 5 {
            census.add(&entry(UnixMs(0), &format!("d{number}")));
        }
        let summary = census.summary(UnixMs(0), 0, 3);
        assert_eq!((summary.queues[0].queue.as_str(), summary.queues[0].jobs), ("", 5));
        assert_eq!(summary.ready, QUEUES_MAX as u64 + 5);
    }
}
