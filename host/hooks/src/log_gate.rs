//! The bound on what a plugin writes to the log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use baton_mail::UnixMs;

/// Lets so many lines a second pass, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct LogGate {
    second: AtomicU64,
    used: AtomicU32,
    dropped: AtomicU64,
}

impl LogGate {
    /// Whether a line may pass now; if so, how many were dropped since the last one that did.
    ///
    /// Two threads at the turn of a second may let one line too many pass; nothing depends on it.
    pub(crate) fn admit(&self, now: UnixMs, lines_per_s: u32) -> Option<u64> {
        let second = now.0 / 1_000;
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.used.store(0, Ordering::Relaxed);
        }
        if self.used.fetch_add(1, Ordering::Relaxed) >= lines_per_s {
            self.used.fetch_sub(1, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.dropped.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_dropped_and_counted() {
        let gate = LogGate::default();
        let passed = (0..10).filter(|_| gate.admit(UnixMs(5_000), 3).is_some()).count();
        assert_eq!(passed, 3);
        assert_eq!(gate.admit(UnixMs(6_000), 3), Some(7));
        assert_eq!(gate.admit(UnixMs(6_001), 3), Some(0));
    }
}
