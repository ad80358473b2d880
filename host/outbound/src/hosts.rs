//! Which hosts could not be used a moment ago, so that not every job waits for the same dead host. What refuses one source
//! may welcome another.

use std::net::SocketAddr;
use std::time::Duration;

use baton_mail::Status;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::sources::Source;

/// Addresses remembered at most.
const FAILURES_MAX: usize = 10_000;

/// Addresses that refused or did not answer, each with the reason, for a short time.
#[derive(Debug)]
pub(crate) struct HostFailures(Cache<(String, SocketAddr), (Instant, Status)>);

impl HostFailures {
    /// Nothing is known of any host.
    pub(crate) fn new() -> HostFailures {
        HostFailures(Cache::new(FAILURES_MAX))
    }

    /// Why this address is not worth a try now.
    pub(crate) fn reason(&self, source: &Source, address: SocketAddr) -> Option<Status> {
        let (until, status) = self.0.get(&(source.name.clone(), address))?;
        (Instant::now() < until).then_some(status)
    }

    /// Remembers a failure for `lasts_ms`.
    pub(crate) fn note(&self, source: &Source, address: SocketAddr, status: Status, lasts_ms: u64) {
        if lasts_ms > 0 {
            let key = (source.name.clone(), address);
            self.0.insert(key, (Instant::now() + Duration::from_millis(lasts_ms), status));
        }
    }

    /// It works again.
    pub(crate) fn forget(&self, source: &Source, address: SocketAddr) {
        self.0.remove(&(source.name.clone(), address));
    }

    /// Nothing is known of any host any more.
    pub(crate) fn forget_all(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce_hook::our_fault;

    #[tokio::test]
    async fn a_failure_is_remembered_for_its_time() {
        let failures = HostFailures::new();
        let source = Source::unnamed(Vec::new());
        let other = Source { name: "other".to_owned(), ..source.clone() };
        let address = "192.0.2.1:25".parse().unwrap();
        failures.note(&source, address, our_fault("refused"), 600_000);
        assert_eq!(failures.reason(&source, address), Some(our_fault("refused")));
        assert_eq!(failures.reason(&other, address), None);
        failures.forget(&source, address);
        assert_eq!(failures.reason(&source, address), None);
        failures.note(&source, address, our_fault("refused"), 600_000);
        failures.forget_all();
        assert_eq!(failures.reason(&source, address), None);
        failures.note(&source, address, our_fault("refused"), 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(failures.reason(&source, address), None);
    }
}
