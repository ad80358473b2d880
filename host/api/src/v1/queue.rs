//! `/v1/queue`: look at the queue and operate on it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_mail::UnixMs;
use baton_mail::envelope::PRIORITY_MAX;
use baton_mail::text::sanitize;
use baton_store::{Action, Assignment, Filter, JobState, JobView, QueueCount};
use bytes::Bytes;
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed};
use super::caller::Caller;
use super::delivery::DeliveryFace;
use super::input::{At, Params, read_json};
use super::route::{Need, Route};
use crate::Problem;
use crate::admin::store_problem;
use crate::filter::{FILTER_FIELDS, Fields, state_name, write_cursor};
use crate::scope::Scope;
use crate::wire::{Changed, CountPage, JobRow, QueuePage, QueueRow, SummaryView};

/// Entries of a page when the request does not say.
const PAGE_DEFAULT: usize = 100;
/// Entries of a page at most.
const PAGE_MAX: usize = 1_000;
/// How long one look takes, about: a longer queue is looked at in several.
const LOOK_BUDGET: Duration = Duration::from_millis(100);
/// How long one change takes, about.
const OPERATE_BUDGET: Duration = Duration::from_secs(2);
/// Entries that one look counts at most.
const COUNTED_MAX: usize = 20_000;
/// Octets of the reason that a sender is told.
const REASON_OCTETS_MAX: usize = 400;
/// Octets of the name of a tenant or stream.
const NAME_OCTETS_MAX: usize = 200;
/// What a sender is told when the operator says nothing else.
const RETURNED: &str = "returned by the operator of the mail system";

pub(super) fn routes() -> Vec<Route> {
    let read = baton_mail::tenant::Scope::Read;
    vec![
        Route::get("/v1/queue", read, list),
        Route::get("/v1/queue/count", read, count_queue),
        Route::new(Method::GET, "/v1/queue/summary", Need::Run, sum_up_queue),
        Route::new(Method::POST, "/v1/queue/{operation}", Need::Run, operate_on_queue),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, count_queue, sum_up_queue, operate_on_queue))]
pub(super) struct Doc;

/// Which entries of the queue are meant; all that is given must fit.
#[derive(ToSchema, IntoParams)]
#[schema(as = QueueFilter)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read field by field")]
struct FilterSchema {
    /// Of this message.
    message: Option<String>,
    /// To this domain.
    domain: Option<String>,
    /// With this return path.
    sender: Option<String>,
    /// To this recipient.
    recipient: Option<String>,
    /// `ready`, `waiting`, `held` or `claimed`.
    state: Option<String>,
    /// Of this tenant.
    tenant: Option<String>,
    /// Of this stream.
    stream: Option<String>,
    /// With this tag, or name=value.
    tag: Option<String>,
    /// To this site.
    site: Option<String>,
    /// By this source.
    source: Option<String>,
    /// Accepted so long ago at least, such as `2h`.
    older: Option<String>,
    /// Accepted so long ago at most.
    younger: Option<String>,
    /// With this text in its last failure.
    error: Option<String>,
    /// With a last failure of this class.
    class: Option<String>,
}

/// What is to be done to which entries.
#[derive(ToSchema)]
#[schema(as = QueueChange)]
#[allow(dead_code, reason = "describes what is read field by field")]
struct ChangeSchema {
    #[serde(flatten)]
    filter: FilterSchema,
    /// All entries, instead of a filter.
    all: Option<bool>,
    /// The `next` of the answer before.
    after: Option<String>,
    /// To `bounce`: what the sender is told.
    reason: Option<String>,
    /// To `reroute`: a next hop; `settings` means as the settings say.
    next_hop: Option<String>,
    /// To `reassign`: the tenant.
    to_tenant: Option<String>,
    /// To `reassign`: the stream.
    to_stream: Option<String>,
    /// To `reassign`: the priority.
    #[schema(minimum = -9, maximum = 9)]
    to_priority: Option<i8>,
}

/// Entries that match, in pages; a page may be shorter, or empty, when the time was over.
#[utoipa::path(get, path = "/v1/queue", tag = "queue",
    params(FilterSchema, ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = QueuePage)))]
