//! DMARC aggregate reports that we send (RFC 9990): counted, asked for, agreed to, written, read by our own reader and by a
//! strict one of others.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use baton_tests::program;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Received, Sink};
use baton_tests::zone::Zone;
use toml::Value;

use crate::signing::{vectors_python, zone_lines};

/// `bank.test` wants reports at home and at three other organizations: one agreed, one sends elsewhere in its house, one
/// said nothing. `quiet.test` wants none.
const ZONE: &str = "$ORIGIN .\n$TTL 0\n\
    bank.test. IN TXT \"v=spf1 -all\"\n\
    _dmarc.bank.test. IN TXT \"v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@mail.bank.test,mailto:b@agreed.test,\
    mailto:b@moved.test,mailto:b@victim.test,mailto:small@agreed.test!1k\"\n\
    bank.test._report._dmarc.agreed.test. IN TXT \"v=DMARC1\"\n\
    bank.test._report._dmarc.moved.test. IN TXT \"v=DMARC1; rua=mailto:new@moved.test,mailto:x@victim.test\"\n\
    friend.test. IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n\
    _dmarc.friend.test. IN TXT \"v=DMARC1; p=none; rua=mailto:d@friend.test\"\n\
    quiet.test. IN TXT \"v=spf1 -all\"\n_dmarc.quiet.test. IN TXT \"v=DMARC1; p=reject\"\n";

fn message(from: &str) -> Vec<u8> {
    format!("From: user@{from}\r\nTo: bo@dest.test\r\nSubject: s\r\n\r\nHello.\r\n").into_bytes()
}

/// The packed report in a message.
fn attachment(received: &Received) -> Result<Vec<u8>> {
    use base64::Engine;
    let text = received.text();
    let (_, rest) = text.split_once("Content-Disposition: attachment").context("an attachment")?;
    let (_, encoded) = rest.split_once("\r\n\r\n").context("its content")?;
    let (encoded, _) = encoded.split_once("--").context("its end")?;
    let encoded: String = encoded.split_whitespace().collect();
    Ok(base64::engine::general_purpose::STANDARD.decode(encoded)?)
}

/// What another implementation reads, which is strict.
fn read_by_others(received: &Received) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("report"), attachment(received)?)?;
    let script = program::repository().join("tests/lab/read_dmarc_report.py");
    let output = Command::new(vectors_python()?).arg(script).current_dir(folder.path()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

#[test]
fn domains_are_told_what_came_in_their_name() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::prepare(Settings::new())?;
    let keys = zone_lines(&relay.said(&["domain", "add", "relay.example"])?);
    let zone = Zone::serve(&format!("{ZONE}{keys}"))?;
    relay.write_settings(
        Settings::new()
            .all_to(sink.address())
            .names_from(zone.address())
            .set("local_domains", vec![Value::from("dest.test")])
            .set("session.relay_networks", Vec::<String>::new())
            .set("reports.mailboxes", vec![Value::from("reports@dest.test")])
            .set("checks.enabled", true)
            .set("reports.send_dmarc", true),
    )?;
    relay.run(&["domain", "check", "relay.example"])?;
    relay.start_again()?;
    for from in ["bank.test", "bank.test", "news.bank.test", "friend.test", "quiet.test"] {
        relay.send(&format!("user@{from}"), &["bo@dest.test"], &message(from))?;
    }
    // A report about this one would be answered by a report about that, for ever.
    relay.send("user@bank.test", &["reports@dest.test"], &message("bank.test"))?;
    relay.stop()?;
    relay.start_again()?;
    let said = relay.said(&["reports", "send", "--now"])?;
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("not to small@agreed.test: it has"), "{said}");
    let arrived = sink.wait_for(6 + 4)?;
    let mut reports: Vec<&Received> =
        arrived.iter().filter(|one| one.header("Auto-Submitted").is_some()).collect();
    reports.sort_by_key(|one| one.recipients.clone());
    let readers: Vec<&str> = reports.iter().flat_map(|one| &one.recipients).map(String::as_str).collect();
    assert_eq!(readers, ["b@agreed.test", "d@friend.test", "d@mail.bank.test", "new@moved.test"]);
    let expected = [
        "rfc_9990 bank.test reject quarantine n",
        "bank.test 127.0.0.1 2 none dkim=fail spf=fail local_policy",
        "news.bank.test 127.0.0.1 1 none dkim=fail spf=fail local_policy",
    ];
    assert_eq!(read_by_others(reports[2])?, expected);
    let expected = ["rfc_9990 friend.test none none n", "friend.test 127.0.0.1 1 none dkim=fail spf=pass -"];
    assert_eq!(read_by_others(reports[1])?, expected);
    for report in reports {
        let signature = report.header("DKIM-Signature").context("a signature")?;
        assert!(signature.contains("d=relay.example"), "{signature}");
        assert_eq!(report.sender, "mailer-daemon@relay.example");
    }
    // What carried them is told of to nobody.
    assert!(relay.said(&["reports", "send", "--now"])?.contains("no report that anybody wants"));
    Ok(())
}
