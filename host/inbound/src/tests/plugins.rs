//! Verdicts of a real component, and what the client and the history are told of them.

use baton_hooks::Generation;
use baton_mail::event::What;
use serde_json::json;

use super::services::zoo;
use super::{Relay, id_in};
use crate::{InboundSettings, ListenerKind, Policy};

fn strangers_only(_: &mut InboundSettings, policy: &mut Policy) {
    policy.relay_networks.clear();
}

#[tokio::test]
async fn a_connection_is_refused_at_the_greeting() {
    let generation = zoo(json!({ "connect": "reject" }), false).await;
    let relay = Relay::with_plugins(ListenerKind::Mx, generation, |_, _| {}).await;
    let mut client = relay.connect().await;
    let greeting = client.reply().await;
    assert!(greeting.starts_with("554 ") && greeting.contains("the zoo is closed"), "{greeting}");
    client.expect("EHLO client.example", "503").await;
    client.expect("QUIT", "221").await;
}

#[tokio::test]
async fn a_trap_at_each_hook_is_a_refusal_for_now() {
    let generation = zoo(json!({ "connect": "trap" }), false).await;
    let relay = Relay::with_plugins(ListenerKind::Mx, generation, |_, _| {}).await;
    assert!(relay.connect().await.reply().await.starts_with("421 "));

    relay.hooks.store(zoo(json!({ "rcpt": "trap" }), false).await.into());
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@us.example>", "451 ").await;
    client.expect("NOOP", "250").await;

    relay.hooks.store(zoo(json!({ "data": "edit-then-trap" }), true).await.into());
    let reply = relay.esmtp().await.deliver("b@us.example", "x").await;
    assert!(reply.starts_with("451 "), "{reply}");
    assert!(relay.queue().await.is_empty());
    assert!(matches!(&relay.story(id_in(&reply)).await[..], [What::Rejected { recipient: None, .. }]));
}

