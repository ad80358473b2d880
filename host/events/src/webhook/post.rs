//! One post: some events, signed; and what its answer means.

use std::time::Duration;

use baton_hooks::HttpUrl;
use baton_hooks::host::{HttpBackend, HttpError, HttpRequest, HttpResponse};
use baton_identity::WebhookKey;
use baton_mail::text::sanitize;
use baton_mail::{Body, UnixMs};
use bytes::Bytes;

use crate::shown::{EventId, Moment, Shown};

/// Stands for a plugin's name; none has a space in it.
const CLIENT: &str = "webhook delivery";
/// Octets of an answer that are read.
const RESPONSE_OCTETS_MAX: usize = 16 << 10;
/// Octets of what is told of an answer.
const WORDS_OCTETS_MAX: usize = 300;
/// The longest that a server can ask us to wait, in seconds.
const WAIT_S_MAX: u64 = 3_600;

/// Events that are posted together.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// The events as JSON, with commas between.
    data: Vec<u8>,
    pub(super) events: usize,
    first: Option<EventId>,
    last: Option<EventId>,
    /// When the oldest of them happened.
    pub(super) oldest: Option<UnixMs>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.events == 0
    }

    pub(super) fn octets(&self) -> usize {
        self.data.len()
    }

    /// Adds an event.
    pub(super) fn push(&mut self, shown: &Shown<'_>) {
        let len = self.data.len();
        if len > 0 {
            self.data.push(b',');
        }
        if shown.write(&mut self.data).is_err() {
            // A vector takes all, and what is shown has texts and numbers only.
            self.data.truncate(len);
            return;
        }
        self.events += 1;
        self.first.get_or_insert(shown.id);
        self.last = Some(shown.id);
        self.oldest = Some(self.oldest.map_or(shown.time.0, |oldest| oldest.min(shown.time.0)));
    }

    /// The same for the same events, however often they are posted.
    fn id(&self) -> String {
        match (self.first, self.last) {
            (Some(first), Some(last)) => format!("msg_{}_{}", first.short(), last.short()),
            _ => "msg_test".to_owned(),
        }
    }
}

/// What is posted.
pub(super) struct Posted {
    id: String,
    body: Body,
}

impl Posted {
    /// Of a batch.
    pub(super) fn of(batch: &Batch, now: UnixMs) -> Posted {
        let mut body = Vec::with_capacity(batch.data.len() + 80);
        body.extend_from_slice(
            format!("{{\"type\":\"events\",\"timestamp\":\"{}\",\"data\":[", Moment(now)).as_bytes(),
        );
        body.extend_from_slice(&batch.data);
        body.extend_from_slice(b"]}");
        Posted { id: batch.id(), body: Body::from(Bytes::from(body)) }
    }

    /// That tells of nothing.
    pub(super) fn test(now: UnixMs) -> Posted {
        let body = format!("{{\"type\":\"test\",\"timestamp\":\"{}\",\"data\":[]}}", Moment(now));
        Posted { id: format!("msg_test_{:x}", now.0), body: Body::from(Bytes::from(body)) }
    }

    fn request(self, url: HttpUrl, keys: &[WebhookKey], now: UnixMs) -> HttpRequest {
        let seconds = now.seconds().to_string();
        let signatures: Vec<String> =
            keys.iter().map(|key| key.sign(&self.id, &seconds, &self.body)).collect();
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("webhook-id", self.id),
            ("webhook-timestamp", seconds),
            ("webhook-signature", signatures.join(" ")),
        ];
        HttpRequest {
            method: "POST".to_owned(),
            url,
            // Whoever names it may be anybody: only public addresses, and those that the settings allow.
            host_is_granted: false,
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            body: self.body,
            response_octets_max: RESPONSE_OCTETS_MAX,
        }
    }
}

/// What came of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// They have it.
    Taken { status: u16 },
    /// They want nothing any more (410).
    Gone,
    /// Not now, and not before so many milliseconds where they said so.
    Failed { why: String, wait_ms: Option<u64> },
}

/// Posts, within `bound`.
pub(super) async fn post(
    http: &dyn HttpBackend,
    url: &str,
    keys: &[WebhookKey],
    posted: Posted,
    now: UnixMs,
    bound: Duration,
) -> Answer {
    let failed = |why: String| Answer::Failed { why: sanitize(&why, WORDS_OCTETS_MAX), wait_ms: None };
    let url = match HttpUrl::parse(url) {
        Ok(url) => url,
        Err(why) => return failed(why),
    };
    if keys.is_empty() {
        return failed("there is no secret to sign with".to_owned());
    }
    let request = posted.request(url, keys, now);
    match tokio::time::timeout(bound, http.fetch(CLIENT, request)).await {
        Ok(Ok(response)) => judge(&response),
        Ok(Err(HttpError::Denied)) => {
            failed("the address is not a public one; see webhooks.allowed_networks".to_owned())
        }
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed("no answer in time".to_owned()),
    }
}

fn judge(response: &HttpResponse) -> Answer {
    let status = response.status;
    match status {
        200..=299 => Answer::Taken { status },
        410 => Answer::Gone,
        _ => {
            let header = response.headers.iter().find(|(name, _)| name == "retry-after");
            let wait_s = header.and_then(|(_, text)| text.trim().parse::<u64>().ok());
            let words = match status {
                300..=399 => " (redirects are not followed)",
                _ => "",
            };
            Answer::Failed {
                why: format!("HTTP {status}{words}"),
                wait_ms: wait_s.map(|wait_s| wait_s.min(WAIT_S_MAX) * 1_000),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_success() {
        let judged = |status| {
            let headers = vec![("retry-after".to_owned(), "7".to_owned())];
            judge(&HttpResponse { status, headers, ..Default::default() })
        };
        for status in [200, 202, 204] {
            assert_eq!(judged(status), Answer::Taken { status });
        }
        assert_eq!(judged(410), Answer::Gone);
        for status in [100, 301, 302, 307, 400, 401, 404, 413, 429, 500, 503] {
            assert!(matches!(judged(status), Answer::Failed { wait_ms: Some(7_000), .. }), "{status}");
        }
    }
}
