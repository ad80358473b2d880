//! Unsubscribing by mail: to an address of the relay's own, by the token in the subject.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_content::link::{Action, Claim, LinkKey, LinkKeys};
use baton_tests::client::Client;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::wait;
use serde_json::json;

use super::tracking::{self, PAGE, add_user, decoded, events, message, send};

const ADDRESS: &str = "leave@bounces.example";

/// A relay whose users' mail has the address, and to which strangers may write at `bounces.example` only.
fn settings(sink: &Sink) -> Settings {
    tracking::settings(sink)
        .set("session.relay_networks", Vec::<String>::new())
        .set("local_domains", vec!["bounces.example"])
        .set("tracking.unsubscribe_address", ADDRESS)
}

/// What a stranger's mail program sends there, with these fields beside From and To.
fn answer(relay: &Relay, sender: &str, recipients: &[&str], fields: &str) -> Result<(u16, String)> {
    let content = format!("From: <bo@dest.example>\r\nTo: <{ADDRESS}>\r\n{fields}\r\n\r\nplease\r\n");
    let answer = relay.client()?.send(sender, recipients, content.as_bytes())?;
    Ok((answer.code, answer.text()))
}

/// A message of the stream to bo, and the subject that its `mailto:` address asks for.
fn subject(relay: &Relay, sink: &Sink) -> Result<(String, String)> {
    let id = send(relay, &["bo@dest.example"], &message("unsubscribe", PAGE))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    let field = received.header("List-Unsubscribe").context("a field")?;
    let (web, mail) = field.trim().split_once(", ").context("two ways")?;
    let token = mail.strip_prefix(&format!("<mailto:{ADDRESS}?subject=")).context("a mailto: address")?;
    let token = token.strip_suffix('>').context("its end")?;
    // RFC 8058 3.1: the way by HTTPS stays, and the promise of one click.
    assert!(web.starts_with("<https://links.example/u/"), "{field}");
    assert!(decoded(&received).contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{field}");
    Ok((id, token.to_owned()))
}

#[test]
fn a_message_to_the_address_unsubscribes_and_goes_no_further() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink))?;
    add_user(&relay)?;
    let (id, token) = subject(&relay, &sink)?;
    let subject = format!("Subject: {token}");

    // What no person sent is taken, and nothing follows: an answer of a holiday, a report.
    for fields in [
        format!("Auto-Submitted: auto-replied\r\n{subject}"),
        format!("X-Autoreply: yes\r\n{subject}"),
        "Subject: Automatic reply: on holiday".to_owned(),
    ] {
        assert_eq!(answer(&relay, "bo@dest.example", &[ADDRESS], &fields)?.0, 250, "{fields}");
    }
    assert_eq!(answer(&relay, "", &[ADDRESS], &format!("Subject: Undelivered: {token}"))?.0, 250);
    assert!(events(&relay, &id, "unsubscribed")?.is_empty());
    assert!(send(&relay, &["bo@dest.example"], &message("none", "<p>still")).is_ok());

    let (code, told) = answer(&relay, "bo@dest.example", &["LEAVE@Bounces.example"], &subject)?;
    assert_eq!(code, 250, "{told}");
    let event = relay.wait_for_event(&id, "unsubscribed")?;
    assert_eq!(
        (&event["recipient"], &event["how"], &event["from"]),
        (&json!("bo@dest.example"), &json!("mail"), &json!("stream acme/news"))
    );
    let fed = relay.said(&["events", "--kind", "unsubscribed"])?;
    assert!(fed.contains("\"mail\"") && fed.contains(&id), "{fed}");
    assert!(send(&relay, &["bo@dest.example"], &message("none", "<p>no more")).is_err());
    assert!(send(&relay, &["cy@dest.example"], &message("none", "<p>others")).is_ok());

    // Once more is no mistake, and told once. The others to whom it is addressed get it.
    let both = [ADDRESS, "desk@bounces.example"];
    assert_eq!(answer(&relay, "bo@dest.example", &both, &subject)?.0, 250);
    assert_eq!(events(&relay, &id, "unsubscribed")?.len(), 1);
    let received = sink.wait_for(4)?;
    let to: Vec<_> = received.iter().flat_map(|one| one.recipients.clone()).collect();
    assert!(to.contains(&"desk@bounces.example".to_owned()), "{to:?}");
    relay.wait_until_empty()?;
    assert!(sink.messages().iter().all(|one| !one.recipients.iter().any(|to| to.starts_with("leave"))));
    let metrics = relay.metrics()?;
    for (result, count) in [("none", 4), ("attached", 1), ("known", 1)] {
        let line =
            format!("baton_session_returned_total{{kind=\"unsubscribe\",result=\"{result}\"}} {count}");
        assert!(metrics.contains(&line), "{line}");
    }
    Ok(())
}

#[test]
fn what_this_relay_did_not_seal_is_refused_with_the_reason() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink))?;
    add_user(&relay)?;
    let (id, token) = subject(&relay, &sink)?;
    let mut flipped = token.clone().into_bytes();
    flipped[40] = if flipped[40] == b'A' { b'B' } else { b'A' };
    let cut = token.get(..token.len() - 1).unwrap_or_default().to_owned();
    for wrong in [String::from_utf8(flipped)?, cut, "unsubscribe me".to_owned(), String::new()] {
        let (code, told) = answer(&relay, "bo@dest.example", &[ADDRESS], &format!("Subject: {wrong}"))?;
        assert!(code == 550 && told.contains("was not made by this relay"), "{wrong}: {code} {told}");
    }
    // What the relay itself would have made, had it been long ago, or for something else.
    let keys = std::fs::read_to_string(relay.spool().join("tracking.keys"))?;
    let secret = STANDARD.decode(keys.split_whitespace().nth(1).context("a key")?)?;
    let keys = LinkKeys::new(vec![LinkKey::new(1, &secret).context("a key")?]).context("keys")?;
    for (ends_s, action, reason) in [
        (1_000_000_000, Action::Unsubscribe, "has ended"),
        (4_000_000_000, Action::Open, "was not made by this relay"),
    ] {
        let claim = Claim {
            message: id.parse().expect("the relay's own name"),
            recipient: "bo@dest.example".parse().expect("an address"),
            tenant: "acme".into(),
            stream: "news".into(),
            ends_s,
            action,
        };
        let other = keys.seal(&claim).context("a token")?;
        let (code, told) = answer(&relay, "bo@dest.example", &[ADDRESS], &format!("Subject: {other}"))?;
        assert!(code == 550 && told.contains(reason), "{code} {told}");
    }
    assert!(events(&relay, &id, "unsubscribed")?.is_empty());
    assert!(send(&relay, &["bo@dest.example"], &message("none", "<p>still")).is_ok());
    assert!(relay.metrics()?.contains("{kind=\"unsubscribe\",result=\"ended\"} 1"));

    // Without the setting it is an address as any other, and mail names the web only.
    let without = tracking::settings(&sink).set("local_domains", vec!["bounces.example"]);
    relay.write_settings(without)?;
    relay.said(&["reload"])?;
    let (code, _) = answer(&relay, "bo@dest.example", &[ADDRESS], &format!("Subject: {token}"))?;
    assert_eq!(code, 250);
    wait::until("the message at its next hop", || {
        Ok(sink.messages().iter().any(|one| one.recipients == [ADDRESS]).then_some(()))
    })?;
    let mut client = Client::greeted(relay.listener("users")?)?;
    client.expect("NOOP", 250)?;
    Ok(())
}
