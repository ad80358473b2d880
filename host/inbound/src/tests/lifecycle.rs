//! Start, stop, and what an idle session costs.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::{Relay, authenticator};
use crate::{ListenerKind, ListenerSettings};

/// R7: idle sessions are told, a running transaction ends, nobody new comes in.
#[tokio::test]
async fn a_stop_is_graceful() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let mut idle = relay.esmtp().await;
    let mut busy = relay.esmtp().await;
    busy.expect("MAIL FROM:<a@client.example>", "250").await;
    busy.expect("RCPT TO:<b@other.example>", "250").await;
    relay.shutdown.cancel();
    assert!(idle.reply().await.starts_with("421 4.3.2"));
    assert!(idle.closed().await);
    assert!(TcpStream::connect(relay.address()).await.is_err());
    busy.expect("DATA", "354").await;
    busy.send("x\r\n.\r\n").await;
    assert!(busy.reply().await.starts_with("250"));
    assert!(busy.reply().await.starts_with("421 4.3.2"));
    drop((idle, busy));
    let store = relay.store.clone();
    relay.running.await.unwrap();
    assert_eq!(store.find(&Default::default(), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let relay = Relay::start(ListenerKind::Mx, |settings, _| settings.drain_s = 1).await;
    let mut stuck = relay.esmtp().await;
    stuck.expect("MAIL FROM:<a@client.example>", "250").await;
    relay.shutdown.cancel();
    assert!(stuck.reply().await.starts_with("421 4.3.2"));
    relay.running.await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_remedy() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let address = relay.address();
    let second = ListenerSettings::new("second", address, ListenerKind::Lmtp);
    let settings = crate::InboundSettings::new("mx.example".parse().unwrap(), vec![second]);
    let deps = crate::InboundDeps {
        store: relay.store.clone(),
        hooks: Arc::new(arc_swap::ArcSwap::from_pointee(baton_hooks::Generation::empty())),
        resolver: baton_dns::Resolver::new(&Default::default()).unwrap(),
        verify: baton_hooks::worlds::World::default().capabilities().verify,
        authenticator: authenticator(&relay.store),
        signer: baton_identity::Signer::default(),
        clock: Arc::new(baton_mail::SystemClock),
        policy: relay.policy.clone(),
        metrics: relay.metrics.clone(),
        dmarc: Arc::new(baton_identity::reports::outgoing::Tally::new(Arc::new(baton_mail::SystemClock))),
        trace: baton_mail::trace::Hub::new(Arc::new(baton_mail::SystemClock)),
        tracking: Arc::default(),
        certificates: None,
    };
    let error = crate::Inbound::bind(settings, deps).await.err().unwrap().to_string();
    assert!(error.contains("second") && error.contains(&address.to_string()), "{error}");
    assert!(error.contains("choose another port"), "{error}");
}

/// The task of a session, with all that it holds between two commands, must leave room for what the runtime adds.
#[tokio::test]
async fn an_idle_session_is_small() {
    let octets = crate::session::task_octets();
    assert!(octets <= 4 << 10, "{octets}");
}
