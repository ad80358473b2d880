//! How many connections a site stands: additive increase, multiplicative decrease by what the site says, as TCP does.

use std::time::Duration;

use tokio::time::Instant;

/// After a cut, this long no other: what was under way then says nothing new.
const CUT_PAUSE: Duration = Duration::from_secs(5);
/// What remains after a cut.
const CUT_SHARE: f64 = 0.5;
/// The part of refusals for now, among the latest answers, that is too much.
const REFUSED_SHARE_MAX: f64 = 0.3;
/// How much the latest answer weighs in that part.
const LATEST_WEIGHT: f64 = 1.0 / 16.0;

/// What an answer of a site says of its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It took a message, or refused it for what it is.
    Well,
    /// Not now, without a reason that lies in the message.
    Refused,
    /// Too much: 421, no answer in time, a reply about rates.
    Overloaded,
}

/// The window: how many connections may be open at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    size: f64,
    /// Below it the window grows quickly.
    quick_below: f64,
    cut_at: Option<Instant>,
    refused_share: f64,
}

impl Default for Window {
    /// Open as far as the settings let it.
    fn default() -> Window {
        Window { size: f64::MAX, quick_below: f64::MAX, cut_at: None, refused_share: 0.0 }
    }
}

impl Window {
    /// Connections at once, from 1 to `bound`.
    pub(crate) fn allowed(&self, bound: usize) -> usize {
        // The cast saturates.
        (self.size as usize).clamp(1, bound.max(1))
    }

    /// Takes note of an answer.
    pub(crate) fn note(&mut self, sign: Sign, bound: usize, now: Instant) {
        let bound = bound.max(1) as f64;
        self.size = self.size.min(bound);
        let latest = if sign == Sign::Well { 0.0 } else { 1.0 };
        self.refused_share += (latest - self.refused_share) * LATEST_WEIGHT;
        match sign {
            Sign::Well if self.size < self.quick_below => self.size = (self.size + 1.0).min(bound),
            Sign::Well => self.size = (self.size + 1.0 / self.size).min(bound),
            Sign::Refused if self.refused_share <= REFUSED_SHARE_MAX => {}
            Sign::Refused | Sign::Overloaded => self.cut(now),
        }
    }

    /// Begins anew with one connection: after a rest, one probes before the others come.
    pub(crate) fn restart(&mut self, bound: usize) {
        self.quick_below = (self.size.min(bound as f64) * CUT_SHARE).max(1.0);
        self.size = 1.0;
        self.refused_share = 0.0;
    }

    fn cut(&mut self, now: Instant) {
        if self.cut_at.is_some_and(|at| now.saturating_duration_since(at) < CUT_PAUSE) {
            return;
        }
        self.cut_at = Some(now);
        self.size = (self.size * CUT_SHARE).max(1.0);
        self.quick_below = self.size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: usize = 20;

    #[test]
    fn it_is_open_until_the_site_says_otherwise() {
        let mut window = Window::default();
        let now = Instant::now();
        assert_eq!(window.allowed(BOUND), 20);
        window.note(Sign::Overloaded, BOUND, now);
        assert_eq!(window.allowed(BOUND), 10);
        (0..20).for_each(|_| window.note(Sign::Overloaded, BOUND, now));
        assert_eq!(window.allowed(BOUND), 10, "a burst of refusals is one sign");
        (1..9).for_each(|number| window.note(Sign::Overloaded, BOUND, now + CUT_PAUSE * number));
        assert_eq!(window.allowed(BOUND), 1, "never below one");
    }

    #[test]
    fn it_grows_by_one_a_round() {
        let mut window = Window::default();
        let now = Instant::now();
        window.note(Sign::Overloaded, BOUND, now);
        (0..11).for_each(|_| window.note(Sign::Well, BOUND, now));
        assert_eq!(window.allowed(BOUND), 11);
        (0..1_000).for_each(|_| window.note(Sign::Well, BOUND, now));
        assert_eq!(window.allowed(BOUND), 20, "up to the bound");
    }

    #[test]
    fn a_few_refusals_are_no_sign_and_many_are() {
        let mut window = Window::default();
        let now = Instant::now();
        for _ in 0..100 {
            (0..9).for_each(|_| window.note(Sign::Well, BOUND, now));
            window.note(Sign::Refused, BOUND, now);
        }
        assert_eq!(window.allowed(BOUND), 20);
        (0..10).for_each(|_| window.note(Sign::Refused, BOUND, now));
        assert_eq!(window.allowed(BOUND), 10);
    }

    #[test]
    fn after_a_rest_one_probes_and_then_it_ramps_up() {
        let mut window = Window::default();
        let now = Instant::now();
        window.restart(BOUND);
        assert_eq!(window.allowed(BOUND), 1);
        (0..9).for_each(|_| window.note(Sign::Well, BOUND, now));
        assert_eq!(window.allowed(BOUND), 10, "quickly to the half");
        window.note(Sign::Well, BOUND, now);
        assert_eq!(window.allowed(BOUND), 10, "then slowly");
    }
}
