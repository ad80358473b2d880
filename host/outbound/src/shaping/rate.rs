//! Rates, and the limiters that keep them: token buckets (GCRA, `baton_mail::bucket`) on a clock that is an argument.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use baton_mail::bucket::{Bucket, Draw};
use parking_lot::Mutex;
use tokio::time::Instant;

/// So many in so long. They are spread evenly: only `burst` of them may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many, at least 1.
    pub count: u32,
    /// In how long, in seconds, at least 1.
    pub period_s: u32,
    /// How many at once, at least 1. By default what comes in one second.
    pub burst: u32,
}

/// The text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a rate: expected such as 100/m, 10/s, 3/10m or 500/h,burst=20")]
pub struct InvalidRate;

impl Rate {
    /// So many in so long, with the usual burst.
    pub fn new(count: u32, period_s: u32) -> Rate {
        let (count, period_s) = (count.max(1), period_s.max(1));
        Rate { count, period_s, burst: (count / period_s).max(1) }
    }

    /// From one to the next, on average.
    pub fn interval(self) -> Duration {
        Duration::from_secs(u64::from(self.period_s)) / self.count.max(1)
    }

    /// As a bucket that fills `factor` times slower.
    fn bucket(self, factor: f64) -> Bucket {
        let token = Duration::from_secs(u64::from(self.period_s)).as_nanos() / u128::from(self.count.max(1));
        // A factor is a small number, and what is lost in its product is less than a microsecond.
        let token = (token as f64 * factor.max(1.0)) as u128;
        Bucket { burst: self.burst, period_ns: token * u128::from(self.burst.max(1)) }
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Rate, InvalidRate> {
        let (rate, burst) = match text.split_once(",burst=") {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text, None),
        };
        let (count, period) = rate.split_once('/').ok_or(InvalidRate)?;
        let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or(InvalidRate)?;
        let mut rate = Rate::new(count, read_span(period.trim()).ok_or(InvalidRate)?);
        if let Some(burst) = burst {
            rate.burst = burst.trim().parse().ok().filter(|burst| *burst > 0).ok_or(InvalidRate)?;
        }
        Ok(rate)
    }
}

/// A span such as `m`, `10s`, `2h`, `1d`, in seconds.
pub(super) fn read_span(text: &str) -> Option<u32> {
    let unit = text.chars().last()?;
    let seconds: u32 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let count = text.strip_suffix(unit)?;
    let count: u32 = if count.is_empty() { 1 } else { count.parse().ok()? };
    count.checked_mul(seconds).filter(|seconds| *seconds > 0)
}

/// A span in its largest whole unit: `10m`.
pub(super) fn show_span(seconds: u32) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let fits = units.into_iter().find(|(size, _)| seconds.is_multiple_of(*size));
    let (size, unit) = fits.unwrap_or((1, "s"));
    match seconds / size {
        1 => unit.to_owned(),
        count => format!("{count}{unit}"),
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.count, show_span(self.period_s))?;
        if *self == Rate::new(self.count, self.period_s) {
            Ok(())
        } else {
            write!(formatter, ",burst={}", self.burst)
        }
    }
}

/// Keeps one rate.
#[derive(Debug)]
pub(crate) struct Limiter {
    pub(crate) rate: Rate,
    /// Of what it is, in words: `message rate of provider google`.
    pub(crate) about: String,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the bucket is full, in nanoseconds since the beginning.
    full_at: u128,
    /// When the next of those may come back that found no token.
    next_slot: Option<Instant>,
}

impl Limiter {
    /// A full bucket.
    pub(crate) fn new(rate: Rate, about: String, now: Instant) -> Limiter {
        Limiter { rate, about, began: now, state: Mutex::default() }
    }

