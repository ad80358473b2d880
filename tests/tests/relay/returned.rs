//! What comes back: bounces that others write, feedback, and answers that no person wrote.

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Received, Sink};
use serde_json::Value;

fn reading(sink: &Sink) -> Settings {
    Settings::new()
        .all_to(sink.address())
        .set("local_domains", vec!["news.example"])
        .set("bounce.verp_domains", vec!["news.example"])
        .set("bounces.addresses", vec!["bounces@news.example"])
        .set("complaints.addresses", vec!["fbl@news.example"])
        .set("suppression.automatic", "all")
}

/// A report of the next hop that it could not deliver after all, as Postfix writes it.
fn bounce(recipient: &str, status: &str, words: &str, returned: &str) -> Vec<u8> {
    format!(
        "From: MAILER-DAEMON@mx.dest.example (Mail Delivery System)\r\nSubject: Undelivered Mail Returned to Sender\r\n\
         Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nThis is the mail system.\r\n\r\n<{recipient}>: host inner.dest.example said: {words}\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.dest.example\r\n\r\n\
         Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: {status}\r\nRemote-MTA: dns; inner.dest.example\r\n\
         Diagnostic-Code: smtp; {words}\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n--b--\r\n"
    )
    .into_bytes()
}

fn feedback(kind: &str, returned: &str) -> Vec<u8> {
    format!(
        "From: fbl@big.example\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
         An abuse report.\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: Big/1.0\r\n\
         Version: 1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{returned}\r\n\r\nbody\r\n\r\n--b--\r\n"
    )
    .into_bytes()
}

/// Sends a message and waits until it arrived; returns its id and how it looked there.
fn delivered(
    relay: &Relay,
    sink: &Sink,
    sender: &str,
    recipient: &str,
    count: usize,
) -> Result<(String, Received)> {
    let content =
        format!("From: {sender}\r\nMessage-ID: <m{count}@news.example>\r\nSubject: news\r\n\r\nbody\r\n");
    let id = relay.send(sender, &[recipient], content.as_bytes())?;
    relay.wait_until_empty()?;
    let received = sink.wait_for(count)?.pop().context("a message")?;
    Ok((id, received))
}

/// The header of a message as it arrived, which is what reports give back.
fn header(received: &Received) -> Result<String> {
    let text = received.text();
    Ok(text.split("\r\n\r\n").next().context("a header")?.to_owned())
}

fn kinds(relay: &Relay, id: &str) -> Result<Vec<String>> {
    let kind = |event: &Value| event.get("what")?.as_object()?.keys().next().cloned();
    Ok(relay.story(id)?.iter().filter_map(kind).collect())
}

fn is_suppressed(relay: &Relay, recipient: &str) -> Result<bool> {
    Ok(!relay.said(&["suppression", "show", recipient])?.contains("is on no list"))
}

#[test]
fn a_bounce_is_attached_by_our_own_name_of_the_message() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(reading(&sink))?;
    let (id, received) = delivered(&relay, &sink, "ada@news.example", "ann@dest.example", 1)?;
    assert!(received.sender.contains("ann=dest.example"), "{}", received.sender);
    let report = bounce("ann@dest.example", "5.1.1", "550 5.1.1 no such user", &header(&received)?);
    let report_id = relay.send("", &["bounces@news.example"], &report)?;
    let returned = relay.wait_for_event(&id, "came-back")?;
    assert_eq!(returned["recipient"], "ann@dest.example");
    assert!(returned["status"]["text"].as_str().context("a text")?.contains("no such user"), "{returned}");
    let said = relay.said(&["suppression", "show", "ann@dest.example"])?;
    assert!(said.contains("hard-bounce") && said.contains(&id), "{said}");
    assert!(relay.said(&["explain", &report_id])?.contains(&format!("a bounce about {id}")));
    assert!(relay.said(&["explain", &id])?.contains("came back"));
    // The same again says nothing new.
    relay.send("", &["bounces@news.example"], &report)?;
    assert_eq!(kinds(&relay, &id)?.iter().filter(|kind| *kind == "came-back").count(), 1);
    let metrics = relay.metrics()?;
    for result in ["attached", "known"] {
        let line = format!("baton_session_returned_total{{kind=\"bounce\",result=\"{result}\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    Ok(())
}

#[test]
fn a_bounce_is_attached_by_message_id_and_by_recipient_and_time() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(reading(&sink).set("suppression.soft_bounces", 2))?;
    let (id, _) = delivered(&relay, &sink, "ada@news.example", "ann@dest.example", 1)?;
    let report =
        bounce("ann@dest.example", "5.1.1", "550 5.1.1 no such user", "Message-ID: <m1@news.example>\r\n");
    relay.send("", &["bounces@news.example"], &report)?;
    relay.wait_for_event(&id, "came-back")?;
    assert!(is_suppressed(&relay, "ann@dest.example")?);
    // Without any name of the message it is the last one to the recipient that the return path names; that counts once.
    let (id, received) = delivered(&relay, &sink, "ada@news.example", "bob@dest.example", 3)?;
    let report = bounce("bob@dest.example", "5.1.1", "550 5.1.1 no such user", "");
    relay.send("", &[&received.sender], &report)?;
    relay.wait_for_event(&id, "came-back")?;
    assert!(!is_suppressed(&relay, "bob@dest.example")?, "anybody could have written it");
    Ok(())
}

