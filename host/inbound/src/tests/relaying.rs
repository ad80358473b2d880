//! Who may send to whom, over the wire.

use baton_mail::event::What;

use super::{Relay, id_in};
use crate::ListenerKind;

#[tokio::test]
async fn strangers_reach_local_domains_only() {
    let relay = Relay::for_strangers(|_, _| {}).await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    for denied in [
        "b@other.example",
        "b@sub.us.example",
        "b@[127.0.0.1]",
        "@us.example:b@other.example",
        "b%other.example@us.example",
        "other.example!b@us.example",
        "\"b@other.example\"@us.example",
    ] {
        let reply = client.command(&format!("RCPT TO:<{denied}>")).await;
        assert!(reply.starts_with("550 5.7.1 Relaying denied"), "{denied}: {reply}");
    }
    for refused in ["b@us.example.", "b@us.example:2525", "@us.example", "b"] {
        let reply = client.command(&format!("RCPT TO:<{refused}>")).await;
        assert!(reply.starts_with('5'), "{refused}: {reply}");
    }
    client.expect("RCPT TO:<@other.example:b@us.example>", "250").await;
    client.expect("RCPT TO:<b@US.EXAMPLE>", "250").await;
    client.expect("RCPT TO:<Postmaster>", "250").await;
    client.expect("DATA", "354").await;
    client.send("Subject: x\r\n\r\nx\r\n.\r\n").await;
    assert!(client.reply().await.starts_with("250 "));
    let mut recipients: Vec<_> =
        relay.queue().await.iter().flat_map(|job| &job.recipients).map(ToString::to_string).collect();
    recipients.sort();
    assert_eq!(recipients, ["b@us.example", "postmaster@mx.example"]);
}

#[tokio::test]
async fn relay_networks_reach_every_domain() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let reply = relay.esmtp().await.deliver("\"b@c\"@other.example", "x").await;
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    let queue = relay.queue().await;
    assert_eq!(queue[0].queue, "other.example");
    assert_eq!(queue[0].recipients[0].local(), "\"b@c\"");
}

#[tokio::test]
async fn a_reload_closes_the_door_for_open_sessions() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "250").await;
    let mut closed = (**relay.policy.load()).clone();
    closed.relay_networks.clear();
    relay.policy.store(closed.into());
    client.expect("RCPT TO:<c@other.example>", "550 5.7.1").await;
}

#[tokio::test]
async fn a_submission_listener_wants_authentication_first() {
    let relay = Relay::start(ListenerKind::Submission, |_, _| {}).await;
    let mut client = relay.client().await;
    let offer = client.command("EHLO client.example").await;
    assert!(!offer.contains("AUTH"), "{offer}");
    client.expect("MAIL FROM:<a@client.example>", "530 5.7.0").await;
    client.expect("RCPT TO:<b@us.example>", "503").await;
}

#[tokio::test]
async fn a_refused_recipient_is_in_the_history_by_the_id_of_its_reply() {
    let relay = Relay::for_strangers(|_, policy| policy.rejections_recorded_max = 1).await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    let reply = client.expect("RCPT TO:<b@other.example>", "550 5.7.1").await;
    let story = relay.story(id_in(&reply)).await;
    assert!(
        matches!(&story[..], [What::Rejected { recipient: Some(recipient), reply, .. }]
            if recipient.to_string() == "b@other.example" && reply.code() == 550),
        "{story:?}"
    );
    let unrecorded = client.expect("RCPT TO:<c@other.example>", "550 5.7.1").await;
    assert!(!unrecorded.contains('('), "{unrecorded}");
}
