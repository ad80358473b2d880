//! Reports of others about mail in our domains' names: received by mail, kept, shown.

use std::io::Write;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use flate2::Compression;
use flate2::write::GzEncoder;

const DMARC: &str = "<feedback><report_metadata><org_name>Inbox</org_name><report_id>r-1</report_id><date_range>\
<begin>1795651200</begin><end>1795737599</end></date_range></report_metadata><policy_published><domain>sender.example</domain>\
<p>reject</p></policy_published><record><row><source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated>\
<disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>sender.example\
</header_from></identifiers></record><record><row><source_ip>203.0.113.9</source_ip><count>2</count><policy_evaluated>\
<disposition>reject</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>\
sender.example</header_from></identifiers></record></feedback>";

const TLS: &str = "{\"organization-name\":\"Inbox\",\"date-range\":{\"start-datetime\":\"2026-11-26T00:00:00Z\",\
\"end-datetime\":\"2026-11-26T23:59:59Z\"},\"report-id\":\"t-1\",\"policies\":[{\"policy\":{\"policy-type\":\"sts\",\
\"policy-domain\":\"sender.example\"},\"summary\":{\"total-successful-session-count\":5,\"total-failure-session-count\":2},\
\"failure-details\":[{\"result-type\":\"certificate-expired\",\"failed-session-count\":2}]}]}";

fn gzip(octets: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(octets)?;
    Ok(encoder.finish()?)
}

/// A message with one attachment, in base64.
fn mail(content_type: &str, octets: &[u8]) -> Vec<u8> {
    // 57 octets make a line of 76 (RFC 2045 6.8).
    let encoded: String = octets.chunks(57).map(|line| STANDARD.encode(line) + "\r\n").collect();
    format!(
        "From: reports@inbox.example\r\nSubject: Report Domain: sender.example\r\nMIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{encoded}"
    )
    .into_bytes()
}

fn keeping(sink: &Sink) -> Settings {
    Settings::new()
        .all_to(sink.address())
        .set("reports.mailboxes", vec![toml::Value::from("dmarc@dest.example"), "tls@dest.example".into()])
}

#[test]
fn reports_are_read_kept_shown_and_the_mail_goes_on() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::start(keeping(&sink))?;
    let report = mail("application/gzip; name=\"inbox!sender.example!1!2.xml.gz\"", &gzip(DMARC.as_bytes())?);
    let id = relay.send("reports@inbox.example", &["DMARC@dest.example"], &report)?;
    // The same again is the same.
    relay.send("reports@inbox.example", &["dmarc@dest.example"], &report)?;
    let report = mail("application/tlsrpt+gzip", &gzip(TLS.as_bytes())?);
    relay.send("reports@inbox.example", &["tls@dest.example"], &report)?;
    sink.wait_for(3)?;
    let story = relay.said(&["explain", &id])?;
    assert!(
        story.contains("DMARC report of Inbox about sender.example: 5 messages, 3 of them passed"),
        "{story}"
    );

    // What was kept outlives a restart.
    relay.stop()?;
    relay.start_again()?;
    let said = relay.said(&["reports", "dmarc", "--domain", "sender.example"])?;
    assert_eq!(said.matches("DMARC report of Inbox").count(), 1, "{said}");
    for part in ["3  pass  192.0.2.1", "2  FAIL  203.0.113.9", "done: reject", "2026-11-26"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let said = relay.said(&["reports", "tls"])?;
    assert!(said.contains("5 sessions, 2 failed") && said.contains("certificate-expired"), "{said}");
    assert!(relay.said(&["reports", "dmarc", "--domain", "other.example"])?.contains("No reports"));
    let page = relay.admin("GET", "/v1/reports/dmarc?limit=1", "")?;
    assert_eq!(page["reports"][0]["dmarc"]["rows"][0]["count"], 3, "{page}");
    assert_eq!(relay.admin_raw("GET", "/v1/reports/other", "")?.0, 404);
    assert_eq!(relay.admin_raw("GET", "/v1/reports/dmarc?domain=a%20b", "")?.0, 400);
    Ok(())
}

/// Bombs, rubbish and words are mail like any other, and the history says why nothing was kept.
#[test]
fn what_is_no_report_goes_on_and_is_said_to_be_none() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(keeping(&sink))?;
    let bomb = gzip(&vec![b' '; 40 << 20])?;
    for (content, why) in [
        (mail("application/gzip", &bomb), "unfolds to more than"),
        (mail("application/gzip", b"\x1f\x8brubbish"), "damaged packing"),
        (mail("text/xml", "<a>".repeat(1_000).as_bytes()), "too deep"),
        (message::plain("words"), "no part of the message is a report"),
    ] {
        let id = relay.send("eve@evil.example", &["dmarc@dest.example"], &content)?;
        let story = relay.said(&["explain", &id])?;
        assert!(story.contains(why), "{why} is not in {story}");
    }
    sink.wait_for(4)?;
    assert!(relay.said(&["reports", "dmarc"])?.contains("No reports"));
    let metrics = relay.metrics()?;
    assert!(metrics.contains("baton_session_reports_total{kind=\"none\"} 4"), "{metrics}");
    // Others may write what they like to mailboxes that are not for reports.
    let report = mail("text/xml", DMARC.as_bytes());
    let id = relay.send("reports@inbox.example", &["bo@dest.example"], &report)?;
    assert!(
        !relay.said(&["explain", &id])?.contains("DMARC report"),
        "{}",
        sink.wait_for(5)?.len().to_string()
    );
    relay.metrics().context("the relay is alive")?;
    Ok(())
}