#[test]
fn what_is_about_no_message_of_ours_changes_nothing() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(reading(&sink))?;
    let (id, received) = delivered(&relay, &sink, "ada@news.example", "ann@dest.example", 1)?;
    let made_up = "Received: by mx with ESMTP id 01KB3Z5Y8M2Q4R6S8T0V2W4X6Y\r\nMessage-ID: <other@x>\r\n";
    for (to, report) in [
        ("bounces@news.example", bounce("victim@dest.example", "5.1.1", "550 no such user", made_up)),
        // A message of ours, and somebody else's recipient.
        (
            "bounces@news.example",
            bounce("victim@dest.example", "5.1.1", "550 no such user", &header(&received)?),
        ),
        ("fbl@news.example", feedback("abuse", made_up)),
        (
            "ada+victim=dest.example@news.example",
            bounce("victim@dest.example", "5.1.1", "550 no such user", ""),
        ),
    ] {
        relay.send("", &[to], &report)?;
    }
    assert!(!is_suppressed(&relay, "victim@dest.example")? && !is_suppressed(&relay, "ann@dest.example")?);
    assert!(!kinds(&relay, &id)?.iter().any(|kind| kind == "came-back" || kind == "complained"));
    let metrics = relay.metrics()?;
    assert!(
        metrics.contains("baton_session_returned_total{kind=\"bounce\",result=\"unknown\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("baton_session_returned_total{kind=\"feedback\",result=\"unknown\"} 1"),
        "{metrics}"
    );
    Ok(())
}

#[test]
fn a_complaint_suppresses_and_is_in_the_story() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(reading(&sink))?;
    let (id, received) = delivered(&relay, &sink, "ada@news.example", "ann@dest.example", 1)?;
    relay.send("fbl@big.example", &["fbl@news.example"], &feedback("not-spam", &header(&received)?))?;
    assert!(!is_suppressed(&relay, "ann@dest.example")?, "somebody wants it");
    let (id_2, received) = delivered(&relay, &sink, "ada@news.example", "bob@dest.example", 3)?;
    relay.send("fbl@big.example", &["fbl@news.example"], &feedback("abuse", &header(&received)?))?;
    let complained = relay.wait_for_event(&id_2, "complained")?;
    assert_eq!(
        (complained["recipient"].as_str(), complained["feedback"].as_str()),
        (Some("bob@dest.example"), Some("abuse"))
    );
    let said = relay.said(&["suppression", "show", "bob@dest.example"])?;
    assert!(said.contains("complaint") && said.contains("for ever"), "{said}");
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<ada@news.example>", 250)?;
    assert_eq!(client.command("RCPT TO:<bob@dest.example>")?.code, 550);
    relay.wait_for_event(&id, "complained")?;
    Ok(())
}

#[test]
fn answers_that_no_person_wrote_and_words_of_people_change_nothing() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(reading(&sink))?;
    let (_, received) = delivered(&relay, &sink, "ada@news.example", "ann@dest.example", 1)?;
    let away = b"From: ann@dest.example\r\nSubject: Automatic reply: news\r\nAuto-Submitted: auto-replied\r\n\r\nI am away. 550 5.1.1 is my room.\r\n";
    let id = relay.send("", &[&received.sender], away)?;
    assert!(relay.said(&["explain", &id])?.contains("no person wrote"));
    relay.send(
        "ann@dest.example",
        &["bounces@news.example"],
        &message::plain("please do not write to old@dest.example"),
    )?;
    assert!(!is_suppressed(&relay, "ann@dest.example")?);
    let metrics = relay.metrics()?;
    for kind in ["auto-reply", "other"] {
        let line = format!("baton_session_returned_total{{kind=\"{kind}\",result=\"none\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    Ok(())
}

#[test]
fn a_block_of_our_own_address_is_no_bad_mailbox() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(reading(&sink).set("suppression.soft_bounces", 1))?;
    let (id, received) = delivered(&relay, &sink, "ada@news.example", "ann@dest.example", 1)?;
    let words = "550 5.7.1 Client host blocked using zen.spamhaus.org";
    relay.send(
        "",
        &["bounces@news.example"],
        &bounce("ann@dest.example", "5.7.1", words, &header(&received)?),
    )?;
    let returned = relay.wait_for_event(&id, "came-back")?;
    assert_eq!(returned["status"]["class"], "block-source");
    assert!(!is_suppressed(&relay, "ann@dest.example")?);
    Ok(())
}
