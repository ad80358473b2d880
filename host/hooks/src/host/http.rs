//! `http`: requests through the relay's client, by grant and within bounds. Which address is asked is the client's to
//! check; which URL may be asked is checked here.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::Body;
use baton_mail::text::sanitize;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::bindings::baton::host::http::{Error, Host, Request, Response};
use crate::plugin::Terms;
use crate::state::State;
use crate::url::{HttpGrant, HttpUrl};

/// Header fields of one request.
const FIELDS_MAX: usize = 100;
/// Octets of all header fields of one request.
const FIELD_OCTETS_MAX: usize = 32 << 10;
/// Octets of an error's words.
const WORDS_OCTETS_MAX: usize = 512;
/// Methods that a plugin may use: no tunnels, no echo of what it may not see.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Fields that say how the octets are carried; they are the client's (RFC 9110 7.6, 7.2, RFC 9112 6).
const CARRIERS: [&str; 13] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "expect",
    "http2-settings",
    "proxy-authorization",
    "proxy-connection",
    "forwarded",
];

/// The relay's HTTP client.
pub trait HttpBackend: Send + Sync + 'static {
    /// Carries out one request of that plugin. Its URL is covered by a grant; the addresses behind it were not looked
    /// at. The caller bounds the time.
    fn fetch<'a>(
        &'a self,
        plugin: &'a str,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpResponse, HttpError>>;
}

/// One request, checked.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// The method, in upper case.
    pub method: String,
    /// Where it goes.
    pub url: HttpUrl,
    /// A grant names this very host, so its address may be one that plugins do not reach otherwise.
    pub host_is_granted: bool,
    /// Header fields: names in lower case, values without control characters.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: Body,
    /// Octets of the response's content that are taken.
    pub response_octets_max: usize,
}

/// What came back.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Header fields; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The content.
    #[serde(with = "crate::tape::octets")]
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The address is one that plugins may not reach.
    #[error("the address may not be asked")]
    Denied,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The response is larger than wanted.
    #[error("the response is too large")]
    TooLarge,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// A request that may be sent, and until when it is waited for.
pub(super) struct Ready {
    request: HttpRequest,
    deadline: Instant,
}

impl State {
    /// Checks a request and takes it off the budget.
    pub(super) fn check_request(&mut self, request: Request, body: Body) -> Result<Ready, Error> {
        let url = HttpUrl::parse(&request.url).map_err(Error::Failed)?;
        let host_is_granted = self.check_grants(&url)?;
        let method = request.method.to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            return Err(Error::Failed(format!("the method is one of {}", METHODS.join(", "))));
        }
        let headers = check_fields(request.headers).map_err(Error::Failed)?;
        let timeout = request.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let limits = self.terms.limits;
        let asked_max = request.max_response.map_or(usize::MAX, |octets| octets as usize);
        let too_many =
            || Error::Failed(format!("more than {} requests in one call", limits.http_requests_max));
        self.budget.http_requests = self.budget.http_requests.checked_sub(1).ok_or_else(too_many)?;
        let request = HttpRequest {
            method,
            url,
            host_is_granted,
            headers,
            body,
            response_octets_max: asked_max.min(limits.http_response_octets_max),
        };
        Ok(Ready { request, deadline: self.answer_deadline(timeout) })
    }

    /// Checks a request that brings its content along.
    fn check_whole_request(&mut self, mut request: Request) -> Result<Ready, Error> {
        let octets_max = self.terms.limits.http_request_octets_max;
        if request.body.len() > octets_max {
            return Err(Error::Failed(format!("the content of a request has at most {octets_max} octets")));
        }
        let body = Bytes::from(std::mem::take(&mut request.body));
        self.check_request(request, body.into())
    }

    /// Whether a grant covers the URL; if so, whether one names its host.
    fn check_grants(&self, url: &HttpUrl) -> Result<bool, Error> {
        let grants: &[HttpGrant] = &self.terms.http_grants;
        if self.hook.is_none() || !grants.iter().any(|grant| grant.covers(url)) {
            return Err(Error::Denied);
        }
        Ok(grants.iter().any(|grant| grant.names(url)))
    }

    /// Until when an answer from outside is waited for: as long as the plugin wants, and at most until shortly before
    /// the call ends, so that the plugin can still decide.
    pub(super) fn answer_deadline(&self, wanted: Option<Duration>) -> Instant {
        let now = Instant::now();
        let left = self.budget.deadline.saturating_duration_since(now);
        let most = left.saturating_sub(left / 20);
        now + wanted.map_or(most, |wanted| wanted.min(most))
    }

    /// Sends all requests at once and counts what came of each. The answers are the octets that the plugin reads.
    pub(super) async fn send_all(
        &mut self,
        ready: Vec<Result<Ready, Error>>,
    ) -> wasmtime::Result<Vec<Result<Response, Error>>> {
        let terms = Arc::clone(&self.terms);
        let answered = join_all(ready.into_iter().map(|ready| send(&terms, ready))).await;
        self.charge_read(answered.iter().map(octets_of).sum())?;
        Ok(answered)
    }

    /// As [`State::send_all`], for one.
    pub(super) async fn send_one(
        &mut self,
        ready: Result<Ready, Error>,
    ) -> wasmtime::Result<Result<Response, Error>> {
        let mut answered = self.send_all(vec![ready]).await?;
        Ok(answered.pop().unwrap_or(Err(Error::Timeout)))
    }
}