    /// Takes a token, or says when there will be one. `factor` is how many times slower than its rate it is for now.
    pub(crate) fn draw(&self, now: Instant, factor: f64) -> Result<(), Instant> {
        let mut state = self.state.lock();
        match self.rate.bucket(factor).draw(state.full_at, self.since(now), 1) {
            Draw::Taken { full_at, .. } => {
                state.full_at = full_at;
                Ok(())
            }
            Draw::Wait { wait_ns, .. } => {
                Err(now + Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX)))
            }
            // A burst of 1 at least holds one token.
            Draw::Never => Ok(()),
        }
    }

    /// Gives a token back that was not needed.
    pub(crate) fn refund(&self, factor: f64) {
        let bucket = self.rate.bucket(factor);
        let token = bucket.period_ns / u128::from(bucket.burst.max(1));
        let mut state = self.state.lock();
        state.full_at = state.full_at.saturating_sub(token);
    }

    /// When one that found no token should come back: one after the other, as the tokens come.
    pub(crate) fn slot(&self, now: Instant, factor: f64) -> Instant {
        let mut state = self.state.lock();
        let free = match self.rate.bucket(factor).draw(state.full_at, self.since(now), 1) {
            Draw::Wait { wait_ns, .. } => {
                now + Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX))
            }
            Draw::Taken { .. } | Draw::Never => now,
        };
        let slot = state.next_slot.map_or(free, |next| next.max(free));
        state.next_slot = Some(slot + self.rate.interval().mul_f64(factor.max(1.0)));
        slot
    }

    /// Nothing would be lost with it: it is as a new one.
    pub(crate) fn is_at_rest(&self, now: Instant) -> bool {
        let state = self.state.lock();
        state.full_at <= self.since(now) && state.next_slot.is_none_or(|next| next <= now)
    }

    fn since(&self, now: Instant) -> u128 {
        now.saturating_duration_since(self.began).as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown() {
        for (text, rate) in [
            ("100/m", Rate { count: 100, period_s: 60, burst: 1 }),
            ("10/s", Rate { count: 10, period_s: 1, burst: 10 }),
            ("3/10m", Rate { count: 3, period_s: 600, burst: 1 }),
            ("5000/d", Rate { count: 5_000, period_s: 86_400, burst: 1 }),
            ("500/h,burst=20", Rate { count: 500, period_s: 3_600, burst: 20 }),
        ] {
            assert_eq!(text.parse(), Ok(rate), "{text}");
            assert_eq!(rate.to_string(), text);
        }
        for bad in ["", "100", "0/m", "x/m", "100/", "100/y", "1/0s", "100/m,burst=0", "-1/m"] {
            assert_eq!(bad.parse::<Rate>(), Err(InvalidRate), "{bad}");
        }
    }

    /// How many pass in ten minutes when always somebody wants to.
    fn passed(rate: &str, factor: f64) -> u32 {
        let began = Instant::now();
        let limiter = Limiter::new(rate.parse().unwrap(), String::new(), began);
        let (mut now, mut passed) = (began, 0);
        while now < began + Duration::from_secs(600) {
            match limiter.draw(now, factor) {
                Ok(()) => passed += 1,
                Err(until) => now = until,
            }
        }
        passed
    }

    #[test]
    fn a_rate_is_kept_within_two_percent_over_ten_minutes() {
        for (rate, factor, expected) in
            [("100/m", 1.0, 1_000), ("1000/m", 1.0, 10_000), ("10/s", 1.0, 6_000), ("100/m", 4.0, 250)]
        {
            let passed = passed(rate, factor);
            let off = (f64::from(passed) - f64::from(expected)).abs() / f64::from(expected);
            assert!(off < 0.02, "{rate} by {factor}: {passed}");
        }
    }

    #[test]
    fn what_comes_back_comes_one_after_the_other() {
        let began = Instant::now();
        let limiter = Limiter::new("60/m".parse().unwrap(), String::new(), began);
        assert_eq!(limiter.draw(began, 1.0), Ok(()));
        let slots: Vec<_> =
            (0..3).map(|_| limiter.slot(began, 1.0).duration_since(began).as_secs()).collect();
        assert_eq!(slots, [1, 2, 3]);
        assert!(!limiter.is_at_rest(began + Duration::from_secs(2)));
        assert!(limiter.is_at_rest(began + Duration::from_secs(5)));
    }

    #[test]
    fn a_token_that_was_not_needed_is_given_back() {
        let began = Instant::now();
        let limiter = Limiter::new("60/m".parse().unwrap(), String::new(), began);
        assert_eq!(limiter.draw(began, 1.0), Ok(()));
        assert_eq!(limiter.draw(began, 1.0), Err(began + Duration::from_secs(1)));
        limiter.refund(1.0);
        assert_eq!(limiter.draw(began, 1.0), Ok(()));
    }
}
