//! Bounds on connections and memory.

use super::{Relay, id_in};
use crate::ListenerKind;
use crate::metrics::TurnedAwayLabel;

/// R2: one client with too many connections is turned away, another is served.
#[tokio::test]
async fn one_client_can_not_take_all_places() {
    let relay =
        Relay::for_strangers(|settings, _| settings.listeners[0].connections_per_address_max = 2).await;
    let first = relay.client().await;
    let _second = relay.client().await;
    for _ in 0..100 {
        let mut crowded = relay.connect().await;
        assert!(crowded.reply().await.starts_with("421 4.7.0"));
        assert!(crowded.closed().await);
    }
    let mut other = relay.connect_from([127, 0, 0, 2].into()).await;
    assert!(other.reply().await.starts_with("220"));
    let label = TurnedAwayLabel { listener: "test".to_owned(), bound: "connections-per-address" };
    assert_eq!(relay.metrics.turned_away.get_or_create(&label).get(), 100);
    drop(first);
    // The place is free as soon as the server saw the end of that session.
    while !relay.connect().await.reply().await.starts_with("220") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_sessions_together_are_bounded() {
    let relay = Relay::start(ListenerKind::Mx, |settings, _| settings.sessions_max = 1).await;
    let _only = relay.client().await;
    assert!(relay.connect().await.reply().await.starts_with("421 4.7.0"));
}

/// R6, in small: announced sizes are reserved, and given back with the transaction.
#[tokio::test]
async fn content_memory_is_shared_and_bounded() {
    let relay = Relay::start(ListenerKind::Mx, |_, policy| policy.memory_octets_max = 1 << 20).await;
    let mut first = relay.esmtp().await;
    first.expect("MAIL FROM:<a@client.example> SIZE=2000000", "452 4.3.1").await;
    first.expect("MAIL FROM:<a@client.example> SIZE=1000000", "250").await;
    first.expect("RCPT TO:<b@other.example>", "250").await;
    first.expect("DATA", "354").await;
    let mut second = relay.esmtp().await;
    second.expect("MAIL FROM:<a@client.example>", "452 4.3.1").await;
    first.send("x\r\n.\r\n").await;
    assert!(first.reply().await.starts_with("250"));
    assert!(second.deliver("b@other.example", "y").await.starts_with("250"));
}

/// Content without an announced size is stopped when there is no memory left for it.
#[tokio::test]
async fn unannounced_content_is_bounded_too() {
    let relay = Relay::start(ListenerKind::Mx, |_, policy| policy.memory_octets_max = 1 << 20).await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "250").await;
    client.expect("DATA", "354").await;
    let line = "x".repeat(98) + "\r\n";
    client.send(line.repeat(20_000) + ".\r\n").await;
    let reply = client.reply().await;
    assert!(reply.starts_with("452 4.3.1") || reply.starts_with("421 4.3.1"), "{reply}");
    assert!(relay.queue().await.is_empty());
    let reply = relay.esmtp().await.deliver("b@other.example", "x").await;
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test]
async fn a_large_message_comes_through_whole() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let content = format!("Subject: x\r\n\r\n{}", "0123456789abcdef\r\n".repeat(100_000));
    let reply = relay.esmtp().await.deliver("b@other.example", content.trim_end()).await;
    assert!(reply.starts_with("250"), "{reply}");
    let body = relay.store.body(id_in(&reply)).await.unwrap();
    assert!(body.to_bytes().ends_with(content.as_bytes()));
}
