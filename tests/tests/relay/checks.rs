//! SPF, DKIM and DMARC on what arrives: the header, the history, the metrics, and a plugin that acts on them.

use anyhow::{Context, Result};
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::program;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::zone::Zone;

/// The sender may send from loopback; the bank may not, and says what it wants done.
const ZONE: &str = "\
sender.example. 60 IN TXT \"v=spf1 ip4:127.0.0.1 -all\"
_dmarc.sender.example. 60 IN TXT \"v=DMARC1; p=none\"
bank.example. 60 IN TXT \"v=spf1 -all exp=why.bank.example\"
why.bank.example. 60 IN TXT \"%{i} is no host of the bank\"
_dmarc.bank.example. 60 IN TXT \"v=DMARC1; p=reject\"
";

/// A relay to which this machine is a stranger that may write to dest.example.
fn checking(sink: &Sink, zone: &Zone) -> Settings {
    Settings::new()
        .all_to(sink.address())
        .names_from(zone.address())
        .set("local_domains", vec![toml::Value::from("dest.example")])
        .set("session.relay_networks", Vec::<String>::new())
        .set("checks.enabled", true)
}

fn with_from(from: &str, extra: &str) -> Vec<u8> {
    let text = format!("{extra}From: Somebody <user@{from}>\nTo: <bo@dest.example>\nSubject: s\n\nHello.\n");
    text.replace('\n', "\r\n").into_bytes()
}

#[test]
fn results_stand_in_the_header_the_history_and_the_metrics() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    let relay = Relay::start(checking(&sink, &zone))?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("checked"))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    let results = received.header("Authentication-Results").context("no results")?;
    for part in [
        "relay.example; iprev=pass (localhost) policy.iprev=127.0.0.1",
        "spf=pass reason=\"ip4:127.0.0.1 of sender.example\" smtp.mailfrom=sender.example",
        "dkim=none",
        "dmarc=pass header.from=sender.example policy.dmarc=none",
    ] {
        assert!(results.contains(part), "{part} is not in {results}");
    }
    // The trace field is on top (RFC 5321 4.4), the results below it.
    let fields: Vec<_> =
        message::headers(&received.text()).into_iter().map(|(name, _)| name).take(2).collect();
    assert_eq!(fields, ["Received", "Authentication-Results"]);
    let story = relay.said(&["explain", &id])?;
    assert!(
        story.contains("data asked checks: iprev=pass") && story.contains("dmarc=pass sender.example"),
        "{story}"
    );
    // Nobody has to ask for it.
    let reference = relay.said(&["check", "--reference"])?;
    let (_, checks) = reference.split_once("[checks]").context("no [checks] in the reference")?;
    assert!(checks.lines().find(|line| line.contains("enabled")).is_some_and(|line| line.contains("true")));
    let metrics = relay.metrics()?;
    assert!(metrics.contains("baton_session_checks_total{method=\"dmarc\",result=\"pass\"} 1"), "{metrics}");
    Ok(())
}

#[test]
fn results_in_our_name_are_only_our_own() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    let relay = Relay::start(checking(&sink, &zone))?;
    let forged = "Authentication-Results: Relay.Example; dmarc=pass header.from=bank.example\n\
                  Authentication-Results: (x) relay.exam(y)ple;\n\tspf=pass\n\
                  Authentication-Results: other.example; spf=pass\n";
    relay.send("eve@evil.example", &["bo@dest.example"], &with_from("bank.example", forged))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    let fields = message::headers(&received.text());
    let results: Vec<_> = fields.iter().filter(|(name, _)| name == "Authentication-Results").collect();
    assert_eq!(results.len(), 2, "{results:?}");
    assert!(
        results[0].1.contains("dmarc=fail") && results[0].1.contains("policy.dmarc=reject"),
        "{results:?}"
    );
    assert!(results[1].1.starts_with("other.example"), "{results:?}");
    Ok(())
}

