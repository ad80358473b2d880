//! Domains to send from: keys, what the DNS says about them, signatures, rotation, and whose name users may send in.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::program;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Received, Say, Sink, Step};
use baton_tests::zone::Zone;

/// All but the keys.
const ZONE: &str = "\
sender.example. 60 IN TXT \"v=spf1 a:relay.example -all\"
sender.example. 60 IN MX 10 relay.example.
_dmarc.sender.example. 60 IN TXT \"v=DMARC1; p=reject; rua=mailto:d@sender.example\"
relay.example. 60 IN A 192.0.2.25
25.2.0.192.in-addr.arpa. 60 IN PTR relay.example.
";

/// A body whose relaxed form some signers get wrong: lines of blanks at its end.
const BLANKS: &str = "From: Ada <ada@sender.example>\r\nTo: Bo <bo@dest.example>\r\nSubject: Gr\u{fc}\u{df}e  two\r\n\
    Date: Tue, 03 Nov 2026 09:00:00 +0100\r\nMessage-ID: <blanks@sender.example>\r\n\r\nHello  \r\n\tthere\r\n \r\n\t \r\n\r\n  ";

/// The lines of a zone file in what a command printed.
pub(super) fn zone_lines(said: &str) -> String {
    said.lines().filter(|line| line.contains(" IN ")).map(|line| format!("{line}\n")).collect()
}

/// dkimpy's verdict on each signature of a message, from the top, with keys from these lines.
fn dkimpy(message: &[u8], zone: &str) -> Result<String> {
    let verdicts = dkimpy_verdicts(message, zone)?;
    Ok(verdicts.lines().next().unwrap_or_default().to_owned())
}

/// The Python that has what others wrote to check our work.
pub(super) fn vectors_python() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let python = cache.context("no HOME")?.join("baton/vectors/python/bin/python");
    ensure!(python.exists(), "{} is missing; fetch it: .ci/vectors", python.display());
    Ok(python)
}

/// What dkimpy says about signatures, and on the last line about the chain of custody.
pub(super) fn dkimpy_verdicts(message: &[u8], zone: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("message"), message)?;
    std::fs::write(folder.path().join("zone"), zone)?;
    let script = program::repository().join("tests/lab/dkim_verdicts.py");
    let output = Command::new(vectors_python()?).arg(script).current_dir(folder.path()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn settings(sink: &Sink, zone: &Zone) -> Settings {
    Settings::new().all_to(sink.address()).names_from(zone.address())
}

/// Sends a message and returns it as it left.
fn sent(relay: &Relay, sink: &Sink, content: &[u8]) -> Result<Received> {
    let before = sink.messages().len();
    relay.send("ada@sender.example", &["bo@dest.example"], content)?;
    sink.wait_for(before + 1)?.pop().context("a message")
}

fn signatures(received: &Received) -> Vec<String> {
    let fields = message::headers(&received.text()).into_iter();
    fields.filter(|(name, _)| name == "DKIM-Signature").map(|(_, value)| value).collect()
}

#[test]
fn a_domain_signs_once_its_records_are_published_and_others_verify_it() -> Result<()> {
    let (sink, empty) = (Sink::start()?, Zone::serve(ZONE)?);
    let mut relay = Relay::start(settings(&sink, &empty))?;
    let keys = zone_lines(&relay.said(&["domain", "add", "sender.example"])?);
    assert_eq!(keys.lines().count(), 2, "{keys}");

    // Nothing is published yet: nothing is signed, and the check says what to publish.
    let checked = relay.run(&["domain", "check", "sender.example"])?;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!checked.status.success() && said.matches("the key is not published").count() == 2, "{said}");
    assert_eq!(zone_lines(&said).lines().filter(|line| keys.contains(line)).count(), 2, "{said}");
    assert!(signatures(&sent(&relay, &sink, &message::plain("unsigned"))?).is_empty());

    let published = format!("{ZONE}{keys}");
    let zone = Zone::serve(&published)?;
    relay.stop()?;
    relay.write_settings(settings(&sink, &zone))?;
    relay.start_again()?;
    let said = relay.said(&["domain", "check", "sender.example"])?;
    for part in [
        "ok       DKIM r",
        "ok       DKIM e",
        "ok       SPF",
        "ok       DMARC",
        "ok       MX: relay.example",
        "ok       reverse DNS 192.0.2.25",
        "advice   MTA-STS",
        "The running relay has read the keys.",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // The admin interface says the same, and nothing secret.
    let inspection = relay.admin("GET", "/v1/domains/sender.example", "")?;
    assert_eq!(inspection["is_ready"], true, "{inspection}");
    let listed = relay.admin("GET", "/v1/domains", "")?;
    assert_eq!(listed[0]["keys"][0]["state"], "active", "{listed}");
    assert!(!listed.to_string().contains("private"), "{listed}");
    assert_eq!(relay.admin_raw("GET", "/v1/domains/other.example", "")?.0, 404);
    for content in [message::plain("signed"), BLANKS.as_bytes().to_vec(), message::large("large", 300_000)] {
        let received = sent(&relay, &sink, &content)?;
        let found = signatures(&received);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("a=rsa-sha256") && found[1].contains("a=ed25519-sha256"), "{found:?}");
        assert_eq!(dkimpy(&received.content, &published)?, "True True", "{}", received.text());
        // What was signed can not be added to: one more From, Subject or To breaks it.
        for forged in ["From: eve@evil.example\r\n", "Subject: buy\r\n", "Reply-To: eve@evil.example\r\n"] {
            let changed = [forged.as_bytes(), &received.content].concat();
            assert_eq!(dkimpy(&changed, &published)?, "False False", "{forged}");
        }
    }
    assert!(relay.metrics()?.contains("baton_session_messages_signed_total 3"));
    Ok(())
}

