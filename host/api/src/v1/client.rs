//! Where a request comes from: the peer, or whom a trusted proxy names.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::HeaderMap;
use baton_mail::TlsFacts;
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Arc<TlsFacts>>,
}

impl Peer {
    /// Whether TLS protects the whole way: to us, or to a trusted proxy that says so.
    pub(super) fn is_protected(&self, headers: &HeaderMap, trusted: &[IpNet]) -> bool {
        let is_proxy = trusted.iter().any(|network| network.contains(&self.address.ip().to_canonical()));
        let by_proxy =
            || headers.get("x-forwarded-proto").is_some_and(|scheme| scheme.as_bytes() == b"https");
        self.tls.is_some() || is_proxy && by_proxy()
    }
}

/// The client: the peer, unless that is a trusted proxy. Then the last address in `X-Forwarded-For` that is none; what
/// stands before it anybody can have written.
pub(super) fn client(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> SocketAddr {
    let is_trusted =
        |address: IpAddr| trusted.iter().any(|network| network.contains(&address.to_canonical()));
    let mut client = peer;
    let named = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
    let mut named = named.flat_map(|list| list.rsplit(',')).map(str::trim);
    while is_trusted(client.ip()) {
        let Some(next) = named.next().and_then(read) else { break };
        client = next;
    }
    client
}

/// An address, with a port or without.
fn read(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(|address: IpAddr| SocketAddr::new(address, 0)).or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        client(peer.parse().unwrap(), &headers, &trusted).ip().to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_who_the_client_is() {
        assert_eq!(found("192.0.2.1:5", &["198.51.100.7"], &[]), "192.0.2.1");
        assert_eq!(found("192.0.2.1:5", &["198.51.100.7"], &["10.0.0.0/8"]), "192.0.2.1");
        assert_eq!(found("10.0.0.1:5", &["198.51.100.7"], &["10.0.0.0/8"]), "198.51.100.7");
        assert_eq!(found("10.0.0.1:5", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn what_a_client_writes_itself_is_not_believed() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(found("10.0.0.1:5", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], &trusted), "198.51.100.7");
        assert_eq!(found("10.0.0.1:5", &["1.1.1.1", "198.51.100.7"], &trusted), "198.51.100.7");
        assert_eq!(found("10.0.0.1:5", &["198.51.100.7, nonsense"], &trusted), "10.0.0.1");
        assert_eq!(found("10.0.0.1:5", &["[2001:db8::1]:77"], &trusted), "2001:db8::1");
        assert_eq!(found("[::ffff:10.0.0.1]:5", &["[2001:db8::1]"], &trusted), "2001:db8::1");
    }
}
