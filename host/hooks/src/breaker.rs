//! The circuit breaker of a plugin: one that keeps failing is left alone for a while, then tried with one call.
//!
//! It opens when failures are many *and* at least half of the calls: one sender whose messages make a plugin fail can
//! not switch it off for everybody else.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::BreakerSettings;
use crate::metrics::BreakerMeters;

/// The breaker of one plugin.
pub(crate) struct Breaker {
    settings: BreakerSettings,
    meters: BreakerMeters,
    /// A copy of the state for the fast path: closed or not.
    is_closed: AtomicBool,
    /// Calls of the window that runs.
    calls: AtomicU32,
    state: Mutex<State>,
    /// Openings since the load.
    openings: AtomicU64,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
        since: Option<Instant>,
    },
    Open {
        until: Instant,
        lasted: Duration,
    },
    /// One call is on its way to find out.
    Probing {
        lasted: Duration,
    },
}

/// What the breaker says of a call.
pub(crate) enum Admission<'a> {
    /// Go on; tell the outcome.
    Call(Pass<'a>),
    /// The plugin is left alone.
    Refused,
}

/// A call that was let through. One that is dropped without an outcome (the client left) proves nothing.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

/// How the breaker of a plugin stands, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// The plugin is asked.
    Closed,
    /// It is not, and its failure policy answers.
    Open,
    /// One call finds out whether it works again.
    HalfOpen,
}

impl BreakerState {
    /// The name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings, meters: BreakerMeters) -> Breaker {
        meters.open.set(0);
        Breaker {
            settings,
            meters,
            is_closed: AtomicBool::new(true),
            calls: AtomicU32::new(0),
            state: Mutex::new(State::Closed { failures: 0, since: None }),
            openings: AtomicU64::new(0),
        }
    }

    /// May the plugin be asked? Two atomic operations while it works.
    pub(crate) fn admit(&self, now: Instant) -> Admission<'_> {
        if self.is_closed.load(Ordering::Acquire) {
            self.calls.fetch_add(1, Ordering::Relaxed);
            return Admission::Call(Pass { breaker: self, is_probe: false });
        }
        let mut state = self.state.lock();
        match *state {
            State::Closed { .. } => Admission::Call(Pass { breaker: self, is_probe: false }),
            State::Open { until, lasted } if until <= now => {
                *state = State::Probing { lasted };
                Admission::Call(Pass { breaker: self, is_probe: true })
            }
            State::Open { .. } | State::Probing { .. } => Admission::Refused,
        }
    }

    /// How it stands, and how often it opened.
    pub(crate) fn state(&self) -> (BreakerState, u64) {
        let state = match *self.state.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::HalfOpen,
        };
        (state, self.openings.load(Ordering::Relaxed))
    }

    /// A failure while closed.
    fn count_failure(&self, now: Instant) {
        let mut state = self.state.lock();
        let State::Closed { failures, since } = &mut *state else { return };
        let window = Duration::from_secs(self.settings.window_s);
        if since.is_none_or(|since| now.saturating_duration_since(since) > window) {
            *since = Some(now);
            *failures = 0;
            self.calls.store(1, Ordering::Relaxed);
        }
        *failures += 1;
        let (failures, calls) = (*failures, self.calls.load(Ordering::Relaxed));
        if self.settings.failures > 0 && failures >= self.settings.failures && failures >= calls / 2 {
            self.open(&mut state, now, Duration::from_secs(self.settings.open_s));
        }
    }

    fn open(&self, state: &mut State, now: Instant, lasts: Duration) {
        *state = State::Open { until: now + lasts, lasted: lasts };
        self.is_closed.store(false, Ordering::Release);
        self.openings.fetch_add(1, Ordering::Relaxed);
        self.meters.open.set(1);
        self.meters.openings.inc();
    }

    fn close(&self, state: &mut State) {
        *state = State::Closed { failures: 0, since: None };
        self.calls.store(0, Ordering::Relaxed);
        self.meters.open.set(0);
        self.is_closed.store(true, Ordering::Release);
    }
}

impl Pass<'_> {
    /// The plugin answered.
    pub(crate) fn succeed(mut self) {
        if std::mem::take(&mut self.is_probe) {
            self.breaker.close(&mut self.breaker.state.lock());
        }
    }

    /// The plugin failed; true when the breaker opened by it.
    pub(crate) fn fail(mut self, now: Instant) -> bool {
        if !std::mem::take(&mut self.is_probe) {
            self.breaker.count_failure(now);
            return !self.breaker.is_closed.load(Ordering::Acquire);
        }
        let mut state = self.breaker.state.lock();
        let State::Probing { lasted } = *state else { return false };
        let longest = Duration::from_secs(self.breaker.settings.open_max_s);
        self.breaker.open(&mut state, now, (lasted * 2).min(longest));
        true
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_probe {
            return;
        }
        let mut state = self.breaker.state.lock();
        if let State::Probing { lasted } = *state {
            // The next call is the probe.
            *state = State::Open { until: Instant::now(), lasted };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn breaker() -> Breaker {
        let settings = BreakerSettings { failures: 3, window_s: 60, open_s: 5, open_max_s: 12 };
        Breaker::new(settings, Metrics::default().breaker_meters("p"))
    }

    fn fail(breaker: &Breaker, now: Instant) -> bool {
        match breaker.admit(now) {
            Admission::Call(pass) => pass.fail(now),
            Admission::Refused => panic!("it is open"),
        }
    }

    fn is_open(breaker: &Breaker, now: Instant) -> bool {
        matches!(breaker.admit(now), Admission::Refused)
    }

    #[test]
    fn many_failures_open_it_and_each_failed_probe_doubles_the_wait() {
        let (breaker, start) = (breaker(), Instant::now());
        assert!(!fail(&breaker, start) && !fail(&breaker, start));
        assert!(fail(&breaker, start), "the third opens it");
        let at = |s| start + Duration::from_secs(s);
        assert!(is_open(&breaker, at(4)));
        assert!(fail(&breaker, at(5)), "the probe fails: 10 s more");
        assert!(is_open(&breaker, at(14)));
        assert!(fail(&breaker, at(15)), "capped: 12 s more");
        assert!(is_open(&breaker, at(26)));
        assert_eq!(breaker.state(), (BreakerState::Open, 3));
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let (breaker, start) = (breaker(), Instant::now());
        for _ in 0..3 {
            fail(&breaker, start);
        }
        let later = start + Duration::from_secs(6);
        let Admission::Call(probe) = breaker.admit(later) else { panic!("the wait is over") };
        assert!(is_open(&breaker, later), "others wait for the probe");
        assert_eq!(breaker.state().0, BreakerState::HalfOpen);
        drop(probe);
        let Admission::Call(probe) = breaker.admit(later + Duration::from_secs(60)) else {
            panic!("a dropped probe decides nothing")
        };
        probe.succeed();
        assert_eq!(breaker.state().0, BreakerState::Closed);
    }

    #[test]
    fn a_minority_of_failing_calls_does_not_open_it() {
        let (breaker, now) = (breaker(), Instant::now());
        assert!(!fail(&breaker, now));
        for _ in 0..200 {
            for _ in 0..3 {
                let Admission::Call(pass) = breaker.admit(now) else { panic!("three of four calls succeed") };
                pass.succeed();
            }
            assert!(!fail(&breaker, now));
        }
    }

    #[test]
    fn old_failures_are_forgotten() {
        let (breaker, start) = (breaker(), Instant::now());
        for round in 0..20 {
            assert!(!fail(&breaker, start + Duration::from_secs(40 * round)));
        }
    }
}
