//! Made-up worlds: the services of a relay in memory, on a clock that stands still until it is moved. Tests, self-test
//! cases and measurements run the real plugin in the real engine inside one.

mod dns;
mod http;
mod kv;
mod verify;

use std::sync::Arc;

use baton_mail::UnixMs;
use baton_mail::clock::ManualClock;

pub use dns::{DnsTable, rr_type_number};
pub use http::HttpTable;
pub use kv::MemoryKv;
pub use verify::VerifyTable;

use crate::host::Capabilities;
use crate::metrics::Metrics;

/// One world. Clones share it.
#[derive(Clone, Debug)]
pub struct World {
    /// Its time.
    pub clock: Arc<ManualClock>,
    /// Its buckets: empty at the beginning.
    pub kv: Arc<MemoryKv>,
    /// Its DNS: no name exists at the beginning.
    pub dns: Arc<DnsTable>,
    /// Its web: nobody answers at the beginning.
    pub http: Arc<HttpTable>,
    /// Its next hops: there is none at the beginning.
    pub verify: Arc<VerifyTable>,
    /// What plugins count in it.
    pub metrics: Arc<Metrics>,
}

impl World {
    /// When worlds begin unless they say otherwise: 2026-01-01T00:00:00Z.
    pub const BEGIN: UnixMs = UnixMs(1_767_225_600_000);

    /// An empty world at that moment.
    pub fn new(now: UnixMs) -> World {
        let clock = Arc::new(ManualClock::new(now));
        World {
            kv: Arc::new(MemoryKv::new(clock.clone())),
            dns: Arc::default(),
            http: Arc::default(),
            verify: Arc::default(),
            metrics: Arc::default(),
            clock,
        }
    }

    /// An empty world in which each call is remembered until somebody asks.
    pub(crate) fn watched(now: UnixMs) -> World {
        World { metrics: Arc::new(Metrics::watched()), ..World::new(now) }
    }

    /// Its services, as plugins are given them.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            kv: self.kv.clone(),
            dns: self.dns.clone(),
            http: self.http.clone(),
            verify: self.verify.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

impl Default for World {
    fn default() -> World {
        World::new(World::BEGIN)
    }
}
