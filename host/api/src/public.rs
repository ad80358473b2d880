//! `/metrics`, `/healthz`, `/readyz`: what a monitor reads. No mail, no names, no changes.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use baton_store::Store;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listener::Bounded;

/// Open connections to the public face at most.
const CONNECTIONS_MAX: usize = 64;
/// The text format of the OpenMetrics specification, version 1.0.0.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the public face needs.
#[derive(Clone)]
pub struct PublicDeps {
    /// All metrics of the relay.
    pub registry: Arc<Registry>,
    /// Asked whether it can take mail.
    pub store: Store,
    /// Cancelled as soon as the relay begins to stop.
    pub shutdown: CancellationToken,
}

/// Serves metrics and health on `listener` until `stop` is cancelled.
///
/// `stop` is not the relay's shutdown: health answers while the relay drains.
pub async fn serve_public(listener: TcpListener, deps: PublicDeps, stop: CancellationToken) {
    let served = axum::serve(Bounded::new(listener, CONNECTIONS_MAX), router(deps));
    if let Err(error) = served.with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(target: "api", %error, "the metrics listener ended");
    }
}

/// The three routes.
pub(crate) fn router(deps: PublicDeps) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(deps)
}

async fn metrics(State(deps): State<PublicDeps>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &deps.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The process runs and answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The relay takes mail.
async fn readyz(State(deps): State<PublicDeps>) -> Response {
    if deps.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match deps.store.check_space() {
        Ok(()) => "ready\n".into_response(),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
    }
}
