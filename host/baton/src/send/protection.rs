//! TLS towards the server, whoever it is: what is sent is made up.

use std::sync::Arc;

use anyhow::Context;
use baton_mail::SystemClock;
use baton_tls::{TlsClient, TlsClientSettings, Trust};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cli::TlsStart;

/// A connection, protected or not.
pub(super) type Connection = Box<dyn Duplex>;

/// What can be read and written.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// How connections are protected.
#[derive(Clone, Debug)]
pub(crate) struct Protection {
    pub(super) start: TlsStart,
    client: Arc<TlsClient>,
}

impl Protection {
    /// Protection that begins so.
    pub(super) fn new(start: TlsStart) -> anyhow::Result<Protection> {
        let client = TlsClient::new(&TlsClientSettings::default(), Arc::new(SystemClock))?;
        Ok(Protection { start, client: Arc::new(client) })
    }

    /// The handshake.
    pub(super) async fn begin(&self, stream: Connection, host: &str) -> anyhow::Result<Connection> {
        let shaken = self.client.connect(stream, host, &Trust::Anybody, None).await;
        let (stream, _) = shaken.context("the TLS handshake failed")?;
        Ok(Box::new(stream))
    }
}
