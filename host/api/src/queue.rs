//! `/v1/queue`: look at the queue and operate on it.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::Json;
use axum::extract::{Path, Query, State};
use baton_store::{Filter, JobView, QueueCount};
use serde_json::Value;

use crate::Problem;
use crate::admin::{AdminDeps, store_problem};
use crate::filter::{FILTER_FIELDS, Fields, state_name, write_cursor};
use crate::wire::{Changed, JobRow, QueuePage, QueueRow, SummaryView};

/// Entries of a page when the request does not say.
const PAGE_DEFAULT: usize = 100;
/// Entries of a page at most.
const PAGE_MAX: usize = 1_000;

/// `GET /v1/queue`: entries that match, in pages.
pub(crate) async fn list(
    State(deps): State<AdminDeps>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<QueuePage>, Problem> {
    let mut fields = Fields::new(query);
    let filter = fields.take_filter()?;
    let after = fields.take_cursor()?;
    let limit = fields.take::<usize>("limit")?.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    fields.finish(&[&FILTER_FIELDS[..], &["after", "limit"]].concat())?;
    let jobs = deps.store.find(&filter, after, limit).await.map_err(store_problem)?;
    let next = jobs.last().filter(|_| jobs.len() == limit).map(|job| write_cursor(job.key));
    Ok(Json(QueuePage { now: deps.clock.now(), jobs: jobs.into_iter().map(row).collect(), next }))
}

/// `GET /v1/queue/summary`: counts.
pub(crate) async fn summary(State(deps): State<AdminDeps>) -> Result<Json<SummaryView>, Problem> {
    let summary = deps.store.summary().await.map_err(store_problem)?;
    Ok(Json(SummaryView {
        ready: summary.ready,
        waiting: summary.waiting,
        held: summary.held,
        claimed: summary.claimed,
        octets: summary.octets,
        queues: summary.queues.into_iter().map(queue_row).collect(),
        truncated: summary.truncated,
    }))
}

/// What an operator may do with entries of the queue.
enum Operation {
    Hold,
    Release,
    Retry,
    Remove,
}

impl FromStr for Operation {
    type Err = ();

    fn from_str(name: &str) -> Result<Operation, ()> {
        match name {
            "hold" => Ok(Operation::Hold),
            "release" => Ok(Operation::Release),
            "retry" => Ok(Operation::Retry),
            "remove" => Ok(Operation::Remove),
            _ => Err(()),
        }
    }
}

/// `POST /v1/queue/{operation}`: the body is a filter; `"all": true` instead of one means every entry.
pub(crate) async fn operate(
    State(deps): State<AdminDeps>,
    Path(name): Path<String>,
    body: bytes::Bytes,
) -> Result<Json<Changed>, Problem> {
    let Ok(operation) = name.parse::<Operation>() else {
        return Err(Problem::not_found(format!(
            "there is no operation `{name}`; known are hold, release, retry, remove"
        )));
    };
    let mut fields = Fields::new(body_fields(&body)?);
    let filter = fields.take_filter()?;
    let all = fields.take::<bool>("all")?.unwrap_or(false);
    let by = fields.take::<String>("by")?.unwrap_or_else(|| "operator".to_owned());
    fields.finish(&[&FILTER_FIELDS[..], &["all", "by"]].concat())?;
    check_scope(&filter, all)?;
    let by = baton_mail::text::sanitize(&by, 100);
    let changed = match operation {
        Operation::Hold => deps.store.hold(&filter, &by).await,
        Operation::Release => deps.store.release(&filter, &by).await,
        Operation::Retry => deps.store.retry(&filter, &by).await,
        Operation::Remove => deps.store.remove(&filter, &by).await,
    };
    Ok(Json(Changed { changed: changed.map_err(store_problem)? }))
}

/// An empty filter means everything, so it must be meant.
fn check_scope(filter: &Filter, all: bool) -> Result<(), Problem> {
    let narrowed = filter.message.is_some()
        || filter.domain.is_some()
        || filter.sender.is_some()
        || filter.recipient.is_some()
        || filter.state.is_some();
    match (narrowed, all) {
        (true, true) => Err(Problem::field("all", "stands beside a filter; give one of them")),
        (false, false) => {
            Err(Problem::field("all", "give a filter, or say `all` to mean every entry of the queue"))
        }
        _ => Ok(()),
    }
}

/// The members of a JSON object as text.
fn body_fields(body: &[u8]) -> Result<BTreeMap<String, String>, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    let members: BTreeMap<String, Value> = serde_json::from_slice(body)
        .map_err(|error| Problem::field("body", format!("is not a JSON object: {error}")))?;
    let text = |(name, value): (String, Value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    };
    Ok(members.into_iter().filter_map(text).collect())
}

fn queue_row(count: QueueCount) -> QueueRow {
    QueueRow { queue: count.queue, jobs: count.jobs, octets: count.octets }
}

/// A job as the interface shows it.
pub(crate) fn row(job: JobView) -> JobRow {
    JobRow {
        message: job.key.message,
        job: job.key.job,
        queue: job.queue,
        state: state_name(job.state).to_owned(),
        due: job.due,
        attempt: job.attempt,
        recipients: job.recipients,
        sender: job.sender,
        size: job.size,
        received_at: job.received_at,
        expires_at: job.expires_at,
        last: job.last,
        hold: job.hold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_must_be_meant() {
        let problem = check_scope(&Filter::default(), false).unwrap_err();
        assert_eq!(problem.errors.first().unwrap().field, "all");
        assert!(check_scope(&Filter::default(), true).is_ok());
        let narrow = Filter { sender: Some("a@b.example".to_owned()), ..Filter::default() };
        assert!(check_scope(&narrow, false).is_ok());
        assert!(check_scope(&narrow, true).is_err());
    }

    #[test]
    fn body_members_become_fields() {
        let fields = body_fields(br#"{"all": true, "domain": "example.org", "sender": null}"#).unwrap();
        assert_eq!(fields.get("all").map(String::as_str), Some("true"));
        assert_eq!(fields.get("domain").map(String::as_str), Some("example.org"));
        assert!(!fields.contains_key("sender"));
        assert_eq!(body_fields(b"[]").unwrap_err().errors.first().unwrap().field, "body");
    }
}
