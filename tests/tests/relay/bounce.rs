//! Reports about mail that could not be delivered (RFC 3464), and the ones that must not be made.

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Received, Say, Sink, Step};
use baton_tests::wait;

/// A next hop that refuses `gone@dest.example` for ever and takes reports for `sender.example`.
fn refusing() -> Result<(Relay, Sink)> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
        (Step::Rcpt, "gone@dest.example" | "lost@dest.example") => {
            Say::Line("550 5.1.1 <gone@dest.example>: no such user here".into())
        }
        _ => Say::Yes,
    }))?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    Ok((relay, sink))
}

/// The parts of a multipart message: header and body of each.
fn parts(report: &Received) -> Result<Vec<(String, String)>> {
    let text = report.text();
    let kind = report.header("Content-Type").context("a content type")?;
    let boundary = kind.split("boundary=").nth(1).context("a boundary")?;
    let boundary = boundary.trim_start_matches('"').split(['"', ';']).next().context("a boundary")?;
    let marker = format!("\r\n--{boundary}");
    let mut found = Vec::new();
    for part in text.split(&marker).skip(1) {
        if part.starts_with("--") {
            break;
        }
        let part = part.trim_start_matches("\r\n");
        let (head, body) = part.split_once("\r\n\r\n").context("a part with header")?;
        found.push((head.to_owned(), body.to_owned()));
    }
    Ok(found)
}

#[test]
fn a_failure_is_reported_with_all_that_rfc_3464_asks() -> Result<()> {
    let (relay, sink) = refusing()?;
    let sent = message::corpus("plain.eml")?;
    let id = relay.send("ada@sender.example", &["gone@dest.example"], &sent)?;
    let report = sink.wait_for(1)?.pop().context("a report")?;
    assert_eq!((report.sender.as_str(), report.recipients.join(",").as_str()), ("", "ada@sender.example"));
    let kind = report.header("Content-Type").context("a content type")?;
    assert!(kind.contains("multipart/report") && kind.contains("delivery-status"), "{kind}");
    assert!(report.header("Auto-Submitted").context("Auto-Submitted")?.starts_with("auto-"), "RFC 3834");
    for name in ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version"] {
        assert!(report.header(name).is_some(), "no {name}");
    }
    let parts = parts(&report)?;
    let [(_, words), (status_head, status), (original_head, original)] = parts.as_slice() else {
        anyhow::bail!("{} parts", parts.len());
    };
    assert!(words.contains("gone@dest.example") && words.contains("no such user here"), "{words}");
    assert!(status_head.to_ascii_lowercase().contains("message/delivery-status"), "{status_head}");
    for line in [
        "Reporting-MTA: dns; relay.example",
        "Final-Recipient: rfc822; gone@dest.example",
        "Action: failed",
        "Status: 5.1.1",
    ] {
        assert!(status.contains(line), "no {line:?} in {status}");
    }
    assert!(status.contains("Diagnostic-Code: smtp; 550 5.1.1"), "{status}");
    assert!(original_head.to_ascii_lowercase().contains("text/rfc822-headers"), "{original_head}");
    assert!(
        original.contains("Subject: Minutes of Tuesday") && !original.contains("Good morning"),
        "{original}"
    );
    relay.wait_for_event(&id, "bounced")?;
    relay.wait_until_empty()?;
    Ok(())
}

#[test]
fn failures_of_one_attempt_make_one_report() -> Result<()> {
    let (relay, sink) = refusing()?;
    relay.send(
        "ada@sender.example",
        &["gone@dest.example", "bo@dest.example", "lost@dest.example"],
        &message::plain("two-fail"),
    )?;
    relay.wait_until_empty()?;
    let reports: Vec<_> = sink.wait_for(2)?.into_iter().filter(|message| message.sender.is_empty()).collect();
    assert_eq!(reports.len(), 1);
    let text = reports.first().context("a report")?.text();
    assert!(
        text.contains("Final-Recipient: rfc822; gone@dest.example")
            && text.contains("Final-Recipient: rfc822; lost@dest.example"),
        "{text}"
    );
    assert!(!text.contains("Final-Recipient: rfc822; bo@dest.example"), "{text}");
    Ok(())
}

