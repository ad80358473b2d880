//! How many jobs delivery has in hand. The queue keeps all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use baton_store::LaneRoom;
use tokio::sync::Notify;

/// Counts claimed jobs.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    jobs: AtomicUsize,
    freed: Notify,
}

/// One job in hand; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Gate>);

impl Gate {
    /// How many more jobs of each lane may be claimed.
    pub(crate) fn room(&self, jobs_max: usize) -> LaneRoom {
        LaneRoom::left(jobs_max.max(1), self.jobs.load(Ordering::Acquire))
    }

    /// Jobs in hand.
    pub(crate) fn len(&self) -> usize {
        self.jobs.load(Ordering::Acquire)
    }

    /// Counts a claimed job.
    pub(crate) fn enter(self: &Arc<Gate>) -> Permit {
        self.jobs.fetch_add(1, Ordering::AcqRel);
        Permit(Arc::clone(self))
    }

    /// Returns when a job left, or at once when one left since the last wait.
    pub(crate) async fn wait_for_room(&self) {
        self.freed.notified().await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.jobs.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_with_the_permit() {
        let gate = Arc::new(Gate::default());
        let permit = gate.enter();
        assert!(gate.room(1).is_empty() && gate.room(2).is_open() && gate.len() == 1);
        drop(permit);
        assert!(gate.room(1).is_open());
    }
}
