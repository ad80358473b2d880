//! Whole lists in and out, line by line: nothing of them is held in memory but a batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use baton_mail::{Clock, UnixMs};
use baton_store::Suppressions;
use baton_store::suppression::{CHANGES_MAX, Change, Suppress, Wanted};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::lines::{Format, Line, Reader};
use super::{NewSuppression, Owner, SuppressionRow, read_reason, suppress, take_wanted};
use crate::Problem;
use crate::admin::{AdminDeps, store_problem};
use crate::filter::Fields;

/// Octets of a line at most.
const LINE_OCTETS_MAX: usize = 4_096;
/// Lines of one import at most.
const LINES_MAX: u64 = 20_000_000;
/// Wrong lines that are told of.
const ERRORS_MAX: usize = 20;

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineError {
    /// Which, from 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// Takes a list of lines. Those that are wrong are left out and told of; entries without tenant, stream or reason of their
/// own get those of `defaults`.
///
/// # Errors
/// When a line has no end, there are too many, or the store fails; what came before is made.
pub async fn import(
    lists: &Suppressions,
    owner: Owner<'_>,
    defaults: NewSuppression,
    mut body: BodyDataStream,
    clock: &Arc<dyn Clock>,
) -> Result<Imported, Problem> {
    let mut taking = Taking {
        lists,
        owner,
        defaults,
        reader: Reader::default(),
        batch: Vec::new(),
        lines: 0,
        done: Imported::default(),
    };
    let mut rest = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| Problem::field("body", format!("ended early: {error}")))?;
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            let line = rest.split_to(end + 1);
            taking.take(&line, clock.now()).await?;
        }
        if rest.len() > LINE_OCTETS_MAX {
            let line = taking.lines + 1;
            return Err(Problem::field(
                "body",
                format!("line {line} has more than {LINE_OCTETS_MAX} octets"),
            ));
        }
    }
    taking.take(&rest, clock.now()).await?;
    taking.write().await?;
    Ok(taking.done)
}

/// An import under way.
struct Taking<'a> {
    lists: &'a Suppressions,
    owner: Owner<'a>,
    defaults: NewSuppression,
    reader: Reader,
    batch: Vec<Suppress>,
    lines: u64,
    done: Imported,
}

impl Taking<'_> {
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
            Ok(Line::Entry(entry, until)) => self.add(*entry, until, now),
            Err(message) => self.refuse(message),
        }
        if self.batch.len() >= CHANGES_MAX { self.write().await } else { Ok(()) }
    }

    fn add(&mut self, entry: NewSuppression, until: Option<Option<u64>>, now: UnixMs) {
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
        match suppress(self.lists, self.owner, entry, "import", now) {
            Ok(mut change) => {
                if let (Change::Add(new), Some(until)) = (&mut change.change, until) {
                    new.until = until.map(UnixMs);
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
pub fn export(
    lists: Suppressions,
    owner: String,
    is_operator: bool,
    wanted: Wanted,
    format: Format,
    clock: Arc<dyn Clock>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    let header = Bytes::from_static(format.header().as_bytes());
    let pages = stream::try_unfold(Walk::Page(None), move |walk| {
        let (lists, wanted, clock, owner) = (lists.clone(), wanted.clone(), clock.clone(), owner.clone());
        async move {
            let Walk::Page(after) = walk else { return Ok(None) };
            let page = lists.list(wanted, after, 1_000).await.map_err(std::io::Error::other)?;
            let owner = if is_operator { Owner::Operator } else { Owner::Tenant(&owner) };
            let now = clock.now();
            let row = |listed| format.line(&SuppressionRow::of(listed, owner, now));
            let text: String = page.entries.into_iter().map(row).collect();
            let next = page.next.map_or(Walk::End, |key| Walk::Page(Some(key)));
            Ok::<_, std::io::Error>(Some((Bytes::from(text), next)))
        }
    });
    stream::once(async move { Ok(header) }).chain(pages)
}

/// `GET /v1/suppressions/export`.
pub(super) async fn admin_export(
    State(deps): State<AdminDeps>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let mut fields = Fields::new(query);
    let format = fields.take::<Format>("format")?.unwrap_or_default();
    let wanted = take_wanted(&mut fields, Owner::Operator)?;
    fields.finish(&["format", "tenant", "stream", "reason", "text", "ended"])?;
    let lines = export(deps.store.suppression(), String::new(), true, wanted, format, deps.clock.clone());
    Ok(([(header::CONTENT_TYPE, format.media_type())], Body::from_stream(lines)).into_response())
}

/// `POST /v1/suppressions/import`: what a line does not say is taken from the fields `tenant`, `stream`, `reason`.
pub(super) async fn admin_import(
    State(deps): State<AdminDeps>,
    Query(query): Query<BTreeMap<String, String>>,
    body: Body,
) -> Result<Json<Imported>, Problem> {
    let defaults = take_defaults(query)?;
    let lists = deps.store.suppression();
    import(&lists, Owner::Operator, defaults, body.into_data_stream(), &deps.clock).await.map(Json)
}

/// What holds for lines that do not say it themselves.
pub(super) fn take_defaults(query: BTreeMap<String, String>) -> Result<NewSuppression, Problem> {
    let mut fields = Fields::new(query);
    let defaults = NewSuppression {
        tenant: fields.take("tenant")?,
        stream: fields.take("stream")?,
        reason: fields.take::<String>("reason")?.map(|name| read_reason(&name)).transpose()?,
        ..NewSuppression::default()
    };
    fields.finish(&["tenant", "stream", "reason"])?;
    Ok(defaults)
}
