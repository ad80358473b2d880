//! STARTTLS and implicit TLS with a real TLS client, and clients that misuse them.

mod certificates;

use std::sync::Arc;

use baton_mail::event::What;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, SupportedProtocolVersion, version};

use super::{Client, PATIENCE, Relay, id_in};
use crate::metrics::{HandshakeLabel, TlsLabel};
use crate::{ListenerKind, TlsMode};
use certificates::{client_config, connect};

async fn with_tls(mode: TlsMode) -> Relay {
    Relay::start(ListenerKind::Mx, |settings, _| settings.listeners[0].tls = mode).await
}

/// A connection on which STARTTLS was answered with 220.
async fn ready_for_tls(relay: &Relay) -> TcpStream {
    let mut stream = TcpStream::connect(relay.address()).await.unwrap();
    for (command, reply) in
        [("", "220 mx"), ("EHLO client.example\r\n", "250-"), ("STARTTLS\r\n", "220 2.0.0")]
    {
        stream.write_all(command.as_bytes()).await.unwrap();
        let mut read = vec![0; 1_000];
        let octets = stream.read(&mut read).await.unwrap();
        assert!(read[..octets].starts_with(reply.as_bytes()), "{}", String::from_utf8_lossy(&read[..octets]));
    }
    stream
}

/// A protected connection by STARTTLS.
async fn protected(relay: &Relay, config: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
    connect(ready_for_tls(relay).await, config).await.unwrap()
}

fn any_version() -> Arc<ClientConfig> {
    client_config(None, &[&version::TLS13, &version::TLS12])
}

/// The server closes without a word in plain text.
async fn is_cut(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    // A reset is an end as well: the server did not read all that came.
    let _ = read.expect("the server cuts the connection");
    rest
}

impl Relay {
    fn handshakes(&self, result: &'static str) -> u64 {
        let label = HandshakeLabel { listener: "test".to_owned(), result };
        self.metrics.handshakes.get_or_create(&label).get()
    }
}

#[tokio::test]
async fn starttls_protects_what_follows() {
    let relay = with_tls(TlsMode::Offered).await;
    assert!(relay.client().await.expect("EHLO client.example", "250").await.contains("STARTTLS"));
    for version in [&version::TLS12, &version::TLS13] {
        let mut client = Client::over(protected(&relay, &client_config(None, &[version])).await);
        client.expect("MAIL FROM:<a@client.example>", "503 5.5.1").await;
        let offers = client.expect("EHLO inside.example", "250").await;
        assert!(!offers.contains("STARTTLS"), "{offers}");
        let reply = client.deliver("b@us.example", "Subject: x\r\n\r\nsecret").await;
        assert!(reply.starts_with("250"), "{reply}");
        let What::Accepted { origin, .. } = relay.story(id_in(&reply)).await.remove(0) else { panic!() };
        assert_eq!(
            (origin.protocol.name.as_str(), origin.helo.as_deref()),
            ("ESMTPS", Some("inside.example"))
        );
        let tls = origin.protocol.tls.expect("the story tells of TLS");
        assert_eq!(tls.server_name.as_deref(), Some("mx.example"));
        assert!(tls.cipher.starts_with("TLS_"), "{tls}");
        let body = relay.store.body(id_in(&reply)).await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains(&format!(" with ESMTPS ({}) id ", tls.version)), "{text}");
        assert!(text.contains(&format!("\r\n\ttls {};\r\n", tls.cipher)), "{text}");
        client.expect("QUIT", "221").await;
        assert!(client.closed().await);
    }
    assert_eq!(relay.handshakes("ok"), 2);
    let label = TlsLabel { version: "TLSv1.2".to_owned(), resumed: "no" };
    assert_eq!(relay.metrics.protected.get_or_create(&label).get(), 1);
}

