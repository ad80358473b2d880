//! Programs: what they send by the API, with which tokens, and what they may not.

mod matrix;
mod messages;
mod refusals;
mod tokens;
mod ways;

use anyhow::{Result, ensure};
use baton_tests::api::Api;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use serde_json::{Value, json};

/// A relay with an API that sends everything to the sink.
fn settings(sink: &Sink) -> Settings {
    Settings::new().all_to(sink.address()).set("api.listen", "127.0.0.1:0")
}

/// With the tenant `acme`, which owns `acme.example` and has the stream `receipts`.
fn with_tenant(sink: &Sink) -> Result<Relay> {
    let relay = Relay::start(settings(sink))?;
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    relay.said(&["stream", "add", "receipts", "--tenant", "acme", "--priority", "5"])?;
    Ok(relay)
}

/// A token of acme to send with.
fn sender(relay: &Relay) -> Result<Api> {
    Api::with_token(relay, &["--tenant", "acme", "--scope", "send", "--scope", "read"])
}

/// A small message of acme.
fn message() -> Value {
    json!({
        "from": "Shop <shop@acme.example>",
        "to": ["ann@dest.example"],
        "stream": "receipts",
        "subject": "Your order",
        "text": "Thank you.",
    })
}

/// The same with other fields.
fn with(fields: Value) -> Value {
    let mut message = message();
    if let (Some(all), Value::Object(own)) = (message.as_object_mut(), fields) {
        all.extend(own);
    }
    message
}

/// The answer must have that status and name that field.
fn refused(api: &Api, message: &Value, status: u16, field: &str) -> Result<()> {
    let reply = api.post("/v1/messages", message)?;
    let fields = reply.fields()?;
    ensure!(reply.status == status && fields.iter().any(|name| name == field), "{message}: {reply:?}");
    Ok(())
}
