//! Slow clients: deadlines hold for a request, not for a read.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Client, PATIENCE, Relay};
use crate::ListenerKind;

/// R1: a command that comes in drips does not extend its deadline.
#[tokio::test]
async fn a_dripping_command_is_ended() {
    let relay = Relay::start(ListenerKind::Mx, |_, policy| policy.deadlines.command_s = 1).await;
    let client = relay.esmtp().await;
    assert!(drip(client, "x").await.starts_with("421 4.4.2"));
    assert_eq!(relay.metrics.deadlines_passed.get(), 1);
}

/// R1: content below the lowest rate is ended, and not queued.
#[tokio::test]
async fn dripping_content_is_ended() {
    let relay = Relay::start(ListenerKind::Mx, |_, policy| policy.deadlines.data_s = 1).await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "250").await;
    client.expect("DATA", "354").await;
    assert!(drip(client, "x\r\n").await.starts_with("421 4.4.2"));
    assert!(relay.queue().await.is_empty());
}

/// Content above the lowest rate may take longer than the fixed time.
#[tokio::test]
async fn steady_content_is_taken() {
    let relay = Relay::start(ListenerKind::Mx, |_, policy| {
        policy.deadlines.data_s = 1;
        policy.deadlines.data_octets_per_s = 10;
    })
    .await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "250").await;
    client.expect("RCPT TO:<b@other.example>", "250").await;
    client.expect("DATA", "354").await;
    for _ in 0..8 {
        client.send("sixteen octets.\r\n").await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    client.send(".\r\n").await;
    assert!(client.reply().await.starts_with("250"));
}

/// A busy session does not last for ever, even if each of its commands is quick.
#[tokio::test]
async fn a_session_has_an_end() {
    let relay = Relay::start(ListenerKind::Mx, |_, policy| policy.deadlines.session_s = 1).await;
    let mut client = relay.esmtp().await;
    loop {
        let reply = client.command("RSET").await;
        if !reply.starts_with("250") {
            assert!(reply.starts_with("421"), "{reply}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// R3: a client that never reads its replies is cut, and costs no memory meanwhile.
#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    let relay = Relay::start(ListenerKind::Mx, |settings, policy| {
        settings.listeners[0].junk_commands_max = u32::MAX;
        policy.deadlines.write_s = 1;
    })
    .await;
    let mut client = relay.esmtp().await;
    let flood = async {
        let batch = "EHLO client.example\r\n".repeat(1_000);
        while client.stream.get_mut().write_all(batch.as_bytes()).await.is_ok() {}
    };
    tokio::time::timeout(PATIENCE, flood).await.expect("the server cuts the connection");
    assert_eq!(relay.metrics.deadlines_passed.get(), 1);
}

/// Sends `piece` again and again until the server says something.
async fn drip(mut client: Client, piece: &str) -> String {
    loop {
        tokio::select! {
            reply = client.reply() => return reply,
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        // The server may have closed just now; then its last reply is still to be read.
        let _ = client.stream.get_mut().write_all(piece.as_bytes()).await;
    }
}
