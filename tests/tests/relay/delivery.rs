//! The dialogue with the next hop.

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Moment, Say, Sink, Step};

use crate::router::code_of;

fn relay_to(behaviour: Behaviour) -> Result<(Relay, Sink)> {
    let sink = Sink::with(behaviour)?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    Ok((relay, sink))
}

#[test]
fn recipients_of_one_site_share_a_delivery() -> Result<()> {
    let (relay, sink) = relay_to(Behaviour::default())?;
    relay.send(
        "a@sender.example",
        &["b@dest.example", "c@dest.example", "d@dest.example"],
        &message::plain("three"),
    )?;
    relay.wait_until_empty()?;
    let messages = sink.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages.first().context("a message")?.recipients.len(), 3);
    Ok(())
}

#[test]
fn connections_are_used_again() -> Result<()> {
    let (relay, sink) = relay_to(Behaviour::default())?;
    let mut client = relay.client()?;
    for number in 0..50 {
        client.send("a@sender.example", &["b@dest.example"], &message::plain(&format!("again-{number}")))?;
    }
    sink.wait_for(50)?;
    assert!(sink.connections() < 25, "{} connections", sink.connections());
    Ok(())
}

#[test]
fn each_recipient_has_an_outcome_of_its_own() -> Result<()> {
    let (relay, sink) = relay_to(Behaviour::script(|moment| {
        match (moment.step, moment.argument.as_str(), moment.times_before) {
            (Step::Rcpt, "gone@dest.example", _) => Say::Line("550 5.1.1 no such user".into()),
            (Step::Rcpt, "later@dest.example", 0) => Say::Line("450 4.2.2 over quota".into()),
            _ => Say::Yes,
        }
    }))?;
    let id = relay.send(
        "",
        &["b@dest.example", "gone@dest.example", "later@dest.example"],
        &message::plain("mixed"),
    )?;
    let messages = sink.wait_for(2)?;
    relay.wait_until_empty()?;
    let mut taken: Vec<_> = messages.iter().flat_map(|message| message.recipients.clone()).collect();
    taken.sort();
    assert_eq!(taken, ["b@dest.example", "later@dest.example"]);
    let failed = relay.wait_for_event(&id, "failed")?;
    assert_eq!(code_of(&failed), "5.1.1");
    assert!(
        failed.to_string().contains("gone@dest.example") && !failed.to_string().contains("later@"),
        "{failed}"
    );
    Ok(())
}

#[test]
fn a_next_hop_without_extensions_gets_dots_doubled_and_one_command_at_a_time() -> Result<()> {
    let (relay, sink) = relay_to(Behaviour::default().offering(&[]))?;
    let sent = message::corpus("plain.eml")?;
    relay.send("a@sender.example", &["b@dest.example"], &sent)?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert!(received.content.ends_with(&sent) && !received.chunked);
    Ok(())
}

#[test]
fn international_addresses_are_not_sent_where_they_are_unknown() -> Result<()> {
    let (relay, sink) = relay_to(Behaviour::default().offering(&["PIPELINING", "8BITMIME"]))?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<> BODY=8BITMIME SMTPUTF8", 250)?;
    client.expect("RCPT TO:<山田@dest.example>", 250)?;
    let id = client.data(&message::corpus("smtputf8.eml")?)?.message_id()?;
    let failed = relay.wait_for_event(&id, "failed")?;
    assert_eq!(code_of(&failed), "5.6.7", "{failed}");
    assert!(sink.messages().is_empty());
    Ok(())
}

