//! One connection: TCP to the checked address, TLS under the name of the URL, HTTP/1.1.

use std::net::SocketAddr;

use baton_hooks::host::HttpError;
use baton_hooks::{HttpHost, HttpUrl};
use baton_tls::io_in_words;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::pki_types::ServerName;

use super::Unanswered;
use super::pieces::Pieces;
use super::trust::Trust;

/// Header fields of a response.
const FIELDS_MAX: usize = 128;
/// Octets of a response's header, and of what is read ahead.
const BUFFER_OCTETS_MAX: usize = 128 << 10;

/// An open connection. Dropping it closes it, whatever was under way.
pub(super) struct Connection {
    sender: SendRequest<Pieces>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// False when the server closed it.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and waits for the head of the response.
    pub(super) async fn send(&mut self, message: Request<Pieces>) -> Result<Response<Incoming>, Unanswered> {
        if let Err(error) = self.sender.ready().await {
            return Err(Unanswered { trouble: failed(&error), message: Some(Box::new(message)) });
        }
        self.sender.try_send_request(message).await.map_err(|mut error| {
            let message = error.take_message().map(Box::new);
            Unanswered { trouble: failed(error.error()), message }
        })
    }
}

fn failed(error: &hyper::Error) -> HttpError {
    let in_words = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref() {
        Some(cause) => format!(": {}", io_in_words(cause)),
        None => format!(": {cause}"),
    };
    let cause = std::error::Error::source(error).map(in_words).unwrap_or_default();
    HttpError::Failed(format!("the connection failed: {error}{cause}"))
}

/// Opens a connection to `address`; the URL says under which name, and whether by TLS.
pub(super) async fn open(address: SocketAddr, url: &HttpUrl, trust: &Trust) -> Result<Connection, HttpError> {
    let unreachable =
        |error: std::io::Error| HttpError::Failed(format!("no connection to {address}: {error}"));
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    // Small requests must not wait for the peer's delayed acknowledgements.
    stream.set_nodelay(true).map_err(unreachable)?;
    if !url.is_tls {
        return handshake(stream).await;
    }
    let name = match &url.host {
        HttpHost::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| HttpError::Failed("the host can not have a certificate".to_owned()))?,
        HttpHost::Address(address) => ServerName::from(*address),
    };
    let connector = trust.connector().await?;
    let secured = connector.connect(name, stream).await;
    let untrusted = |error| HttpError::Failed(format!("no TLS with {}: {}", url.host, io_in_words(&error)));
    handshake(secured.map_err(untrusted)?).await
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Connection, HttpError> {
    let mut builder = Builder::new();
    builder.max_headers(FIELDS_MAX).max_buf_size(BUFFER_OCTETS_MAX);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // How it ends is told to whoever waits for a response.
    let driver = tokio::spawn(async move { drop(connection.await) });
    Ok(Connection { sender, driver })
}
