//! Logins at smart hosts: what is sent, and what is never sent.

use std::sync::Arc;

use baton_outbound::{Login, LoginMechanism, LoginSecret, OutboundSettings, TlsPolicy, TlsUse};

use crate::peer::{Line, Peer, Say, Step, script, take_one};
use crate::relay::{Relay, host, settings, short};

fn login(secret: &[&str], mechanism: LoginMechanism) -> Login {
    Login {
        user: "me".to_owned(),
        secret: LoginSecret::Command(secret.iter().map(|word| (*word).to_owned()).collect()),
        mechanisms: vec![mechanism],
        without_tls: true,
    }
}

fn with(peer: &Peer, login: Login) -> OutboundSettings {
    let mut settings = settings(host(peer.address));
    let policy = TlsPolicy { login: Some(Arc::new(login)), ..TlsPolicy::with_mode(TlsUse::Off) };
    settings.tls.by_next_hop.insert(host(peer.address), policy);
    settings
}

fn offering(mechanism: &'static str) -> Vec<Step> {
    let hello = match mechanism {
        "XOAUTH2" => "250-peer\r\n250 AUTH XOAUTH2\r\n",
        _ => "250-peer\r\n250 AUTH SCRAM-SHA-256\r\n",
    };
    vec![Say("220 peer ESMTP\r\n"), Line, Say(hello), Line]
}

/// What became of one message; then what the peer heard of the login.
async fn outcome(settings: OutboundSettings, peer: &Peer) -> (String, Vec<String>) {
    let relay = Relay::start(settings);
    let id = relay.submit("a@here.test", &["b@there.test"], "Subject: x\r\n\r\nhello\r\n").await;
    let outcome = short(&relay.outcome(id).await);
    relay.stop().await;
    (
        outcome,
        peer.heard(|heard| heard.lines.iter().filter(|line| !line.starts_with("EHLO")).cloned().collect()),
    )
}

#[tokio::test]
async fn a_token_is_what_a_program_prints() {
    let peer =
        Peer::start(vec![script([offering("XOAUTH2"), vec![Say("235 2.7.0 ok\r\n")], take_one()])]).await;
    let (outcome, lines) =
        outcome(with(&peer, login(&["echo", "token"], LoginMechanism::XOAuth2)), &peer).await;
    assert_eq!(outcome, "delivered data 2.0.0");
    // user=me, auth=Bearer token, each ended by 0x01, and one more.
    assert_eq!(lines.first().map(String::as_str), Some("AUTH XOAUTH2 dXNlcj1tZQFhdXRoPUJlYXJlciB0b2tlbgEB"));
}

#[tokio::test]
async fn a_refused_token_makes_mail_wait() {
    let refusal = vec![Say("334 eyJzdGF0dXMiOiI0MDEifQ==\r\n"), Line, Say("535 5.7.8 no\r\n")];
    let peer = Peer::start(vec![script([offering("XOAUTH2"), refusal])]).await;
    let (outcome, lines) =
        outcome(with(&peer, login(&["echo", "old"], LoginMechanism::XOAuth2)), &peer).await;
    assert_eq!(outcome, "deferred ehlo 4.7.8");
    assert_eq!(lines.get(1).map(String::as_str), Some(""), "an empty answer to the reason");
}

#[tokio::test]
async fn a_peer_that_does_not_prove_itself_gets_no_mail() {
    let peer =
        Peer::start(vec![script([offering("SCRAM"), vec![Say("235 2.7.0 ok\r\n")], take_one()])]).await;
    let (outcome, _) = outcome(with(&peer, login(&["echo", "x"], LoginMechanism::ScramSha256)), &peer).await;
    assert_eq!((outcome.as_str(), peer.count("MAIL")), ("deferred ehlo 4.7.8", 0));
}

#[tokio::test]
async fn without_tls_no_secret_is_sent() {
    let peer =
        Peer::start(vec![script([offering("XOAUTH2"), vec![Say("235 2.7.0 ok\r\n")], take_one()])]).await;
    let wary = Login { without_tls: false, ..login(&["echo", "token"], LoginMechanism::XOAuth2) };
    let (outcome, _) = outcome(with(&peer, wary), &peer).await;
    assert_eq!((outcome.as_str(), peer.count("AUTH")), ("deferred ehlo 4.7.8", 0));
    let peer = Peer::start(vec![script([offering("XOAUTH2"), take_one()])]).await;
    let (outcome, _) = self::outcome(with(&peer, login(&["false"], LoginMechanism::XOAuth2)), &peer).await;
    assert_eq!((outcome.as_str(), peer.count("AUTH")), ("deferred ehlo 4.7.8", 0), "no secret at all");
}
