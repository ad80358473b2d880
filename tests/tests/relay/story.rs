//! The third promise: what became of a message, who decided it, and what comes next.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use anyhow::Result;
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::wait;

use crate::queue::switched;

#[test]
fn a_delivered_message_is_explained() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("explained"))?;
    relay.wait_for_event(&id, "delivered")?;
    let told = relay.said(&["explain", &id])?;
    for word in [id.as_str(), "ada@sender.example", "bo@dest.example", "127.0.0.1", "kept"] {
        assert!(told.contains(word), "no {word:?} in {told}");
    }
    Ok(())
}

#[test]
fn a_deferred_message_is_explained_with_its_next_attempt() -> Result<()> {
    let (sink, on) = switched()?;
    let relay = Relay::start(
        Settings::new()
            .all_to(sink.address())
            .set("delivery.retry_first_s", 600.0)
            .set("delivery.retry_max_s", 600.0),
    )?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("explained"))?;
    relay.wait_for_event(&id, "deferred")?;
    let told = relay.said(&["explain", &id])?;
    for word in ["451", "come back later", "next attempt"] {
        assert!(told.to_lowercase().contains(word), "no {word:?} in {told}");
    }
    on.store(true, Ordering::SeqCst);
    Ok(())
}

#[test]
fn a_bounced_message_is_explained_with_its_report() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
        (Step::Rcpt, "gone@dest.example") => Say::Line("550 5.1.1 no such user here".into()),
        _ => Say::Yes,
    }))?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let id = relay.send("ada@sender.example", &["gone@dest.example"], &message::plain("explained"))?;
    let bounced = relay.wait_for_event(&id, "bounced")?;
    let report = bounced.get("report").and_then(serde_json::Value::as_str).unwrap_or_default();
    let told = relay.said(&["explain", &id])?;
    for word in ["550", "5.1.1", "no such user here", report] {
        assert!(told.contains(word), "no {word:?} in {told}");
    }
    relay.wait_for_event(report, "delivered")?;
    Ok(())
}

#[test]
fn a_rejected_message_is_explained_by_the_id_that_the_client_was_told() -> Result<()> {
    let relay = Relay::start(Settings::new().set("session.received_max", 3))?;
    let mut looping = "Received: from a by b; Tue, 03 Nov 2026 09:00:00 +0000\r\n".repeat(10).into_bytes();
    looping.extend_from_slice(&message::plain("rejected"));
    let answer = relay.client()?.send("ada@sender.example", &["bo@dest.example"], &looping)?;
    assert_eq!(answer.code / 100, 5, "{answer}");
    let recent = relay.admin("GET", "/v1/messages/recent", "")?;
    let id = recent["messages"][0]["message"].as_str().unwrap_or_default().to_owned();
    let told = relay.said(&["explain", &id])?;
    assert!(told.to_lowercase().contains("reject") && told.contains("ada@sender.example"), "{told}");
    Ok(())
}

#[test]
fn an_unknown_id_is_told_as_such() -> Result<()> {
    let relay = Relay::start(Settings::new())?;
    for id in ["01KB3Z5Y8M2Q4R6S8T0V2W4X6Y", "nonsense"] {
        let output = relay.run(&["explain", id])?;
        assert!(!output.status.success());
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(id),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[test]
fn a_log_that_nobody_reads_stops_no_mail() -> Result<()> {
    const MESSAGES: usize = 1_500;
    let sink = Sink::start()?;
    let relay = Relay::prepare(Settings::new().all_to(sink.address()).set("log.buffer_lines_max", 100))?;
    let ports = relay.folder().join("ports-unread");
    // The pipe holds 64 KiB; what is logged about so many messages is more.
    let mut serve = relay.command(&["serve"]);
    let mut child = serve
        .arg("--ports-file")
        .arg(&ports)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let passed = send_all(&ports, MESSAGES).and_then(|()| sink.wait_for(MESSAGES));
    let metrics = relay.metrics();
    child.kill()?;
    child.wait()?;
    assert_eq!(passed?.len(), MESSAGES);
    let metrics = metrics?;
    let dropped = metrics
        .lines()
        .find(|line| line.contains("log") && line.contains("dropped") && !line.starts_with('#'));
    assert!(dropped.is_some_and(|line| !line.ends_with(" 0")), "{dropped:?}");
    Ok(())
}

fn send_all(ports: &Path, count: usize) -> Result<()> {
    let address = wait::until("the relay to listen", || {
        let text = fs::read_to_string(ports).unwrap_or_default();
        Ok(text.trim().rsplit_once(' ').and_then(|(_, address)| address.parse().ok()))
    })?;
    let mut client = Client::greeted(address)?;
    for number in 0..count {
        if number % 500 == 499 {
            client = Client::greeted(address)?;
        }
        let answer =
            client.send("a@sender.example", &["b@dest.example"], &message::plain(&number.to_string()))?;
        anyhow::ensure!(answer.code == 250, "{answer}");
    }
    Ok(())
}

#[test]
fn metrics_and_health_answer() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("counted"))?;
    relay.wait_until_empty()?;
    let metrics = relay.metrics()?;
    assert!(metrics.contains("baton_session_") && metrics.contains("baton_delivery_"), "{metrics}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(relay.admin_raw("GET", path, "")?.0, 200, "{path}");
    }
    Ok(())
}

#[test]
fn a_transaction_refused_at_mail_is_explained_by_the_id_that_the_client_was_told() -> Result<()> {
    let settings = Settings::new()
        .set("listeners.users.address", "127.0.0.1:0")
        .set("listeners.users.kind", "submission")
        .set("listeners.users.auth_without_tls", true);
    let relay = Relay::start(settings)?;
    let mut client = Client::greeted(relay.listener("users")?)?;
    let answer = client.command("MAIL FROM:<ada@sender.example>")?;
    assert_eq!(answer.code, 530, "{answer}");
    let recent = relay.said(&["explain", "--recent"])?;
    assert!(recent.contains("ada@sender.example") && recent.contains("530"), "{recent}");
    let newest = relay.admin("GET", "/v1/messages/recent", "")?;
    let id = newest["messages"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(answer.text().contains(&id), "{answer} does not name {id}");
    let told = relay.said(&["explain", &id])?;
    assert!(told.to_lowercase().contains("reject") && told.contains("ada@sender.example"), "{told}");
    Ok(())
}
