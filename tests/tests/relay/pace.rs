//! How delivery is paced and what it leaves by, as the settings say: sources, pools, providers, rules, classes.

use std::fs;

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::wait;
use baton_tests::zone::Zone;
use serde_json::Value;

/// One provider with the mail of two domains, at the sink.
const ZONE: &str = "$ORIGIN .\n$TTL 0\n\
     one.example. IN MX 10 mx.lab.example.\ntwo.example. IN MX 10 mx.lab.example.\nmx.lab.example. IN A 127.0.0.1\n";

/// Settings by which all mail goes to the provider.
fn to_lab(zone: &Zone, sink: &Sink, more: &str) -> Settings {
    Settings::new()
        .names_from(zone.address())
        .set("delivery.smtp_port", i64::from(sink.address().port()))
        .with("[shaping.providers.lab]\nmx_hosts = [\"mx.lab.example\"]")
        .with(more)
}

fn send(relay: &Relay, domain: &str) -> Result<String> {
    relay.send("ada@sender.example", &[&format!("bo@{domain}")], &message::plain(domain))
}

/// The measures that hold.
fn measures(relay: &Relay) -> Result<Vec<Value>> {
    let answer = relay.admin("GET", "/v1/shaping", "")?;
    Ok(answer.get("measures").and_then(Value::as_array).cloned().unwrap_or_default())
}

#[test]
fn sources_of_a_pool_share_the_mail_by_weight_each_by_its_own_name() -> Result<()> {
    let (zone, sink) = (Zone::serve(ZONE)?, Sink::start()?);
    let pool = "[sources.a]\naddresses = [\"127.0.0.2\"]\nehlo = \"out1.example\"\n\
         [sources.b]\naddresses = [\"127.0.0.3\"]\nehlo = \"out2.example\"\n\
         [pools.default]\nsources = { a = 3, b = 1 }";
    let relay = Relay::start(to_lab(&zone, &sink, pool))?;
    for _ in 0..8 {
        send(&relay, "one.example")?;
    }
    let received = sink.wait_for(8)?;
    let by = |name: &str| received.iter().filter(|message| message.helo == name).count();
    assert_eq!((by("out1.example"), by("out2.example")), (6, 2));
    Ok(())
}

#[test]
fn a_rule_suspends_the_site_over_a_restart_until_it_is_cleared() -> Result<()> {
    let zone = Zone::serve(ZONE)?;
    let sink = Sink::with(Behaviour::script(|moment| {
        match (moment.step, moment.argument.contains("one.example")) {
            (Step::Rcpt, true) => Say::Line("451 4.7.0 slow down".into()),
            _ => Say::Yes,
        }
    }))?;
    let rule = "[[shaping.providers.lab.rules]]\nname = \"lab-rests\"\ncodes = [451]\ntext = \"slow down\"\n\
         threshold = \"2/10m\"\naction = \"suspend\"\nlasts = \"1h\"";
    let mut relay = Relay::start(to_lab(&zone, &sink, rule))?;
    send(&relay, "one.example")?;
    let held = wait::until("a measure", || Ok(measures(&relay)?.pop()))?;
    let said = relay.said(&["shaping", "ls"])?;
    assert!(said.contains("lab-rests") && said.contains("slow down"), "{said}");

    // A crash may undo what a rule did in the last moment (the key-value store rides on the next sync); a stop does not.
    relay.stop()?;
    relay.start_again()?;
    let id = send(&relay, "two.example")?;
    let waits = wait::until("the reason in the story", || {
        let story = relay.said(&["explain", &id])?;
        Ok(story.contains("lab-rests").then_some(story))
    })?;
    assert!(sink.messages().is_empty(), "{waits}");

    let name = held.get("id").and_then(Value::as_str).context("an id")?;
    relay.said(&["shaping", "clear", name])?;
    assert!(measures(&relay)?.is_empty());
    relay.said(&["queue", "retry", &id])?;
    relay.wait_for_event(&id, "delivered")?;
    Ok(())
}

#[test]
fn a_rate_of_a_provider_holds_for_all_its_domains() -> Result<()> {
    let (zone, sink) = (Zone::serve(ZONE)?, Sink::start()?);
    let relay =
        Relay::start(to_lab(&zone, &sink, "[shaping.providers.lab]\nmessage_rate = \"60/h,burst=3\""))?;
    let ids = ["one.example", "two.example", "one.example", "two.example", "one.example"]
        .map(|domain| send(&relay, domain))
        .into_iter()
        .collect::<Result<Vec<String>>>()?;
    sink.wait_for(3)?;
    wait::quiet();
    assert_eq!(sink.messages().len(), 3);
    let waiting = relay.queue()?;
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    let last = ids.last().context("an id")?;
    let story = relay.said(&["explain", last])?;
    assert!(story.contains("waits for the message rate of mx.lab.example"), "{story}");
    Ok(())
}

#[test]
fn a_file_of_classes_chooses_the_retry() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match moment.step {
        Step::Rcpt => Say::Line("451 4.2.1 mailbox asleep".into()),
        _ => Say::Yes,
    }))?;
    let mut relay = Relay::prepare(Settings::new())?;
    let classes = relay.folder().join("classes.toml");
    fs::write(&classes, "[[rule]]\nclass = \"quota\"\ncode = \"451\"\npattern = \"asleep\"\n")?;
    relay.write_settings(
        Settings::new().all_to(sink.address()).set("retry.classes_file", classes.display().to_string()).with(
            "[retry.class.quota]\nfirst_s = 3600\nmax_s = 7200\nlifetime_s = 9000\n[sources.a]\naddresses = [\"127.0.0.2\"]",
        ),
    )?;
    relay.start_again()?;
    let id = send(&relay, "one.example")?;
    let deferred = relay.wait_for_event(&id, "deferred")?;
    assert_eq!(deferred.pointer("/status/class").and_then(Value::as_str), Some("quota"), "{deferred:#}");
    let counted: Value =
        serde_json::from_str(&relay.said(&["queue", "count", "--class", "quota", "--json"])?)?;
    assert_eq!(counted.pointer("/classes/quota"), Some(&Value::from(1)), "{counted:#}");
    let by = |source| relay.said(&["queue", "count", "--source", source, "--json"]);
    assert!(by("a")?.contains("quota") && !by("b")?.contains("quota"));
    let time = |value: Option<&Value>| value.and_then(Value::as_u64).context("a time");
    let entry = relay.queue()?.pop().context("an entry")?;
    let accepted = time(entry.get("received_at"))?;
    assert!(time(deferred.get("next_attempt"))? >= accepted + 3_600_000, "{deferred:#} {entry:#}");
    assert_eq!(time(entry.get("expires_at"))?, accepted + 9_000_000, "given up when the class says so");
    Ok(())
}
