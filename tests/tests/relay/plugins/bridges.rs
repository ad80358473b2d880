//! Plugins that ask somebody else over HTTP.

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::web::{Asked, Web};
use serde_json::{Value, json};

use super::shipped;

#[test]
fn rspamd_is_asked_with_the_message_and_obeyed() -> Result<()> {
    let sink = Sink::start()?;
    let web = Web::start(|asked, _| {
        let text = asked.text();
        let answer = if text.contains("Subject: spam") {
            json!({ "action": "reject", "score": 22.5, "messages": { "smtp_message": "Gtube pattern" } })
        } else if text.contains("Subject: grey") {
            json!({ "action": "greylist", "score": 5.0 })
        } else {
            json!({ "action": "rewrite subject", "score": 7.5, "subject": "[SPAM] doubtful", "milter": {
                "add_headers": { "X-Spamd-Bar": { "value": "+++++++", "order": 0 } },
                "remove_headers": { "X-Spam-Status": 0 }
            } })
        };
        (200, answer.to_string())
    })?;
    let config = format!(
        "grants = {{ edit = ['headers'], http = ['{0}'] }}\nconfig.url = '{0}'",
        web.url("/").trim_end_matches('/')
    );
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "rspamd", &config)?)?;
    let mut client = relay.client()?;
    let spam = client.send("a@sender.example", &["b@dest.example"], &message::plain("spam"))?;
    assert!(spam.code == 554 && spam.text().contains("5.7.1 Gtube pattern"), "{spam}");
    let grey = client.send("a@sender.example", &["b@dest.example"], &message::plain("grey"))?;
    assert_eq!(grey.code, 451, "{grey}");
    let doubtful = [b"X-Spam-Status: forged\r\n".to_vec(), message::plain("doubtful")].concat();
    relay.send("a@sender.example", &["b@dest.example", "c@dest.example"], &doubtful)?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("Subject").as_deref(), Some("[SPAM] doubtful"));
    assert_eq!(received.header("X-Spamd-Bar").as_deref(), Some("+++++++"));
    assert_eq!(received.header("X-Spam-Status"), None);
    let asked = web.wait_for(3)?.pop().context("a request")?;
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/checkv2"));
    assert_eq!(asked.body, doubtful, "the message as it came");
    assert_eq!(asked.header("From"), Some("a@sender.example"));
    assert_eq!(asked.headers("Rcpt"), ["b@dest.example", "c@dest.example"]);
    assert_eq!(asked.header("IP"), Some("127.0.0.1"));
    assert_eq!(asked.header("Helo"), Some("client.example"));
    assert!(asked.header("Queue-Id").is_some_and(|id| !id.is_empty()));
    Ok(())
}

#[test]
fn without_rspamd_the_failure_policy_decides() -> Result<()> {
    let sink = Sink::start()?;
    let web = Web::start(|_, _| (503, String::new()))?;
    for (on_failure, code) in [("tempfail", 451), ("open", 250)] {
        let config = format!(
            "on_failure = '{on_failure}'\ngrants = {{ edit = ['headers'], http = ['{0}'] }}\nconfig.url = '{0}'",
            web.url("")
        );
        let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "rspamd", &config)?)?;
        let answer =
            relay.client()?.send("a@sender.example", &["b@dest.example"], &message::plain("mute"))?;
        assert_eq!(answer.code, code, "{answer}");
    }
    Ok(())
}

#[test]
fn what_is_not_granted_is_not_asked() -> Result<()> {
    let sink = Sink::start()?;
    let web = Web::start(|_, _| (200, json!({ "action": "no action" }).to_string()))?;
    let config = format!("grants.http = ['https://elsewhere.example/']\nconfig.url = '{}'", web.url(""));
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "rspamd", &config)?)?;
    let answer =
        relay.client()?.send("a@sender.example", &["b@dest.example"], &message::plain("ungranted"))?;
    assert_eq!(answer.code, 451, "{answer}");
    assert!(web.asked().is_empty());
    Ok(())
}