pub(super) async fn list(
    State(deps): State<Face>,
    scope: Scope,
    params: Params,
) -> Result<Json<QueuePage>, Problem> {
    let mut fields = params.0;
    let filter = take_filter(&mut fields, &scope)?;
    let after = fields.take_cursor()?;
    let limit = fields.take::<usize>("limit")?.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    fields.finish(&[&FILTER_FIELDS[..], &["after", "limit"]].concat())?;
    let found = deps.store.find_for(&filter, after, limit, LOOK_BUDGET).await.map_err(store_problem)?;
    let next = found.next.map(write_cursor);
    let jobs = rows(found.jobs, &deps.delivery);
    Ok(Json(QueuePage { now: deps.clock.now(), jobs, next }))
}

/// Takes the fields of a filter, within a scope.
fn take_filter(fields: &mut Fields, scope: &Scope) -> Result<Filter, Problem> {
    let filter = fields.take_filter()?;
    let (tenant, stream) = (scope.tenant(filter.tenant)?, scope.stream(filter.stream)?);
    Ok(Filter { tenant, stream, ..filter })
}

/// The whole queue in figures.
#[utoipa::path(get, path = "/v1/queue/summary", tag = "queue", responses((status = 200, body = SummaryView)))]
pub(super) async fn sum_up_queue(State(deps): State<Face>) -> Result<Json<SummaryView>, Problem> {
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

/// How many entries match, by state, as far as the time reaches.
#[utoipa::path(get, path = "/v1/queue/count", tag = "queue",
    params(FilterSchema, ("after" = Option<String>, Query, description = "The `next` of the answer before")),
    responses((status = 200, body = CountPage)))]
pub(super) async fn count_queue(
    State(deps): State<Face>,
    scope: Scope,
    params: Params,
) -> Result<Json<CountPage>, Problem> {
    let mut fields = params.0;
    let filter = take_filter(&mut fields, &scope)?;
    let after = fields.take_cursor()?;
    fields.finish(&[&FILTER_FIELDS[..], &["after"]].concat())?;
    let found = deps.store.find_for(&filter, after, COUNTED_MAX, LOOK_BUDGET).await.map_err(store_problem)?;
    let mut page = CountPage { next: found.next.map(write_cursor), ..CountPage::default() };
    for job in &found.jobs {
        page.octets += job.size;
        match job.state {
            JobState::Ready => page.ready += 1,
            JobState::Waiting => page.waiting += 1,
            JobState::Held => page.held += 1,
            JobState::Claimed => page.claimed += 1,
        }
        let class = job.last.as_ref().map_or("not tried", |last| last.class.as_str());
        *page.classes.entry(class.to_owned()).or_default() += 1;
    }
    Ok(Json(page))
}

/// The operations, for who mistypes one.
const OPERATIONS: &str = "hold, release, retry, remove, bounce, reroute, reassign";

/// Reads the operation of that name with its own fields.
fn read_operation(name: &str, fields: &mut Fields, deps: &Face) -> Result<Action, Problem> {
    match name {
        "hold" => Ok(Action::Hold),
        "release" => Ok(Action::Release),
        "retry" => Ok(Action::Retry),
        "remove" => Ok(Action::Remove),
        "bounce" => {
            let reason = fields.take::<String>("reason")?.unwrap_or_else(|| RETURNED.to_owned());
            Ok(Action::Bounce(sanitize(&reason, REASON_OCTETS_MAX)))
        }
        "reroute" => {
            let missing = || Problem::field("next_hop", "is missing; `settings` means as the settings say");
            let text = fields.take::<String>("next_hop")?.ok_or_else(missing)?;
            if text == "settings" {
                return Ok(Action::Route(None));
            }
            (deps.check_next_hop)(&text).map_err(|problem| Problem::field("next_hop", problem))?;
            Ok(Action::Route(Some(text)))
        }
        "reassign" => read_assignment(fields).map(Action::Assign),
        _ => Err(Problem::not_found(format!("there is no operation `{name}`; known are {OPERATIONS}"))),
    }
}

