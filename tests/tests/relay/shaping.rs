//! What operators suspend: it waits, says why wherever it is looked at, and goes on when its time is over or they say so.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::wait;
use serde_json::Value;

use super::queue::switched;

/// Waits until the only entry for this recipient says why it waits.
fn why(relay: &Relay, recipient: &str) -> Result<String> {
    wait::until("the reason why mail waits", || {
        let page = relay.admin("GET", &format!("/v1/queue?recipient={recipient}&state=waiting"), "")?;
        let text = page.pointer("/jobs/0/last/text").and_then(Value::as_str);
        Ok(text.filter(|text| text.contains("suspended")).map(str::to_owned))
    })
}

/// The name of the only measure.
fn measure(relay: &Relay) -> Result<String> {
    let view = relay.admin("GET", "/v1/shaping", "")?;
    let id = view.pointer("/measures/0/id").and_then(Value::as_str);
    id.map(str::to_owned).with_context(|| format!("no measure: {view}"))
}

#[test]
fn a_suspended_domain_waits_over_a_restart_until_it_is_cleared() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let suspend = ["shaping", "suspend", "--domain", "Dest.Example", "--for", "2h", "--reason", "they move"];
    let told = relay.said(&suspend)?;
    assert!(told.contains("domain dest.example: suspended until ") && told.contains("(in 2 h)"), "{told}");

    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("suspended"))?;
    relay.send("a@sender.example", &["b@other.example"], &message::plain("free"))?;
    let messages = sink.wait_for(1)?;
    assert_eq!(messages[0].header("Subject").as_deref(), Some("free"));
    let why = why(&relay, "b@dest.example")?;
    assert!(why.contains("by operator") && why.ends_with("they move"), "{why}");

    relay.kill()?;
    relay.start_again()?;
    let listed = relay.said(&["shaping", "ls"])?;
    assert!(listed.contains("domain dest.example: suspended") && listed.contains("they move"), "{listed}");
    assert!(relay.said(&["queue", "ls"])?.contains("they move"));
    let explained = relay.said(&["explain", &id])?;
    assert!(explained.contains("domain dest.example is suspended until"), "{explained}");

    let unknown = relay.run(&["shaping", "clear", "nothing"])?;
    let why = String::from_utf8_lossy(&unknown.stderr);
    assert!(!unknown.status.success() && why.contains("there is no measure nothing"), "{why}");
    let cleared = relay.said(&["shaping", "clear", &measure(&relay)?])?;
    let changes = relay.admin("GET", "/v1/audit", "")?["changes"].take();
    let lifted = changes.as_array().context("changes")?.iter().filter(|row| row["action"] == "shaping.lift");
    assert_eq!(lifted.count(), 1, "what was refused is no change: {changes}");
    assert!(cleared.contains("no longer suspended; 1 entry that waited goes at once"), "{cleared}");
    sink.wait_for(2)?;
    relay.wait_until_empty()?;
    assert!(relay.said(&["shaping", "ls"])?.contains("Nothing is suspended"));
    Ok(())
}

#[test]
fn a_suspended_tenant_waits_until_its_time_is_over() -> Result<()> {
    let (sink, on) = switched()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()).set("delivery.retry_max_s", 0.2))?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("of a tenant"))?;
    relay.wait_for_event(&id, "deferred")?;
    relay.said(&["queue", "reassign", &id, "--to-tenant", "acme"])?;
    relay.said(&["shaping", "suspend", "--tenant", "acme", "--for", "2s", "--reason", "did not pay"])?;
    on.store(true, Ordering::SeqCst);
    let why = why(&relay, "b@dest.example")?;
    assert!(why.starts_with("tenant acme is suspended until") && why.contains("did not pay"), "{why}");
    assert!(why.contains("; before that: 451 4.3.0 come back later"), "what the peer said is kept: {why}");
    sink.wait_for(1)?;
    relay.wait_until_empty()?;
    Ok(())
}

#[test]
fn what_waits_in_memory_is_suspended_too_and_resumed_by_name() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new().all_to(sink.address()).set("shaping.message_rate", "1/h");
    let relay = Relay::start(settings)?;
    relay.send("a@sender.example", &["b@first.example"], &message::plain("first"))?;
    sink.wait_for(1)?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("second"))?;
    wait::until("it to wait for the rate", || {
        Ok(relay.said(&["explain", &id])?.contains("waits for the message rate").then_some(()))
    })?;
    relay.said(&["shaping", "suspend", "--domain", "dest.example", "--reason", "a loop"])?;
    let why = why(&relay, "b@dest.example")?;
    assert!(why.starts_with("domain dest.example is suspended by operator"), "{why}");
    let resumed = relay.said(&["shaping", "resume", "--domain", "dest.example"])?;
    assert!(resumed.contains("1 entry that waited goes at once"), "{resumed}");
    wait::until("it to wait for the rate again", || {
        Ok(relay.said(&["explain", &id])?.contains("waits for the message rate").then_some(()))
    })?;
    Ok(())
}

#[test]
fn a_suspension_of_nothing_is_refused() -> Result<()> {
    let relay = Relay::start(Settings::new())?;
    for (words, complaint) in [
        (&["--source", "a", "--reason", "x"][..], "source: the settings have none of that name"),
        (&["--provider", "gogle", "--reason", "x"], "[shaping.providers]"),
        (&["--reason", "x"], "name the mail by tenant"),
        (&["--all", "--tenant", "acme", "--reason", "x"], "name the mail by tenant"),
        (&["--tenant", "acme", "--reason", " "], "reason: is missing"),
        (&["--tenant", "acme", "--reason", "x", "--for", "soon"], "no time such as"),
    ] {
        let output = relay.run(&[&["shaping", "suspend"], words].concat())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(complaint), "{words:?}: {said}");
    }
    let output = relay.run(&["shaping", "resume", "--tenant", "acme"])?;
    assert!(String::from_utf8_lossy(&output.stderr).contains("no suspension is of exactly this mail"));
    Ok(())
}
