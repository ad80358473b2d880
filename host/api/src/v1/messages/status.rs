//! What became of a message: of each recipient, and step by step.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use baton_mail::event::{Event, What};
use baton_mail::tenant::Label;
use baton_mail::{Mailbox, MessageId, Status, UnixMs};
use baton_store::{Action, Filter, JobState, JobView, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Face;
use super::super::caller::{Caller, Who};
use super::super::input::At;
use crate::Problem;
use crate::admin::store_problem;

/// Jobs that are looked at of one message.
const JOBS_MAX: usize = 1_000;

/// Where a recipient's copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecipientStatus {
    /// It waits for its first attempt.
    Queued,
    /// It was tried, and is tried again.
    Deferred,
    /// It waits for an operator.
    Held,
    /// The next hop took it.
    Delivered,
    /// It was given up.
    Failed,
    /// It was taken and thrown away by a rule of the relay.
    Discarded,
    /// It was taken out of the queue.
    Removed,
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecipientRow {
    /// Who.
    #[schema(value_type = String)]
    pub recipient: Mailbox,
    /// Where it stands.
    pub status: RecipientStatus,
    /// Since when, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub at: UnixMs,
    /// The code of the last reply.
    pub code: Option<u16>,
    /// Its enhanced code, such as `5.1.1`.
    pub enhanced: Option<String>,
    /// What the next hop said, or why it is so.
    pub detail: Option<String>,
    /// When it is tried again, in milliseconds since 1970.
    #[schema(value_type = Option<u64>)]
    pub next_attempt: Option<UnixMs>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepRow {
    /// When, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub at: UnixMs,
    /// What, such as `accepted`, `deferred` or `delivered`.
    pub kind: String,
    /// For whom; empty for the message as a whole.
    #[schema(value_type = Vec<String>)]
    pub recipients: Vec<Mailbox>,
    /// More about it.
    pub detail: Option<String>,
}

/// A message and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageRow {
    /// Its name.
    #[schema(value_type = String)]
    pub id: MessageId,
    /// Some of it is in the queue still.
    pub is_queued: bool,
    /// When it is given up, in milliseconds since 1970, while it is in the queue.
    #[schema(value_type = Option<u64>)]
    pub expires_at: Option<UnixMs>,
    /// Its recipients.
    pub recipients: Vec<RecipientRow>,
    /// What happened, oldest first.
    pub steps: Vec<StepRow>,
}

/// What became of a message.
#[utoipa::path(get, path = "/v1/messages/{id}", tag = "messages",
    params(("id" = String, Path)),
    responses((status = 200, body = MessageRow), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(in super::super) async fn show(
    State(face): State<Face>,
    caller: Caller,
    At(id): At<MessageId>,
) -> Result<Json<MessageRow>, Problem> {
    let (events, jobs) = find(&face, &caller, id).await?;
    Ok(Json(MessageRow {
        id,
        is_queued: !jobs.is_empty(),
        expires_at: jobs.first().map(|job| job.expires_at),
        recipients: recipients(&events, &jobs),
        steps: events.iter().map(step).collect(),
    }))
}

/// Takes what is left of a message out of the queue: what is scheduled is not sent, and nobody is told.
#[utoipa::path(delete, path = "/v1/messages/{id}", tag = "messages",
    params(("id" = String, Path)),
    responses((status = 200, body = MessageRow), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(in super::super) async fn cancel(
    State(face): State<Face>,
    caller: Caller,
    At(id): At<MessageId>,
) -> Result<Json<MessageRow>, Problem> {
    find(&face, &caller, id).await?;
    let removed = face.store.operate(Action::Remove, &Filter::of(id), &caller.name()).await;
    if removed.map_err(store_problem)? == 0 {
        return Err(Problem::busy("nothing of it is in the queue any more"));
    }
    show(State(face), caller, At(id)).await
}

/// The message itself, while it is in the queue, and for as long as its stream keeps it after that.
#[utoipa::path(get, path = "/v1/messages/{id}/content", tag = "messages",
    params(("id" = String, Path)),
    responses((status = 200, description = "The message", body = String, content_type = "message/rfc822")))]
pub(in super::super) async fn message_content(
    State(face): State<Face>,
    caller: Caller,
    At(id): At<MessageId>,
) -> Result<Response, Problem> {
    find(&face, &caller, id).await?;
    let content = face.store.content(id).await.map_err(|error| match error {
        StoreError::NotFound => {
            Problem::not_found("its content is not kept any more; `bodies_days` of its stream says how long")
        }
        error => store_problem(error),
    })?;
    Ok(([(header::CONTENT_TYPE, "message/rfc822")], content.to_bytes()).into_response())
}

/// The story of a message that is the caller's business, and what is in the queue of it.
async fn find(face: &Face, caller: &Caller, id: MessageId) -> Result<(Vec<Event>, Vec<JobView>), Problem> {
    let missing = || Problem::not_found(format!("nothing is known of the message `{id}`"));
    let events = face.store.story(id).await.map_err(store_problem)?;
    let jobs = face.store.find(&Filter::of(id), None, JOBS_MAX).await.map_err(store_problem)?;
    let account = events.iter().find_map(|event| match &event.what {
        What::Accepted { origin, .. } | What::Rejected { origin, .. } => origin.account.clone(),
        _ => None,
    });
    if events.is_empty() && jobs.is_empty() {
        return Err(missing());
    }
    if !is_theirs(face, caller, account.as_deref(), jobs.first()).await? {
        return Err(missing());
    }
    Ok((events, jobs))
}

/// Whether a message is the caller's business: by the queue, which says whose it is, else by who handed it in.
async fn is_theirs(
    face: &Face,
    caller: &Caller,
    account: Option<&str>,
    job: Option<&JobView>,
) -> Result<bool, Problem> {
    if let Some(job) = job {
        return Ok(caller.sees(job.tenant.as_deref(), job.stream.as_deref()));
    }
    if caller.is_relay() && caller.stream.is_none() {
        return Ok(true);
    }
    let Some(account) = account else { return Ok(false) };
    if let Some((tenant, token)) = super::super::caller::read_name(account) {
        // A token of one stream can only have handed in mail of that.
        let is_own = matches!(&caller.who, Who::Token(id) if **id == *token);
        let owns = caller.tenant.as_ref().map(Label::as_str) == tenant;
        return Ok(owns && (caller.stream.is_none() || is_own));
    }
    let Ok(name) = account.parse() else { return Ok(false) };
    let found = face.store.accounts().get(&name).await.map_err(store_problem)?;
    Ok(found.is_some_and(|account| caller.sees(account.tenant.as_deref(), account.stream.as_deref())))
}

/// Where each recipient stands after all that happened.
fn recipients(events: &[Event], jobs: &[JobView]) -> Vec<RecipientRow> {
    let mut rows: BTreeMap<Mailbox, RecipientRow> = BTreeMap::new();
    for event in events {
        let mut note =
            |who: &[Mailbox], status: RecipientStatus, said: Option<&Status>, why: Option<&str>| {
                for recipient in who {
                    let row = RecipientRow {
                        recipient: recipient.clone(),
                        status,
                        at: event.at,
                        code: said.and_then(|said| said.code),
                        enhanced: said.map(|said| said.enhanced.to_string()),
                        detail: said.map(|said| said.text.clone()).or_else(|| why.map(str::to_owned)),
                        next_attempt: None,
                    };
                    rows.insert(recipient.clone(), row);
                }
            };
        match &event.what {
            What::Accepted { recipients, .. } => note(recipients, RecipientStatus::Queued, None, None),
            What::Delivered { recipients, status, .. } => {
                note(recipients, RecipientStatus::Delivered, Some(status), None);
            }
            What::Failed { recipients, status, .. } => {
                note(recipients, RecipientStatus::Failed, Some(status), None);
            }
            What::Discarded { recipients, reason, .. } => {
                note(recipients, RecipientStatus::Discarded, None, Some(reason));
            }
            What::Deferred { recipients, status, next_attempt, .. } => {
                note(recipients, RecipientStatus::Deferred, Some(status), None);
                for recipient in recipients {
                    if let Some(row) = rows.get_mut(recipient) {
                        row.next_attempt = Some(*next_attempt);
                    }
                }
            }
            What::Removed { .. } => {
                let is_open = |row: &&mut RecipientRow| {
                    matches!(
                        row.status,
                        RecipientStatus::Queued | RecipientStatus::Deferred | RecipientStatus::Held
                    )
                };
                for row in rows.values_mut().filter(is_open) {
                    (row.status, row.at, row.next_attempt) = (RecipientStatus::Removed, event.at, None);
                }
            }
            _ => {}
        }
    }
    for job in jobs {
        for recipient in &job.recipients {
            if let Some(row) = rows.get_mut(recipient) {
                row.next_attempt = job.due;
                if job.state == JobState::Held {
                    (row.status, row.detail) = (RecipientStatus::Held, job.hold.clone());
                }
            }
        }
    }
    rows.into_values().collect()
}

/// One step, without what only operators are told.
fn step(event: &Event) -> StepRow {
    let said = |status: &Status| {
        let code = status.code.map(|code| format!("{code} ")).unwrap_or_default();
        Some(format!("{code}{} {}", status.enhanced, status.text))
    };
    let (recipients, detail) = match &event.what {
        What::Accepted { recipients, .. } | What::Routed { recipients, .. } => (recipients.clone(), None),
        What::Delivered { recipients, status, .. }
        | What::Deferred { recipients, status, .. }
        | What::Failed { recipients, status, .. } => (recipients.clone(), said(status)),
        What::Discarded { recipients, reason, .. } => (recipients.clone(), Some(reason.clone())),
        What::Rejected { recipient, reply, .. } => {
            (recipient.iter().cloned().collect(), Some(format!("{} {}", reply.code(), reply.text())))
        }
        What::Held { reason, .. } => (Vec::new(), Some(reason.clone())),
        What::Reported { recipients, action, .. } => (recipients.clone(), Some(action.clone())),
        What::Converted { recipients, detail } => (recipients.clone(), Some(detail.clone())),
        _ => (Vec::new(), None),
    };
    StepRow { at: event.at, kind: kind(&event.what), recipients, detail }
}

/// The word for a kind of event, as records have it.
fn kind(what: &What) -> String {
    let named = serde_json::to_value(what).ok();
    named.and_then(|value| value.as_object()?.keys().next().cloned()).unwrap_or_default()
}
