//! Which hosts could not be used a moment ago, so that not every job waits for the same dead host.

use std::net::SocketAddr;
use std::time::Duration;

use baton_mail::Status;
use quick_cache::sync::Cache;
use tokio::time::Instant;

/// Addresses remembered at most.
const FAILURES_MAX: usize = 10_000;

/// Addresses that refused or did not answer, each with the reason, for a short time.
#[derive(Debug)]
pub(crate) struct HostFailures(Cache<SocketAddr, (Instant, Status)>);

impl HostFailures {
    /// Nothing is known of any host.
    pub(crate) fn new() -> HostFailures {
        HostFailures(Cache::new(FAILURES_MAX))
    }

    /// Why this address is not worth a try now.
    pub(crate) fn reason(&self, address: SocketAddr) -> Option<Status> {
        let (until, status) = self.0.get(&address)?;
        (Instant::now() < until).then_some(status)
    }

    /// Remembers a failure for `lasts_ms`.
    pub(crate) fn note(&self, address: SocketAddr, status: Status, lasts_ms: u64) {
        if lasts_ms > 0 {
            self.0.insert(address, (Instant::now() + Duration::from_millis(lasts_ms), status));
        }
    }

    /// It works again.
    pub(crate) fn forget(&self, address: SocketAddr) {
        self.0.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce_hook::our_fault;

    #[tokio::test]
    async fn a_failure_is_remembered_for_its_time() {
        let failures = HostFailures::new();
        let address = "192.0.2.1:25".parse().unwrap();
        failures.note(address, our_fault("refused"), 600_000);
        assert_eq!(failures.reason(address), Some(our_fault("refused")));
        failures.forget(address);
        assert_eq!(failures.reason(address), None);
        failures.note(address, our_fault("refused"), 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(failures.reason(address), None);
    }
}
