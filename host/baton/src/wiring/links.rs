//! The public face of tracked links: its socket, opened with the others, and what it is given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwapOption;
use baton_api::{ApiListener, LinkMetrics, LinksDeps, serve_links};
use baton_content::track::Tracker;
use baton_mail::Clock;
use baton_store::Store;
use baton_tls::Certificates;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::programs::tls_server;
use crate::settings::check::Checked;

/// A socket that answers links; nothing runs yet.
pub(crate) struct PublicLinks {
    listener: ApiListener,
    connection_lifetime: Duration,
    metrics: LinkMetrics,
}

impl PublicLinks {
    /// Opens the socket, when the settings want one.
    pub(crate) async fn bind(
        checked: &Checked,
        certificates: Option<Arc<Certificates>>,
        clock: &Arc<dyn Clock>,
        registry: &mut Registry,
    ) -> anyhow::Result<Option<PublicLinks>> {
        let settings = &checked.tracking;
        let Some(address) = settings.listen else { return Ok(None) };
        let explain =
            || format!("tracking.listen: can not listen on {address}; choose another address or port");
        let socket = TcpListener::bind(address).await.with_context(explain)?;
        let tls = tls_server("tracking.tls", settings.tls.as_ref(), certificates, clock)?;
        let metrics = LinkMetrics::default();
        metrics.register(registry);
        // Nobody waits for long: a connection has an end by itself.
        let (connections_max, drain_s) = (settings.connections_max, checked.inbound.drain_s);
        let listener = ApiListener { socket, tls, connections_max, drain_s };
        let connection_lifetime = settings.connection_lifetime;
        Ok(Some(PublicLinks { listener, connection_lifetime, metrics }))
    }

    /// Its name, and where it listens.
    pub(crate) fn address(&self) -> Option<(String, SocketAddr)> {
        Some(("links".to_owned(), self.listener.address().ok()?))
    }

    /// Answers until `stop` is cancelled.
    pub(crate) fn serve(
        self,
        store: &Store,
        tracker: &Arc<ArcSwapOption<Tracker>>,
        clock: &Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let PublicLinks { listener, connection_lifetime, metrics } = self;
        let (store, tracker, clock) = (store.clone(), Arc::clone(tracker), Arc::clone(clock));
        serve_links(listener, LinksDeps { store, tracker, clock, metrics, connection_lifetime }, stop)
    }
}