#[test]
fn what_one_relay_signs_another_one_verifies() -> Result<()> {
    let (first, last) = (Sink::start()?, Sink::start()?);
    let sender = Relay::prepare(Settings::new().all_to(first.address()))?;
    let keys = zone_lines(&sender.said(&["domain", "add", "sender.example"])?);
    let zone = Zone::serve(&format!("{ZONE}{keys}"))?;
    let receiver = Relay::start(
        settings(&last, &zone)
            .set("local_domains", vec![toml::Value::from("dest.example")])
            .set("session.relay_networks", Vec::<String>::new())
            .set("checks.enabled", true),
    )?;
    let mut sender = sender;
    sender.write_settings(Settings::new().all_to(receiver.smtp()?).names_from(zone.address()))?;
    sender.said(&["domain", "check", "sender.example"])?;
    sender.start_again()?;
    sender.send("ada@sender.example", &["bo@dest.example"], BLANKS.as_bytes())?;
    let received = last.wait_for(1)?.pop().context("a message")?;
    let results = received.header("Authentication-Results").context("no results")?;
    assert_eq!(results.matches("dkim=pass header.d=sender.example").count(), 2, "{results}");
    assert!(results.contains("dmarc=pass header.from=sender.example policy.dmarc=reject"), "{results}");
    Ok(())
}

/// A signature outlives relays that can not send 8 bits on, because there are none (RFC 6376 5.3).
#[test]
fn what_is_signed_is_in_seven_bits_before() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::prepare(Settings::new())?;
    let keys = zone_lines(&relay.said(&["domain", "add", "sender.example"])?);
    let published = format!("{ZONE}{keys}");
    let zone = Zone::serve(&published)?;
    relay.write_settings(settings(&sink, &zone))?;
    relay.said(&["domain", "check", "sender.example"])?;
    relay.start_again()?;
    let content = message::corpus("eight-bit.eml")?;
    let id = relay.send("ada@sender.example", &["bo@dest.example"], &content)?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert!(received.content.is_ascii(), "{}", received.text());
    assert_eq!(dkimpy(&received.content, &published)?, "True True", "{}", received.text());
    let converted = relay.wait_for_event(&id, "converted")?;
    assert!(converted.to_string().contains("so that its signature outlives"), "{converted}");
    // What somebody signed before stays as it is, and so does everything when the settings say so.
    let signed_before = [&b"DKIM-Signature: v=1; d=other.example\r\n"[..], &content].concat();
    let received = sent(&relay, &sink, &signed_before)?;
    assert!(received.content.ends_with(&signed_before), "{}", received.text());
    relay.write_settings(settings(&sink, &zone).set("signing.seven_bit", false))?;
    relay.said(&["reload"])?;
    let received = sent(&relay, &sink, &content)?;
    assert!(received.content.ends_with(&content));
    assert_eq!(dkimpy(&received.content, &published)?, "True True");
    Ok(())
}

