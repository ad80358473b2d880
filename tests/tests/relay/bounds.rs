//! Bounds of sessions and of TLS as the settings set them: what each of them does to a client.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;
use baton_tests::client::{Answer, Client};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{message, wait};
use rustix::process::Signal;

fn relay(sink: &Sink, key: &str, value: impl Into<toml::Value>) -> Result<Relay> {
    Relay::start(Settings::new().all_to(sink.address()).set(key, value))
}

fn refused(answer: &Answer, code: u16, start: &str) {
    assert!(answer.code == code && answer.text().starts_with(start), "{answer}");
}

/// MAIL and RCPT.
fn begun(relay: &Relay) -> Result<Client> {
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    Ok(client)
}

#[test]
fn sizes_of_commands_and_content() -> Result<()> {
    let sink = Sink::start()?;
    let short = relay(&sink, "session.command_octets_max", 512)?;
    refused(&short.client()?.command(&format!("NOOP {}", "x".repeat(512)))?, 500, "5.5.2");
    let lines = relay(&sink, "session.line_octets_max", 998)?;
    let long = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(999));
    refused(&begun(&lines)?.data(long.as_bytes())?, 554, "5.6.0");
    assert_eq!(begun(&lines)?.data(long.replacen("xx", "x", 1).as_bytes())?.code, 250);
    let chunks = relay(&sink, "session.chunks_max", 2)?;
    let mut client = begun(&chunks)?;
    for code in [250, 250, 421] {
        client.write(b"BDAT 3\r\na\r\n")?;
        client.expect_reply(code)?;
    }
    let lines_only = relay(&sink, "session.binary_mime", false)?;
    assert!(!lines_only.client()?.command("EHLO c.example")?.text().contains("BINARYMIME"));
    let strict = relay(&sink, "session.too_complex", "refuse")?;
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(1_000);
    refused(&begun(&strict)?.data(deep.as_bytes())?, 554, "5.6.0 Message too complex");
    Ok(())
}

#[test]
fn sessions_and_what_they_may_write_down() -> Result<()> {
    let sink = Sink::start()?;
    let one = relay(&sink, "session.sessions_max", 1)?;
    let first = one.client()?;
    refused(&Client::connect(one.smtp()?)?.reply()?, 421, "4.7.0");
    first.reset()?;
    wait::until("room for a session", || {
        Ok(Client::connect(one.smtp()?)?.reply().ok().filter(|answer| answer.code == 220))
    })?;
    let settings = Settings::new()
        .all_to(sink.address())
        .set("session.relay_networks", Vec::<String>::new())
        .set("session.rejections_recorded_max", 2);
    let quiet = Relay::start(settings)?;
    let mut client = quiet.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    let named = (0..5).map(|at| client.command(&format!("RCPT TO:<b{at}@far.example>")));
    let named: Vec<Answer> = named.collect::<Result<_>>()?;
    // What is written down can be asked for by the name in the reply.
    let recorded = named.iter().filter(|answer| answer.text().contains('('));
    assert!(named.iter().all(|answer| answer.code == 550) && recorded.count() == 2, "{named:?}");
    Ok(())
}

/// Each deadline ends a session that does nothing against another one.
#[test]
fn deadlines_of_each_phase() -> Result<()> {
    let sink = Sink::start()?;
    for key in ["session.command_s", "session.session_s"] {
        let relay = relay(&sink, key, 1)?;
        let mut client = Client::connect(relay.smtp()?)?;
        client.expect_reply(220)?;
        refused(&client.reply()?, 421, "4.4.2");
    }
    let slow = relay(&sink, "session.data_s", 1)?;
    let mut client = begun(&slow)?;
    client.expect("DATA", 354)?;
    client.write(b"Subject: slow\r\n")?;
    refused(&client.reply()?, 421, "4.4.2");
    assert!(sink.messages().is_empty());
    Ok(())
}

/// A transaction may go on when the session's time is over, for as long as it is given beyond.
#[test]
fn a_transaction_has_time_of_its_own() -> Result<()> {
    let sink = Sink::start()?;
    for (transaction_s, code) in [(300, 250), (1, 421)] {
        let settings = Settings::new().all_to(sink.address()).set("session.session_s", 1);
        let relay = Relay::start(settings.set("session.transaction_s", transaction_s))?;
        let mut client = begun(&relay)?;
        if code == 250 {
            std::thread::sleep(Duration::from_millis(1_500));
            assert_eq!(client.data(&message::plain("late"))?.code, code);
        }
        refused(&client.reply()?, 421, "4.4.2");
    }
    Ok(())
}

fn stands_still(pid: u32) -> Result<bool> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let state = fs::read_to_string(task?.path().join("stat"))?;
        if !state.contains(") T ") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Clients that the system keeps while the relay is too busy to greet them: one more than the setting (listen(2)).
