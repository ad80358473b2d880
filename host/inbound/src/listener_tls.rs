//! How listeners speak TLS: made at the start, and made anew by a reload, while handshakes under way end as they began.

use std::sync::Arc;

use baton_tls::TlsServer;

use crate::listener::{InboundDeps, Listener};
use crate::{BindError, InboundSettings, ListenerSettings, TlsMode};

/// The listeners that speak TLS.
pub struct ListenerTls(Vec<Arc<Listener>>);

/// How they will speak it.
pub struct NextTls(Vec<(Arc<Listener>, TlsServer)>);

impl ListenerTls {
    pub(crate) fn of<'a>(listeners: impl Iterator<Item = &'a Arc<Listener>>) -> ListenerTls {
        let mut kept: Vec<Arc<Listener>> = Vec::new();
        for listener in listeners.filter(|listener| listener.tls().is_some()) {
            // One listener has several sockets.
            if !kept.iter().any(|known| Arc::ptr_eq(known, listener)) {
                kept.push(Arc::clone(listener));
            }
        }
        ListenerTls(kept)
    }

    /// Makes what these settings want, and changes nothing yet. Whether TLS is spoken, and when it begins, stays as it is.
    ///
    /// # Errors
    /// When one of the listeners can not speak so.
    pub fn prepare(&self, settings: &InboundSettings) -> Result<NextTls, BindError> {
        let mut next = Vec::with_capacity(self.0.len());
        for listener in &self.0 {
            let named = settings.listeners.iter().find(|one| one.name == listener.name);
            if let Some(made) = named.map(|one| make_tls(one, &listener.deps)).transpose()?.flatten() {
                next.push((Arc::clone(listener), made));
            }
        }
        Ok(NextTls(next))
    }
}

impl NextTls {
    /// The next handshakes are done so.
    pub fn serve(self) {
        for (listener, made) in self.0 {
            listener.replace_tls(made);
        }
    }
}

/// What does the handshakes of a listener; none where TLS is not spoken.
pub(crate) fn make_tls(
    listener: &ListenerSettings,
    deps: &InboundDeps,
) -> Result<Option<TlsServer>, BindError> {
    if listener.tls == TlsMode::Off {
        return Ok(None);
    }
    let name = || listener.name.clone();
    let missing = || BindError::NoCertificate { listener: name() };
    let certificates = deps.certificates.clone().ok_or_else(missing)?;
    let made = TlsServer::new(certificates, &listener.tls_server, deps.clock.clone());
    made.map(Some).map_err(|cause| BindError::Tls { listener: name(), cause })
}
