//! Whole lists in and out, line by line: nothing of them is held in memory but a batch.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use baton_mail::{Clock, UnixMs};
use baton_store::Suppressions;
use baton_store::suppression::{CHANGES_MAX, Change, Suppress, Wanted};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lines::{Format, Line, Reader, Times};
use super::{NewSuppression, SuppressionRow, note, read_reason, suppress, take_wanted};
use crate::admin::store_problem;
use crate::filter::Fields;
use crate::v1::Face;
use crate::v1::caller::Caller;
use crate::v1::input::Params;
use crate::{Problem, Scope};

/// Octets of a line at most.
const LINE_OCTETS_MAX: usize = 4_096;
/// Lines of one import at most.
const LINES_MAX: u64 = 20_000_000;
/// Wrong lines that are told of.
const ERRORS_MAX: usize = 20;

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Entries made.
    pub added: u64,
    /// Lines without an address, because it was erased where they come from.
    pub erased: u64,
    /// Lines that were wrong.
    pub refused: u64,
    /// The first of these.
    pub errors: Vec<LineError>,
}

/// A line that was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineError {
    /// Which, from 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// Takes a list, a line each: JSON objects, or CSV behind a line of names, as it is exported. Lines that are wrong are left out
/// and told of; entries without tenant, stream or reason of their own get those of the query. When it ends early, what came
/// before is made.
#[utoipa::path(post, path = "/v1/suppressions/import", tag = "suppressions",
    params(("tenant" = Option<String>, Query, description = "Of lines that do not say it; operators only"),
        ("stream" = Option<String>, Query, description = "Of lines that do not say it"),
        ("reason" = Option<String>, Query, description = "Of lines that do not say it")),
    request_body(content((String = "application/x-ndjson"), (String = "text/csv"))),
    responses((status = 200, body = Imported)))]
pub(in crate::v1) async fn import_suppressions(
    State(face): State<Face>,
    caller: Caller,
    scope: Scope,
    params: Params,
    body: Body,
) -> Result<Json<Imported>, Problem> {
    let defaults = take_defaults(params.0)?;
    // Before anything of it is read: whose list it is not, is told so at once.
    scope.list(defaults.tenant.clone(), defaults.stream.clone())?;
    note(&face, &caller, "suppression.import", "a list").await?;
    let by = format!("import by {}", caller.name());
    let lists = face.store.suppression();
    let (reader, batch, done) = (Reader::default(), Vec::new(), Imported::default());
    let taking = Taking { lists: &lists, scope: &scope, by: &by, defaults, reader, batch, lines: 0, done };
    taking.run(body.into_data_stream(), &face.clock).await.map(Json)
}

/// What holds for lines that do not say it themselves.
fn take_defaults(mut fields: Fields) -> Result<NewSuppression, Problem> {
    let defaults = NewSuppression {
        tenant: fields.take("tenant")?,
        stream: fields.take("stream")?,
        reason: fields.take::<String>("reason")?.map(|name| read_reason(&name)).transpose()?,
        ..NewSuppression::default()
    };
    fields.finish(&["tenant", "stream", "reason"])?;
    Ok(defaults)
}

/// An import under way.
struct Taking<'a> {
    lists: &'a Suppressions,
    scope: &'a Scope,
    by: &'a str,
    defaults: NewSuppression,
    reader: Reader,
    batch: Vec<Suppress>,
    lines: u64,
    done: Imported,
}

