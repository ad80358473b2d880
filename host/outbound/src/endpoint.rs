//! Delivery to a web server: each message is a POST of a form with two parts, `envelope` (JSON) and `message` (as it is),
//! signed by the scheme of Standard Webhooks: HMAC-SHA256 over id, time and content.
//!
//! Invariant: only an answer of 200 to 299 is a delivery. 400 to 499 is a failure for good, but for 408, 425 and 429; all
//! else is tried again, not before `Retry-After`.
//!
//! Invariant: no redirect is followed, and the secret is in no log, no error and no debug output.

use std::time::Duration;

use aws_lc_rs::digest;
use baton_hooks::HttpUrl;
use baton_hooks::host::{HttpRequest, HttpResponse};
use baton_identity::WebhookKey;
use baton_mail::status::Remote;
use baton_mail::text::sanitize;
use baton_mail::{Body, EnhancedCode, Envelope, FailureClass, Outcome, Phase, Recipient, Status, UnixMs};
use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::timeout;

use crate::login::LoginSecret;
use crate::sts::HttpClient;

/// A web server that takes messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where it is.
    pub url: HttpUrl,
    /// What requests are signed with: base64 of 24 octets at least, with or without `whsec_` in front.
    pub secret: LoginSecret,
}

/// A message for a web server.
pub(crate) struct Posted<'a> {
    pub(crate) envelope: &'a Envelope,
    pub(crate) recipients: Vec<&'a Recipient>,
    pub(crate) body: Body,
    pub(crate) attempt: u16,
}

/// What came of it, and how long the server wants to be left alone, in milliseconds.
pub(crate) struct Answered {
    pub(crate) outcome: Outcome,
    pub(crate) wait_ms: Option<u64>,
}

impl std::fmt::Display for Endpoint {
    /// Path and query may be for nobody else's eyes: the sender and others read what it is called.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "http {}", self.url.authority())
    }
}

impl Endpoint {
    /// Posts a message, within `bound`.
    pub(crate) async fn post(
        &self,
        http: &HttpClient,
        posted: Posted<'_>,
        now: UnixMs,
        bound: Duration,
    ) -> Answered {
        let request = match self.request(posted, now).await {
            Ok(request) => request,
            Err(problem) => {
                // RFC 3463 3.4: system incorrectly configured.
                return Answered {
                    outcome: Outcome::Deferred(self.status((4, 3, 5), problem)),
                    wait_ms: None,
                };
            }
        };
        let http = http.load_full();
        match timeout(bound, http.fetch(CLIENT, request)).await {
            Ok(Ok(response)) => self.judge(&response, now),
            Ok(Err(error)) => self.unanswered(&error.to_string()),
            Err(_) => self.unanswered("no answer in time"),
        }
    }

    async fn request(&self, posted: Posted<'_>, now: UnixMs) -> Result<HttpRequest, String> {
        let key = WebhookKey::read(&self.secret.read().await?)?;
        let (id, envelope) = describe(&posted);
        let boundary = format!("baton-{:032x}", rand::random::<u128>());
        let body = form(&boundary, &envelope, posted.body);
        let seconds = now.seconds().to_string();
        let signature = key.sign(&id, &seconds, &body);
        let headers = [
            ("content-type", format!("multipart/form-data; boundary={boundary}")),
            ("webhook-id", id),
            ("webhook-timestamp", seconds),
            ("webhook-signature", signature),
        ];
        Ok(HttpRequest {
            method: "POST".to_owned(),
            url: self.url.clone(),
            // The settings name it.
            host_is_granted: true,
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            body,
            response_octets_max: RESPONSE_OCTETS_MAX,
        })
    }

