//! The server side of one listener.

use std::sync::Arc;

use baton_mail::{Clock, TlsFacts};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use crate::client_certificates::ClientPolicy;
use crate::settings::{provider, registered_name};
use crate::{Certificates, HandshakeFailure, TlsError, TlsServerSettings, in_words};

/// A protected connection of a client.
pub type ServerStream<S> = tokio_rustls::server::TlsStream<S>;

/// Takes handshakes for one listener.
#[derive(Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    clients: ClientPolicy,
    clock: Arc<dyn Clock>,
}

impl TlsServer {
    /// A server that shows these certificates, now and after they were replaced.
    pub fn new(
        certificates: Arc<Certificates>,
        settings: &TlsServerSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<TlsServer, TlsError> {
        let provider = provider(&settings.suites, settings.minimum)?;
        let clients = ClientPolicy::new(&settings.clients, &provider)?;
        let text = |error: tokio_rustls::rustls::Error| TlsError::Settings(in_words(&error));
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(settings.minimum.and_later())
            .map_err(text)?;
        let builder = match clients.verifier() {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(certificates);
        // What is needed to take a session up again is kept by the client, encrypted, not in our memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new().map_err(text)?;
        config.send_tls13_tickets = TICKETS;
        Ok(TlsServer { config: Arc::new(config), clients, clock })
    }

    /// The handshake. Its deadline is the caller's.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Result<(ServerStream<S>, TlsFacts), HandshakeFailure> {
        let stream = TlsAcceptor::from(self.config.clone()).accept(stream).await?;
        let (_, connection) = stream.get_ref();
        let mut facts = facts(connection);
        facts.server_name = connection.server_name().map(ToOwned::to_owned);
        let chain = connection.peer_certificates().unwrap_or_default();
        facts.certificate = self.clients.judge(chain, &*self.clock);
        Ok((stream, facts))
    }
}

/// What binds an exchange to this very connection: the channel binding `tls-exporter` (RFC 9266). Only of TLS 1.3, where
/// it is safe without conditions.
pub fn channel_binding<S>(stream: &ServerStream<S>) -> Option<[u8; 32]> {
    let (_, connection) = stream.get_ref();
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
}

/// What both sides agreed on.
pub(crate) fn facts(connection: &CommonState) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    };
    TlsFacts {
        version: version.to_owned(),
        cipher: connection.negotiated_cipher_suite().map(registered_name).unwrap_or_default(),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        server_name: None,
        certificate: None,
    }
}

/// One ticket for each handshake: mail clients come back with one connection at a time.
const TICKETS: usize = 1;
