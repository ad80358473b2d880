//! When a failed delivery is tried again.

use std::time::Duration;

use baton_mail::UnixMs;

use crate::settings::RetrySettings;

/// The shortest wait between two attempts, whoever asks for it: no plugin can make the queue spin.
const WAIT_MS_MIN: u64 = 1_000;

/// When the next attempt is due after `attempts` finished ones (at least 1). `chance` is in 0..1.
///
/// Never later than `expires_at`: the moment of expiry is when the message is given up.
pub(crate) fn next_attempt(
    settings: &RetrySettings,
    now: UnixMs,
    attempts: u16,
    expires_at: UnixMs,
    chance: f64,
) -> UnixMs {
    let exponent = i32::from(attempts.saturating_sub(1));
    let grown = settings.first_ms as f64 * settings.factor.max(1.0).powi(exponent);
    let wait = grown.min(settings.max_ms as f64);
    let moved = wait * (1.0 + settings.jitter.clamp(0.0, 1.0) * (2.0 * chance - 1.0));
    // The cast saturates, and what is not a number becomes zero.
    after(now, moved as u64, expires_at)
}

/// `wait_ms` from now, but not sooner than the shortest wait and not after the expiry.
pub(crate) fn after(now: UnixMs, wait_ms: u64, expires_at: UnixMs) -> UnixMs {
    let due = now.plus(Duration::from_millis(wait_ms.max(WAIT_MS_MIN)));
    due.min(expires_at).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: RetrySettings =
        RetrySettings { first_ms: 10_000, factor: 2.0, max_ms: 60_000, jitter: 0.1 };
    const NEVER: UnixMs = UnixMs(u64::MAX);

    fn wait(attempts: u16, chance: f64) -> u64 {
        next_attempt(&SETTINGS, UnixMs(5), attempts, NEVER, chance).0 - 5
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
        assert_eq!(next_attempt(&SETTINGS, UnixMs(5), 1, UnixMs(7), 0.5), UnixMs(7));
        assert_eq!(after(UnixMs(5), 0, NEVER), UnixMs(1_005));
    }
}