#[test]
fn the_null_sender_gets_no_report() -> Result<()> {
    let (relay, sink) = refusing()?;
    let id = relay.send("", &["gone@dest.example"], &message::corpus("bounce.eml")?)?;
    relay.wait_for_event(&id, "failed")?;
    let why = relay.wait_for_event(&id, "bounced")?;
    assert!(why.get("report").is_some_and(serde_json::Value::is_null), "{why}");
    relay.wait_until_empty()?;
    wait::quiet();
    assert!(sink.messages().is_empty());
    Ok(())
}

#[test]
fn a_report_that_fails_is_not_reported() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match moment.step {
        Step::Rcpt => Say::Line("550 5.1.1 nobody is here".into()),
        _ => Say::Yes,
    }))?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let id = relay.send("ada@sender.example", &["gone@dest.example"], &message::plain("both-fail"))?;
    let bounced = relay.wait_for_event(&id, "bounced")?;
    let report = bounced.get("report").and_then(serde_json::Value::as_str).context("a report")?.to_owned();
    relay.wait_for_event(&report, "failed")?;
    relay.wait_until_empty()?;
    wait::quiet();
    assert!(sink.messages().is_empty());
    assert_eq!(sink.times(Step::Rcpt), 2);
    Ok(())
}

#[test]
fn what_is_too_old_is_given_up_with_its_last_reason() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
        (Step::Rcpt, "later@dest.example") => Say::Line("450 4.2.1 try again".into()),
        _ => Say::Yes,
    }))?;
    let relay = Relay::start(Settings::new().all_to(sink.address()).set("delivery.lifetime_s", 2))?;
    let id = relay.send("ada@sender.example", &["later@dest.example"], &message::plain("old"))?;
    let report = sink.wait_for(1)?.pop().context("a report")?;
    let text = report.text();
    assert!(text.contains("Action: failed") && text.contains("try again"), "{text}");
    assert!(text.contains("Status: 5.4.7") || text.contains("Status: 4.4.7"), "{text}");
    relay.wait_for_event(&id, "failed")?;
    relay.wait_until_empty()?;
    Ok(())
}

#[test]
fn held_mail_expires_too() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new()
        .hop("sink", sink.address())
        .set("next_hops.wait.hold", "to be looked at")
        .route("held.example", "wait")
        .route("*", "sink")
        .set("delivery.lifetime_s", 2);
    let relay = Relay::start(settings)?;
    relay.send("ada@sender.example", &["b@held.example"], &message::plain("held"))?;
    let report = sink.wait_for(1)?.pop().context("a report")?;
    assert!(report.text().contains("Final-Recipient: rfc822; b@held.example"), "{}", report.text());
    relay.wait_until_empty()?;
    Ok(())
}

/// The return path names each recipient, so that even a report that says nothing tells whose address failed.
#[test]
fn return_paths_name_the_recipient_where_the_settings_say_so() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(
        Settings::new().all_to(sink.address()).set("bounce.verp_domains", vec!["news.example"]),
    )?;
    let to = ["ann@dest.example", "bob@dest.example"];
    relay.send("letter@news.example", &to, &message::plain("news"))?;
    let mut seen: Vec<_> =
        sink.wait_for(2)?.iter().map(|one| (one.sender.clone(), one.recipients.clone())).collect();
    seen.sort();
    let named = |name: &str| {
        (format!("letter+{name}=dest.example@news.example"), vec![format!("{name}@dest.example")])
    };
    assert_eq!(seen, [named("ann"), named("bob")]);
    relay.send("letter@other.example", &to, &message::plain("other"))?;
    let plain = sink.wait_for(3)?.pop().map(|one| (one.sender, one.recipients.len()));
    assert_eq!(plain, Some(("letter@other.example".to_owned(), 2)));
    Ok(())
}