#[test]
fn every_kind_of_refusal_is_understood() -> Result<()> {
    let refusals = [
        // Another of its hosts, or this one later, may be in a better mood.
        (Step::Greeting, "554 5.3.2 no service", "deferred"),
        (Step::Ehlo, "550 5.7.1 go away", "failed"),
        (Step::Mail, "550 5.7.1 bad sender", "failed"),
        (Step::Rcpt, "553 5.1.3 bad address", "failed"),
        (Step::Data, "554 5.7.1 not wanted", "failed"),
        (Step::Message, "552 5.3.4 too large", "failed"),
        (Step::Mail, "421 4.7.0 slow down", "deferred"),
        (Step::Rcpt, "452 4.5.3 too many recipients", "deferred"),
        (Step::Message, "451 4.3.0 local error", "deferred"),
    ];
    for (step, line, expected) in refusals {
        let script =
            move |moment: &Moment| if moment.step == step { Say::Line(line.into()) } else { Say::Yes };
        // Without CHUNKING, so that there is a DATA to refuse.
        let (relay, _sink) =
            relay_to(Behaviour::script(script).offering(&["PIPELINING", "ENHANCEDSTATUSCODES"]))?;
        let id = relay.send("", &["b@dest.example"], &message::plain("refused"))?;
        let event = relay.wait_for_event(&id, expected).with_context(|| format!("{step:?} {line}"))?;
        let mut enhanced = line.split(' ').nth(1).unwrap_or_default().to_owned();
        if expected == "deferred" {
            // What is tried again has class 4, whatever the host said (RFC 3463 3.1).
            enhanced.replace_range(..1, "4");
        }
        assert_eq!(code_of(&event), enhanced, "{step:?} {line}: {event}");
        let words = line.splitn(3, ' ').nth(2).unwrap_or_default();
        assert!(event.to_string().contains(words), "{step:?} {line}: {event}");
    }
    Ok(())
}

#[test]
fn a_broken_connection_is_a_deferral() -> Result<()> {
    for step in [Step::Greeting, Step::Ehlo, Step::Mail, Step::Rcpt, Step::Data, Step::Message] {
        let (relay, sink) = relay_to(Behaviour::script(move |moment| {
            if moment.step == step && moment.times_before == 0 { Say::Close } else { Say::Yes }
        }))?;
        let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("broken"))?;
        sink.wait_for(1).with_context(|| format!("{step:?}"))?;
        relay.wait_for_event(&id, "delivered")?;
    }
    Ok(())
}

#[test]
fn a_flood_of_reply_lines_is_bounded_and_harmless() -> Result<()> {
    let flood = "450-4.0.0 still \x1b[31m thinking\r\n".repeat(100_000) + "450 4.0.0 done";
    let (relay, sink) =
        relay_to(Behaviour::script(move |moment| match (moment.step, moment.times_before) {
            (Step::Rcpt, 0) => Say::Line(flood.clone()),
            (Step::Rcpt, 1) => Say::Line("250-2.1.5 one\r\n550 5.1.1 two".into()),
            (Step::Rcpt, 2) => Say::Line("nonsense".into()),
            (Step::Rcpt, 3) => Say::Line("450 4.2.0 a\0b\x07c".into()),
            _ => Say::Yes,
        }))?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("flood"))?;
    sink.wait_for(1)?;
    let told = relay.said(&["explain", &id])?;
    assert!(told.len() < 64 * 1024, "{} octets", told.len());
    assert!(told.chars().all(|character| character == '\n' || !character.is_control()), "{told:?}");
    assert!(relay.log().chars().all(|character| character == '\n' || !character.is_control()));
    Ok(())
}

#[test]
fn a_dead_next_hop_harms_no_other() -> Result<()> {
    let dead = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let sink = Sink::start()?;
    let settings = Settings::new()
        .hop("dead", dead)
        .hop("sink", sink.address())
        .route("dead.example", "dead")
        .route("*", "sink");
    let relay = Relay::start(settings)?;
    let mut client = relay.client()?;
    for number in 0..100 {
        client.send("a@sender.example", &["b@dead.example"], &message::plain(&format!("dead-{number}")))?;
    }
    for number in 0..20 {
        client.send("a@sender.example", &["b@dest.example"], &message::plain(&format!("good-{number}")))?;
    }
    sink.wait_for(20)?;
    assert_eq!(relay.queue()?.len(), 100);
    Ok(())
}
