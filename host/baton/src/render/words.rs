//! Times, spans, sizes and lists in words.

use std::time::Duration;

use baton_mail::{Mailbox, UnixMs};
use time::OffsetDateTime;
use time::macros::format_description;

/// A moment, in UTC, to the millisecond.
pub(crate) fn moment(at: UnixMs) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| format!("{} ms after 1970", at.0))
}

/// A moment as seen from `now`: `in 5 min`, `2.5 s ago`, `now`.
pub(crate) fn relative(at: UnixMs, now: UnixMs) -> String {
    if at.0 > now.0 {
        format!("in {}", span(at.since(now)))
    } else if now.0 > at.0 {
        format!("{} ago", span(now.since(at)))
    } else {
        "now".to_owned()
    }
}

/// A span in its two largest units.
pub(crate) fn span(duration: Duration) -> String {
    let ms = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{ms} ms"),
        1..=59 => format!("{:.1} s", duration.as_secs_f64()),
        60..=3_599 => two_units(seconds, 60, "min", "s"),
        3_600..=86_399 => two_units(seconds / 60, 60, "h", "min"),
        _ => two_units(seconds / 3_600, 24, "d", "h"),
    }
}

fn two_units(amount: u64, size: u64, large: &str, small: &str) -> String {
    match amount % size {
        0 => format!("{} {large}", amount / size),
        rest => format!("{} {large} {rest} {small}", amount / size),
    }
}

/// Octets in a fitting unit.
pub(crate) fn octets(count: u64) -> String {
    match count {
        0..=1_023 => format!("{count} octets"),
        1_024..=1_048_575 => format!("{:.1} KiB", count as f64 / 1_024.0),
        1_048_576..=1_073_741_823 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

/// Recipients, the first few by name.
pub(crate) fn mailboxes(all: &[Mailbox]) -> String {
    let mut text = all.iter().take(NAMED_MAX).map(Mailbox::to_string).collect::<Vec<_>>().join(", ");
    if all.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", all.len() - NAMED_MAX));
    }
    text
}

/// Recipients that are named before the rest is counted.
const NAMED_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(UnixMs(1_700_000_000_042)), "2023-11-14 22:13:20.042Z");
        assert_eq!(moment(UnixMs(u64::MAX)), format!("{} ms after 1970", u64::MAX));
    }

    #[test]
    fn spans_have_at_most_two_units() {
        for (seconds, expected) in [
            (0.25, "250 ms"),
            (2.5, "2.5 s"),
            (300.0, "5 min"),
            (3_700.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_secs_f64(seconds)), expected);
        }
        assert_eq!(relative(UnixMs(300_000), UnixMs(0)), "in 5 min");
        assert_eq!(relative(UnixMs(0), UnixMs(1_500)), "1.5 s ago");
    }

    #[test]
    fn long_lists_are_counted() {
        let all: Vec<Mailbox> =
            (0..7).map(|index| format!("u{index}@example.org").parse().unwrap()).collect();
        assert!(mailboxes(&all).ends_with("u4@example.org and 2 more"));
        assert_eq!(octets(4_096), "4.0 KiB");
    }
}
