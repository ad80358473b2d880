//! A token bucket as a value: the time at which the bucket will be full again, in nanoseconds.

use baton_mail::UnixMs;
use baton_mail::bucket::{Bucket, Draw};

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
    let full_at = match live {
        Some(live) => u128::from_be_bytes(live.value.try_into().map_err(|_| KvError::NotANumber)?),
        None => 0,
    };
    let bucket = Bucket { burst, period_ns: u128::from(period_ms) * MS };
    let milliseconds = |nanoseconds: u128| u64::try_from(nanoseconds.div_ceil(MS)).unwrap_or(u64::MAX);
    Ok(match bucket.draw(full_at, u128::from(now.0) * MS, cost) {
        Draw::Taken { full_at, remaining } => {
            let expires = UnixMs(milliseconds(full_at));
            // To look costs nothing, and leaves nothing.
            let change =
                if cost == 0 { Change::Keep } else { Change::put(&full_at.to_be_bytes(), Some(expires))? };
            (change, Taken { allowed: true, remaining, retry_after_ms: 0 })
        }
        Draw::Wait { wait_ns, remaining } => {
            let retry_after_ms = milliseconds(wait_ns);
            (Change::Keep, Taken { allowed: false, remaining, retry_after_ms })
        }
        Draw::Never => (Change::Keep, Taken { allowed: false, remaining: 0, retry_after_ms: u64::MAX }),
    })
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
