//! Transactions: content, trace fields, isolation from one another.

use baton_mail::event::What;
use tokio::io::AsyncReadExt;

use super::{Relay, id_in};
use crate::{ListenerKind, TooComplexPolicy};

#[tokio::test]
async fn a_message_gets_its_trace_field_and_nothing_else() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let reply = relay.esmtp().await.deliver("b@other.example", "Subject: x\r\n\r\nbody").await;
    let body = relay.only_body().await;
    let id = id_in(&reply);
    assert!(
        body.starts_with("Received: from client.example ([127.0.0.1])\r\n\tby mx.example with ESMTP id "),
        "{body}"
    );
    assert!(body.contains(&format!("id {id}\r\n\tfor <b@other.example>;\r\n\t")), "{body}");
    assert!(body.ends_with("+0000\r\nSubject: x\r\n\r\nbody\r\n"), "{body}");
    assert!(matches!(&relay.story(id).await[..], [What::Accepted { .. }]));
}

#[tokio::test]
async fn several_recipients_are_not_shown_to_each_other() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let mut client = relay.client().await;
    client.expect("HELO client.example", "250").await;
    client.expect("MAIL FROM:<>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "250").await;
    client.expect("RCPT TO:<c@other.example>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "250").await;
    client.expect("DATA", "354").await;
    client.send("Subject: x\r\n\r\n.\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    let body = relay.only_body().await;
    assert!(body.contains(" with SMTP id ") && !body.contains("for <"), "{body}");
    assert_eq!(relay.queue().await[0].recipients.len(), 2);
}

#[tokio::test]
async fn replies_of_a_batch_leave_in_one_write() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let mut client = relay.esmtp().await;
    client
        .send("MAIL FROM:<a@client.example>\r\nRCPT TO:<b@other.example>\r\nRCPT TO:<c@third.example>\r\nDATA\r\n")
        .await;
    let mut octets = vec![0; 4_096];
    let read = client.stream.get_mut().read(&mut octets).await.unwrap();
    assert_eq!(octets[..read].iter().filter(|octet| **octet == b'\n').count(), 4);
    client.send("x\r\n.\r\nQUIT\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    assert!(client.reply().await.starts_with("221"));
    assert!(client.closed().await);
    assert_eq!(relay.queue().await.len(), 2);
}

/// M2: after a refused end of data nothing of the transaction is left.
#[tokio::test]
async fn a_refused_message_leaves_no_transaction() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let mut client = relay.esmtp().await;
    let looping = "Received: by x\r\n".repeat(51) + "\r\nbody";
    let reply = client.deliver("b@other.example", &looping).await;
    assert!(reply.starts_with("554 5.4.6"), "{reply}");
    assert!(matches!(&relay.story(id_in(&reply)).await[..], [What::Rejected { recipient: None, .. }]));
    client.expect("RCPT TO:<c@other.example>", "503").await;
    client.expect("DATA", "503").await;
    let reply = client.deliver("d@other.example", "x").await;
    assert!(reply.starts_with("250"), "{reply}");
    let queue = relay.queue().await;
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].recipients[0].to_string(), "d@other.example");
}

/// M3, as far as the relay's own rules go: each message is judged anew, and RSET forgets.
#[tokio::test]
async fn a_second_message_knows_nothing_of_the_first() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let mut client = relay.esmtp().await;
    let first = client.deliver("b@one.example", "x").await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<dropped@two.example>", "250").await;
    client.expect("RSET", "250").await;
    let second = client.deliver("c@two.example", "y").await;
    assert_ne!(id_in(&first), id_in(&second));
    let queue = relay.queue().await;
    let recipients: Vec<_> = queue.iter().map(|job| job.recipients.clone()).collect();
    assert_eq!(recipients.iter().flatten().count(), 2, "{recipients:?}");
}

/// M6: DATA without a valid recipient, pipelined.
#[tokio::test]
async fn data_without_recipients_is_refused() {
    let relay = Relay::for_strangers(|_, _| {}).await;
    let mut client = relay.esmtp().await;
    client.send("MAIL FROM:<a@client.example>\r\nRCPT TO:<b@other.example>\r\nDATA\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    assert!(client.reply().await.starts_with("550"));
    let reply = client.reply().await;
    assert!(reply.starts_with("554") || reply.starts_with("503"), "{reply}");
    client.expect("NOOP", "250").await;
    assert!(relay.queue().await.is_empty());
}

/// M11: what has no end is no message.
#[tokio::test]
async fn content_without_its_end_is_not_queued() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "250").await;
    client.expect("DATA", "354").await;
    client.send("Subject: x\r\n\r\nhalf of it\r\n").await;
    tokio::io::AsyncWriteExt::shutdown(client.stream.get_mut()).await.unwrap();
    assert!(client.closed().await);
    assert!(relay.queue().await.is_empty());
}

/// S5: a client of the relay networks is held to the same framing as anybody.
#[tokio::test]
async fn no_address_may_smuggle() {
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    for fake in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\r\n.\r\r\n", "\r\n\0.\r\n"]
    {
        let mut client = relay.esmtp().await;
        let before = relay.queue().await.len();
        let hidden = "MAIL FROM:<evil@client.example>\r\nRCPT TO:<victim@other.example>\r\nDATA\r\nhidden";
        let reply = client.deliver("b@other.example", &format!("Subject: x\r\n\r\nx{fake}{hidden}")).await;
        assert!(reply.starts_with("250") || reply.starts_with('5'), "{fake:?}: {reply}");
        client.expect("NOOP", "250").await;
        let queue = relay.queue().await;
        assert!(queue.len() <= before + 1, "{fake:?}");
        assert!(queue.iter().all(|job| job.recipients[0].to_string() == "b@other.example"), "{fake:?}");
    }
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let relay = Relay::start(ListenerKind::Lmtp, |_, _| {}).await;
    let mut client = relay.client().await;
    client.expect("LHLO client.example", "250").await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "250").await;
    client.expect("DATA", "354").await;
    client.send("x\r\n.\r\n").await;
    let first = client.reply().await;
    assert!(first.starts_with("250"), "{first}");
    assert_eq!(client.reply().await, first);
    client.expect("NOOP", "250").await;
    assert!(relay.only_body().await.contains(" with LMTP id "));
}

#[tokio::test]
async fn a_bomb_is_relayed_unparsed_or_refused_by_policy() {
    let bomb = "Content-Type: message/rfc822\r\n\r\n".repeat(22_000);
    let relay = Relay::start(ListenerKind::Mx, |_, _| {}).await;
    let reply = relay.esmtp().await.deliver("b@other.example", &bomb).await;
    assert!(reply.starts_with("250"), "{reply}");
    let strict =
        Relay::start(ListenerKind::Mx, |_, policy| policy.too_complex = TooComplexPolicy::Refuse).await;
    let reply = strict.esmtp().await.deliver("b@other.example", &bomb).await;
    assert!(reply.starts_with("554 5.6.0"), "{reply}");
    assert!(strict.queue().await.is_empty());
}
