//! Posts what happens to a web hook, in batches signed by the rules of Standard Webhooks.
//!
//! Invariant: a batch that was not taken comes again; it has the same `webhook-id` then, by which the receiver knows it.
//! Invariant: a batch that the receiver refuses for good (4xx) is dropped and counted: it must not hold up all that follow.

mod time;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_sdk::http::Request;
use baton_sdk::prelude::*;
use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Octets of an answer at most: it is not read.
const ANSWER_OCTETS_MAX: u32 = 4_096;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to; needs a grant.
    pub url: String,
    /// Kinds of events that are posted; all of them otherwise.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Names of fields that are left out.
    #[serde(default)]
    pub omit_fields: Vec<String>,
    /// Sign with the secrets `signing` and, when there is one, `signing-old`.
    #[serde(default = "default_true")]
    pub signed: bool,
    /// How long the receiver may take, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u32,
}

/// The plugin.
pub struct WebhookObserver {
    config: Config,
}

#[baton_sdk::plugin]
impl Plugin for WebhookObserver {
    type Config = Config;

    fn new(config: Config) -> Result<WebhookObserver, Problems> {
        let mut problems = Problems::default();
        if !config.url.starts_with("http://") && !config.url.starts_with("https://") {
            problems.add("url", "write https://host/path");
        }
        if config.timeout_ms == 0 {
            problems.add("timeout_ms", "must be at least 1");
        }
        problems.finish(WebhookObserver { config })
    }
}

#[baton_sdk::hook]
impl Events for WebhookObserver {
    fn on_events(&self, cx: &Context, events: &[Event]) -> Result<()> {
        let meant = |event: &&Event| self.config.kinds.is_empty() || self.config.kinds.contains(&event.kind);
        let posted: Vec<Value> = events.iter().filter(meant).map(|event| self.written(event)).collect();
        let (Some(first), count) = (events.iter().find(meant), posted.len()) else { return Ok(()) };
        let body = json!({
            "type": "baton.events",
            "timestamp": time::written(first.unix_ms),
            "data": { "events": posted },
        });
        let request = self.request(cx, body.to_string())?;
        let status = cx.http().fetch(&request)?.status;
        let outcome = match status {
            200..=299 => "posted",
            // Too early, too many, took too long: the receiver wants it again.
            400..=499 if !matches!(status, 408 | 425 | 429) => "refused",
            _ => return Err(Error::new(["the receiver answered ", &status.to_string()].concat())),
        };
        cx.metrics().count(outcome, count as u64, &[]);
        if outcome == "refused" {
            cx.warn(
                &["the receiver refuses a batch with status ", &status.to_string(), "; it is dropped"]
                    .concat(),
            );
        }
        Ok(())
    }
}

impl WebhookObserver {
    fn written(&self, event: &Event) -> Value {
        let kept = event.fields.iter().filter(|(name, _)| !self.config.omit_fields.contains(name));
        let fields: Map<String, Value> =
            kept.map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        json!({
            "kind": event.kind,
            "timestamp": time::written(event.unix_ms),
            "message_id": event.message_id,
            "session_id": event.session_id,
            "fields": fields,
        })
    }

    fn request(&self, cx: &Context, body: String) -> Result<Request> {
        let id = identity(&body);
        let timestamp = (cx.clock().now_ms() / 1_000).to_string();
        let mut request = Request::post(self.config.url.as_str(), body.as_str())
            .header("Content-Type", "application/json")
            .header("webhook-id", id.as_str())
            .header("webhook-timestamp", timestamp.as_str())
            .timeout(Duration::from_millis(u64::from(self.config.timeout_ms)))
            .response_octets_max(ANSWER_OCTETS_MAX);
        if self.config.signed {
            let advice = "no secret: set [plugins.webhook-observer.secrets] signing, or signed = false";
            let secret = cx.secret("signing").ok_or_else(|| Error::new(advice))?;
            let secrets = [Some(secret), cx.secret("signing-old")];
            let signatures: Result<Vec<String>> =
                secrets.iter().flatten().map(|secret| signature(secret, &id, &timestamp, &body)).collect();
            request = request.header("webhook-signature", signatures?.join(" "));
        }
        Ok(request)
    }
}

/// The same for the same batch, so that the receiver can tell a repetition.
fn identity(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    let hexadecimal: String = digest.iter().take(16).map(|octet| format!("{octet:02x}")).collect();
    ["msg_", &hexadecimal].concat()
}

/// Standard Webhooks, scheme v1: HMAC-SHA-256 over identity, time and body. A secret is written in base64 behind
/// `whsec_`; any other text is taken as it is.
fn signature(secret: &str, id: &str, timestamp: &str, body: &str) -> Result<String> {
    let key = match secret.trim().strip_prefix("whsec_") {
        Some(encoded) => {
            STANDARD.decode(encoded).map_err(|_| Error::new("the secret behind whsec_ is not base64"))?
        }
        None => secret.trim().as_bytes().to_vec(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| Error::new("the secret is no key"))?;
    for piece in [id, ".", timestamp, ".", body] {
        mac.update(piece.as_bytes());
    }
    Ok(["v1,", &STANDARD.encode(mac.finalize().into_bytes())].concat())
}

fn default_true() -> bool {
    true
}

fn default_timeout_ms() -> u32 {
    10_000
}

#[cfg(test)]
mod tests;
