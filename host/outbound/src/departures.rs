//! How fast a lane of a ready queue moves, as far as that was seen in the last moments.

use std::time::Duration;

use tokio::time::Instant;

/// The pace of a lane is that of so long a time at least; and one that is older than the second tells nothing.
const SPAN_MIN: Duration = Duration::from_millis(250);
const SPAN_MAX: Duration = Duration::from_secs(5);

/// How fast the jobs of a lane are taken.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    /// How many were taken, ever.
    count: u32,
    /// A moment, and how many were taken until then.
    mark: Option<(Instant, u32)>,
    /// As it was before the mark.
    pace: Option<Duration>,
}

impl Departures {
    /// A job was taken.
    pub(crate) fn note(&mut self) {
        self.count = self.count.wrapping_add(1);
    }

    /// How long a job takes on average; none when nothing is known of the last seconds.
    pub(crate) fn pace(&mut self, now: Instant) -> Option<Duration> {
        let (at, before) = self.mark.unwrap_or((now, self.count));
        let span = now.saturating_duration_since(at);
        if span > SPAN_MAX {
            self.pace = None;
        } else if span >= SPAN_MIN {
            self.pace = Some(span / self.count.wrapping_sub(before).max(1));
        }
        if self.mark.is_none() || span >= SPAN_MIN {
            self.mark = Some((now, self.count));
        }
        self.pace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_long_ago_tells_nothing() {
        let mut departures = Departures::default();
        let now = Instant::now();
        assert_eq!(departures.pace(now), None);
        departures.count = 100;
        assert_eq!(departures.pace(now + Duration::from_secs(1)), Some(Duration::from_millis(10)));
        assert_eq!(departures.pace(now + Duration::from_millis(1_100)), Some(Duration::from_millis(10)));
        assert_eq!(departures.pace(now + Duration::from_secs(2)), Some(Duration::from_secs(1)), "it stands");
        assert_eq!(departures.pace(now + Duration::from_secs(20)), None);
    }
}
