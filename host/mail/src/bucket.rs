//! Token buckets, each in one number: the generic cell rate algorithm (ITU-T I.371), with the time at which the bucket
//! will be full again as its only state. Times are nanoseconds since any one moment.

/// How much a bucket holds and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Tokens in a full bucket.
    pub burst: u32,
    /// How long an empty one takes to fill, in nanoseconds.
    pub period_ns: u128,
}

/// What came of a try to take tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// They were there and are taken.
    Taken {
        /// When the bucket is full now: its new state.
        full_at: u128,
        /// Tokens left.
        remaining: u32,
    },
    /// They were not there; the bucket stays as it was.
    Wait {
        /// After how many nanoseconds they will be.
        wait_ns: u128,
        /// Tokens left.
        remaining: u32,
    },
    /// The bucket never holds so many.
    Never,
}

impl Bucket {
    /// A bucket of `count` tokens, which fills within a minute.
    pub fn per_minute(count: u32) -> Bucket {
        Bucket { burst: count, period_ns: MINUTE_NS }
    }

    /// Takes `cost` tokens out of a bucket that would be full at `full_at`; 0 is a full one.
    pub fn draw(self, full_at: u128, now: u128, cost: u32) -> Draw {
        if cost > self.burst {
            return Draw::Never;
        }
        let token = (self.period_ns / u128::from(self.burst.max(1))).max(1);
        let debt = full_at.saturating_sub(now);
        let debt_after = debt + token * u128::from(cost);
        // All times are whole tokens of the same length, so rounding never makes the bucket larger than `burst`.
        let debt_max = token * u128::from(self.burst);
        let remaining = |debt: u128| u32::try_from(debt_max.saturating_sub(debt) / token).unwrap_or(u32::MAX);
        if debt_after > debt_max {
            return Draw::Wait { wait_ns: debt_after - debt_max, remaining: remaining(debt) };
        }
        Draw::Taken { full_at: now + debt_after, remaining: remaining(debt_after) }
    }
}

/// Nanoseconds of a minute.
const MINUTE_NS: u128 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_there_at_once_and_then_the_rate_holds() {
        let bucket = Bucket { burst: 3, period_ns: 3_000 };
        let mut full_at = 0;
        let mut allowed = |now| match bucket.draw(full_at, now, 1) {
            Draw::Taken { full_at: next, .. } => {
                full_at = next;
                true
            }
            Draw::Wait { .. } | Draw::Never => false,
        };
        let at = [10_000, 10_000, 10_000, 10_000, 10_999, 11_000, 11_000, 99_000, 99_000, 99_000, 99_000];
        let expected = [true, true, true, false, false, true, false, true, true, true, false];
        assert_eq!(at.map(&mut allowed), expected);
    }

    #[test]
    fn what_never_fits_is_told_so() {
        assert_eq!(Bucket::per_minute(4).draw(0, 1, 5), Draw::Never);
        assert_eq!(Bucket::per_minute(0).draw(0, 1, 1), Draw::Never);
    }

    #[test]
    fn a_refusal_tells_how_long_to_wait() {
        let bucket = Bucket { burst: 2, period_ns: 2_000 };
        assert_eq!(bucket.draw(2_000, 500, 1), Draw::Wait { wait_ns: 500, remaining: 0 });
        assert_eq!(bucket.draw(2_000, 1_000, 1), Draw::Taken { full_at: 3_000, remaining: 0 });
    }
}
