//! Reads the header of the PROXY protocol from a connection ([`baton_smtp::proxy`] says what one is).
//!
//! Invariant: it is read only from networks that the settings trust, once, before anything else, within a deadline; what
//! is malformed ends the connection.

use std::io;

use baton_smtp::proxy::{self, NoProxyHeader, ProxyRead};
use tokio::io::{AsyncRead, AsyncReadExt};

pub(crate) use baton_smtp::proxy::Proxied;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("the connection ended: {0}")]
    Gone(#[from] io::Error),
    #[error(transparent)]
    Refused(#[from] NoProxyHeader),
}

/// Reads one header, and not an octet more: what follows may be a TLS handshake.
pub(crate) async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Proxied, ProxyError> {
    let mut octets = Vec::new();
    loop {
        match proxy::read_header(&octets)? {
            ProxyRead::Done(proxied) => return Ok(proxied),
            ProxyRead::Needs(more) => {
                let known = octets.len();
                octets.resize(known + more, 0);
                stream.read_exact(octets.get_mut(known..).unwrap_or_default()).await?;
            }
        }
    }
}