#[test]
fn connections_that_wait_for_a_busy_relay() -> Result<()> {
    let sink = Sink::start()?;
    for (backlog, kept) in [(64, 65), (90, 91)] {
        let relay = relay(&sink, "listeners.smtp.backlog", backlog)?;
        let address = relay.smtp()?;
        relay.signal(Signal::STOP)?;
        wait::until("all threads to stand still", || Ok(stands_still(relay.pid()?)?.then_some(())))?;
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500));
        let waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).take(200).collect();
        relay.signal(Signal::CONT)?;
        assert_eq!(waiting.len(), kept);
        for stream in waiting {
            assert!(
                [220, 421].contains(&Client::over(stream)?.reply()?.code),
                "greeted, or one too many of the same address"
            );
        }
    }
    Ok(())
}

/// Content may take as long as its lowest rate allows for.
#[test]
fn slow_content_goes_on_by_its_rate() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new().all_to(sink.address()).set("session.data_s", 5);
    let relay = Relay::start(settings.set("session.data_octets_per_s", 1))?;
    let mut client = begun(&relay)?;
    client.expect("DATA", 354)?;
    for _ in 0..8 {
        client.write(b"X-Slow: a line that earns many seconds\r\n")?;
        wait::quiet();
        wait::quiet();
    }
    client.write(b"\r\nbody\r\n.\r\n")?;
    client.expect_reply(250)?;
    Ok(())
}

/// One session sees one generation of plugins, for so long.
#[test]
fn a_long_session_gets_the_next_generation_after_its_time() -> Result<()> {
    let sink = Sink::start()?;
    for (seconds, code) in [(900, 250), (1, 550)] {
        let mut relay = relay(&sink, "session.generation_s", seconds)?;
        let mut client = relay.client()?;
        assert_eq!(client.send("a@sender.example", &["b@dest.example"], &message::plain("one"))?.code, 250);
        let script = relay.folder().join("no.js");
        std::fs::write(&script, "export function onRcpt() { return reject('no more'); }")?;
        let settings = Settings::new().all_to(sink.address()).set("session.generation_s", seconds);
        relay.write_settings(settings.plugin("no", &script))?;
        relay.said(&["reload"])?;
        std::thread::sleep(Duration::from_millis(1_100));
        let later = client.send("a@sender.example", &["b@dest.example"], &message::plain("two"))?;
        assert_eq!(later.code, code, "{later}");
        assert_eq!(relay.client()?.send("a@sender.example", &["b@dest.example"], b"")?.code, 550);
        relay.stop()?;
    }
    Ok(())
}

#[test]
fn handshakes_have_a_deadline_and_a_number() -> Result<()> {
    let sink = Sink::start()?;
    let late = relay(&sink, "tls.handshake_s", 1)?;
    let mut client = late.client()?;
    client.expect("STARTTLS", 220)?;
    assert!(client.is_closed());
    let line = "baton_session_tls_handshakes_total{listener=\"smtp\",result=\"late\"} 1";
    wait::until("the handshake in the metrics", || Ok(late.metrics()?.contains(line).then_some(())))?;
    let one = relay(&sink, "tls.handshakes_max", 1)?;
    let (mut busy, mut second) = (one.client()?, one.client()?);
    busy.expect("STARTTLS", 220)?;
    refused(&second.command("STARTTLS")?, 454, "4.7.0");
    busy.reset()?;
    wait::until("a free place", || Ok((second.command("STARTTLS")?.code == 220).then_some(())))
}

#[test]
fn rates_of_recipients_and_of_networks() -> Result<()> {
    let sink = Sink::start()?;
    for (key, name) in [
        ("clients.recipients_per_minute_max", "recipients-per-minute"),
        ("clients.network_messages_per_minute_max", "network-messages-per-minute"),
    ] {
        let settings = Settings::new()
            .all_to(sink.address())
            .set("session.relay_networks", Vec::<String>::new())
            .set("local_domains", vec!["dest.example"]);
        let relay = Relay::start(settings.set(key, 2))?;
        let answers = (0..8)
            .map(|_| relay.client()?.send("a@sender.example", &["b@dest.example"], &message::plain("rate")));
        let answers: Vec<Answer> = answers.collect::<Result<_>>()?;
        assert!(answers.iter().take(2).all(|answer| answer.code == 250), "{answers:?}");
        assert!(answers.iter().any(|answer| answer.code == 450), "{answers:?}");
        assert!(relay.metrics()?.contains(&format!("baton_session_limited_total{{reason=\"{name}\"}}")));
    }
    Ok(())
}

/// An authority that takes the connection and says nothing.
#[test]
fn an_order_ends_after_its_time() -> Result<()> {
    let (sink, silent) = (Sink::start()?, TcpListener::bind("127.0.0.1:0")?);
    let settings = Settings::new()
        .all_to(sink.address())
        .set("tls.acme.directory", format!("https://{}/directory", silent.local_addr()?))
        .set("tls.acme.agree_to_terms", true)
        .set("tls.acme.listen", "127.0.0.1:0")
        .set("tls.acme.order_s", 1);
    let relay = Relay::start(settings)?;
    wait::until("the end of the order", || Ok(relay.log().contains("not complete within 1 s").then_some(())))
}
