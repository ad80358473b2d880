//! Messages by the API: what arrives, when, once.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_tests::api::Api;
use baton_tests::relay::Relay;
use baton_tests::sink::Sink;
use serde_json::{Value, json};

use super::{message, sender, settings, with, with_tenant};

#[test]
fn a_message_in_json_arrives_as_mail() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api = sender(&relay)?;
    let sent = api.send(&with(json!({
        "to": ["Ann Ä <ann@dest.example>", {"email": "bob@dest.example", "name": "Bob"}],
        "cc": ["carl@dest.example"],
        "bcc": ["dora@dest.example"],
        "html": "<p>Thank <b>you</b>. <img src=\"cid:logo\"></p>",
        "headers": [{"name": "X-Order", "value": "17"}],
        "attachments": [
            {"filename": "bill.pdf", "content_type": "application/pdf", "content": STANDARD.encode(b"%PDF-1")},
            {"content_type": "image/png", "content": STANDARD.encode(b"png"), "content_id": "logo"},
        ],
        "tags": ["receipt"],
        "metadata": {"order": "17"},
    })))?;
    ensure!(
        sent.get("status") == Some(&json!("queued")) && sent.get("refused") == Some(&json!([])),
        "{sent}"
    );
    let mail = sink.wait_for(1)?.remove(0);
    let mut recipients = mail.recipients.clone();
    recipients.sort_unstable();
    ensure!(recipients == ["ann@dest.example", "bob@dest.example", "carl@dest.example", "dora@dest.example"]);
    ensure!(mail.sender == "shop@acme.example" && !mail.text().contains("dora@"), "{}", mail.text());
    let id = sent.get("id").and_then(Value::as_str).context("no id")?;
    let of = |name: &str| mail.header(name).with_context(|| format!("no {name}: {}", mail.text()));
    ensure!(
        of("From")? == "Shop <shop@acme.example>" && of("X-Order")? == "17" && of("Subject")? == "Your order"
    );
    ensure!(of("Message-ID")?.contains(id) && of("Received")?.contains("with HTTP id"), "{}", mail.text());
    ensure!(mail.text().contains("multipart/alternative") && mail.text().contains("bill.pdf"));
    ensure!(mail.bare_line_ends() == 0);
    let accepted = relay.wait_for_event(id, "accepted")?;
    relay.wait_until_empty()?;
    let told = api.get(&format!("/v1/messages/{id}"))?.json()?;
    let stand = told.get("recipients").and_then(Value::as_array).context("no recipients")?;
    ensure!(
        stand.len() == 4 && stand.iter().all(|row| row.get("status") == Some(&json!("delivered"))),
        "{told}"
    );
    let account = accepted.pointer("/origin/account").and_then(Value::as_str).unwrap_or_default().to_owned();
    ensure!(account.starts_with("token:acme:"), "{accepted}");
    Ok(())
}

#[test]
fn a_whole_message_goes_as_it_is_but_for_bcc() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api = sender(&relay)?;
    let mail =
        "From: shop@acme.example\nTo: ann@dest.example\nBcc: dora@dest.example\nSubject: raw\n\nbody\n";
    let reply = api.ask(
        "POST",
        "/v1/messages?stream=receipts&tags=a,b",
        &[("Content-Type", "message/rfc822")],
        mail.as_bytes(),
    )?;
    ensure!(reply.status == 202, "{reply:?}");
    let mail = sink.wait_for(1)?.remove(0);
    ensure!(mail.recipients == ["ann@dest.example", "dora@dest.example"] && !mail.text().contains("Bcc"));
    ensure!(mail.bare_line_ends() == 0 && mail.text().ends_with("\r\n\r\nbody\r\n"), "{}", mail.text());
    let reply = api.ask(
        "POST",
        "/v1/messages?to=eve@dest.example&from=shop@acme.example",
        &[("Content-Type", "message/rfc822")],
        b"From: shop@acme.example\r\n\r\nx",
    )?;
    ensure!(reply.status == 202, "{reply:?}");
    ensure!(sink.wait_for(2)?[1].recipients == ["eve@dest.example"]);
    Ok(())
}

#[test]
fn the_same_key_sends_once_and_over_a_restart_too() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = with_tenant(&sink)?;
    let made = relay.said(&["token", "add", "--json", "--tenant", "acme", "--scope", "send"])?;
    let made: Value = serde_json::from_str(&made)?;
    let token = made.get("token").and_then(Value::as_str).context("no token")?.to_owned();
    let body = message().to_string();
    let send = |relay: &Relay, body: &str| {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "order-17")];
        Api::of(relay)?.showing(&token).ask("POST", "/v1/messages", &headers, body.as_bytes())
    };
    let first = send(&relay, &body)?;
    ensure!(first.status == 202 && first.header("idempotent-replayed").is_none(), "{first:?}");
    sink.wait_for(1)?;
    // A kill before the outcome is written would repeat the delivery.
    relay.wait_until_empty()?;
    relay.kill()?;
    relay.start_again()?;
    let again = send(&relay, &body)?;
    ensure!(again.status == 202 && again.body == first.body, "{again:?}");
    ensure!(again.header("idempotent-replayed") == Some("true"));
    let other = send(&relay, &with(json!({"subject": "other"})).to_string())?;
    ensure!(other.status == 422 && other.fields()? == ["Idempotency-Key"], "{other:?}");
    relay.wait_until_empty()?;
    ensure!(sink.wait_for(1)?.len() == 1, "it came once");
    Ok(())
}

