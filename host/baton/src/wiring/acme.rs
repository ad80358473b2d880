//! Certificates by ACME: ordered when they are due, again with back-off when that fails, shown when they are there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use baton_mail::Clock;
use baton_tls::acme::{Challenges, serve_challenges};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::CertificateKeeper;
use crate::events;
use crate::settings::check::tls::AcmeChecked;

/// How often it is looked whether a certificate is due.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// The longest wait after failures. An authority locks out who asks too often.
const RETRY_LAST: Duration = Duration::from_secs(6 * 3_600);

/// What is counted.
#[derive(Debug, Default)]
struct Metrics {
    obtained: Counter,
    failed: Counter,
    failing: Gauge,
}

/// Keeps a certificate of an authority.
#[derive(Debug)]
pub(crate) struct Acme {
    settings: AcmeChecked,
    listener: TcpListener,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Acme {
    /// Opens the port for the authority's questions.
    pub(crate) fn open(
        settings: AcmeChecked,
        socket: std::net::TcpListener,
        clock: Arc<dyn Clock>,
        registry: &mut Registry,
    ) -> anyhow::Result<Acme> {
        let listener = TcpListener::from_std(socket).context("tls.acme.listen")?;
        let metrics = Metrics::default();
        registry.register("baton_acme_obtained", "Certificates obtained", metrics.obtained.clone());
        registry.register("baton_acme_failed", "Orders of certificates that failed", metrics.failed.clone());
        registry.register("baton_acme_failing", "Orders that failed in a row", metrics.failing.clone());
        Ok(Acme { settings, listener, clock, metrics })
    }

    /// Where the authority may ask.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Orders and renews for ever. Until the first one is there, the certificates of before are shown.
    pub(crate) async fn keep(self, keeper: Arc<CertificateKeeper>) {
        let Acme { settings: AcmeChecked { order: settings, retry_first, .. }, listener, clock, metrics } =
            self;
        let challenges = Challenges::default();
        let order = async {
            let mut retry = retry_first;
            loop {
                if !settings.is_due(&*clock) {
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
                match settings.obtain(&challenges).await {
                    Ok(()) => {
                        metrics.obtained.inc();
                        metrics.failing.set(0);
                        retry = retry_first;
                        keeper.read_again();
                    }
                    Err(error) => {
                        metrics.failed.inc();
                        metrics.failing.inc();
                        events::acme_failed(&error, retry);
                        tokio::time::sleep(retry).await;
                        retry = (retry * 2).min(RETRY_LAST);
                    }
                }
            }
        };
        tokio::join!(order, serve_challenges(listener, challenges.clone(), settings.proof));
    }
}
