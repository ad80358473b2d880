//! The API of programs: its messages go through the gate of inbound, by the rules that hold for clients of SMTP.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use baton_api::v1::Submit;
use baton_api::{ApiListener, ApiSettings};
use baton_inbound::Inbound;
use baton_mail::Clock;
use baton_tls::{Certificates, TlsServer, TlsServerSettings};
use tokio::net::TcpListener;

use crate::settings::check::Checked;

/// The listener's name in metrics, trace facts and guards.
const GATE: &str = "api";

/// The API of programs, before it runs.
pub(crate) struct Programs {
    /// Its bounds, replaced by a reload.
    pub(crate) settings: Arc<ArcSwap<ApiSettings>>,
    /// Takes their messages.
    pub(crate) submit: Submit,
    /// Where it listens; none when it is off.
    pub(crate) listener: Option<ApiListener>,
}

impl Programs {
    /// Its name, and where it listens.
    pub(crate) fn address(&self) -> Option<(String, SocketAddr)> {
        Some(("api".to_owned(), self.listener.as_ref()?.address().ok()?))
    }
}

/// The API before it has the other parts of the relay, its socket open.
pub(crate) async fn open(
    checked: &Checked,
    inbound: &Inbound,
    clock: &Arc<dyn Clock>,
    certificates: Option<Arc<Certificates>>,
) -> anyhow::Result<Programs> {
    let settings = Arc::new(ArcSwap::from_pointee(checked.api.limits.clone()));
    let listener = bind(checked, certificates, clock).await?;
    Ok(Programs { settings, submit: submit(inbound), listener })
}

fn submit(inbound: &Inbound) -> Submit {
    let gate = inbound.gate(GATE);
    Arc::new(move |submission, beside| {
        let gate = gate.clone();
        Box::pin(async move { gate.submit(submission, beside).await })
    })
}

async fn bind(
    checked: &Checked,
    certificates: Option<Arc<Certificates>>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<ApiListener>> {
    let Some(address) = checked.api.listen else { return Ok(None) };
    let explain = || format!("api.listen: can not listen on {address}; choose another address or port");
    let socket = TcpListener::bind(address).await.with_context(explain)?;
    let tls = tls_server("api.tls", checked.api.tls.as_ref(), certificates, clock)?;
    let (connections_max, drain_s) = (checked.api.connections_max, checked.inbound.drain_s);
    Ok(Some(ApiListener { socket, tls, connections_max, drain_s }))
}

/// What does the handshakes of a listener of HTTP; none when it speaks no TLS.
pub(super) fn tls_server(
    key: &str,
    settings: Option<&TlsServerSettings>,
    certificates: Option<Arc<Certificates>>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<TlsServer>>> {
    let Some(settings) = settings else { return Ok(None) };
    let certificates = certificates.with_context(|| format!("{key}: there is no certificate; see [tls]"))?;
    let made = TlsServer::new(certificates, settings, clock.clone());
    Ok(Some(Arc::new(made.with_context(|| format!("{key}: TLS can not be spoken so; see [tls]"))?)))
}
