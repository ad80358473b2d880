//! What senders ask about reports (RFC 3461): heeded here, or passed on to a next hop that heeds it.

use anyhow::{Context, Result, ensure};
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Received, Say, Sink, Step};
use baton_tests::wait;

const WITH_DSN: [&str; 5] = ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SIZE 0"];

/// A relay before a next hop that behaves so.
fn before(behaviour: Behaviour) -> Result<(Relay, Sink)> {
    let sink = Sink::with(behaviour)?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    Ok((relay, sink))
}

/// Sends a message with these parameters of MAIL and of each RCPT; tells its id.
fn send(relay: &Relay, mail: &str, recipients: &[(&str, &str)], content: &[u8]) -> Result<String> {
    let mut client = relay.client()?;
    send_by(&mut client, mail, recipients, content)
}

fn send_by(client: &mut Client, mail: &str, recipients: &[(&str, &str)], content: &[u8]) -> Result<String> {
    client.expect(&format!("MAIL FROM:<ada@sender.example> {mail}"), 250)?;
    for (recipient, parameters) in recipients {
        client.expect(&format!("RCPT TO:<{recipient}> {parameters}"), 250)?;
    }
    let answer = client.data(content)?;
    ensure!(answer.code == 250, "{answer}");
    answer.message_id()
}

/// The only report that the next hop got, and every other message.
fn report_of(messages: Vec<Received>) -> Result<(Received, Vec<Received>)> {
    let (mut reports, others): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.sender.is_empty());
    ensure!(reports.len() == 1, "{} reports", reports.len());
    Ok((reports.pop().context("a report")?, others))
}

fn assert_says(report: &Received, lines: &[&str]) -> Result<()> {
    let text = report.text();
    for line in lines {
        ensure!(text.contains(&format!("\r\n{line}\r\n")), "no line {line:?} in {text}");
    }
    Ok(())
}