#[test]
fn a_rotation_signs_with_the_old_keys_until_the_new_ones_are_seen() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::prepare(Settings::new())?;
    let old = zone_lines(&relay.said(&["domain", "add", "sender.example"])?);
    let before = Zone::serve(&format!("{ZONE}{old}"))?;
    relay.write_settings(settings(&sink, &before))?;
    relay.said(&["domain", "check", "sender.example"])?;
    relay.start_again()?;
    let new = zone_lines(&relay.said(&["domain", "rotate", "sender.example"])?);
    let selector = |lines: &str| lines.split("._domainkey").next().unwrap_or_default().to_owned();
    let signed_by = |relay: &Relay, selector: &str| -> Result<bool> {
        Ok(signatures(&sent(relay, &sink, &message::plain("rotated"))?)[0]
            .contains(&format!("s={selector};")))
    };
    assert!(!relay.run(&["domain", "check", "sender.example"])?.status.success());
    assert!(signed_by(&relay, &selector(&old))?);

    let after = Zone::serve(&format!("{ZONE}{old}{new}"))?;
    relay.stop()?;
    relay.write_settings(settings(&sink, &after))?;
    relay.start_again()?;
    let said = relay.said(&["domain", "check", "sender.example"])?;
    assert_eq!(said.matches("keep     ").count(), 2, "{said}");
    assert!(signed_by(&relay, &selector(&new))?);
    let listed = relay.said(&["domain", "list"])?;
    assert_eq!((listed.matches(" signing ").count(), listed.matches(" old ").count()), (2, 2), "{listed}");

    assert!(relay.said(&["domain", "remove", "sender.example"])?.contains("has read the keys"));
    assert!(signatures(&sent(&relay, &sink, &message::plain("removed"))?).is_empty());
    Ok(())
}

/// Reports that the relay writes are of the domain in their own From.
#[test]
fn reports_about_failures_are_signed_when_their_domain_has_keys() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
        (Step::Rcpt, "gone@dest.example") => Say::Line("550 5.1.1 no such user".into()),
        _ => Say::Yes,
    }))?;
    let mut relay = Relay::prepare(Settings::new())?;
    let keys = zone_lines(&relay.said(&["domain", "add", "relay.example"])?);
    let published = format!("{ZONE}{keys}");
    let zone = Zone::serve(&published)?;
    relay.write_settings(settings(&sink, &zone))?;
    // The other records of relay.example are not there; its keys are.
    relay.run(&["domain", "check", "relay.example"])?;
    relay.start_again()?;
    relay.send("ada@other.example", &["gone@dest.example"], &message::plain("bounced"))?;
    let report = sink.wait_for(1)?.pop().context("a report")?;
    assert_eq!(report.sender, "");
    assert!(report.header("From").context("From")?.contains("@relay.example"));
    assert_eq!(dkimpy(&report.content, &published)?, "True True", "{}", report.text());
    Ok(())
}

#[test]
fn mail_of_strangers_is_never_signed() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::prepare(Settings::new())?;
    let keys = zone_lines(&relay.said(&["domain", "add", "sender.example"])?);
    let zone = Zone::serve(&format!("{ZONE}{keys}"))?;
    relay.write_settings(
        settings(&sink, &zone)
            .set("local_domains", vec![toml::Value::from("dest.example")])
            .set("session.relay_networks", Vec::<String>::new()),
    )?;
    relay.said(&["domain", "check", "sender.example"])?;
    relay.start_again()?;
    assert!(signatures(&sent(&relay, &sink, &message::plain("stranger"))?).is_empty());
    Ok(())
}

#[test]
fn users_send_in_verified_names_only_when_the_rule_is_on() -> Result<()> {
    let sink = Sink::start()?;
    let auth = program::plugin("baton-plugin-auth-static")?;
    let mut relay = Relay::prepare(Settings::new())?;
    let keys = zone_lines(&relay.said(&["domain", "add", "sender.example"])?);
    relay.said(&["domain", "add", "pending.example"])?;
    let zone = Zone::serve(&format!("{ZONE}{keys}"))?;
    let settings = settings(&sink, &zone)
        .set("signing.verified_senders", true)
        .set("listeners.users.address", "127.0.0.1:0")
        .set("listeners.users.kind", "submission")
        .set("listeners.users.auth_without_tls", true)
        .plugin("auth-static", &auth)
        .with("[plugins.auth-static.config]\nusers = { ann = '$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$qOeDkc0QMHiUu6N+tlcskqjgE1DGFvsKpDFla7aoXGA' }\n");
    relay.write_settings(settings)?;
    relay.said(&["domain", "check", "sender.example"])?;
    relay.start_again()?;
    let mut client = Client::greeted(relay.listener("users")?)?;
    // ann, open sesame
    client.expect("AUTH PLAIN AGFubgBvcGVuIHNlc2FtZQ==", 235)?;
    for sender in ["a@other.example", "a@pending.example"] {
        let refused = client.command(&format!("MAIL FROM:<{sender}>"))?;
        assert!(refused.code == 550 && refused.text().contains("is not verified"), "{refused}");
    }
    let forged = b"From: a@pending.example\r\nSubject: s\r\n\r\nbody\r\n";
    let refused = client.send("a@sender.example", &["bo@dest.example"], forged)?;
    assert!(refused.code == 550 && refused.text().contains("pending.example is not verified"), "{refused}");
    let taken = client.send("a@sender.example", &["bo@dest.example"], &message::plain("verified"))?;
    assert_eq!(taken.code, 250, "{taken}");
    assert_eq!(signatures(&sink.wait_for(1)?[0]).len(), 2);
    Ok(())
}
