//! Tokens: what each opens, and that nobody sees what is another one's.

use anyhow::{Context, Result, ensure};
use baton_tests::api::Api;
use baton_tests::relay::Relay;
use baton_tests::sink::Sink;
use serde_json::{Value, json};

use super::{sender, settings, with_tenant};

#[test]
fn a_token_opens_what_its_scopes_say_and_is_shown_once() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api = sender(&relay)?;
    ensure!(api.get("/v1/streams")?.status == 200);
    ensure!(api.post("/v1/streams", &json!({"name": "news"}))?.status == 403, "no admin");
    ensure!(api.get("/v1/tokens")?.status == 403);
    let listed = relay.said(&["token", "list", "--tenant", "acme", "--json"])?;
    let listed: Value = serde_json::from_str(&listed)?;
    let row = listed.get(0).context("no token is listed")?;
    ensure!(
        row.get("token").is_none() && row.get("digest").is_none() && row.get("used_at").is_some(),
        "{row}"
    );
    let id = row.get("id").and_then(Value::as_str).context("no id")?.to_owned();
    relay.said(&["token", "set", &id, "--disabled", "true"])?;
    let reply = api.get("/v1/streams")?;
    ensure!(reply.status == 401 && reply.header("www-authenticate").is_some(), "{reply:?}");
    relay.said(&["token", "set", &id, "--disabled", "false", "--from", "192.0.2.0/24"])?;
    ensure!(api.get("/v1/streams")?.status == 403, "not from here");
    relay.said(&["token", "set", &id, "--from-everywhere"])?;
    ensure!(api.get("/v1/streams")?.status == 200);
    relay.said(&["token", "remove", &id])?;
    ensure!(api.get("/v1/streams")?.status == 401);
    for token in ["", "bt_", "bt_nonsense", "\u{e4}"] {
        ensure!(Api::of(&relay)?.showing(token).get("/v1/streams")?.status == 401);
    }
    ensure!(Api::of(&relay)?.get("/v1/streams")?.status == 401);
    ensure!(Api::of(&relay)?.get("/v1/openapi.json")?.status == 200);
    Ok(())
}

#[test]
fn who_asks_too_often_is_told_when_to_come_again() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let api =
        Api::with_token(&relay, &["--tenant", "acme", "--scope", "read", "--requests-per-minute", "2"])?;
    let first = api.get("/v1/streams")?;
    ensure!(first.status == 200 && first.header("ratelimit") == Some("\"requests\";r=1;t=30"), "{first:?}");
    ensure!(first.header("ratelimit-policy") == Some("\"requests\";q=2;w=60"));
    ensure!(first.header("x-request-id").is_some_and(|id| id.starts_with("req-")));
    api.get("/v1/streams")?;
    let third = api.get("/v1/streams")?;
    ensure!(third.status == 429 && third.header("retry-after").is_some(), "{third:?}");
    Ok(())
}

#[test]
fn changes_are_in_the_audit_log() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let admin = Api::with_token(&relay, &["--tenant", "acme", "--scope", "admin"])?;
    let made = admin.post("/v1/streams", &json!({"name": "news", "kind": "bulk"}))?;
    ensure!(made.status == 201, "{made:?}");
    let log = admin.get("/v1/audit")?.json()?;
    let newest = log.pointer("/changes/0").context("the log is empty")?;
    ensure!(
        newest.get("action") == Some(&json!("stream.add")) && newest.get("target") == Some(&json!("news")),
        "{newest}"
    );
    ensure!(newest.get("by").and_then(Value::as_str).is_some_and(|by| by.starts_with("token:")));
    ensure!(newest.get("request").and_then(Value::as_str) == made.header("x-request-id"));
    let all = relay.admin("GET", "/v1/audit", "")?;
    let actions: Vec<_> = all.get("changes").and_then(Value::as_array).into_iter().flatten().collect();
    ensure!(actions.len() == 4, "tenant, stream, token, stream: {all}");
    ensure!(!all.to_string().contains("bt_"), "no token is in it");
    Ok(())
}

#[test]
fn without_tls_the_api_is_for_loopback_and_for_proxies() -> Result<()> {
    let sink = Sink::start()?;
    let open = Relay::prepare(settings(&sink).set("api.listen", "0.0.0.0:0"))?;
    let output = open.start_in_vain()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("api.listen") && said.contains("plain text"), "{said}");
    let relay = Relay::start(settings(&sink).set("api.trusted_networks", vec!["127.0.0.0/8"]))?;
    let api = Api::with_token(&relay, &["--scope", "read", "--from", "198.51.100.0/24"])?;
    ensure!(api.get("/v1/streams")?.status == 403);
    ensure!(api.ask("GET", "/v1/streams", &[("X-Forwarded-For", "198.51.100.7")], b"")?.status == 200);
    ensure!(
        api.ask("GET", "/v1/streams", &[("X-Forwarded-For", "198.51.100.7, 203.0.113.9")], b"")?.status
            == 403
    );
    Ok(())
}

#[test]
fn a_name_of_a_tenant_is_free_again_when_nothing_is_left_of_it() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_tenant(&sink)?;
    let ask = |method: &str, path: &str, body: &Value| -> Result<()> {
        let (status, answer) = relay.admin_raw(method, path, &body.to_string())?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        Ok(())
    };
    ask("POST", "/v1/tenants", &json!({"name": "gone", "domains": ["gone.example"]}))?;
    let password = "a long enough password";
    let of_gone = "?tenant=gone";
    for (method, path, query, name, body) in [
        ("POST", "streams", "", "news", json!({"name": "news", "tenant": "gone"})),
        ("PUT", "templates", of_gone, "hello", json!({"subject": "s", "text": "t"})),
        ("PUT", "webhooks", of_gone, "hook", json!({"url": "https://hook.example/"})),
        ("PUT", "accounts", "", "a@gone.example", json!({"password": password, "tenant": "gone"})),
        ("POST", "operators", "", "their", json!({"name": "their", "password": password, "tenant": "gone"})),
    ] {
        let one = if method == "PUT" { format!("/{name}{query}") } else { String::new() };
        ask(method, &format!("/v1/{path}{one}"), &body)?;
        let (status, answer) = relay.admin_raw("DELETE", "/v1/tenants/gone", "")?;
        ensure!(status == 409 && answer.contains(&format!("`{name}` still")), "{path}: {status} {answer}");
        let query = if path == "streams" { of_gone } else { query };
        ask("DELETE", &format!("/v1/{path}/{name}{query}"), &json!({}))?;
    }
    ask("DELETE", "/v1/tenants/gone", &json!({}))
}
