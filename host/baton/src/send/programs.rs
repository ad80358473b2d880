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
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Job;
use super::report::Report;

/// How long the relay may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// What the marks of made-up messages begin with; those that the relay itself makes are not a sender's to set.
const MARK: (&str, &str) = ("X-Baton-", "X-Mark-");

/// Octets of JSON around a text, and of what its line ends take more, about.
const BESIDE_OCTETS: usize = 512;

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
    // Driven along with each request: a task of its own would have to be woken for both of its ends.
    let mut connection = std::pin::pin!(connection);
    report.sessions += 1;
    let batch = job.options.batch.max(1);
    loop {
        let numbers: Vec<u64> = std::iter::from_fn(|| job.take()).take(batch).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let (path, body) = match numbers.as_slice() {
            [only] if batch == 1 => ("/v1/messages", body(job, *only)?),
            _ => ("/v1/messages/batch", body_of_batch(job, &numbers)?),
        };
        let begun = Instant::now();
        let asked = timeout(ANSWER_MAX, ask(&mut sender, path, token, body));
        let (status, answer) = tokio::select! {
            biased;
            answer = asked => answer.context("no answer in time")??,
            ended = &mut connection => {
                ended?;
                bail!("the relay closed the connection");
            }
        };
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
    body: Vec<u8>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let request = Request::post(path)
        .header("host", "relay")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
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

/// A message as the API takes it.
#[derive(Serialize)]
struct New<'a> {
    from: &'a str,
    to: &'a [String],
    subject: &'a str,
    text: &'a str,
    headers: Vec<Field<'a>>,
}

/// A field of it.
#[derive(Serialize)]
struct Field<'a> {
    name: String,
    value: &'a str,
}

fn body(job: &Job, number: u64) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(job.options.size + BESIDE_OCTETS);
    write_message(job, number, &mut body)?;
    Ok(body)
}

fn body_of_batch(job: &Job, numbers: &[u64]) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(numbers.len() * (job.options.size + BESIDE_OCTETS));
    body.extend_from_slice(b"{\"messages\":[");
    for (index, number) in numbers.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_message(job, *number, &mut body)?;
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

/// Writes a made-up message in JSON.
fn write_message(job: &Job, number: u64, body: &mut Vec<u8>) -> anyhow::Result<()> {
    let recipients = job.recipients(number)?;
    let (Some(first), Some(sender)) = (recipients.first(), job.sender.mailbox()) else {
        bail!("a message of the API has a sender and a recipient");
    };
    let (sender, to) = (sender.to_string(), first.to_string());
    let made = job.source.message(number, &sender, &to, SystemClock.unix_micros());
    let octets = made.body.to_bytes();
    let text = std::str::from_utf8(&octets).context("the API takes made-up messages only")?;
    let (header, text) = text.split_once("\r\n\r\n").context("a message has a header")?;
    let mut headers = Vec::new();
    let mut subject = "";
    for (name, value) in header.split("\r\n").filter_map(|line| line.split_once(": ")) {
        match name.strip_prefix(MARK.0) {
            Some(rest) => headers.push(Field { name: format!("{}{rest}", MARK.1), value }),
            None if name == "Subject" => subject = value,
            None => {}
        }
    }
    ensure!(!headers.is_empty(), "the API takes made-up messages only");
    let to: Vec<String> = recipients.iter().map(ToString::to_string).collect();
    let new = New { from: &sender, to: &to, subject, text, headers };
    serde_json::to_writer(body, &new).context("a message does not become JSON")
}
