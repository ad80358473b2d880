//! What mail leaves by: addresses, names and proxies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use baton_mail::event::What;
use baton_outbound::{HostPort, OutboundSettings, Pool, Proxy, Source, SourceSettings};
use baton_smtp::proxy::{Proxied, ProxyRead, read_header};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::peer::{Peer, hello, script, take_one};
use crate::relay::{Relay, host, settings, short};

fn source(name: &str, address: &str, proxy: Option<Proxy>) -> Arc<Source> {
    let ehlo = format!("{name}.relay.test");
    Arc::new(Source {
        name: name.to_owned(),
        addresses: vec![address.parse().unwrap()],
        ehlo: Some(ehlo.parse().unwrap()),
        proxy,
    })
}

/// Settings where each message has a connection of its own, by these sources.
fn by_sources(peer: &Peer, members: Vec<(Arc<Source>, u32)>) -> OutboundSettings {
    let mut settings = settings(host(peer.address));
    settings.limits.deliveries_per_connection_max = 1;
    let default = Arc::new(Pool::new("default", members));
    settings.sources = Arc::new(SourceSettings { default, ..SourceSettings::default() });
    settings
}

async fn peer() -> Peer {
    Peer::start(vec![script([hello(), take_one()])]).await
}

#[tokio::test]
async fn mail_leaves_by_the_sources_of_the_pool_in_turns() {
    let peer = peer().await;
    let members = vec![(source("a", "127.0.0.2", None), 3), (source("b", "127.0.0.3", None), 1)];
    let relay = Relay::start(by_sources(&peer, members));
    for number in 0..4 {
        let id = relay.submit("s@a.example", &[&format!("r{number}@b.example")], "x\r\n").await;
        let outcome = relay.outcome(id).await;
        let What::Delivered { status, .. } = &outcome else { panic!("{outcome:?}") };
        let told = status.to_string();
        assert!(
            told.contains("from a as a.relay.test [127.0.0.2]")
                || told.contains("from b as b.relay.test [127.0.0.3]"),
            "{told}"
        );
    }
    let count = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        peer.heard(|heard| heard.clients.iter().filter(|client| **client == address).count())
    };
    assert_eq!((count("127.0.0.2"), count("127.0.0.3")), (3, 1));
    assert_eq!((peer.count("EHLO a.relay.test"), peer.count("EHLO b.relay.test")), (3, 1));
}

#[tokio::test]
async fn a_tenant_leaves_by_its_own_pool() {
    let peer = peer().await;
    let mut settings = by_sources(&peer, vec![(source("a", "127.0.0.2", None), 1)]);
    let mut sources = SourceSettings::clone(&settings.sources);
    let own = Arc::new(Pool::new("own", vec![(source("b", "127.0.0.3", None), 1)]));
    sources.by_tenant.insert("acme".to_owned(), own);
    settings.sources = Arc::new(sources);
    let relay = Relay::start(settings);
    let tenant = |envelope: &mut baton_mail::Envelope| envelope.tenant = Some("acme".to_owned());
    let id = relay.submit_with("s@a.example", &["r@b.example"], b"x\r\n", tenant).await;
    assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
    assert_eq!(peer.count("EHLO b.relay.test"), 1);
}

#[tokio::test]
async fn a_host_of_another_family_is_not_tried() {
    let peer = peer().await;
    let relay = Relay::start(by_sources(&peer, vec![(source("six", "::1", None), 1)]));
    let id = relay.submit("s@a.example", &["r@b.example"], "x\r\n").await;
    let outcome = relay.outcome(id).await;
    assert_eq!(short(&outcome), "deferred connect 4.4.4");
    assert!(format!("{outcome:?}").contains("the source six has no address for IPv4"));
    assert_eq!(peer.heard(|heard| heard.connections), 0);
}

/// A SOCKS server (RFC 1928) without authentication that connects from this address.
async fn socks_server(from: &'static str) -> (SocketAddr, JoinSet<()>) {
    proxy(move |mut client: TcpStream| async move {
        let mut greeting = [0; 3];
        client.read_exact(&mut greeting).await?;
        assert_eq!(greeting, [5, 1, 0]);
        client.write_all(&[5, 0]).await?;
        let mut request = [0; 10];
        client.read_exact(&mut request).await?;
        let [5, 1, 0, 1, a, b, c, d, high, low] = request else { panic!("{request:?}") };
        let target = SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes([high, low]));
        let server = connect(from.parse().unwrap(), target).await?;
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        Ok((client, server))
    })
    .await
}

/// A balancer that connects to this target from the address that the PROXY header names.
async fn balancer(target: SocketAddr) -> (SocketAddr, JoinSet<()>) {
    proxy(move |mut client: TcpStream| async move {
        let mut header = Vec::new();
        let from = loop {
            match read_header(&header).unwrap() {
                ProxyRead::Needs(more) => {
                    let mut octets = vec![0; more];
                    client.read_exact(&mut octets).await?;
                    header.append(&mut octets);
                }
                ProxyRead::Done(Proxied::Client(from)) => break from.ip(),
                ProxyRead::Done(other) => panic!("{other:?}"),
            }
        };
        let server = connect(from, target).await?;
        Ok((client, server))
    })
    .await
}

async fn connect(from: IpAddr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(target).await
}

async fn proxy<Met>(meet: impl Fn(TcpStream) -> Met + Send + 'static) -> (SocketAddr, JoinSet<()>)
where
    Met: Future<Output = std::io::Result<(TcpStream, TcpStream)>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let met = meet(client);
            connections.spawn(async move {
                let (mut client, mut server) = met.await.unwrap();
                // Either side may go at any time.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, task)
}

#[tokio::test]
async fn mail_leaves_through_proxies() {
    let peer = peer().await;
    let (socks, _socks) = socks_server("127.0.0.4").await;
    let (balancer, _balancer) = balancer(peer.address).await;
    let at = |address: SocketAddr| HostPort { host: address.ip().to_string(), port: address.port() };
    let members = vec![
        (source("socks", "127.0.0.4", Some(Proxy::Socks5(at(socks)))), 1),
        (source("balancer", "127.0.0.5", Some(Proxy::Haproxy(at(balancer)))), 1),
    ];
    let relay = Relay::start(by_sources(&peer, members));
    for _ in 0..2 {
        let id = relay.submit("s@a.example", &["r@b.example"], "x\r\n").await;
        assert_eq!(short(&relay.outcome(id).await), "delivered data 2.0.0");
    }
    let mut clients = peer.heard(|heard| heard.clients.clone());
    clients.sort();
    assert_eq!(clients, ["127.0.0.4", "127.0.0.5"].map(|text| text.parse::<IpAddr>().unwrap()));
    assert_eq!((peer.count("EHLO socks.relay.test"), peer.count("EHLO balancer.relay.test")), (1, 1));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let peer = peer().await;
    let nobody = HostPort { host: "127.0.0.1".to_owned(), port: 9 };
    let members = vec![(source("a", "127.0.0.2", Some(Proxy::Socks5(nobody))), 1)];
    let relay = Relay::start(by_sources(&peer, members));
    let id = relay.submit("s@a.example", &["r@b.example"], "x\r\n").await;
    let outcome = relay.outcome(id).await;
    assert_eq!(short(&outcome), "deferred connect 4.4.1");
    assert!(format!("{outcome:?}").contains("the proxy 127.0.0.1:9"), "{outcome:?}");
}