#[test]
fn success_is_reported_when_the_next_hop_would_not() -> Result<()> {
    let (relay, sink) = before(Behaviour::default())?;
    let recipients = [
        ("bo@dest.example", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;List+2Bbo@sender.example"),
        ("cy@dest.example", "NOTIFY=FAILURE"),
        ("di@dest.example", ""),
    ];
    let id = send(&relay, "RET=FULL ENVID=QQ+2B314", &recipients, &message::plain("asked"))?;
    let (report, others) = report_of(sink.wait_for(2)?)?;
    let sent = others.first().context("the message")?;
    assert_eq!(sent.recipient_parameters, ["", "", ""], "nothing is told to who would not know it");
    assert!(!sent.parameters.contains("ENVID"), "{}", sent.parameters);
    assert_eq!(report.recipients, ["ada@sender.example"]);
    assert_says(
        &report,
        &[
            "Subject: Your message was handed on",
            "Original-Envelope-Id: QQ+314",
            "Original-Recipient: rfc822; List+bo@sender.example",
            "Final-Recipient: rfc822; bo@dest.example",
            "Action: relayed",
            "Status: 2.0.0",
        ],
    )?;
    let text = report.text();
    assert!(
        !text.contains("cy@dest.example") && !text.contains("Hello."),
        "only the header comes back: {text}"
    );
    let event = relay.wait_for_event(&id, "reported")?;
    assert_eq!(event["action"], "relayed");
    relay.wait_until_empty()?;
    let story = relay.said(&["explain", &id])?;
    for words in [
        "the sender asked for RET=FULL, ENVID=QQ+2B314, NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;List+2Bbo@sender.example for bo@dest.example, NOTIFY=FAILURE for cy@dest.example",
        "reported to the sender as relayed for bo@dest.example",
    ] {
        assert!(story.contains(words), "no {words:?} in {story}");
    }
    Ok(())
}

#[test]
fn requests_go_on_to_a_next_hop_that_heeds_them() -> Result<()> {
    let (relay, sink) = before(Behaviour::default().offering(&WITH_DSN))?;
    let recipients = [
        ("bo@dest.example", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;List+2Bbo@sender.example"),
        ("cy@dest.example", "NOTIFY=NEVER"),
        ("di@dest.example", ""),
    ];
    send(&relay, "ENVID=QQ+2B314 RET=HDRS", &recipients, &message::plain("on"))?;
    let sent = sink.wait_for(1)?.pop().context("the message")?;
    assert!(sent.parameters.ends_with("RET=HDRS ENVID=QQ+2B314"), "{}", sent.parameters);
    assert_eq!(
        sent.recipient_parameters,
        ["NOTIFY=SUCCESS,DELAY ORCPT=rfc822;List+2Bbo@sender.example", "NOTIFY=NEVER", ""]
    );
    relay.wait_until_empty()?;
    wait::quiet();
    assert_eq!(sink.messages().len(), 1, "the next hop reports");
    Ok(())
}

#[test]
fn a_failure_is_reported_only_to_who_wants_to_know() -> Result<()> {
    let gone = Behaviour::script(|moment| match moment.step {
        Step::Rcpt if moment.argument.ends_with("dest.example") => Say::Line("550 5.1.1 gone".into()),
        _ => Say::Yes,
    });
    let (relay, sink) = before(gone)?;
    for silent in ["NOTIFY=NEVER", "NOTIFY=SUCCESS", "NOTIFY=DELAY"] {
        let id = send(&relay, "", &[("bo@dest.example", silent)], &message::plain("silent"))?;
        let why = relay.wait_for_event(&id, "bounced")?;
        assert_eq!(why["detail"], "no report: the sender asked for none");
    }
    let recipients = [("bo@dest.example", "NOTIFY=NEVER"), ("cy@dest.example", "NOTIFY=FAILURE")];
    send(&relay, "RET=FULL ENVID=all", &recipients, &message::plain("whole"))?;
    relay.wait_until_empty()?;
    let (report, _) = report_of(sink.wait_for(1)?)?;
    assert_says(
        &report,
        &[
            "Original-Envelope-Id: all",
            "Final-Recipient: rfc822; cy@dest.example",
            "Action: failed",
            "Content-Type: message/rfc822",
            "Subject: whole",
            "Hello.",
        ],
    )?;
    assert!(!report.text().contains("bo@dest.example\r\n"), "{}", report.text());
    Ok(())
}

#[test]
fn final_delivery_is_reported_as_such() -> Result<()> {
    let sink = Sink::start()?;
    let store = Sink::with(Behaviour::default().lmtp())?;
    let folder = tempfile::tempdir()?;
    let settings = Settings::new()
        .all_to(sink.address())
        .set("next_hops.store.lmtp", store.address().to_string())
        .set("next_hops.box.file", folder.path().display().to_string())
        .route("store.example", "store")
        .route("box.example", "box");
    let relay = Relay::start(settings)?;
    for recipient in ["bo@store.example", "bo@box.example"] {
        send(&relay, "", &[(recipient, "NOTIFY=SUCCESS")], &message::plain("final"))?;
        relay.wait_until_empty()?;
        let report = sink.messages().pop().context("a report")?;
        assert_says(&report, &[&format!("Final-Recipient: rfc822; {recipient}"), "Action: delivered"])?;
    }
    Ok(())
}

/// A next hop that takes nothing for `dest.example` the first four times.
fn slow() -> Behaviour {
    Behaviour::script(|moment| match moment.step {
        Step::Rcpt if moment.argument.ends_with("dest.example") && moment.times_before < 4 => {
            Say::Line("450 4.2.1 later".into())
        }
        _ => Say::Yes,
    })
}

#[test]
fn delay_is_told_once_to_who_asked() -> Result<()> {
    let sink = Sink::with(slow())?;
    let relay = Relay::start(Settings::new().all_to(sink.address()).set("bounce.delay_after_s", 0))?;
    let recipients =
        [("bo@dest.example", "NOTIFY=DELAY"), ("cy@dest.example", ""), ("di@dest.example", "NOTIFY=FAILURE")];
    let id = send(&relay, "ENVID=late", &recipients, &message::plain("late"))?;
    relay.wait_until_empty()?;
    let (report, _) = report_of(sink.messages())?;
    assert_says(
        &report,
        &["Subject: Your message is late", "Original-Envelope-Id: late", "Action: delayed", "Status: 4.2.1"],
    )?;
    let text = report.text();
    assert!(text.contains("\r\nWill-Retry-Until: "), "{text}");
    assert!(!text.contains("cy@dest.example") && !text.contains("di@dest.example"), "{text}");
    assert_eq!(relay.wait_for_event(&id, "reported")?["action"], "delayed");
    Ok(())
}

#[test]
fn delay_is_told_to_all_or_nobody_where_the_settings_say_so() -> Result<()> {
    for (who, told) in [("all", 1), ("never", 0)] {
        let sink = Sink::with(slow())?;
        let settings =
            Settings::new().all_to(sink.address()).set("bounce.delay_after_s", 0).set("bounce.delay", who);
        let relay = Relay::start(settings)?;
        let recipients = [("bo@dest.example", if who == "all" { "" } else { "NOTIFY=DELAY" })];
        send(&relay, "", &recipients, &message::plain("late"))?;
        relay.wait_until_empty()?;
        let reports = sink.messages().iter().filter(|message| message.sender.is_empty()).count();
        assert_eq!(reports, told, "{who}");
    }
    Ok(())
}

#[test]
fn requests_and_told_delays_outlive_the_process() -> Result<()> {
    let down = Sink::with(Behaviour::script(|moment| match moment.step {
        Step::Rcpt if moment.argument.ends_with("dest.example") => Say::Line("450 4.2.1 later".into()),
        _ => Say::Yes,
    }))?;
    let settings = |sink: &Sink| Settings::new().all_to(sink.address()).set("bounce.delay_after_s", 0);
    let mut relay = Relay::start(settings(&down))?;
    let asked = [("bo@dest.example", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bo@dest.example")];
    let id = send(&relay, "ENVID=kept", &asked, &message::plain("kept"))?;
    relay.wait_for_event(&id, "reported")?;
    down.wait_for(1)?;
    relay.stop()?;
    let up = Sink::with(
        Behaviour::script(|moment| match moment.step {
            Step::Rcpt if moment.argument.ends_with("dest.example") && moment.times_before < 2 => {
                Say::Line("450 4.2.1 later".into())
            }
            _ => Say::Yes,
        })
        .offering(&WITH_DSN),
    )?;
    relay.write_settings(settings(&up))?;
    relay.start_again()?;
    relay.wait_until_empty()?;
    let messages = up.messages();
    assert_eq!(messages.len(), 1, "the delay was told before");
    let sent = messages.first().context("the message")?;
    assert_eq!(sent.recipient_parameters, ["NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bo@dest.example"]);
    assert!(sent.parameters.ends_with("ENVID=kept"), "{}", sent.parameters);
    Ok(())
}

#[test]
fn what_is_no_request_is_refused_and_the_session_goes_on() -> Result<()> {
    let (relay, _sink) = before(Behaviour::default())?;
    let mut client = relay.client()?;
    let long = "x".repeat(101);
    let envelope_id = "5.5.4 ENVID is xtext of printable ASCII, of 100 octets at most";
    for (parameter, reply) in [
        ("ENVID=a+0D+0Ab", envelope_id),
        ("ENVID=a+0g", envelope_id),
        (&*format!("ENVID={long}"), envelope_id),
        ("RET=ALL", "5.5.4 RET is FULL or HDRS"),
        ("RET=HDRS RET=HDRS", "5.5.4 arguments not understood"),
    ] {
        let answer = client.expect(&format!("MAIL FROM:<ada@sender.example> {parameter}"), 501)?;
        assert_eq!(answer.text(), reply, "{parameter}");
    }
    client.expect("MAIL FROM:<ada@sender.example>", 250)?;
    let notify = "5.5.4 NOTIFY is NEVER, or of SUCCESS, FAILURE and DELAY";
    let original = "5.5.4 ORCPT is type;xtext, of 500 octets at most";
    for (parameter, reply) in [
        ("NOTIFY=NEVER,SUCCESS", notify),
        ("NOTIFY=SUCCESS,NEVER", notify),
        ("NOTIFY=,", notify),
        ("NOTIFY=DELAY NOTIFY=DELAY", "5.5.4 arguments not understood"),
        ("ORCPT=rfc822", original),
        ("ORCPT=rfc822;a+0D+0AX:", original),
        ("ORCPT=rfc822;a+00", original),
        (&*format!("ORCPT=rfc822;{}", "x".repeat(500)), original),
    ] {
        let answer = client.expect(&format!("RCPT TO:<bo@dest.example> {parameter}"), 501)?;
        assert_eq!(answer.text(), reply, "{parameter}");
    }
    client.expect("RCPT TO:<bo@dest.example>", 250)?;
    Ok(())
}
