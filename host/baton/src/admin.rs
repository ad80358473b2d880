//! The commands' side of the admin socket: one request, one answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use baton_api::Problem;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::cli::{SettingsOption, Target};
use crate::settings;

/// Octets of an answer at most: a message that is moved.
const ANSWER_OCTETS_MAX: usize = 2 << 30;
/// How long an answer may take. A reload compiles plugins.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// The relay's word that it does not do something.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Refused {
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// Why.
    pub(crate) why: String,
}

/// A running relay, reached by its admin socket.
pub(crate) struct Admin {
    socket: PathBuf,
}

impl Admin {
    /// The relay that the options mean.
    pub(crate) fn of(target: &Target) -> anyhow::Result<Admin> {
        Admin::by(target.socket.clone(), &target.file)
    }

    /// The relay behind a socket, or that of the settings.
    pub(crate) fn by(socket: Option<PathBuf>, file: &SettingsOption) -> anyhow::Result<Admin> {
        let socket = match socket {
            Some(socket) => socket,
            None => settings::admin_socket(file.settings.as_deref())
                .map_err(|problems| anyhow!("the settings do not say where the relay is; mend them, or give --socket PATH:\n{problems}"))?,
        };
        Ok(Admin { socket })
    }

    /// The relay behind a socket.
    pub(crate) fn at(socket: &Path) -> Admin {
        Admin { socket: socket.to_owned() }
    }

    /// Asks for something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks for a change.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> anyhow::Result<T> {
        self.ask(Method::POST, path, body.to_string().into()).await
    }

    /// Asks for something new.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> anyhow::Result<T> {
        self.ask(Method::PUT, path, body.to_string().into()).await
    }

    /// Asks for a change to what is there.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> anyhow::Result<T> {
        self.ask(Method::PATCH, path, body.to_string().into()).await
    }

    /// Asks for something new, in place of that version only.
    pub(crate) async fn put_if<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
        version: Option<u32>,
    ) -> anyhow::Result<T> {
        let tag = version.map(|version| format!("\"{version}\""));
        let fields: Vec<_> = tag.iter().map(|tag| ("if-match", tag.as_str())).collect();
        self.ask_with(Method::PUT, path, body.to_string().into(), &fields).await
    }

    /// Asks for something to be removed.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::DELETE, path, Bytes::new()).await
    }

    /// Asks for something by octets, or for octets.
    ///
    /// # Errors
    /// [`Refused`] when the relay has a reason, with the status.
    pub(crate) async fn octets(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let asked = tokio::time::timeout(ANSWER_MAX, self.exchange(method, path, body)).await;
        let (status, answer) = asked.context("the relay did not answer in time")??;
        if status.is_success() {
            return Ok(answer);
        }
        let why = refusal(status, &answer).to_string();
        Err(Refused { status, why }.into())
    }

    /// Asks for a page of text, such as the metrics.
    pub(crate) async fn text(&self, path: &str) -> anyhow::Result<String> {
        let asked = tokio::time::timeout(ANSWER_MAX, self.exchange(Method::GET, path, Bytes::new())).await;
        let (status, answer) = asked.context("the relay did not answer in time")??;
        anyhow::ensure!(status.is_success(), "the relay answered {status}");
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Follows an answer that goes on, line by line, until `show` has enough or the relay ends it.
    pub(crate) async fn follow(
        &self,
        path: &str,
        mut show: impl FnMut(&[u8]) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let (response, driver) = self.send(Method::GET, path, Bytes::new(), &[]).await?;
        let _driver = AbortOnDropHandle::new(driver);
        if !response.status().is_success() {
            let status = response.status();
            let answer = Limited::new(response.into_body(), ANSWER_OCTETS_MAX).collect().await;
            return Err(refusal(status, &answer.map(|answer| answer.to_bytes()).unwrap_or_default()));
        }
        let mut body = response.into_body();
        let mut line: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(octets) = frame.context("the relay closed the connection")?.into_data() else { continue };
            for part in octets.split_inclusive(|octet| *octet == b'\n') {
                line.extend_from_slice(part);
                anyhow::ensure!(line.len() <= ANSWER_OCTETS_MAX, "the relay sends a line without an end");
                if line.ends_with(b"\n") && !show(&std::mem::take(&mut line))? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<T> {
        self.ask_with(method, path, body, &[]).await
    }

    async fn ask_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let asked = tokio::time::timeout(ANSWER_MAX, self.exchange_with(method, path, body, fields)).await;
        let (status, answer) = asked.context("the relay did not answer in time")??;
        if status.is_success() {
            return serde_json::from_slice(&answer)
                .context("the relay's answer is not understood; is it another version?");
        }
        let why = refusal(status, &answer).to_string();
        Err(Refused { status, why }.into())
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        self.exchange_with(method, path, body, &[]).await
    }

    async fn exchange_with(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let (response, driver) = self.send(method, path, body, fields).await?;
        let _driver = AbortOnDropHandle::new(driver);
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_OCTETS_MAX).collect().await;
        let answer = answer.map_err(|error| anyhow!("the answer was not complete: {error}"))?;
        Ok((status, answer.to_bytes()))
    }

    /// Sends a request; the task drives the connection.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>)> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "relay");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let response = sender.send_request(request).await.context("the relay closed the connection")?;
        Ok((response, driver))
    }

    fn unreachable(&self, error: &io::Error) -> anyhow::Error {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow!(
                "no relay runs behind {socket}: start it with `baton serve`, or name its settings with --settings FILE or its socket with --socket PATH"
            ),
            io::ErrorKind::PermissionDenied => {
                anyhow!("{socket} is not open to this user: run as the user of the relay")
            }
            _ => anyhow!("{socket}: {error}"),
        }
    }
}

/// Why the relay refused.
fn refusal(status: StatusCode, answer: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Problem>(answer) {
        Ok(problem) => anyhow!("{}", show_problem(&problem)),
        Err(_) => anyhow!("the relay answered {status}"),
    }
}

/// A problem with each of its fields.
fn show_problem(problem: &Problem) -> String {
    match problem.errors.as_slice() {
        [] => problem.detail.clone(),
        [one] if problem.status == 400 => format!("{}: {}", one.field, one.message),
        all => {
            let lines: Vec<_> =
                all.iter().map(|error| format!("\n  {}: {}", error.field, error.message)).collect();
            format!("{}: {}{}", problem.title, problem.detail, lines.concat())
        }
    }
}

/// A value in a query string: everything but letters, digits and `-._~@` is escaped (RFC 3986 2.1).
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~@".contains(&octet) {
            escaped.push(char::from(octet));
        } else {
            escaped.push_str(&format!("%{octet:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_relay_that_does_not_run_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let error = Admin::at(&socket).get::<serde_json::Value>("/v1/queue").await.unwrap_err().to_string();
        assert!(error.contains(socket.to_str().unwrap()) && error.contains("baton serve"), "{error}");
    }

    #[test]
    fn query_values_are_escaped() {
        assert_eq!(escape("a+b@c.example&x=1"), "a%2Bb@c.example%26x%3D1");
    }

    #[test]
    fn every_field_of_a_problem_is_shown() {
        let field =
            |name: &str| baton_api::FieldError { field: name.to_owned(), message: "is wrong".to_owned() };
        let shown = show_problem(&Problem::settings(vec![field("dns.servers"), field("log.filter")]));
        assert!(shown.contains("dns.servers: is wrong") && shown.contains("log.filter: is wrong"), "{shown}");
    }
}
