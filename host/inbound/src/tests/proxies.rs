//! Balancers in front that speak the PROXY protocol.

use baton_mail::event::What;
use tokio::io::AsyncWriteExt;

use super::{Client, Relay, id_in};
use crate::metrics::TurnedAwayLabel;
use crate::{InboundSettings, ListenerKind, Policy};

/// Clients at 127.0.0.1 are balancers; 192.0.2.7 may relay and nobody else.
fn behind_a_balancer(settings: &mut InboundSettings, policy: &mut Policy) {
    settings.listeners[0].proxy_networks = vec!["127.0.0.1/32".parse().unwrap()];
    settings.listeners[0].connections_per_address_max = 2;
    policy.relay_networks = vec!["192.0.2.7/32".parse().unwrap()];
}

async fn behind(relay: &Relay, header: &[u8]) -> Client {
    let mut client = relay.connect().await;
    client.send(header).await;
    client
}

async fn relay() -> Relay {
    Relay::start(ListenerKind::Mx, behind_a_balancer).await
}

/// Version 2 for this client.
fn binary(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&client);
    header.extend_from_slice(&[127, 0, 0, 1, 0x9c, 0x40, 0, 25]);
    header
}

#[tokio::test]
async fn the_balancer_tells_who_the_client_is() {
    let relay = relay().await;
    let line = b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 25\r\n".to_vec();
    for header in [line, binary([192, 0, 2, 7])] {
        let mut client = behind(&relay, &header).await;
        assert!(client.reply().await.starts_with("220"));
        client.expect("EHLO client.example", "250").await;
        let reply = client.deliver("b@other.example", "x").await;
        assert!(reply.starts_with("250"), "{reply}");
        let What::Accepted { origin, .. } = relay.story(id_in(&reply)).await.remove(0) else { panic!() };
        assert_eq!((origin.client, origin.client_port), (Some([192, 0, 2, 7].into()), 40_000));
    }
    let mut stranger = behind(&relay, &binary([192, 0, 2, 8])).await;
    assert!(stranger.reply().await.starts_with("220"));
    stranger.expect("EHLO client.example", "250").await;
    stranger.expect("MAIL FROM:<a@client.example>", "250").await;
    stranger.expect("RCPT TO:<b@other.example>", "550 5.7.1").await;
}

/// Limits hold for the clients, not for the balancer that they share.
#[tokio::test]
async fn limits_are_those_of_the_client() {
    let relay = relay().await;
    let mut kept = Vec::new();
    for host in 1..=5 {
        for _ in 0..2 {
            let mut client = behind(&relay, &binary([192, 0, 2, host])).await;
            assert!(client.reply().await.starts_with("220"));
            kept.push(client);
        }
    }
    assert!(behind(&relay, &binary([192, 0, 2, 1])).await.reply().await.starts_with("421 4.7.0"));
    let label = TurnedAwayLabel { listener: "test".to_owned(), bound: "connections-per-address" };
    assert_eq!(relay.metrics.turned_away.get_or_create(&label).get(), 1);
}

/// A19: without a sound header the connection of a balancer is nobody's.
#[tokio::test]
async fn without_a_sound_header_nothing_is_said() {
    let relay = relay().await;
    for bad in [
        &b"EHLO client.example\r\n"[..],
        b"PROXY TCP4 1.2.3.4 x 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        &[0; 300],
    ] {
        let mut client = behind(&relay, bad).await;
        assert_eq!(client.reply().await, "");
    }
    let label = TurnedAwayLabel { listener: "test".to_owned(), bound: "proxy-header" };
    assert_eq!(relay.metrics.turned_away.get_or_create(&label).get(), 4);
}

#[tokio::test]
async fn a_header_has_its_deadline() {
    let relay = Relay::start(ListenerKind::Mx, |settings, policy| {
        behind_a_balancer(settings, policy);
        policy.deadlines.handshake_s = 1;
    })
    .await;
    let mut client = behind(&relay, b"PROXY TCP4 192").await;
    assert_eq!(client.reply().await, "");
}

/// A stranger who tells of another client is not believed, and the header sent twice is a command like any other.
#[tokio::test]
async fn nobody_else_is_believed() {
    let relay = relay().await;
    let mut stranger = relay.connect_from([127, 0, 0, 2].into()).await;
    assert!(stranger.reply().await.starts_with("220"));
    stranger.expect("PROXY TCP4 192.0.2.7 127.0.0.1 40000 25", "500").await;
    stranger.expect("EHLO client.example", "250").await;
    stranger.expect("MAIL FROM:<a@client.example>", "250").await;
    stranger.expect("RCPT TO:<b@other.example>", "550 5.7.1").await;
    let mut twice = behind(&relay, &binary([192, 0, 2, 8])).await;
    assert!(twice.reply().await.starts_with("220"));
    twice.expect("PROXY TCP4 192.0.2.7 127.0.0.1 40000 25", "500").await;
    // The health check of a balancer is its own connection.
    let mut check = behind(&relay, b"PROXY UNKNOWN\r\n").await;
    assert!(check.reply().await.starts_with("220"));
    check.stream.get_mut().shutdown().await.unwrap();
}
