//! `/v1/messages`: the story of a message.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use baton_mail::MessageId;
use baton_store::{Filter, JobKey};

use crate::Problem;
use crate::admin::{AdminDeps, store_problem};
use crate::filter::Fields;
use crate::queue::row;
use crate::wire::{Recent, Story};

/// Jobs shown with a story at most: a message has one per next hop at any time, so more is a curiosity.
const STORY_JOBS_MAX: usize = 1_000;
/// Messages in the list of the newest when the request does not say, and at most.
const RECENT_DEFAULT: usize = 20;
const RECENT_MAX: usize = 1_000;

/// `GET /v1/messages/recent`: the newest messages, refused ones included.
pub(crate) async fn recent(
    State(deps): State<AdminDeps>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<Recent>, Problem> {
    let mut fields = Fields::new(query);
    let limit = fields.take::<usize>("limit")?.unwrap_or(RECENT_DEFAULT).clamp(1, RECENT_MAX);
    fields.finish(&["limit"])?;
    let messages = deps.store.recent(limit).await.map_err(store_problem)?;
    Ok(Json(Recent {
        now: deps.clock.now(),
        messages: messages.into_iter().map(|(_, event)| event).collect(),
    }))
}

/// `GET /v1/messages/{id}`: all that is known of one message.
pub(crate) async fn story(
    State(deps): State<AdminDeps>,
    Path(id): Path<String>,
) -> Result<Json<Story>, Problem> {
    let message: MessageId = id.parse().map_err(|error| Problem::field("id", format!("`{id}`: {error}")))?;
    let events = deps.store.story(message).await.map_err(store_problem)?;
    let filter = Filter { message: Some(message), ..Filter::default() };
    let jobs = deps.store.find(&filter, None, STORY_JOBS_MAX).await.map_err(store_problem)?;
    if events.is_empty() && jobs.is_empty() {
        let detail = format!("nothing is known of message {message}; its history may have been cleaned up");
        return Err(Problem::not_found(detail));
    }
    let waits = |key: JobKey| Some((key.job, (deps.delivery.waits)(message, key.job)?));
    let waits = jobs.iter().filter_map(|job| waits(job.key)).collect();
    let jobs = jobs.into_iter().map(|job| row(job, &deps.delivery)).collect();
    Ok(Json(Story { message, now: deps.clock.now(), events, jobs, waits }))
}