#[tokio::test]
async fn implicit_tls_begins_with_the_connection() {
    let relay = with_tls(TlsMode::Implicit).await;
    let stream = TcpStream::connect(relay.address()).await.unwrap();
    let mut client = Client::over(connect(stream, &any_version()).await.unwrap());
    assert!(client.reply().await.starts_with("220 mx.example"));
    let offers = client.expect("EHLO client.example", "250").await;
    assert!(!offers.contains("STARTTLS"), "{offers}");
    client.expect("STARTTLS", "503 5.5.1").await;
    assert!(client.deliver("b@us.example", "x").await.starts_with("250"));
}

/// A large message comes through in records of any size, and a large batch of replies goes back.
#[tokio::test]
async fn large_messages_and_batches_pass() {
    let relay = with_tls(TlsMode::Offered).await;
    let mut client = Client::over(protected(&relay, &any_version()).await);
    client.expect("EHLO client.example", "250").await;
    let content = "0123456789abcdef\r\n".repeat(100_000);
    let reply = client.deliver("b@us.example", content.trim_end()).await;
    assert!(reply.starts_with("250"), "{reply}");
    let body = relay.store.body(id_in(&reply)).await.unwrap();
    assert!(body.to_bytes().ends_with(content.as_bytes()));
    client.send("NOOP\r\n".repeat(90)).await;
    for _ in 0..90 {
        assert_eq!(client.reply().await, "250 2.0.0 ok");
    }
}

#[tokio::test]
async fn where_tls_is_required_nothing_goes_without() {
    let relay = with_tls(TlsMode::Required).await;
    let mut client = relay.esmtp().await;
    client.expect("MAIL FROM:<a@client.example>", "530 5.7.0").await;
    let mut client = Client::over(protected(&relay, &any_version()).await);
    client.expect("EHLO client.example", "250").await;
    assert!(client.deliver("b@us.example", "x").await.starts_with("250"));
}

/// T1: what is sent behind STARTTLS is never obeyed, in whatever pieces it comes.
#[tokio::test]
async fn injected_commands_are_not_obeyed() {
    let relay = with_tls(TlsMode::Offered).await;
    let mut client = relay.esmtp().await;
    client.send("STARTTLS\r\nRSET\r\n").await;
    assert!(client.reply().await.starts_with("503 5.5.1"));
    assert!(client.closed().await);
    // After 220 the injected octets stand where the handshake should: whatever comes back is TLS, never a reply.
    for injected in ["RSET\r\n", "EHLO evil.example\r\nMAIL FROM:<evil@evil.example>\r\n"] {
        let mut stream = ready_for_tls(&relay).await;
        stream.write_all(injected.as_bytes()).await.unwrap();
        let answered = connect(stream, &any_version()).await;
        assert!(answered.is_err(), "a handshake behind injected octets");
    }
    assert_eq!(relay.handshakes("not-tls"), 2);
    assert!(relay.queue().await.is_empty());
}

#[tokio::test]
async fn what_is_no_tls_ends_the_session() {
    let relay = with_tls(TlsMode::Implicit).await;
    for junk in [
        &b"EHLO client.example\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff, 1, 2],
        &[0; 64],
    ] {
        let mut stream = TcpStream::connect(relay.address()).await.unwrap();
        stream.write_all(junk).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = is_cut(stream).await;
        assert!(answer.len() <= 7, "no more than an alert: {answer:?}");
    }
    assert_eq!(relay.handshakes("ok"), 0);
    let mut alive = Client::over(
        connect(TcpStream::connect(relay.address()).await.unwrap(), &any_version()).await.unwrap(),
    );
    assert!(alive.reply().await.starts_with("220"));
}

/// T16: a client that does not go on with its handshake is cut.
#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let relay = Relay::start(ListenerKind::Mx, |settings, policy| {
        settings.listeners[0].tls = TlsMode::Offered;
        policy.deadlines.handshake_s = 1;
    })
    .await;
    let mut stream = ready_for_tls(&relay).await;
    // The beginning of a record of 512 octets.
    stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    is_cut(stream).await;
    assert_eq!(relay.handshakes("late"), 1);
}

