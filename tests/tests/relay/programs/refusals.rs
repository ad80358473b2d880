//! What is refused, by the right code and with the field at fault. Nothing of it reaches the sink.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use baton_tests::api::Api;
use baton_tests::sink::Sink;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{message, refused, sender, with, with_tenant};

#[test]
fn every_field_is_checked_at_the_border() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api = sender(&relay)?;
    let long = "x".repeat(3_000);
    for (fields, status, field) in [
        (json!({"from": "shop@acme.example\r\nBcc: x@y.example"}), 400, "from"),
        (json!({"from": "A\u{0}B <shop@acme.example>"}), 400, "from"),
        (json!({"to": ["ann"]}), 400, "to[0]"),
        (json!({"to": "ann@dest.example"}), 400, "to"),
        (json!({"to": [{"email": "ann@dest.example", "name": "a\nb"}]}), 400, "to[0]"),
        (json!({"to": []}), 422, "to"),
        (json!({"subject": "a\r\nBcc: x@y.example"}), 422, "subject"),
        (json!({"subject": long}), 422, "subject"),
        (json!({"subject": 5}), 400, "subject"),
        (json!({"text": null}), 422, "text"),
        (json!({"headers": [{"name": "X-A", "value": "a\r\nBcc: x@y.example"}]}), 422, "headers[0].value"),
        (json!({"headers": [{"name": "X A", "value": "a"}]}), 422, "headers[0].name"),
        (json!({"headers": [{"name": "Bcc", "value": "x@y.example"}]}), 422, "headers[0].name"),
        (json!({"attachments": [{"content": "***"}]}), 422, "attachments[0].content"),
        (json!({"attachments": [{}]}), 422, "attachments[0].content"),
        (
            json!({"attachments": [{"content": "", "content_type": "a\r\nb"}]}),
            422,
            "attachments[0].content_type",
        ),
        (json!({"attachments": [{"content": "", "filename": "a\r\nb"}]}), 422, "attachments[0].filename"),
        (json!({"attachments": [{"upload": "../x"}]}), 422, "attachments[0].upload"),
        (json!({"tags": ["a\nb"]}), 422, "tags[0]"),
        (json!({"metadata": {"a b": "c"}}), 422, "metadata.a b"),
        (json!({"metadata": {"a": "b\n"}}), 422, "metadata.a"),
        (json!({"metadata": {"a": 5}}), 400, "metadata.a"),
        (json!({"priority": 10}), 422, "priority"),
        (json!({"priority": 1_000}), 400, "priority"),
        (json!({"send_at": "tomorrow"}), 400, "send_at"),
        (json!({"expires_at": 1}), 422, "expires_at"),
        (json!({"stream": "No"}), 400, "stream"),
        (json!({"stream": "nope"}), 422, "stream"),
        (json!({"tenant": "other"}), 404, ""),
        (json!({"colour": "red"}), 400, "colour"),
    ] {
        if field.is_empty() {
            ensure!(api.post("/v1/messages", &with(fields.clone()))?.status == status, "{fields}");
        } else {
            refused(&api, &with(fields), status, field)?;
        }
    }
    for body in ["", "[]", "5", "{", "{\"from\":", "\u{0}", "{\"a\":1}{}"] {
        let reply =
            api.ask("POST", "/v1/messages", &[("Content-Type", "application/json")], body.as_bytes())?;
        ensure!((400..=422).contains(&reply.status), "{body:?}: {reply:?}");
        ensure!(!reply.body.contains(r#""field":"?""#), "{body:?}: {reply:?}");
    }
    let object = api.post("/v1/messages", &with(json!({"attachments": {"content": ""}})))?;
    ensure!(object.body.contains("invalid type: object, expected an array"), "{object:?}");
    let array = api.post("/v1/messages", &json!(["acme", "receipts", "shop@acme.example"]))?;
    ensure!(array.status == 400 && array.body.contains("is an array; an object is expected"), "{array:?}");
    let unknown = api.post("/v1/messages", &with(json!({"colour": "red"})))?;
    ensure!(unknown.body.contains("`tracking`") && unknown.body.contains("`dry_run`"), "{unknown:?}");
    ensure!(api.ask("POST", "/v1/messages", &[("Content-Type", "text/xml")], b"<a/>")?.status == 415);
    ensure!(api.ask("PUT", "/v1/messages", &[], b"")?.status == 405);
    ensure!(api.get("/v1/nothing")?.status == 404);
    relay.wait_until_empty()?;
    ensure!(sink.messages().is_empty(), "nothing went out");
    Ok(())
}

#[test]
fn nobody_sends_in_the_name_of_another_tenant() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api = sender(&relay)?;
    for fields in [
        json!({"from": "shop@other.example"}),
        json!({"from": "shop@evilacme.example"}),
        json!({"return_path": "shop@other.example"}),
    ] {
        let reply = api.post("/v1/messages", &with(fields.clone()))?;
        ensure!(reply.status == 403 && reply.body.contains(r#""field":"from""#), "{fields}: {reply:?}");
    }
    let raw = b"From: shop@other.example\r\n\r\nx";
    let path = "/v1/messages?from=shop@acme.example&to=ann@dest.example";
    let reply = api.ask("POST", path, &[("Content-Type", "message/rfc822")], raw)?;
    ensure!(reply.status == 403, "the author counts too: {reply:?}");
    api.send(&with(json!({"from": "a@news.acme.example"})))?;
    relay.said(&["tenant", "set", "acme", "--suspend", "bill not paid"])?;
    let reply = api.post("/v1/messages", &message())?;
    ensure!(reply.status == 403 && reply.body.contains("bill not paid"), "{reply:?}");
    ensure!(reply.body.contains(r#""field":"tenant""#), "{reply:?}");
    let told = reply.body.split(['(', ')']).find(|part| part.len() == 26).context("it names the message")?;
    let story = relay.said(&["explain", told])?;
    ensure!(story.contains("HTTP") && !story.contains("SMTP"), "it came by the API: {story}");
    relay.said(&["tenant", "set", "acme", "--suspend", "", "--messages-per-day", "1"])?;
    api.send(&message())?;
    let reply = api.post("/v1/messages", &message())?;
    ensure!(reply.status == 429 && reply.body.contains("This tenant may send 1 messages"), "{reply:?}");
    let seconds: u64 = reply.header("retry-after").context("it says when")?.parse()?;
    ensure!((86_000..=86_400).contains(&seconds), "one message a day: {reply:?}");
    ensure!(reply.body.contains(&format!(r#""retry_after_s":{seconds}"#)), "{reply:?}");
    relay.said(&["tenant", "set", "acme", "--messages-per-day", "0"])?;
    relay.said(&["stream", "set", "receipts", "--tenant", "acme", "--disabled", "true"])?;
    ensure!(api.post("/v1/messages", &message())?.status == 403);
    Ok(())
}

#[test]
fn bodies_are_bounded_packed_or_not() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api = sender(&relay)?;
    let pack = |octets: &[u8]| -> Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(octets)?;
        Ok(encoder.finish()?)
    };
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let reply = api.ask("POST", "/v1/messages", &headers, &pack(message().to_string().as_bytes())?)?;
    ensure!(reply.status == 202, "{reply:?}");
    let bomb = pack(&vec![b' '; 200 << 20])?;
    let reply = api.ask("POST", "/v1/messages", &headers, &bomb)?;
    ensure!(reply.status == 413, "{reply:?}");
    let reply = api.announce("/v1/messages", 100 << 20)?;
    ensure!(reply.status == 413, "{reply:?}");
    let deep = format!("{{\"data\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let reply = api.ask("POST", "/v1/messages", &[("Content-Type", "application/json")], deep.as_bytes())?;
    ensure!(reply.status == 400, "{reply:?}");
    ensure!(api.post("/v1/messages", &message())?.status == 202, "it goes on");
    Ok(())
}

#[test]
fn rules_of_the_relay_hold_for_programs_too() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let relay_wide = Api::with_token(&relay, &["--scope", "admin"])?;
    // An operator's token sends for a tenant, and only in its name.
    let message =
        |from: &str| json!({"tenant": "acme", "from": from, "to": ["ann@dest.example"], "text": "x"});
    relay_wide.send(&message("a@acme.example"))?;
    ensure!(relay_wide.post("/v1/messages", &message("a@other.example"))?.status == 403);
    let nobody = json!({"tenant": "nobody", "from": "a@b.example", "to": ["ann@dest.example"], "text": "x"});
    refused(&relay_wide, &nobody, 422, "tenant")?;
    let domains = json!({"name": "thief", "domains": ["sub.acme.example"]});
    let reply = relay_wide.post("/v1/tenants", &domains)?;
    ensure!(reply.status == 422 && reply.fields()? == ["domains"], "{reply:?}");
    let log: Value = relay.admin("GET", "/v1/audit?tenant=acme", "")?;
    ensure!(log.get("changes").and_then(Value::as_array).is_some_and(|all| !all.is_empty()));
    Ok(())
}
