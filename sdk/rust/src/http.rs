//! The relay's HTTP client. Needs the grant `http`: a list of URL prefixes. The relay checks the address behind the
//! name, follows no redirect, and bounds time and size.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::{CurrentHost, Host};

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// `https://api.example/v1/check`
    pub url: String,
    /// Fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Milliseconds for all of it; what the call has left when none.
    pub timeout_ms: Option<u32>,
    /// Octets of the response's body at most; the relay's limit when none.
    pub response_octets_max: Option<u32>,
}

impl Request {
    /// A request without body.
    pub fn new(method: &str, url: impl Into<String>) -> Request {
        Request { method: method.to_owned(), url: url.into(), ..Request::default() }
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Request {
        Request::new("GET", url)
    }

    /// A POST request.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Request {
        Request { body: body.into(), ..Request::new("POST", url) }
    }

    /// A POST request with a value as JSON. Fails when the value has no JSON form, such as a map with other keys than texts.
    pub fn post_json(
        url: impl Into<String>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Request, serde_json::Error> {
        Ok(Request::post(url, serde_json::to_vec(value)?).header("Content-Type", "application/json"))
    }

    /// One more field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A bound on the time for all of it.
    pub fn timeout(mut self, time: Duration) -> Request {
        self.timeout_ms = Some(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// A bound on the response's body, in octets.
    pub fn response_octets_max(mut self, octets: u32) -> Request {
        self.response_octets_max = Some(octets);
        self
    }
}

/// What the server answered, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// 200, 404, ...
    pub status: u16,
    /// Fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A response for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    /// The first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// True for 2xx.
    pub fn is_success(&self) -> bool {
        self.status / 100 == 2
    }

    /// The response when it is a success, and an error that names the status otherwise.
    pub fn success(self) -> Result<Response, HttpError> {
        if self.is_success() {
            Ok(self)
        } else {
            Err(HttpError::Failed(["status ", &self.status.to_string()].concat()))
        }
    }

    /// Reads the body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// Why there is no response. A status of 4xx or 5xx is a response, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The operator did not grant that URL, or its address is not one that plugins may reach.
    Denied,
    /// No answer in time.
    Timeout,
    /// The response is too large.
    TooLarge,
    /// Anything else.
    Failed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Denied => formatter.write_str("http: not granted"),
            HttpError::Timeout => formatter.write_str("http: no answer in time"),
            HttpError::TooLarge => formatter.write_str("http: the response is too large"),
            HttpError::Failed(why) => write!(formatter, "http: {why}"),
        }
    }
}

impl std::error::Error for HttpError {}

/// Requests through the relay's client, which keeps connections for all plugins.
pub struct Http<'a> {
    pub(crate) host: &'a CurrentHost,
}

impl Http<'_> {
    /// One request.
    pub fn fetch(&self, request: &Request) -> Result<Response, HttpError> {
        self.host.http_fetch(request)
    }

    /// Several requests at once; answers in the order of the requests.
    pub fn fetch_many(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>> {
        self.host.http_fetch_many(requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_travels_with_its_type() {
        let request = Request::post_json("https://api.example/", &["a"]).unwrap();
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", br#"["a"]"#.as_slice()));
        assert_eq!(request.headers, [("Content-Type".to_owned(), "application/json".to_owned())]);
        let read: Vec<u8> = Response::new(200, "[1,2]").json().unwrap();
        assert_eq!(read, [1, 2]);
    }

    #[test]
    fn a_refusal_becomes_an_error_when_a_success_is_wanted() {
        let error = Response::new(503, "").success().unwrap_err();
        assert_eq!(error.to_string(), "http: status 503");
        assert!(Response::new(204, "").success().is_ok());
    }
}
