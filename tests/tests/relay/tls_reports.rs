//! Reports about TLS that we send (RFC 8460): counted, asked for, written, read back by the reader that the relay has for
//! those of others.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use baton_identity::reports::{Report, TlsReport, read};
use baton_mail::body::Content;
use baton_mail::mime::MimeLimits;
use baton_tests::pki::Pki;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Received;
use baton_tests::vault::{Page, Vault};
use baton_tests::zone::Zone;
use baton_tests::{message, wait};
use toml::Value;

use crate::published::MailHosts;
use crate::signing::zone_lines;

/// What the domains publish; `port` is that of the web server.
fn records(port: u16) -> String {
    format!(
        "$ORIGIN .\n$TTL 0\n\
         dest.test. IN MX 10 mx.dest.test.\nmx.dest.test. IN A 127.0.0.1\n\
         _smtp._tls.dest.test. IN TXT \"v=TLSRPTv1; rua=mailto:tls@reader.test,https://reports.test:{port}/in\"\n\
         reports.test. IN A 127.0.0.1\n\
         plain.test. IN MX 10 mx.plain.test.\nmx.plain.test. IN A 127.0.0.3\n\
         _smtp._tls.plain.test. IN TXT \"v=TLSRPTv1; rua=mailto:tls@reader.test\"\n\
         tried.test. IN MX 10 mx.tried.test.\nmx.tried.test. IN A 127.0.0.1\n\
         _mta-sts.tried.test. IN TXT \"v=STSv1; id=1\"\nmta-sts.tried.test. IN A 127.0.0.1\n\
         _smtp._tls.tried.test. IN TXT \"v=TLSRPTv1; rua=mailto:tls@reader.test\"\n\
         empty.test. IN MX 10 mx.tried.test.\n\
         _mta-sts.empty.test. IN TXT \"v=STSv1; id=1\"\nmta-sts.empty.test. IN A 127.0.0.1\n\
         _smtp._tls.empty.test. IN TXT \"v=TLSRPTv1; rua=mailto:tls@reader.test\"\n\
         silent.test. IN MX 10 mx.plain.test.\n\
         reader.test. IN MX 10 mx.reader.test.\nmx.reader.test. IN A 127.0.0.3\n\
         _smtp._tls.reader.test. IN TXT \"v=TLSRPTv1; rua=mailto:tls@reader.test\"\n"
    )
}

/// A web server for a policy that is tried out, and for reports.
fn vault(pki: &Pki) -> Result<Vault> {
    let vault = Vault::start()?;
    let page = Page { head: "HTTP/1.1 201 Created".to_owned(), body: Vec::new() };
    vault.host("reports.test", &pki.issue(&["reports.test"])?, page)?;
    let policy = Page::text("version: STSv1\nmode: testing\nmx: mx.nobody.test\nmax_age: 86400\n");
    vault.host("mta-sts.tried.test", &pki.issue(&["mta-sts.tried.test"])?, policy)?;
    Ok(vault)
}

/// What a report says: its domain, the kind of policy, sessions, and what was wrong.
type Told = (String, String, (u64, u64), String);

/// The reports that came by mail, read.
fn told(arrived: &[Received]) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    for received in arrived {
        let about = received.header("TLS-Report-Domain").context("a domain")?;
        assert_eq!(received.header("TLS-Report-Submitter").as_deref(), Some("relay.example"));
        let signature = received.header("DKIM-Signature").context("a signature")?;
        ensure!(signature.contains("d=sender.test"), "{signature}");
        let report = report(received)?;
        let policy = report.policies.first().context("a policy")?;
        let fault = policy.failures.first().map(|fault| fault.kind.clone()).unwrap_or_default();
        ensure!(policy.domain == about && report.policies.len() == 1, "{report:?}");
        told.push((about, policy.kind.clone(), report.sessions(), fault));
    }
    told.sort();
    Ok(told)
}

fn report(received: &Received) -> Result<TlsReport> {
    let content = Content::split(received.content.clone().into());
    match read(&content, &MimeLimits::default())? {
        Report::Tls(report) => Ok(report),
        other => anyhow::bail!("{other:?}"),
    }
}

#[test]
fn domains_are_told_how_their_mail_hosts_were_reached() -> Result<()> {
    let pki = Pki::make()?;
    let hosts = MailHosts::start(&[&pki.issue(&["mx.dest.test"])?])?;
    let vault = vault(&pki)?;
    let port = vault.address().port();
    let mut relay = Relay::prepare(Settings::new())?;
    let keys = zone_lines(&relay.said(&["domain", "add", "sender.test"])?);
    let zone = Zone::serve(&format!("{}{keys}", records(port)))?;
    let settings = hosts
        .settings(&zone, &pki)?
        .set("reports.send_tls", true)
        .set("reports.from", "tls-reports@sender.test")
        .set("delivery.mta_sts.port", i64::from(port))
        .set("http.ca_file", pki.authority().display().to_string())
        .set("http.allowed_networks", vec![Value::from("127.0.0.0/8")]);
    relay.write_settings(settings)?;
    relay.run(&["domain", "check", "sender.test"])?;
    relay.start_again()?;
    for domain in ["dest.test", "plain.test", "tried.test", "empty.test", "silent.test"] {
        let id = relay.send("ada@sender.example", &[&format!("bo@{domain}")], &message::plain(domain))?;
        relay.wait_for_event(&id, "delivered")?;
    }
    // What was counted outlives the process.
    relay.stop()?;
    relay.start_again()?;
    let said = relay.said(&["reports", "send", "--now"])?;
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(said.contains(&format!("to https://reports.test:{port}/in")), "{said}");
    let arrived = wait::until("four reports", || {
        let mut arrived = hosts.plain.messages();
        arrived.retain(|one| one.recipients == ["tls@reader.test"]);
        Ok((arrived.len() >= 4).then_some(arrived))
    })?;
    let expected = [
        ("dest.test", "no-policy-found", (1, 0), ""),
        ("empty.test", "sts", (0, 1), "sts-policy-fetch-error"),
        ("plain.test", "no-policy-found", (0, 1), "starttls-not-supported"),
        ("tried.test", "sts", (0, 1), "validation-failure"),
    ]
    .map(|(domain, kind, sessions, fault)| (domain.to_owned(), kind.to_owned(), sessions, fault.to_owned()));
    assert_eq!(told(&arrived)?, expected);

    let posted = vault.asked("reports.test").pop().context("a report over HTTPS")?;
    let text = String::from_utf8_lossy(&posted).to_ascii_lowercase();
    assert!(
        text.starts_with("post /in ") && text.contains("content-type: application/tlsrpt+gzip"),
        "{text}"
    );
    let begins = posted.windows(4).position(|four| four == b"\r\n\r\n").context("a body")? + 4;
    let mut json = String::new();
    flate2::read::GzDecoder::new(posted.get(begins..).unwrap_or_default()).read_to_string(&mut json)?;
    assert!(json.contains("\"total-successful-session-count\":1"), "{json}");

    // Once, and never about what carried the reports, although its domain asks for reports and offers no TLS.
    assert!(relay.said(&["reports", "send", "--now"])?.contains("no report that anybody wants"));
    Ok(())
}
