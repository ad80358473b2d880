//! Whether the threads of the async runtime have time to spare.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

/// A look counts for this long.
const INTERVAL: Duration = Duration::from_millis(100);
/// The load is high when the threads were busy for more than this part of the time, in percent.
const BUSY_PERCENT: u32 = 60;

/// What was seen at a look longer ago tells nothing.
const VALID: Duration = Duration::from_secs(1);

/// How busy the runtime's threads were between the last two looks.
#[derive(Debug)]
pub(crate) struct Load {
    is_high: bool,
    looked_at: Instant,
    /// The time for which all threads together were busy until then.
    busy: Duration,
}

impl Default for Load {
    fn default() -> Load {
        Load { is_high: false, looked_at: Instant::now(), busy: Duration::ZERO }
    }
}

impl Load {
    /// True when the threads have no time to spare, as far as that was seen just now.
    pub(crate) fn is_high(&self) -> bool {
        self.is_high && self.looked_at.elapsed() < VALID
    }

    /// Looks, unless the last look was a moment ago. Outside of a runtime nothing is busy.
    pub(crate) fn look(&mut self) {
        let now = Instant::now();
        let passed = now.duration_since(self.looked_at);
        if passed < INTERVAL {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let metrics = runtime.metrics();
        let threads = metrics.num_workers();
        let busy: Duration = (0..threads).map(|thread| metrics.worker_total_busy_duration(thread)).sum();
        let spent = busy.saturating_sub(self.busy);
        let possible = passed * u32::try_from(threads).unwrap_or(u32::MAX);
        self.is_high = spent * 100 > possible * BUSY_PERCENT;
        (self.looked_at, self.busy) = (now, busy);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Looks until the load is, or is not, high.
    async fn look_until(load: &mut Load, is_high: bool) {
        load.look();
        while load.is_high() != is_high {
            tokio::time::sleep(INTERVAL).await;
            load.look();
        }
    }

    #[test]
    fn it_is_high_while_the_threads_have_no_rest() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_time().build().unwrap().block_on(async {
            let (mut load, stop) = (Load::default(), Arc::new(AtomicBool::new(false)));
            for _ in 0..2 {
                let stop = Arc::clone(&stop);
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        while began.elapsed() < Duration::from_millis(2) {
                            std::hint::spin_loop();
                        }
                        tokio::task::yield_now().await;
                    }
                });
            }
            look_until(&mut load, true).await;
            stop.store(true, Ordering::Relaxed);
            look_until(&mut load, false).await;
        });
    }

    #[test]
    fn outside_of_a_runtime_nothing_is_busy() {
        let mut load = Load { looked_at: Instant::now() - INTERVAL, ..Load::default() };
        load.look();
        assert!(!load.is_high());
    }
}