#[tokio::test]
async fn submission_needs_an_account_and_completes_the_header() {
    let generation = zoo(json!({ "auth": "accept" }), false).await;
    let relay = Relay::with_plugins(ListenerKind::Submission, generation, |settings, policy| {
        strangers_only(settings, policy);
        settings.listeners[0].auth_without_tls = true;
        policy.auth_failure_delay_ms = 1;
    })
    .await;
    let mut client = relay.client().await;
    assert!(client.command("EHLO client.example").await.contains("AUTH PLAIN LOGIN"));
    client.expect("MAIL FROM:<a@client.example>", "530 5.7.0").await;
    client.expect(&format!("AUTH PLAIN {ADA_WRONG}"), "535").await;
    client.expect("MAIL FROM:<a@client.example>", "530 5.7.0").await;
    client.expect(&format!("AUTH PLAIN {ADA_SECRET}"), "235").await;
    let reply = client.deliver("b@other.example", "Subject: x\r\n\r\nx").await;
    assert!(reply.starts_with("250"), "{reply}");
    let body = relay.only_body().await;
    assert!(body.contains(" with ESMTPA id "), "{body}");
    assert!(body.contains("\r\nDate: ") && body.contains("\r\nMessage-ID: <"), "{body}");
    match &relay.story(id_in(&reply)).await[..] {
        [What::Accepted { origin, .. }] => assert_eq!(origin.account.as_deref(), Some("ada")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn guessing_passwords_ends_the_session() {
    let generation = zoo(json!({ "auth": "accept" }), false).await;
    let relay = Relay::with_plugins(ListenerKind::Submission, generation, |settings, policy| {
        settings.listeners[0].auth_without_tls = true;
        policy.auth_failure_delay_ms = 1;
        policy.auth_failures_max = 2;
    })
    .await;
    let mut client = relay.esmtp().await;
    client.expect(&format!("AUTH PLAIN {ADA_WRONG}"), "535").await;
    client.expect(&format!("AUTH PLAIN {ADA_WRONG}"), "421 4.7.0").await;
    assert!(client.closed().await);
}

#[tokio::test]
async fn without_a_setting_auth_is_not_offered_in_the_clear() {
    let generation = zoo(json!({ "auth": "accept" }), false).await;
    let relay = Relay::with_plugins(ListenerKind::Submission, generation, |_, _| {}).await;
    let mut client = relay.client().await;
    assert!(!client.command("EHLO client.example").await.contains("AUTH"));
    assert!(client.command(&format!("AUTH PLAIN {ADA_SECRET}")).await.starts_with("50"));
}

#[tokio::test]
async fn a_plugin_opens_the_relay_only_with_the_grant() {
    let accepting = || json!({ "rcpt": "accept" });
    let relay = Relay::with_plugins(ListenerKind::Mx, zoo(accepting(), false).await, strangers_only).await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "550 5.7.1").await;
    relay.hooks.store(zoo(accepting(), true).await.into());
    let reply = relay.esmtp().await.deliver("b@other.example", "x").await;
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test]
async fn what_a_plugin_made_of_a_refused_recipient_goes_with_it() {
    let generation = zoo(json!({ "rcpt": "edit" }), true).await;
    let relay = Relay::with_plugins(ListenerKind::Mx, generation, |_, _| {}).await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@us.example>", "250").await;
    client.expect("DATA", "354").await;
    client.send("x\r\n.\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    let recipients: Vec<_> = relay.queue().await.iter().flat_map(|job| job.recipients.clone()).collect();
    assert_eq!(
        recipients.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["lion@zoo.example", "tiger@zoo.example"]
    );

    relay.hooks.store(zoo(json!({ "rcpt": "edit-then-reject" }), true).await.into());
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@us.example>", "550").await;
    assert!(client.command("DATA").await.starts_with('5'));
}

#[tokio::test]
async fn a_plugin_edits_and_quarantines() {
    let generation = zoo(json!({ "data": "edit" }), true).await;
    let relay = Relay::with_plugins(ListenerKind::Mx, generation, |_, _| {}).await;
    let reply = relay.esmtp().await.deliver("b@us.example", "Subject: x\r\nX-Old: 1\r\n\r\nx").await;
    assert!(reply.starts_with("250"), "{reply}");
    let queue = relay.queue().await;
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].hold.as_deref(), Some("looks wild"));
    assert_eq!(queue[0].recipients[0].to_string(), "lion@zoo.example");
    let body = relay.only_body().await;
    assert!(body.starts_with("Received: ") && body.contains("Subject: the zoo\r\n"), "{body}");
    assert!(!body.contains("X-Old"), "{body}");
    let story = relay.story(id_in(&reply)).await;
    assert!(
        matches!(&story[..], [What::Accepted { decisions, .. }, What::Held { .. }] if decisions.len() == 1),
        "{story:?}"
    );
    assert_eq!(relay.metrics.messages_quarantined.get(), 1);
}

/// M3: a plugin that let one message pass is asked about the next one.
#[tokio::test]
async fn each_message_is_asked_about() {
    let generation = zoo(json!({ "data": "accept" }), false).await;
    let relay = Relay::with_plugins(ListenerKind::Mx, generation, |_, _| {}).await;
    let mut client = relay.esmtp().await;
    for _ in 0..2 {
        let reply = client.deliver("b@us.example", "x").await;
        let story = relay.story(id_in(&reply)).await;
        assert!(
            matches!(&story[..], [What::Accepted { decisions, .. }] if decisions.len() == 1 && decisions[0].hook == "data"),
            "{story:?}"
        );
    }
}

/// M2 with a plugin: a refused message leaves neither verdict nor recipients to the next one.
#[tokio::test]
async fn a_message_refused_by_a_plugin_leaves_nothing() {
    let generation = zoo(json!({ "data": "tempfail" }), false).await;
    let relay =
        Relay::with_plugins(ListenerKind::Mx, generation, |_, policy| policy.deadlines.generation_s = 0)
            .await;
    let mut client = relay.esmtp().await;
    let reply = client.deliver("b@us.example", "x").await;
    assert!(reply.starts_with("450 "), "{reply}");
    client.expect("RCPT TO:<c@us.example>", "503").await;
    // A session that is old enough takes the plugins of a reload at its next MAIL.
    relay.hooks.store(Generation::empty().into());
    let reply = client.deliver("d@us.example", "x").await;
    assert!(reply.starts_with("250"), "{reply}");
    let queue = relay.queue().await;
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].recipients[0].to_string(), "d@us.example");
}

/// A session keeps the plugins of its beginning.
#[tokio::test]
async fn a_reload_does_not_change_a_running_session() {
    let generation = zoo(json!({ "data": "reject" }), false).await;
    let relay = Relay::with_plugins(ListenerKind::Mx, generation, |_, _| {}).await;
    let mut old = relay.esmtp().await;
    relay.hooks.store(Generation::empty().into());
    let mut new = relay.esmtp().await;
    assert!(old.deliver("b@us.example", "x").await.starts_with("550 "));
    assert!(new.deliver("b@us.example", "x").await.starts_with("250 "));
}

/// `\0ada\0secret` and `\0ada\0wrong` in base64.
const ADA_SECRET: &str = "AGFkYQBzZWNyZXQ=";
const ADA_WRONG: &str = "AGFkYQB3cm9uZw==";
