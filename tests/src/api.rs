//! A program that uses the relay's API over HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::relay::Relay;
use crate::wait;

/// An API, and the token that is shown to it.
#[derive(Clone, Debug)]
pub struct Api {
    address: SocketAddr,
    token: Option<String>,
}

/// An answer of the API.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: String,
}

impl Reply {
    /// The first value of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The content as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{} {}", self.status, self.body))
    }

    /// The fields at fault, when it is a problem.
    pub fn fields(&self) -> Result<Vec<String>> {
        ensure!(self.header("content-type") == Some("application/problem+json"), "{self:?}");
        let problem = self.json()?;
        let errors = problem.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(errors.iter().filter_map(|error| Some(error.get("field")?.as_str()?.to_owned())).collect())
    }
}

impl Api {
    /// The API of a relay, without a token.
    pub fn of(relay: &Relay) -> Result<Api> {
        Ok(Api { address: relay.listener("api")?, token: None })
    }

    /// The API of a relay, with a new token that is made by these words of `baton token add`.
    pub fn with_token(relay: &Relay, words: &[&str]) -> Result<Api> {
        let made = relay.said(&[&["token", "add", "--json"], words].concat())?;
        let made: Value = serde_json::from_str(&made)?;
        let token = made.get("token").and_then(Value::as_str).context("no token was made")?;
        Ok(Api::of(relay)?.showing(token))
    }

    /// The same, with this token.
    pub fn showing(&self, token: &str) -> Api {
        Api { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Asks for something.
    pub fn get(&self, path: &str) -> Result<Reply> {
        self.ask("GET", path, &[], b"")
    }

    /// Sends JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.ask("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// Sends a message, which must be taken; returns the answer.
    pub fn send(&self, message: &Value) -> Result<Value> {
        let reply = self.post("/v1/messages", message)?;
        ensure!(reply.status == 202, "{reply:?}");
        reply.json()
    }

    /// Says that a body of so many octets comes, and waits for the answer before any of it.
    pub fn announce(&self, path: &str, octets: usize) -> Result<Reply> {
        self.exchange("POST", path, &[("Content-Type", "application/json")], octets, b"")
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        self.exchange(method, path, headers, body.len(), body)
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        octets: usize,
        body: &[u8],
    ) -> Result<Reply> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nContent-Length: {octets}\r\n"
        );
        if let Some(token) = &self.token {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).context("connect to the API")?;
        stream.set_read_timeout(Some(wait::LONG))?;
        stream.write_all(request.as_bytes())?;
        // A relay that refuses may close before it has all.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) =
            answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {read:?} {answer}"))?;
        let mut lines = head.split("\r\n");
        let status =
            lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).context("no status")?;
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Ok(Reply { status, headers: lines.filter_map(field).collect(), body: body.to_owned() })
    }
}
