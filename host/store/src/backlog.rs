//! How fast the backlog on disk goes out while new mail keeps coming, so that a long queue, which may be for nobody who
//! answers, does not slow down the mail of today: at a pace, and while the machine has no time to spare not at all.

use std::time::Duration;

use baton_mail::UnixMs;
use baton_mail::bucket::{Bucket, Draw};

use crate::load::Load;

/// New mail keeps coming as long as its pauses are shorter than this: longer than a disk hesitates now and then.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Whoever waits for the backlog's turn looks again this soon, because new mail may have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The backlog may take so long a time's tokens at once.
const BURST: Duration = Duration::from_millis(100);
const NS_PER_MS: u128 = 1_000_000;

/// The pace of the backlog.
#[derive(Debug)]
pub(crate) struct Backlog {
    bucket: Bucket,
    full_at: u128,
    /// When a job of new mail went out last.
    fresh_at: Option<UnixMs>,
    load: Load,
}

impl Backlog {
    /// So many jobs a second beside new mail.
    pub(crate) fn new(per_s: u32) -> Backlog {
        let burst = (u64::from(per_s) * BURST.as_millis() as u64 / 1_000).max(1);
        let period_ns = u128::from(burst) * 1_000_000_000 / u128::from(per_s.max(1));
        let burst = u32::try_from(burst).unwrap_or(u32::MAX);
        Backlog { bucket: Bucket { burst, period_ns }, full_at: 0, fresh_at: None, load: Load::default() }
    }

    /// Looks how busy the machine is.
    pub(crate) fn look_at_load(&mut self) {
        self.load.look();
    }

    /// True when the machine has no time to spare.
    pub(crate) fn is_machine_busy(&self) -> bool {
        self.load.is_high()
    }

    /// A job of new mail goes out.
    pub(crate) fn note_fresh(&mut self, now: UnixMs) {
        self.fresh_at = Some(now);
    }

    /// True when a job of the backlog may go out.
    pub(crate) fn may_take(&self, now: UnixMs) -> bool {
        !self.is_beside_new_mail(now)
            || !self.is_machine_busy() && matches!(self.draw(now), Draw::Taken { .. })
    }

    /// A job of the backlog goes out.
    pub(crate) fn take(&mut self, now: UnixMs) {
        if let Draw::Taken { full_at, .. } = self.draw(now) {
            self.full_at = full_at;
        }
    }

    /// When the next job of the backlog may go out.
    pub(crate) fn next(&self, now: UnixMs) -> UnixMs {
        if self.may_take(now) {
            return now;
        }
        let wait = match self.draw(now) {
            Draw::Wait { wait_ns, .. } => Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX)),
            Draw::Taken { .. } | Draw::Never => LOOK_AGAIN,
        };
        now.plus(wait.clamp(Duration::from_millis(1), LOOK_AGAIN))
    }

    fn draw(&self, now: UnixMs) -> Draw {
        self.bucket.draw(self.full_at, u128::from(now.0) * NS_PER_MS, 1)
    }

    /// The clock may have been set back, so a time in the future counts as long ago.
    fn is_beside_new_mail(&self, now: UnixMs) -> bool {
        self.fresh_at.is_some_and(|at| at <= now && now.since(at) < PAUSE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn taken_within(backlog: &mut Backlog, span_ms: u64, fresh_every_ms: Option<u64>) -> usize {
        let mut count = 0;
        for ms in 0..span_ms {
            let now = UnixMs(NOW.0 + ms);
            if fresh_every_ms.is_some_and(|every| ms % every == 0) {
                backlog.note_fresh(now);
            }
            while count < 100_000 && backlog.may_take(now) {
                backlog.take(now);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn beside_new_mail_it_has_its_pace() {
        let taken = taken_within(&mut Backlog::new(2_000), 1_000, Some(10));
        assert!((2_000..=2_201).contains(&taken), "{taken}: a second's, and the burst");
        let slow = taken_within(&mut Backlog::new(1), 3_000, Some(10));
        assert!((3..=4).contains(&slow), "{slow}");
    }

    #[test]
    fn alone_it_goes_as_fast_as_it_can() {
        assert_eq!(taken_within(&mut Backlog::new(10), 1, None), 100_000);
        let after_a_pause = taken_within(&mut Backlog::new(10), 501, Some(501));
        assert_eq!(after_a_pause, 100_000);
    }

    #[test]
    fn it_tells_when_to_look_again() {
        let mut backlog = Backlog::new(100);
        backlog.note_fresh(NOW);
        assert_eq!(backlog.next(NOW), NOW);
        while backlog.may_take(NOW) {
            backlog.take(NOW);
        }
        assert_eq!(backlog.next(NOW), UnixMs(NOW.0 + 10));
        assert!(backlog.may_take(UnixMs(NOW.0 + 10)) && backlog.may_take(UnixMs(NOW.0 - 1)));
    }
}
