//! What the service is told: `context`, and `envelope` and `message` when they are there.

use baton_sdk::Parameter;
use baton_sdk::prelude::*;
use serde_json::{Map, Value, json};

/// The version of the protocol.
const PROTOCOL_VERSION: u32 = 1;
/// Octets that the relay gives at once.
const READ_OCTETS: u32 = 1 << 20;

/// Where the session is.
pub(crate) enum Stage<'a> {
    Connect,
    Auth { mechanism: &'a str, user: &'a str },
    Rcpt,
    Data { content_octets_max: u32 },
}

impl Stage<'_> {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Stage::Connect => "connect",
            Stage::Auth { .. } => "auth",
            Stage::Rcpt => "rcpt",
            Stage::Data { .. } => "data",
        }
    }
}

/// The request's JSON.
pub(crate) fn written(cx: &Context, stage: &Stage<'_>) -> Value {
    let mut request = json!({ "context": context(cx, stage) });
    if let (Stage::Rcpt | Stage::Data { .. }, Some(request)) = (stage, request.as_object_mut()) {
        request.insert("envelope".to_owned(), envelope(cx));
    }
    if let (Stage::Data { content_octets_max }, Some(request)) = (stage, request.as_object_mut()) {
        request.insert("message".to_owned(), message(cx, *content_octets_max));
    }
    request
}

fn context(cx: &Context, stage: &Stage<'_>) -> Value {
    let session = cx.session();
    let mut context = json!({
        "stage": stage.word(),
        "client": {
            "ip": session.remote_ip().map(|address| address.to_string()).unwrap_or_default(),
            "port": session.remote_port(),
            "ptr": session.remote_name(),
            "helo": session.helo(),
            "activeConnections": 1,
        },
        "server": { "name": "Baton", "port": 0, "ip": null },
        "protocol": { "version": PROTOCOL_VERSION },
    });
    let Some(fields) = context.as_object_mut() else { return context };
    if let Stage::Auth { mechanism, user } = stage {
        fields.insert("sasl".to_owned(), json!({ "login": user, "method": mechanism }));
    } else if let Some(account) = session.account() {
        fields.insert("sasl".to_owned(), json!({ "login": account, "method": null }));
    }
    if matches!(stage, Stage::Rcpt | Stage::Data { .. }) {
        fields.insert("queue".to_owned(), json!({ "id": cx.envelope().id() }));
    }
    context
}

fn envelope(cx: &Context) -> Value {
    let envelope = cx.envelope();
    let sender = envelope.sender().map(|sender| sender.to_string()).unwrap_or_default();
    let recipient = |index: u32| {
        let address = envelope.recipient(index)?.to_string();
        Some(json!({ "address": address, "parameters": parameters(&envelope.recipient_parameters(index)) }))
    };
    json!({
        "from": { "address": sender, "parameters": parameters(&envelope.sender_parameters()) },
        "to": (0..envelope.recipient_count()).filter_map(recipient).collect::<Vec<_>>(),
    })
}

fn parameters(all: &[Parameter]) -> Map<String, Value> {
    all.iter()
        .map(|parameter| (parameter.name.clone(), parameter.value.clone().unwrap_or_default().into()))
        .collect()
}

fn message(cx: &Context, content_octets_max: u32) -> Value {
    let message = cx.message();
    let header = read(cx, 0, message.header_size());
    let start = message.header_size().saturating_add(2);
    let content = read(cx, start, message.size().saturating_sub(start).min(u64::from(content_octets_max)));
    json!({
        "headers": fields(&String::from_utf8_lossy(&header)),
        "serverHeaders": [],
        "contents": String::from_utf8_lossy(&content),
        "size": message.size(),
    })
}

fn read(cx: &Context, start: u64, octets: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while (all.len() as u64) < octets {
        let rest = octets - all.len() as u64;
        let piece = cx
            .message()
            .read(start + all.len() as u64, u32::try_from(rest).unwrap_or(READ_OCTETS).min(READ_OCTETS));
        if piece.is_empty() {
            break;
        }
        all.extend_from_slice(&piece);
    }
    all
}

/// Names and values as they stand in the header, folding and line ends included.
fn fields(header: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in header.split_inclusive('\n') {
        match (line.starts_with([' ', '\t']), line.split_once(':'), all.last_mut()) {
            (true, _, Some((_, value))) => value.push_str(line),
            (false, Some((name, value)), _) => all.push((name.to_owned(), value.to_owned())),
            _ => {}
        }
    }
    all
}
