//! Who the client is: the peer, or whom a trusted balancer in front names.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::listener::{Listener, Place, turn_away};
use crate::log;
use crate::proxy::{Proxied, ProxyError, read_header};
use crate::stream::Socket;

/// The client's address; none when the connection is over: without its header a balancer's connection is nobody's.
pub(super) async fn learn_client(
    listener: &Listener,
    socket: &mut Socket,
    peer: SocketAddr,
    place: &mut Place,
) -> Option<SocketAddr> {
    if !listener.is_balancer(peer.ip()) {
        return Some(peer);
    }
    let seconds = listener.deps.policy.load().deadlines.handshake_s;
    // Boxed, so that other sessions do not carry the room for a header.
    let header = timeout(Duration::from_secs(seconds), Box::pin(read_header(socket)));
    let late = || ProxyError::Gone(std::io::ErrorKind::TimedOut.into());
    let client = match header.await.unwrap_or_else(|_| Err(late())) {
        Ok(Proxied::Itself) => return Some(peer),
        Ok(Proxied::Client(client)) => client,
        Err(error) => {
            listener.deps.metrics.count_turned_away(&listener.name, "proxy-header");
            log::no_proxy_header(&listener.name, peer, &error);
            return None;
        }
    };
    match listener.count_client(place, client.ip()) {
        Ok(()) => Some(client),
        Err(crowded) => {
            turn_away(listener, socket, client, crowded);
            None
        }
    }
}