    fn judge(&self, response: &HttpResponse, now: UnixMs) -> Answered {
        let header = |name: &str| {
            response.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
        };
        let is_text = header("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
        let words = if is_text { String::from_utf8_lossy(&response.body) } else { Default::default() };
        let said = sanitize(format!("HTTP {} {words}", response.status).trim(), WORDS_OCTETS_MAX);
        let status = response.status;
        // RFC 3463 3.1, 3.4, 3.6: not more than that is known.
        let (outcome, wait_ms) = match status {
            200..=299 => (Outcome::Delivered(self.status((2, 0, 0), said)), None),
            413 => (Outcome::Failed(self.status((5, 3, 4), said)), None),
            400..=499 if !matches!(status, 408 | 425 | 429) => {
                (Outcome::Failed(self.status((5, 0, 0), said)), None)
            }
            _ => {
                let wait_ms = header("retry-after").and_then(|text| read_wait(text, now));
                (Outcome::Deferred(self.status((4, 0, 0), said)), wait_ms)
            }
        };
        Answered { outcome, wait_ms }
    }

    fn unanswered(&self, why: &str) -> Answered {
        let mut status = self.status((4, 4, 1), sanitize(why, WORDS_OCTETS_MAX));
        (status.phase, status.class) = (Phase::Connect, FailureClass::Network);
        Answered { outcome: Outcome::Deferred(status), wait_ms: None }
    }

    fn status(&self, code: (u8, u16, u16), text: impl Into<String>) -> Status {
        let class = if code == (5, 3, 4) { FailureClass::TooLarge } else { FailureClass::Unknown };
        let code = EnhancedCode(code.0, code.1, code.2);
        Status::ours(Phase::Data, class, code, text.into()).at(Remote::named(self.url.authority()))
    }
}

/// The name that the same delivery has each time it is tried, and its envelope as JSON.
fn describe(posted: &Posted<'_>) -> (String, String) {
    let envelope = posted.envelope;
    let recipients: Vec<String> = posted.recipients.iter().map(|one| one.address.to_string()).collect();
    let hash = digest::digest(&digest::SHA256, recipients.join(" ").as_bytes());
    let mark: String = hash.as_ref().iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    let text = serde_json::json!({
        "id": envelope.id.to_string(),
        "sender": envelope.sender.mailbox().map(ToString::to_string).unwrap_or_default(),
        "recipients": recipients,
        "tenant": envelope.tenant,
        "stream": envelope.stream,
        "attempt": posted.attempt,
    });
    (format!("{}-{mark}", envelope.id), text.to_string())
}

/// RFC 7578.
fn form(boundary: &str, envelope: &str, message: Body) -> Body {
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"envelope\"\r\nContent-Type: application/json\r\n\r\n\
         {envelope}\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"message\"; filename=\"message.eml\"\r\n\
         Content-Type: message/rfc822\r\n\r\n"
    );
    let mut body = Body::from(Bytes::from(head));
    for piece in message.pieces() {
        body.push(piece.clone());
    }
    body.push(Bytes::from(format!("\r\n--{boundary}--\r\n")));
    body
}

/// How long to wait (RFC 9110 10.2.3), in milliseconds: seconds, or a date.
fn read_wait(text: &str, now: UnixMs) -> Option<u64> {
    let seconds = match text.trim().parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            // RFC 9110 5.6.7 has the word GMT where mail has a number.
            let moment = OffsetDateTime::parse(&text.trim().replace("GMT", "+0000"), &Rfc2822).ok()?;
            u64::try_from(moment.unix_timestamp() - now.seconds()).ok()?
        }
    };
    Some(seconds.min(WAIT_S_MAX) * 1_000)
}

/// Stands for a plugin's name; none has a space in it.
const CLIENT: &str = "http delivery";
/// Octets of an answer that are read.
const RESPONSE_OCTETS_MAX: usize = 64 << 10;
/// Octets of what is told of an answer.
const WORDS_OCTETS_MAX: usize = 300;
/// The longest that a server can ask us to wait, in seconds: a day.
const WAIT_S_MAX: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_seconds_or_dates_and_end_within_a_day() {
        let now = UnixMs(1_445_412_480_000);
        assert_eq!(read_wait(" 120 ", now), Some(120_000));
        assert_eq!(read_wait("99999999", now), Some(86_400_000));
        assert_eq!(read_wait("Wed, 21 Oct 2015 07:29:00 GMT", now), Some(60_000));
        for bad in ["", "-1", "soon", "Wed, 21 Oct 2005 07:28:00 GMT"] {
            assert_eq!(read_wait(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn answers_have_their_outcomes() {
        let endpoint = Endpoint {
            url: HttpUrl::parse("https://x.example/").unwrap(),
            secret: LoginSecret::Environment("X".to_owned()),
        };
        let judged = |status: u16| {
            let headers = vec![("retry-after".to_owned(), "7".to_owned())];
            let Answered { outcome, wait_ms } =
                endpoint.judge(&HttpResponse { status, headers, ..Default::default() }, UnixMs(0));
            match outcome {
                Outcome::Delivered(_) => ("delivered", wait_ms),
                Outcome::Deferred(_) => ("deferred", wait_ms),
                Outcome::Failed(_) => ("failed", wait_ms),
            }
        };
        for status in [200, 202, 204] {
            assert_eq!(judged(status), ("delivered", None), "{status}");
        }
        for status in [400, 401, 404, 410, 413, 422] {
            assert_eq!(judged(status), ("failed", None), "{status}");
        }
        for status in [100, 301, 302, 408, 425, 429, 500, 503] {
            assert_eq!(judged(status), ("deferred", Some(7_000)), "{status}");
        }
    }
}