#[tokio::test]
async fn too_many_handshakes_are_told_454() {
    let relay = Relay::start(ListenerKind::Mx, |settings, _| {
        settings.listeners[0].tls = TlsMode::Offered;
        settings.handshakes_max = 1;
    })
    .await;
    let slow = ready_for_tls(&relay).await;
    let mut client = relay.esmtp().await;
    client.expect("STARTTLS", "454 4.7.0").await;
    assert!(client.deliver("b@us.example", "x").await.starts_with("250"));
    drop(slow);
    loop {
        // The place is free as soon as the server saw the end of that session.
        if client.command("STARTTLS").await.starts_with("220") {
            break;
        }
        tokio::task::yield_now().await;
    }
}

/// M9: the end of TLS inside content is the end of the session; what follows in plain text is not read.
#[tokio::test]
async fn the_end_of_tls_ends_the_message() {
    let relay = with_tls(TlsMode::Offered).await;
    for content in ["DATA\r\n", "BDAT 10\r\n1234"] {
        let mut stream = protected(&relay, &any_version()).await;
        let begin = "EHLO c\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@us.example>\r\n";
        stream.write_all(format!("{begin}{content}").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let (socket, connection) = stream.get_mut();
        connection.send_close_notify();
        let mut goodbye = Vec::new();
        connection.write_tls(&mut goodbye).unwrap();
        goodbye.extend_from_slice(b"567890\r\n.\r\nNOOP\r\n");
        socket.write_all(&goodbye).await.unwrap();
        // The replies before the end are read and the connection is closed by the server.
        let mut rest = Vec::new();
        let _ =
            tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the server closes");
        let text = String::from_utf8_lossy(&rest).into_owned();
        assert!(!text.contains("queued") && !text.contains("250 2.0.0 ok"), "{text}");
    }
    assert!(relay.queue().await.is_empty());
}

/// T9: versions below the least one are refused.
#[tokio::test]
async fn old_versions_are_refused() {
    let relay = Relay::start(ListenerKind::Mx, |settings, _| {
        settings.listeners[0].tls = TlsMode::Offered;
        settings.listeners[0].tls_server.minimum = baton_tls::TlsVersion::V1_3;
    })
    .await;
    let old: &[&SupportedProtocolVersion] = &[&version::TLS12];
    assert!(connect(ready_for_tls(&relay).await, &client_config(None, old)).await.is_err());
    assert_eq!(relay.handshakes("incompatible"), 1);
    protected(&relay, &any_version()).await;
}

/// A session is taken up again with its ticket.
#[tokio::test]
async fn sessions_are_resumed() {
    let relay = with_tls(TlsMode::Offered).await;
    for version in [&version::TLS13, &version::TLS12] {
        let config = client_config(None, &[version]);
        for _ in 0..2 {
            let mut client = Client::over(protected(&relay, &config).await);
            client.expect("EHLO client.example", "250").await;
            client.expect("QUIT", "221").await;
        }
        let name = if version.version == tokio_rustls::rustls::ProtocolVersion::TLSv1_3 {
            "TLSv1.3"
        } else {
            "TLSv1.2"
        };
        let label = TlsLabel { version: name.to_owned(), resumed: "yes" };
        assert_eq!(relay.metrics.protected.get_or_create(&label).get(), 1, "{name}");
    }
}

/// T10: the ticket of one listener is worth nothing at another, and least of all where a certificate is required.
#[tokio::test]
async fn a_ticket_holds_for_its_listener_only() {
    let relay = Relay::start(ListenerKind::Mx, |settings, _| {
        settings.listeners[0].tls = TlsMode::Implicit;
        let mut second = settings.listeners[0].clone();
        second.name = "second".to_owned();
        settings.listeners.push(second);
    })
    .await;
    let config = any_version();
    for (_, address) in &relay.addresses {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Client::over(connect(stream, &config).await.unwrap());
        assert!(client.reply().await.starts_with("220"));
        client.expect("QUIT", "221").await;
    }
    for resumed in [("yes", 0), ("no", 2)] {
        let label = TlsLabel { version: "TLSv1.3".to_owned(), resumed: resumed.0 };
        assert_eq!(relay.metrics.protected.get_or_create(&label).get(), resumed.1, "{resumed:?}");
    }
}