impl Taking<'_> {
    async fn run(mut self, mut body: BodyDataStream, clock: &Arc<dyn Clock>) -> Result<Imported, Problem> {
        let mut rest = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| Problem::field("body", format!("ended early: {error}")))?;
            rest.extend_from_slice(&piece);
            while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
                let line = rest.split_to(end + 1);
                self.take(&line, clock.now()).await?;
            }
            if rest.len() > LINE_OCTETS_MAX {
                let line = self.lines + 1;
                return Err(Problem::field(
                    "body",
                    format!("line {line} has more than {LINE_OCTETS_MAX} octets"),
                ));
            }
        }
        self.take(&rest, clock.now()).await?;
        self.write().await?;
        Ok(self.done)
    }

    async fn take(&mut self, line: &[u8], now: UnixMs) -> Result<(), Problem> {
        self.lines += 1;
        if self.lines > LINES_MAX {
            return Err(Problem::field(
                "body",
                format!("has more than {LINES_MAX} lines; send the rest by itself"),
            ));
        }
        if line.len() > LINE_OCTETS_MAX {
            self.refuse(format!("has more than {LINE_OCTETS_MAX} octets"));
            return Ok(());
        }
        let Ok(text) = std::str::from_utf8(line) else {
            self.refuse("is not UTF-8".to_owned());
            return Ok(());
        };
        match self.reader.read(text) {
            Ok(Line::Nothing) => {}
            Ok(Line::Erased) => self.done.erased += 1,
            Ok(Line::Entry(entry, times)) => self.add(*entry, times, now),
            Err(message) => self.refuse(message),
        }
        if self.batch.len() >= CHANGES_MAX { self.write().await } else { Ok(()) }
    }

    fn add(&mut self, entry: NewSuppression, Times { until, since }: Times, now: UnixMs) {
        let own = self.defaults.clone();
        let entry = NewSuppression {
            tenant: entry.tenant.or(own.tenant),
            stream: entry.stream.or(own.stream),
            reason: entry.reason.or(own.reason),
            ..entry
        };
        if until.flatten().is_some_and(|until| until <= now.0) {
            return self.refuse("is over already".to_owned());
        }
        if since.is_some_and(|since| since > now) {
            return self.refuse("was made at a time that is still to come".to_owned());
        }
        match suppress(self.lists, self.scope, entry, self.by, now) {
            Ok(mut change) => {
                if let Change::Add(new) = &mut change.change {
                    new.since = since;
                    new.until = until.map_or(new.until, |until| until.map(UnixMs));
                }
                self.batch.push(change);
            }
            Err(problem) => self.refuse(problem.detail),
        }
    }

    fn refuse(&mut self, message: String) {
        self.done.refused += 1;
        if self.done.errors.len() < ERRORS_MAX {
            self.done.errors.push(LineError { line: self.lines, message });
        }
    }

    async fn write(&mut self) -> Result<(), Problem> {
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len() as u64;
        if count > 0 {
            self.lists.change(batch, Vec::new()).await.map_err(store_problem)?;
            self.done.added += count;
        }
        Ok(())
    }
}

/// What a walk over the lists still has to do.
enum Walk {
    Page(Option<Vec<u8>>),
    End,
}

/// Whole lists, page by page.
fn export(
    lists: Suppressions,
    scope: Scope,
    wanted: Wanted,
    format: Format,
    clock: Arc<dyn Clock>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    let header = Bytes::from_static(format.header().as_bytes());
    let pages = stream::try_unfold(Walk::Page(None), move |walk| {
        let (lists, wanted, clock, scope) = (lists.clone(), wanted.clone(), clock.clone(), scope.clone());
        async move {
            let Walk::Page(after) = walk else { return Ok(None) };
            let page = lists.list(wanted, after, 1_000).await.map_err(std::io::Error::other)?;
            let now = clock.now();
            let row = |listed| format.line(&SuppressionRow::of(listed, &scope, now));
            let text: String = page.entries.into_iter().map(row).collect();
            let next = page.next.map_or(Walk::End, |key| Walk::Page(Some(key)));
            Ok::<_, std::io::Error>(Some((Bytes::from(text), next)))
        }
    });
    stream::once(async move { Ok(header) }).chain(pages)
}

/// Whole lists, a line for each entry.
#[utoipa::path(get, path = "/v1/suppressions/export", tag = "suppressions",
    params(("format" = Option<String>, Query, description = "`json` (a line each) or `csv`"),
        ("tenant" = Option<String>, Query, description = "Whose lists; operators only, and an empty text is the global one"),
        ("stream" = Option<String>, Query, description = "That of this stream only"),
        ("reason" = Option<String>, Query), ("text" = Option<String>, Query, description = "In the address"),
        ("ended" = Option<bool>, Query, description = "Those too that do not hold any more")),
    responses((status = 200, description = "The lines", content((String = "application/x-ndjson"), (String = "text/csv")))))]
pub(in crate::v1) async fn export_suppressions(
    State(face): State<Face>,
    scope: Scope,
    params: Params,
) -> Result<Response, Problem> {
    let mut fields = params.0;
    let format = fields.take::<Format>("format")?.unwrap_or_default();
    let wanted = take_wanted(&mut fields, &scope)?;
    fields.finish(&["format", "tenant", "stream", "reason", "text", "ended"])?;
    let lines = export(face.store.suppression(), scope, wanted, format, face.clock.clone());
    Ok(([(header::CONTENT_TYPE, format.media_type())], Body::from_stream(lines)).into_response())
}