fn read_assignment(fields: &mut Fields) -> Result<Assignment, Problem> {
    let mut name = |field: &str| -> Result<Option<String>, Problem> {
        Ok(fields.take::<String>(field)?.map(|name| sanitize(&name, NAME_OCTETS_MAX)))
    };
    let (tenant, stream) = (name("to_tenant")?, name("to_stream")?);
    let priority = fields.take::<i8>("to_priority")?;
    if priority.is_some_and(|priority| priority.abs() > PRIORITY_MAX) {
        return Err(Problem::field("to_priority", "is not between -9 and 9"));
    }
    let assignment = Assignment { tenant, stream, priority };
    match assignment.is_empty() {
        true => Err(Problem::field("to_tenant", "give to_tenant, to_stream or to_priority")),
        false => Ok(assignment),
    }
}

/// Does something to entries: hold, release, retry, remove, bounce, reroute or reassign. The body is a filter; `"all": true`
/// instead of one means every entry. When the answer has `next`, the operation goes on with that as `after`.
#[utoipa::path(post, path = "/v1/queue/{operation}", tag = "queue", request_body = ChangeSchema,
    params(("operation" = String, Path)), responses((status = 200, body = Changed)))]
pub(super) async fn operate_on_queue(
    State(deps): State<Face>,
    caller: Caller,
    At(name): At<String>,
    body: Bytes,
) -> Result<Json<Changed>, Problem> {
    let asked: serde_json::Value = read_json(&body)?;
    let mut fields = Fields::of_body(&body)?;
    let operation = read_operation(&name, &mut fields, &deps)?;
    let filter = fields.take_filter()?;
    let after = fields.take_cursor()?;
    let all = fields.take::<bool>("all")?.unwrap_or(false);
    let by = caller.by(fields.take("by")?)?;
    fields.finish(&[&FILTER_FIELDS[..], &["all", "by", "after"]].concat())?;
    check_scope(&filter, all)?;
    let action = format!("queue.{name}");
    let deed = Deed { action: &action, tenant: None, target: "queue", change: asked };
    audit::note(&deps, &caller, deed).await?;
    // Whoever says when to try knows of something that was mended.
    if matches!(name.as_str(), "retry" | "release" | "reroute") {
        (deps.delivery.forget_failures)();
    }
    let reached = deps.store.operate_for(operation, &filter, &by, after, OPERATE_BUDGET).await;
    let reached = reached.map_err(store_problem)?;
    Ok(Json(Changed { changed: reached.jobs, next: reached.next.map(write_cursor) }))
}

/// An empty filter means everything, so it must be meant.
fn check_scope(filter: &Filter, all: bool) -> Result<(), Problem> {
    match (!filter.is_empty(), all) {
        (true, true) => Err(Problem::field("all", "stands beside a filter; give one of them")),
        (false, false) => {
            Err(Problem::field("all", "give a filter, or say `all` to mean every entry of the queue"))
        }
        _ => Ok(()),
    }
}

fn queue_row(count: QueueCount) -> QueueRow {
    QueueRow { queue: count.queue, jobs: count.jobs, octets: count.octets }
}

/// Jobs as the interface shows them.
pub(crate) fn rows(jobs: Vec<JobView>, delivery: &DeliveryFace) -> Vec<JobRow> {
    let in_memory = jobs.iter().filter(|job| job.state == JobState::Claimed).map(|job| job.key).collect();
    let mut waits = (delivery.waits)(&in_memory);
    let row = |job: JobView| {
        let (waits, expires_at) = (waits.remove(&job.key), (delivery.given_up_at)(&job));
        row(job, waits, expires_at)
    };
    jobs.into_iter().map(row).collect()
}

fn row(job: JobView, waits: Option<String>, expires_at: UnixMs) -> JobRow {
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
        expires_at,
        last: job.last,
        waits,
        hold: job.hold,
        tenant: job.tenant,
        stream: job.stream,
        priority: job.priority,
        route: job.route,
        give_up: job.give_up,
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
}
