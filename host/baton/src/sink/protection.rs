//! TLS of a sink, with a certificate that is made for it and gone with it.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use baton_mail::{Clock, SystemClock};
use baton_tls::{
    CertificateSet, CertificateSettings, Certificates, HandshakeFailure, ServerStream, TlsServer,
    TlsServerSettings,
};
use tokio::net::TcpStream;

use crate::cli::TlsStart;

/// How connections are protected.
pub(super) struct Protection {
    pub(super) start: TlsStart,
    server: TlsServer,
}

impl Protection {
    /// Protection that begins so.
    pub(super) fn new(start: TlsStart) -> anyhow::Result<Protection> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = tempfile::tempdir().context("there is no folder for the certificate")?;
        let settings = CertificateSettings {
            files: Vec::new(),
            obtained: None,
            folder: folder.path().to_owned(),
            hostname: "localhost".parse().context("the name of the certificate")?,
        };
        let set = CertificateSet::load(&settings, &*clock);
        let set =
            set.map_err(|errors| anyhow!(errors.iter().map(ToString::to_string).collect::<String>()))?;
        let server = TlsServer::new(Certificates::new(set), &TlsServerSettings::default(), clock)?;
        Ok(Protection { start, server })
    }

    /// The handshake.
    pub(super) async fn begin(&self, stream: TcpStream) -> Result<ServerStream<TcpStream>, HandshakeFailure> {
        self.server.accept(stream).await.map(|(stream, _)| stream)
    }
}