#[test]
fn a_plugin_does_what_the_domain_wants() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    let plugin = program::plugin("baton-plugin-spf-dmarc-policy")?;
    let settings = checking(&sink, &zone).plugin("spf-dmarc-policy", &plugin).with(
        "[plugins.spf-dmarc-policy.config]\ntrusted = ['relay.example']\nfrom_networks = ['0.0.0.0/0', '::/0']\n",
    );
    let relay = Relay::start(settings)?;
    let mut client = relay.client()?;
    let refused = client.send("eve@evil.example", &["bo@dest.example"], &with_from("bank.example", ""))?;
    assert_eq!(refused.code, 550, "{refused}");
    assert!(refused.text().contains("bank.example fails its DMARC policy"), "{refused}");
    let id = refused.text().rsplit_once('(').context("an id")?.1.trim_end_matches(')').to_owned();
    let story = relay.said(&["explain", &id])?;
    assert!(story.contains("dmarc=fail bank.example, wants reject"), "{story}");
    let taken = client.send("ada@sender.example", &["bo@dest.example"], &with_from("sender.example", ""))?;
    assert_eq!(taken.code, 250, "{taken}");
    Ok(())
}

#[test]
fn what_the_domain_says_to_those_it_turns_away_is_in_the_history() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    let relay = Relay::start(checking(&sink, &zone))?;
    let id = relay.send("x@bank.example", &["bo@dest.example"], &with_from("bank.example", ""))?;
    let story = relay.said(&["explain", &id])?;
    assert!(
        story
            .contains("spf=fail bank.example (-all of bank.example), says: 127.0.0.1 is no host of the bank"),
        "{story}"
    );
    Ok(())
}

#[test]
fn a_silent_name_server_is_a_temporary_error_and_mail_goes_on() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    zone.server().set_fault("sender.example", Some(baton_tests::dns::Fault::Silence));
    zone.server().set_fault("_dmarc.sender.example", Some(baton_tests::dns::Fault::Silence));
    let relay = Relay::start(checking(&sink, &zone).set("checks.deadline_s", 1))?;
    relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("silent"))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    let results = received.header("Authentication-Results").context("no results")?;
    assert!(results.contains("spf=temperror") && results.contains("dmarc=temperror"), "{results}");
    Ok(())
}

#[test]
fn a_header_that_is_too_complex_is_said_to_be_and_forgeries_go_all_the_same() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    let relay = Relay::start(checking(&sink, &zone))?;
    let flood = format!("{}Authentication-Results: relay.example; dmarc=pass\n", "X: y\n".repeat(2_000));
    relay.send("ada@sender.example", &["bo@dest.example"], &with_from("sender.example", &flood))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    let fields = message::headers(&received.text());
    let results: Vec<_> = fields.iter().filter(|(name, _)| name == "Authentication-Results").collect();
    assert_eq!(results.len(), 1, "{results:?}");
    assert!(
        results[0].1.contains("dmarc=permerror reason=\"the header is too complex to be read\""),
        "{results:?}"
    );
    Ok(())
}

#[test]
fn nobody_extends_our_results_with_a_line_of_their_own() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    let relay = Relay::start(checking(&sink, &zone))?;
    let mut client = Client::greeted(relay.smtp()?)?;
    let message = with_from("bank.example", " ; dmarc=pass header.from=bank.example\n");
    assert_eq!(client.send("eve@evil.example", &["bo@dest.example"], &message)?.code, 250);
    let received = sink.wait_for(1)?.pop().context("a message")?;
    let results = received.header("Authentication-Results").context("no results")?;
    assert!(!results.contains("dmarc=pass"), "{results}");
    Ok(())
}

#[test]
fn known_clients_are_not_checked() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    let settings =
        checking(&sink, &zone).set("session.relay_networks", vec![toml::Value::from("127.0.0.0/8")]);
    let relay = Relay::start(settings)?;
    let own = "Authentication-Results: relay.example; spf=pass\n";
    relay.send("ada@sender.example", &["bo@dest.example"], &with_from("sender.example", own))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("Authentication-Results").as_deref(), Some("relay.example; spf=pass"));
    Ok(())
}
