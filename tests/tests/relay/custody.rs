//! Chains of custody (ARC): what arrives is checked when asked for, what is relayed is sealed in the name of a domain.

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::zone::Zone;

use super::signing::{dkimpy_verdicts, zone_lines};

const ZONE: &str = "sender.example. 60 IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n";

/// A relay to which everybody is a stranger that may write to dest.example, and that checks chains.
fn checking(next: std::net::SocketAddr, zone: &Zone) -> Settings {
    Settings::new()
        .all_to(next)
        .names_from(zone.address())
        .set("local_domains", vec![toml::Value::from("dest.example")])
        .set("session.relay_networks", Vec::<String>::new())
        .set("checks.enabled", true)
        .set("checks.arc", true)
}

fn named(text: &str, name: &str) -> Vec<String> {
    message::headers(text).into_iter().filter(|(own, _)| own == name).map(|(_, value)| value).collect()
}

/// Two relays in a row: the first seals, the second checks that and seals on top of it. Others verify the chain.
#[test]
fn relayed_mail_is_sealed_and_the_next_relay_and_others_verify_the_chain() -> Result<()> {
    let sink = Sink::start()?;
    let (mut first, mut last) = (Relay::prepare(Settings::new())?, Relay::prepare(Settings::new())?);
    let keys = [
        zone_lines(&first.said(&["domain", "add", "lists.example"])?),
        zone_lines(&last.said(&["domain", "add", "inbox.example"])?),
    ];
    let published = format!("{ZONE}{}{}", keys[0], keys[1]);
    let zone = Zone::serve(&published)?;
    last.write_settings(
        checking(sink.address(), &zone)
            .set("signing.seal", "inbox.example")
            .set("hostname", "inbox.example")
            .set("checks.authserv_id", "inbox.example"),
    )?;
    last.said(&["domain", "check", "inbox.example"]).ok();
    last.start_again()?;
    first.write_settings(checking(last.smtp()?, &zone).set("signing.seal", "lists.example"))?;
    first.said(&["domain", "check", "lists.example"]).ok();
    first.start_again()?;

    first.send("ada@sender.example", &["bo@dest.example"], &message::plain("sealed"))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    let text = received.text();
    let results = named(&text, "Authentication-Results");
    assert!(results[0].contains("; arc=pass (i=1) header.d=lists.example"), "{results:?}");
    assert!(results[1].starts_with("relay.example;") && results[1].contains("; arc=none"), "{results:?}");
    let told = named(&text, "ARC-Authentication-Results");
    assert!(told[0].starts_with("i=2; inbox.example;") && told[0].contains("; arc=pass"), "{told:?}");
    assert!(told[1].starts_with("i=1; relay.example;") && told[1].contains("spf=pass"), "{told:?}");
    let seals = named(&text, "ARC-Seal");
    assert!(seals[0].contains("cv=pass") && seals[1].contains("cv=none"), "{seals:?}");
    let verdicts = dkimpy_verdicts(&received.content, &published)?;
    assert!(verdicts.ends_with("arc=pass"), "{verdicts}\n{text}");
    let changed = text.replacen("Subject: ", "Subject: [changed] ", 1);
    assert!(dkimpy_verdicts(changed.as_bytes(), &published)?.contains("arc=fail"));
    assert!(last.metrics()?.contains("baton_session_messages_sealed_total 1"));
    Ok(())
}

/// What a relay changes before it seals is told apart from what nobody changed.
#[test]
fn the_oldest_set_that_still_fits_is_told() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::prepare(Settings::new())?;
    let keys = zone_lines(&relay.said(&["domain", "add", "lists.example"])?);
    let zone = Zone::serve(&format!("{ZONE}{keys}"))?;
    let script = relay.folder().join("bang.js");
    std::fs::write(
        &script,
        "export function onData() { if (message.header('X-Bang')) message.setHeader('Subject', 'bang'); return next(); }",
    )?;
    let settings = checking(sink.address(), &zone).set("signing.seal", "lists.example");
    relay
        .write_settings(settings.plugin("bang", &script).set("plugins.bang.grants.edit", vec!["headers"]))?;
    relay.said(&["domain", "check", "lists.example"]).ok();
    relay.start_again()?;
    let pass = |text: &[u8], count: usize| -> Result<String> {
        relay.send("ada@sender.example", &["bo@dest.example"], text)?;
        Ok(sink.wait_for(count)?.pop().context("a message")?.text())
    };
    let first = pass(&message::plain("custody"), 1)?;
    // A field that is not signed: it tells the second relay to change one that is.
    let second = pass(format!("X-Bang: 1\r\n{first}").as_bytes(), 2)?;
    let results = named(&second, "Authentication-Results");
    assert!(
        results[0].contains("; arc=pass (i=1) header.d=lists.example header.oldest-pass=0"),
        "{results:?}"
    );
    let third = pass(second.as_bytes(), 3)?;
    let results = named(&third, "Authentication-Results");
    assert!(
        results[0].contains("; arc=pass (i=2) header.d=lists.example header.oldest-pass=2"),
        "{results:?}"
    );
    Ok(())
}

/// A chain that was broken on the way is sealed as broken, once.
#[test]
fn a_broken_chain_is_closed_and_never_mended() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::prepare(Settings::new())?;
    let keys = zone_lines(&relay.said(&["domain", "add", "lists.example"])?);
    let zone = Zone::serve(&format!("{ZONE}{keys}"))?;
    relay.write_settings(checking(sink.address(), &zone).set("signing.seal", "lists.example"))?;
    relay.said(&["domain", "check", "lists.example"]).ok();
    relay.start_again()?;
    relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("once"))?;
    let sealed = sink.wait_for(1)?.pop().context("a message")?;
    let changed = sealed.text().replacen("Subject: ", "Subject: [changed] ", 1);
    relay.send("ada@sender.example", &["bo@dest.example"], changed.as_bytes())?;
    let closed = sink.wait_for(2)?.pop().context("a message")?.text();
    let results = named(&closed, "Authentication-Results");
    assert!(results[0].contains("; arc=fail (i=1)"), "{results:?}");
    assert!(named(&closed, "ARC-Seal")[0].contains("i=2; a=rsa-sha256; cv=fail"), "{closed}");
    relay.send("ada@sender.example", &["bo@dest.example"], closed.as_bytes())?;
    let last = sink.wait_for(3)?.pop().context("a message")?.text();
    assert_eq!(named(&last, "ARC-Seal").len(), 2, "{last}");
    assert!(named(&last, "Authentication-Results")[0].contains("; arc=fail"), "{last}");
    Ok(())
}

/// Nothing is said about chains unless asked for, and a seal needs to know.
#[test]
fn chains_are_left_alone_by_default() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    let mut relay = Relay::start(checking(sink.address(), &zone).set("checks.arc", false))?;
    relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("plain"))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert!(!received.header("Authentication-Results").context("results")?.contains("; arc="));
    assert!(received.header("ARC-Seal").is_none());
    relay.stop()?;
    relay.write_settings(
        checking(sink.address(), &zone).set("checks.arc", false).set("signing.seal", "lists.example"),
    )?;
    let checked = relay.run(&["check"])?;
    let said =
        String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success() && said.contains("signing.seal"), "{said}");
    Ok(())
}