#[test]
fn mta_hooks_are_asked_at_every_stage() -> Result<()> {
    let sink = Sink::start()?;
    let web = Web::start(|asked, _| {
        let told: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let text = asked.text();
        let answer = match told.pointer("/context/stage").and_then(Value::as_str) {
            Some("rcpt") if text.contains("gone@dest.example") => json!({
                "action": "reject", "response": { "status": 550, "enhancedStatus": "5.1.1", "message": "nobody there" }
            }),
            Some("data") => json!({ "action": "accept", "modifications": [
                { "type": "addHeader", "name": "X-Hooked", "value": "yes" },
                { "type": "changeHeader", "index": 1, "name": "Subject", "value": "changed" },
                { "type": "addRecipient", "value": "archive@dest.example" },
                { "type": "replaceContents", "value": "Another text.\n" }
            ] }),
            _ => json!({ "action": "accept" }),
        };
        (200, answer.to_string())
    })?;
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken\n")?;
    let config = format!(
        "grants = {{ edit = ['headers', 'body', 'recipients', 'sender'], http = ['{0}'] }}\n\
         secrets.token.file = '{1}'\nconfig.url = '{0}'",
        web.url("/hook"),
        token.display()
    );
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "mta-hooks", &config)?)?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    let gone = client.command("RCPT TO:<gone@dest.example>")?;
    assert!(gone.code == 550 && gone.text().contains("5.1.1 nobody there"), "{gone}");
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    assert_eq!(client.data(&message::plain("hooked"))?.code, 250);
    relay.wait_until_empty()?;
    let messages = sink.messages();
    let mut recipients: Vec<_> = messages.iter().flat_map(|message| message.recipients.clone()).collect();
    recipients.sort();
    assert_eq!(recipients, ["archive@dest.example", "b@dest.example"]);
    let received = messages.first().context("a message")?;
    assert_eq!(received.header("X-Hooked").as_deref(), Some("yes"));
    assert_eq!(received.header("Subject").as_deref(), Some("changed"));
    assert!(received.text().ends_with("\r\n\r\nAnother text.\r\n"), "{}", received.text());
    let stages: Vec<_> = web.asked().iter().filter_map(stage).collect();
    assert_eq!(stages, ["connect", "rcpt", "rcpt", "data"]);
    assert!(web.asked().iter().all(|asked| asked.header("Authorization") == Some("Bearer t0ken")));
    Ok(())
}

fn stage(asked: &Asked) -> Option<String> {
    let told: Value = serde_json::from_slice(&asked.body).ok()?;
    told.pointer("/context/stage")?.as_str().map(str::to_owned)
}

#[test]
fn webhook_observer_posts_until_it_is_taken() -> Result<()> {
    let sink = Sink::start()?;
    let web = Web::start(|_, before| (if before == 0 { 503 } else { 204 }, String::new()))?;
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("key");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")?;
    let config = format!(
        "grants.http = ['{0}']\nsecrets.signing.file = '{1}'\nconfig = {{ url = '{0}', kinds = ['delivered'] }}",
        web.url("/in"),
        secret.display()
    );
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "webhook-observer", &config)?)?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("observed"))?;
    let asked = web.wait_for(2)?;
    for asked in &asked {
        let told: Value = serde_json::from_slice(&asked.body)?;
        assert_eq!(told.pointer("/type"), Some(&json!("baton.events")), "{told}");
        assert_eq!(told.pointer("/data/events/0/kind"), Some(&json!("delivered")), "{told}");
        assert_eq!(told.pointer("/data/events/0/message_id"), Some(&json!(id)), "{told}");
        assert!(asked.header("webhook-signature").is_some_and(|signature| signature.starts_with("v1,")));
    }
    let [refused, taken, ..] = asked.as_slice() else { anyhow::bail!("two requests") };
    assert_eq!(refused.header("webhook-id"), taken.header("webhook-id"), "a repetition is known as one");
    Ok(())
}
