//! Bodies kept in memory, so that a message that goes out at once is not read back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_mail::Body;

/// Counts the octets of all bodies in memory against a bound.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    octets: AtomicU64,
    octets_max: u64,
}

impl BodyMemory {
    /// Room for `octets_max` octets.
    pub(crate) fn new(octets_max: u64) -> Arc<BodyMemory> {
        Arc::new(BodyMemory { octets: AtomicU64::new(0), octets_max })
    }

    /// Keeps `body` when there is room.
    pub(crate) fn keep(self: &Arc<Self>, body: &Body) -> Option<Arc<HeldBody>> {
        let octets = body.len();
        let before = self.octets.fetch_add(octets, Ordering::Relaxed);
        if before.saturating_add(octets) > self.octets_max {
            self.octets.fetch_sub(octets, Ordering::Relaxed);
            return None;
        }
        Some(Arc::new(HeldBody { body: body.clone(), memory: Arc::clone(self) }))
    }

    /// Octets kept now.
    pub(crate) fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
    }
}

/// A body in memory; its room is given back when the last job lets go of it.
#[derive(Debug)]
pub(crate) struct HeldBody {
    body: Body,
    memory: Arc<BodyMemory>,
}

impl HeldBody {
    /// The body.
    pub(crate) fn body(&self) -> &Body {
        &self.body
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        self.memory.octets.fetch_sub(self.body.len(), Ordering::Relaxed);
    }
}
