//! Messages by the API of a relay, one by one or in batches, as a program sends them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use baton_mail::SystemClock;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::Job;
use super::report::Report;

/// How long the relay may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// What the marks of made-up messages begin with; those that the relay itself makes are not a sender's to set.
const MARK: (&str, &str) = ("X-Baton-", "X-Mark-");

/// Sends messages as long as there are any, over one connection.
pub(super) async fn drive_connection(job: Arc<Job>, token: String) -> Report {
    let mut report = Report::new(0);
    if let Err(error) = drive(&job, &token, &mut report).await {
        report.complain(format_args!("{error:#}"));
    }
    report
}

async fn drive(job: &Job, token: &str, report: &mut Report) -> anyhow::Result<()> {
    let stream = TcpStream::connect(job.target.address).await;
    let stream = stream.with_context(|| format!("can not connect to {}", job.target.address))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    report.sessions += 1;
    let batch = job.options.batch.max(1);
    loop {
        let numbers: Vec<u64> = std::iter::from_fn(|| job.take()).take(batch).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let mut messages =
            numbers.iter().map(|number| message(job, *number)).collect::<anyhow::Result<Vec<_>>>()?;
        let (path, body) = match messages.as_mut_slice() {
            [only] if batch == 1 => ("/v1/messages", only.take()),
            _ => ("/v1/messages/batch", json!({ "messages": messages })),
        };
        let begun = Instant::now();
        let asked = timeout(ANSWER_MAX, ask(&mut sender, path, token, &body)).await;
        let (status, answer) = asked.context("no answer in time")??;
        let took = begun.elapsed();
        let accepted = match status {
            StatusCode::ACCEPTED if batch == 1 => 1,
            StatusCode::ACCEPTED => read_accepted(&answer)?,
            _ => 0,
        };
        for _ in 0..accepted {
            report.accept("all", took);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if accepted < numbers.len() {
            report.complain(format_args!("{status} {answer}"));
        }
        report.last_reply = Some(format!("{status} {}", answer.chars().take(120).collect::<String>()));
    }
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    path: &str,
    token: &str,
    body: &Value,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let request = Request::post(path)
        .header("host", "relay")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

fn read_accepted(answer: &[u8]) -> anyhow::Result<usize> {
    let answer: Value = serde_json::from_slice(answer).context("the answer is no JSON")?;
    let accepted = answer.get("accepted").and_then(Value::as_u64).context("the answer says nothing")?;
    Ok(usize::try_from(accepted)?)
}

/// A made-up message as the API takes it.
fn message(job: &Job, number: u64) -> anyhow::Result<Value> {
    let recipients = job.recipients(number)?;
    let (Some(first), Some(sender)) = (recipients.first(), job.sender.mailbox()) else {
        bail!("a message of the API has a sender and a recipient");
    };
    let (sender, to) = (sender.to_string(), first.to_string());
    let made = job.source.message(number, &sender, &to, SystemClock.unix_micros());
    let octets = made.body.to_bytes();
    let text = std::str::from_utf8(&octets).context("the API takes made-up messages only")?;
    let (header, text) = text.split_once("\r\n\r\n").context("a message has a header")?;
    let mut marks = Vec::new();
    let mut subject = "";
    for (name, value) in header.split("\r\n").filter_map(|line| line.split_once(": ")) {
        match name.strip_prefix(MARK.0) {
            Some(rest) => marks.push(json!({ "name": format!("{}{rest}", MARK.1), "value": value })),
            None if name == "Subject" => subject = value,
            None => {}
        }
    }
    ensure!(!marks.is_empty(), "the API takes made-up messages only");
    let to: Vec<String> = recipients.iter().map(ToString::to_string).collect();
    Ok(json!({ "from": sender, "to": to, "subject": subject, "text": text, "headers": marks }))
}
