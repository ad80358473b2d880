//! `/v1/trace`: dialogues of sessions while they happen, a JSON object in each line.
//!
//! Invariant: who reads slowly holds nothing up: lines that do not fit the bounded buffer are lost, and the reader is told how
//! many.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::Query;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use baton_mail::MessageId;
use baton_mail::trace::{Filter, Hub, Line, Side, Watching};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Problem;
use crate::filter::Fields;

/// Lines that wait for a reader at most.
const LINES_WAITING_MAX: usize = 2_000;
/// Those who look on at once, at most.
const READERS_MAX: usize = 16;

/// What a reader is given, a line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// A line of a dialogue.
    Line(Line),
    /// So many lines were lost here: they came faster than they were read.
    Lost(u64),
}

/// The fields of a request.
const TRACE_FIELDS: [&str; 9] =
    ["side", "ip", "listener", "site", "host", "sender", "recipient", "message", "data"];

/// `GET /v1/trace`: what fits, from now on until the reader goes.
pub(crate) async fn follow(
    hub: Arc<Hub>,
    stop: CancellationToken,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let filter = read_filter(query)?;
    if hub.readers() >= READERS_MAX {
        return Err(Problem::unavailable(format!("{READERS_MAX} readers look on already")));
    }
    let reader = Reader::new(&hub, filter, stop);
    let lines = futures_util::stream::unfold(reader, |mut reader| async move {
        let told = reader.next().await?;
        let mut text = serde_json::to_string(&told).ok()?;
        text.push('\n');
        Some((Ok::<Bytes, Infallible>(text.into()), reader))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

fn read_filter(query: BTreeMap<String, String>) -> Result<Filter, Problem> {
    let mut fields = Fields::new(query);
    let side = match fields.take::<String>("side")?.as_deref() {
        None => None,
        Some("in") => Some(Side::In),
        Some("out") => Some(Side::Out),
        Some(other) => return Err(Problem::field("side", format!("`{other}` is neither `in` nor `out`"))),
    };
    let filter = Filter {
        side,
        ip: fields.take::<IpAddr>("ip")?,
        listener: fields.take("listener")?,
        site: fields.take("site")?,
        host: fields.take("host")?,
        sender: fields.take("sender")?,
        recipient: fields.take("recipient")?,
        message: fields.take::<MessageId>("message")?,
        content: fields.take::<bool>("data")?.unwrap_or(false),
    };
    fields.finish(&TRACE_FIELDS)?;
    Ok(filter)
}

/// Somebody who looks on, with what waits for them.
struct Reader {
    lines: mpsc::Receiver<Line>,
    lost: Arc<AtomicU64>,
    stop: CancellationToken,
    _watching: Watching,
}

impl Reader {
    fn new(hub: &Arc<Hub>, filter: Filter, stop: CancellationToken) -> Reader {
        let (sender, lines) = mpsc::channel(LINES_WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let give = move |line: &Line| {
            if sender.try_send(line.clone()).is_err() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        Reader { lines, lost, stop, _watching: hub.watch(filter, Box::new(give)) }
    }

    /// What is told next; none at the end.
    async fn next(&mut self) -> Option<Told> {
        // What was lost came behind the lines that wait: it is told when those were read.
        if self.lines.is_empty()
            && let Some(lost) = self.take_lost()
        {
            return Some(Told::Lost(lost));
        }
        let line = tokio::select! {
            line = self.lines.recv() => line?,
            () = self.stop.cancelled() => return None,
        };
        Some(Told::Line(line))
    }

    fn take_lost(&self) -> Option<u64> {
        Some(self.lost.swap(0, Ordering::Relaxed)).filter(|lost| *lost > 0)
    }
}

#[cfg(test)]
mod tests {
    use baton_mail::SystemClock;
    use baton_mail::trace::{Facts, Tap};

    use super::*;

    #[tokio::test]
    async fn a_slow_reader_loses_lines_and_is_told_how_many() {
        let hub = Hub::new(Arc::new(SystemClock));
        let mut reader = Reader::new(&hub, Filter::default(), CancellationToken::new());
        let facts = Facts {
            session: Arc::from("1"),
            side: Side::In,
            peer: Arc::from("x"),
            way: Arc::from("smtp"),
            ip: None,
            host: None,
            listener: None,
            site: None,
        };
        let mut tap = Tap::new(&hub, facts);
        for number in 0..LINES_WAITING_MAX + 7 {
            tap.note(&number.to_string());
        }
        for number in 0..LINES_WAITING_MAX {
            let Some(Told::Line(line)) = reader.next().await else { panic!("{number}") };
            assert_eq!(line.text, number.to_string());
        }
        assert_eq!(reader.next().await, Some(Told::Lost(7)));
        tap.note("again");
        assert!(matches!(reader.next().await, Some(Told::Line(line)) if line.text == "again"));
        assert_eq!(hub.readers(), 1);
        reader.stop.cancel();
        assert_eq!(reader.next().await, None);
        drop(reader);
        assert!(!hub.is_watched());
    }

    #[test]
    fn a_filter_is_read_and_mistakes_are_named() {
        let read = |name: &str, value: &str| {
            read_filter(BTreeMap::from([(name.to_owned(), value.to_owned())]))
                .map_err(|problem| problem.detail)
        };
        assert_eq!(read("ip", "192.0.2.1").unwrap().ip, Some([192, 0, 2, 1].into()));
        assert!(read("data", "true").unwrap().content);
        assert!(read("side", "up").unwrap_err().contains("neither"));
        assert!(read("sendr", "a@b.example").unwrap_err().contains("sender"));
    }
}
