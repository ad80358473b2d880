//! A token bucket in one number: the generic cell rate algorithm (ITU-T I.371), with the time at which the bucket
//! will be full again as its only state.

use baton_mail::UnixMs;

use super::state::{Change, Live};
use crate::error::KvError;

/// The answer of a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The tokens were there and are taken.
    pub allowed: bool,
    /// Tokens left.
    pub remaining: u32,
    /// After how many milliseconds as many tokens will be there; 0 when allowed, `u64::MAX` when never.
    pub retry_after_ms: u64,
}

/// Nanoseconds in a millisecond.
const MS: u128 = 1_000_000;

/// Takes `cost` tokens if they are there. The value is the time when the bucket is full, in nanoseconds.
pub(super) fn take(
    live: Option<Live<'_>>,
    now: UnixMs,
    cost: u32,
    burst: u32,
    period_ms: u64,
) -> Result<(Change, Taken), KvError> {
    let now = u128::from(now.0) * MS;
    let full_at = match live {
        Some(live) => u128::from_be_bytes(live.value.try_into().map_err(|_| KvError::NotANumber)?),
        None => 0,
    };
    if cost > burst {
        return Ok((Change::Keep, Taken { allowed: false, remaining: 0, retry_after_ms: u64::MAX }));
    }
    let period = u128::from(period_ms) * MS;
    let token = (period / u128::from(burst.max(1))).max(1);
    let debt = full_at.saturating_sub(now);
    let debt_after = debt + token * u128::from(cost);
    // All times are whole tokens of the same length, so rounding never makes the bucket larger than `burst`.
    let debt_max = token * u128::from(burst);
    let remaining = |debt: u128| u32::try_from(debt_max.saturating_sub(debt) / token).unwrap_or(u32::MAX);
    if debt_after > debt_max {
        let wait = (debt_after - debt_max).div_ceil(MS);
        let retry_after_ms = u64::try_from(wait).unwrap_or(u64::MAX);
        return Ok((Change::Keep, Taken { allowed: false, remaining: remaining(debt), retry_after_ms }));
    }
    let taken = Taken { allowed: true, remaining: remaining(debt_after), retry_after_ms: 0 };
    let full_at = now + debt_after;
    let expires = UnixMs(u64::try_from(full_at.div_ceil(MS)).unwrap_or(u64::MAX));
    Ok((Change::put(&full_at.to_be_bytes(), Some(expires))?, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one token again and again, at the given times.
    fn run(burst: u32, period_ms: u64, times: &[u64]) -> Vec<Taken> {
        let mut value: Option<Vec<u8>> = None;
        let mut step = |at: &u64| {
            let live = value.as_deref().map(|value| Live { value, expires: None });
            let (change, taken) = take(live, UnixMs(*at), 1, burst, period_ms).unwrap();
            if let Some(octets) = change.value() {
                value = Some(octets.to_vec());
            }
            taken
        };
        times.iter().map(&mut step).collect()
    }

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let taken = run(3, 3_000, &[10_000, 10_000, 10_000, 10_000, 10_999, 11_000, 11_000]);
        let allowed: Vec<bool> = taken.iter().map(|taken| taken.allowed).collect();
        assert_eq!(allowed, [true, true, true, false, false, true, false]);
        assert_eq!((taken[0].remaining, taken[2].remaining), (2, 0));
        assert_eq!((taken[3].retry_after_ms, taken[4].retry_after_ms), (1_000, 1));
    }

    #[test]
    fn what_never_fits_is_told_so() {
        let (_, taken) = take(None, UnixMs(1), 5, 4, 1_000).unwrap();
        assert_eq!(taken, Taken { allowed: false, remaining: 0, retry_after_ms: u64::MAX });
    }
}