impl Host for State {
    async fn fetch(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.charge()?;
        let ready = self.check_whole_request(request);
        self.send_one(ready).await
    }

    async fn fetch_many(&mut self, requests: Vec<Request>) -> wasmtime::Result<Vec<Result<Response, Error>>> {
        self.charge()?;
        let ready = requests.into_iter().map(|request| self.check_whole_request(request)).collect();
        self.send_all(ready).await
    }
}

async fn send(terms: &Terms, ready: Result<Ready, Error>) -> Result<Response, Error> {
    let began = Instant::now();
    let answered = match ready {
        Ok(ready) => wait_for(terms, ready).await,
        Err(error) => Err(error),
    };
    let outcome = match &answered {
        Ok(_) => "answered",
        Err(Error::Denied) => "denied",
        Err(Error::Timeout) => "timeout",
        Err(Error::TooLarge) => "too-large",
        Err(Error::Failed(_)) => "failed",
    };
    terms.meters.observe_request(outcome, began.elapsed());
    answered
}

async fn wait_for(terms: &Terms, ready: Ready) -> Result<Response, Error> {
    let fetching = terms.capabilities.http.fetch(&terms.name, ready.request);
    let answered = tokio::time::timeout_at(ready.deadline, fetching).await;
    Ok(answered.map_err(|_| Error::Timeout)??.into())
}

/// Octets of a response that go to the plugin.
fn octets_of(answered: &Result<Response, Error>) -> usize {
    let Ok(response) = answered else { return 0 };
    let fields: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    fields + response.body.len()
}

/// Names as tokens in lower case, values without controls (RFC 9110 5.1, 5.5).
fn check_fields(fields: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    let octets: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    if fields.len() > FIELDS_MAX || octets > FIELD_OCTETS_MAX {
        return Err(format!("a request has at most {FIELDS_MAX} header fields of {FIELD_OCTETS_MAX} octets"));
    }
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    let check = |(name, value): (String, String)| {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err("the name of a header field is not a token".to_owned());
        }
        let name = name.to_ascii_lowercase();
        if CARRIERS.contains(&name.as_str()) {
            return Err(format!("the header field {name} is written by the relay"));
        }
        let value = value.trim();
        if value.chars().any(|character| character.is_control() && character != '\t') {
            return Err(format!("the header field {name} has control characters"));
        }
        Ok((name, value.to_owned()))
    };
    fields.into_iter().map(check).collect()
}

impl From<HttpResponse> for Response {
    fn from(response: HttpResponse) -> Response {
        Response { status: response.status, headers: response.headers, body: response.body.into() }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Error {
        match error {
            HttpError::Denied => Error::Denied,
            HttpError::Timeout => Error::Timeout,
            HttpError::TooLarge => Error::TooLarge,
            HttpError::Failed(detail) => Error::Failed(sanitize(&detail, WORDS_OCTETS_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<Vec<(String, String)>, String> {
        check_fields(vec![(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn fields_can_not_carry_a_second_request() {
        assert_eq!(check("X-Api-Key", " secret "), Ok(vec![("x-api-key".to_owned(), "secret".to_owned())]));
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a\r\nb", "x"),
            ("a", "x\r\nHost: evil"),
            ("a", "x\0"),
            ("Host", "evil.example"),
            ("Content-Length", "0"),
            ("transfer-encoding", "chunked"),
        ] {
            assert!(check(name, value).is_err(), "{name:?}");
        }
        assert!(check_fields(vec![("a".to_owned(), String::new()); FIELDS_MAX + 1]).is_err());
        assert!(check("a", &"x".repeat(FIELD_OCTETS_MAX)).is_err());
    }
}
