//! From a source to an open TCP connection: directly, through a SOCKS server or through a balancer.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_socks::tcp::Socks5Stream;

use super::{Proxy, Source};
use crate::next_hop::HostPort;

/// Opens a TCP connection to `target` by the source.
///
/// # Errors
/// What the system says, or the proxy.
pub(crate) async fn open(target: SocketAddr, source: &Source) -> io::Result<TcpStream> {
    match &source.proxy {
        None => open_directly(target, source).await,
        Some(Proxy::Socks5(server)) => {
            let stream = open_proxy(server).await?;
            let connected = Socks5Stream::connect_with_socket(stream, target).await;
            let refused = |error| io::Error::other(format!("the SOCKS server {server}: {error}"));
            connected.map(Socks5Stream::into_inner).map_err(refused)
        }
        Some(Proxy::Haproxy(server)) => {
            let own = source.address_for(target.ip()).map(|address| SocketAddr::new(address, 0));
            let header = own.and_then(|own| baton_smtp::proxy::write_header(own, target));
            let missing = || io::Error::other("the source has no address of this family");
            let header = header.ok_or_else(missing)?;
            let mut stream = open_proxy(server).await?;
            stream.write_all(&header).await?;
            Ok(stream)
        }
    }
}

async fn open_directly(target: SocketAddr, source: &Source) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(own) = source.address_for(target.ip()) {
        let bound = socket.bind(SocketAddr::new(own, 0));
        let refused = |error: io::Error| {
            io::Error::new(error.kind(), format!("can not use the address {own}: {error}"))
        };
        bound.map_err(refused)?;
    }
    // Small writes must not wait for the peer's delayed acknowledgements.
    socket.set_nodelay(true)?;
    socket.connect(target).await
}

async fn open_proxy(server: &HostPort) -> io::Result<TcpStream> {
    let opened = TcpStream::connect((server.host.as_str(), server.port)).await;
    let refused = |error: io::Error| io::Error::new(error.kind(), format!("the proxy {server}: {error}"));
    let stream = opened.map_err(refused)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
