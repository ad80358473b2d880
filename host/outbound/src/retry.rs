//! When a failed delivery is tried again: a schedule for all failures, and what is different for those of some classes.

use std::collections::HashMap;
use std::time::Duration;

use baton_mail::{FailureClass, UnixMs};

use crate::settings::RetrySettings;

/// The shortest wait between two attempts, whoever asks for it: no plugin can make the queue spin.
const WAIT_MS_MIN: u64 = 1_000;

/// What an operator says about failures of one class. What is none is as built in, or as for all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassRetry {
    /// The wait after the first failed attempt, in milliseconds.
    pub first_ms: Option<u64>,
    /// Each further wait is this many times longer.
    pub factor: Option<f64>,
    /// The longest wait, in milliseconds.
    pub max_ms: Option<u64>,
    /// A message that still fails so is given up this long after its acceptance, in milliseconds.
    pub lifetime_ms: Option<u64>,
}

/// What goes for failures of some classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetryByClass(pub HashMap<FailureClass, ClassRetry>);

/// A schedule and how long it goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Schedule {
    settings: RetrySettings,
    lifetime_ms: Option<u64>,
}

/// First wait and longest wait as multiples of those for all, and the growth where it is another. With the defaults for
/// all (5 min to 4 h): greylisting ends soon after its five minutes; who is too fast, or not welcome, waits for longer; a
/// full mailbox is emptied in hours, not minutes.
fn built_in(class: FailureClass) -> (f64, f64, Option<f64>) {
    match class {
        FailureClass::Greylist => (1.0, 0.25, Some(1.5)),
        FailureClass::Rate => (3.0, 1.0, None),
        FailureClass::BlockSource | FailureClass::Policy | FailureClass::Content => (6.0, 1.0, None),
        FailureClass::Quota => (12.0, 3.0, None),
        FailureClass::BadMailbox | FailureClass::BadDomain => (3.0, 2.0, None),
        _ => (1.0, 1.0, None),
    }
}

impl RetryByClass {
    /// The schedule for failures of a class.
    pub(crate) fn of(&self, class: FailureClass, all: &RetrySettings) -> Schedule {
        let own = self.0.get(&class).copied().unwrap_or_default();
        let (first, max, factor) = built_in(class);
        let times = |ms: u64, factor: f64| (ms as f64 * factor) as u64;
        let max_ms = own.max_ms.unwrap_or_else(|| times(all.max_ms, max));
        Schedule {
            settings: RetrySettings {
                first_ms: own.first_ms.unwrap_or_else(|| times(all.first_ms, first)).min(max_ms),
                factor: own.factor.or(factor).unwrap_or(all.factor),
                max_ms,
                jitter: all.jitter,
            },
            lifetime_ms: own.lifetime_ms,
        }
    }
}

impl Schedule {
    /// When a message that failed so is given up.
    pub(crate) fn end(&self, received_at: UnixMs, expires_at: UnixMs) -> UnixMs {
        let end = |ms| received_at.plus(Duration::from_millis(ms));
        self.lifetime_ms.map_or(expires_at, |ms| end(ms).min(expires_at))
    }

    /// When the next attempt is due after `attempts` finished ones (at least 1). `chance` is in 0..1.
    ///
    /// Never later than `end`: the moment of expiry is when the message is given up.
    pub(crate) fn next_attempt(&self, now: UnixMs, attempts: u16, end: UnixMs, chance: f64) -> UnixMs {
        let settings = &self.settings;
        let exponent = i32::from(attempts.saturating_sub(1));
        let grown = settings.first_ms as f64 * settings.factor.max(1.0).powi(exponent);
        let wait = grown.min(settings.max_ms as f64);
        let moved = wait * (1.0 + settings.jitter.clamp(0.0, 1.0) * (2.0 * chance - 1.0));
        // The cast saturates, and what is not a number becomes zero.
        after(now, moved as u64, end)
    }
}

/// `wait_ms` from now, but not sooner than the shortest wait and not after the expiry.
pub(crate) fn after(now: UnixMs, wait_ms: u64, expires_at: UnixMs) -> UnixMs {
    let due = now.plus(Duration::from_millis(wait_ms.max(WAIT_MS_MIN)));
    due.min(expires_at).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RetrySettings = RetrySettings { first_ms: 10_000, factor: 2.0, max_ms: 60_000, jitter: 0.1 };
    const NEVER: UnixMs = UnixMs(u64::MAX);

    fn wait(attempts: u16, chance: f64) -> u64 {
        let schedule = RetryByClass::default().of(FailureClass::Network, &ALL);
        schedule.next_attempt(UnixMs(5), attempts, NEVER, chance).0 - 5
    }

    #[test]
    fn waits_grow_up_to_the_bound() {
        assert_eq!(
            (1..=5).map(|attempts| wait(attempts, 0.5)).collect::<Vec<_>>(),
            [10_000, 20_000, 40_000, 60_000, 60_000]
        );
        assert_eq!(wait(u16::MAX, 0.5), 60_000);
    }

    #[test]
    fn chance_moves_a_wait_by_its_share() {
        assert_eq!((wait(1, 0.0), wait(1, 1.0)), (9_000, 11_000));
    }

    #[test]
    fn no_attempt_is_planned_after_the_expiry() {
        let schedule = RetryByClass::default().of(FailureClass::Network, &ALL);
        assert_eq!(schedule.next_attempt(UnixMs(5), 1, UnixMs(7), 0.5), UnixMs(7));
        assert_eq!(after(UnixMs(5), 0, NEVER), UnixMs(1_005));
    }

    #[test]
    fn classes_have_schedules_of_their_own() {
        let all = RetrySettings::default();
        let waits = |by_class: &RetryByClass, class| {
            let schedule = by_class.of(class, &all);
            [1, 2, 9].map(|attempts| schedule.next_attempt(UnixMs(0), attempts, NEVER, 0.5).0 / 60_000)
        };
        let built_in = RetryByClass::default();
        assert_eq!(waits(&built_in, FailureClass::Unknown), [5, 10, 240]);
        assert_eq!(waits(&built_in, FailureClass::Greylist), [5, 7, 60]);
        assert_eq!(waits(&built_in, FailureClass::Rate), [15, 30, 240]);
        assert_eq!(waits(&built_in, FailureClass::Quota), [60, 120, 720]);
        let own = ClassRetry { first_ms: Some(600_000), max_ms: Some(900_000), ..ClassRetry::default() };
        let own = RetryByClass([(FailureClass::Quota, own)].into());
        assert_eq!(waits(&own, FailureClass::Quota), [10, 15, 15]);
        assert_eq!(waits(&own, FailureClass::Rate), [15, 30, 240]);
    }

    #[test]
    fn a_class_may_be_given_up_sooner() {
        let own = ClassRetry { lifetime_ms: Some(1_000), ..ClassRetry::default() };
        let by_class = RetryByClass([(FailureClass::BadMailbox, own)].into());
        let end = |class| by_class.of(class, &ALL).end(UnixMs(5), UnixMs(9_000));
        assert_eq!((end(FailureClass::BadMailbox), end(FailureClass::Quota)), (UnixMs(1_005), UnixMs(9_000)));
    }
}