#[test]
fn a_batch_takes_each_message_by_itself_and_goes_on_where_it_stopped() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api = sender(&relay)?;
    let mut messages: Vec<Value> = (0..100)
        .map(|number| json!({"to": [format!("r{number}@dest.example")], "subject": format!("n {number}")}))
        .collect();
    messages.push(json!({"to": ["bad@dest.example"], "from": "thief@other.example"}));
    let batch = json!({"common": message(), "messages": messages});
    let send = || {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "batch-1")];
        api.ask("POST", "/v1/messages/batch", &headers, batch.to_string().as_bytes())
    };
    let first = send()?;
    ensure!(first.status == 202, "{first:?}");
    let told = first.json()?;
    ensure!(told.get("accepted") == Some(&json!(100)) && told.get("refused") == Some(&json!(1)), "{told}");
    ensure!(told.pointer("/messages/100/problem/status") == Some(&json!(403)), "{told}");
    let again = send()?.json()?;
    ensure!(again.pointer("/messages/0/sent") == told.pointer("/messages/0/sent"), "{again}");
    let mails = sink.wait_for(100)?;
    relay.wait_until_empty()?;
    let mut recipients: Vec<_> = mails.iter().flat_map(|mail| mail.recipients.clone()).collect();
    recipients.sort_unstable();
    recipients.dedup();
    ensure!(recipients.len() == 100 && mails.len() == 100 && sink.wait_for(100)?.len() == 100);
    Ok(())
}

#[test]
fn many_batches_at_once_wait_for_their_turn_and_are_all_taken() -> Result<()> {
    let sink = Sink::start()?;
    // Room for the content of about 1,100 messages, where 20 batches have 2,000.
    let relay = Relay::start(settings(&sink).set("session.memory_octets_max", 72_i64 << 20))?;
    let api = Api::with_token(&relay, &["--scope", "send"])?;
    let messages: Vec<Value> = (0..100).map(|_| json!({"to": ["ann@dest.example"]})).collect();
    let common = json!({"from": "shop@acme.example", "subject": "x", "text": "y"});
    let batch = json!({"common": common, "messages": messages});
    let taken = || -> Result<u64> {
        let reply = api.post("/v1/messages/batch", &batch)?.json()?;
        reply["accepted"].as_u64().with_context(|| reply.to_string())
    };
    let all = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..20).map(|_| scope.spawn(taken)).collect();
        posts.into_iter().map(|post| post.join().expect("it does not panic")).collect::<Result<Vec<_>>>()
    })?;
    assert_eq!(all, vec![100; 20]);
    Ok(())
}

#[test]
fn an_upload_is_named_in_many_messages() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api = sender(&relay)?;
    let file = vec![b'x'; 2_500_000];
    let upload =
        api.ask("POST", "/v1/uploads?filename=terms.txt", &[("Content-Type", "text/plain")], &file)?;
    ensure!(upload.status == 201, "{upload:?}");
    let id = upload.json()?.get("id").cloned().context("no id")?;
    for _ in 0..2 {
        api.send(&with(json!({"attachments": [{"upload": id}]})))?;
    }
    for mail in sink.wait_for(2)? {
        ensure!(mail.text().contains("terms.txt") && mail.content.len() > 2_500_000);
    }
    // Nobody else can name it.
    relay.said(&["tenant", "add", "other", "--domain", "other.example"])?;
    let other = Api::with_token(&relay, &["--tenant", "other", "--scope", "send"])?;
    let message = json!({"from": "a@other.example", "to": ["b@dest.example"], "text": "x", "attachments": [{"upload": id}]});
    super::refused(&other, &message, 422, "attachments[0].upload")?;
    Ok(())
}

#[test]
fn a_scheduled_message_waits_and_a_dry_run_leaves_nothing() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api = sender(&relay)?;
    let tried = api.send(&with(json!({"dry_run": true})))?;
    ensure!(tried.get("status") == Some(&json!("dry-run")), "{tried}");
    let id = tried.get("id").and_then(Value::as_str).context("no id")?;
    let (status, _) = relay.admin_raw("GET", &format!("/v1/messages/{id}"), "")?;
    ensure!(status == 404, "nothing is known of it");
    let later = api.send(&with(json!({"send_at": "2099-01-01T00:00:00Z"})));
    ensure!(later.is_err(), "too far ahead");
    let now = relay
        .admin("GET", "/v1/messages/recent", "")?
        .get("now")
        .and_then(Value::as_u64)
        .context("no time")?;
    let later = api.send(&with(json!({"send_at": now + 86_400_000})))?;
    ensure!(later.get("status") == Some(&json!("scheduled")), "{later}");
    let queue = relay.queue()?;
    ensure!(queue.len() == 1, "{queue:?}");
    let id = later.get("id").and_then(Value::as_str).context("no id")?;
    let told = api.get(&format!("/v1/messages/{id}"))?.json()?;
    ensure!(told.pointer("/recipients/0/status") == Some(&json!("queued")), "{told}");
    ensure!(told.pointer("/recipients/0/next_attempt") == Some(&json!(now + 86_400_000)), "{told}");
    ensure!(
        queue[0].get("priority") == Some(&json!(5)) && queue[0].get("stream") == Some(&json!("receipts")),
        "{queue:?}"
    );
    let told = api.ask("DELETE", &format!("/v1/messages/{id}"), &[], b"")?.json()?;
    ensure!(told.pointer("/recipients/0/status") == Some(&json!("removed")), "{told}");
    ensure!(relay.queue()?.is_empty());
    Ok(())
}
