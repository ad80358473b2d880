//! `/v1/messages`: the story of a message as operators are told it, and the newest messages.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_mail::MessageId;
use baton_store::Filter;
use utoipa::OpenApi;

use super::Face;
use super::input::{At, Params};
use super::queue::rows;
use super::route::{Need, Route};
use crate::Problem;
use crate::admin::store_problem;
use crate::wire::{Recent, Story};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/messages/recent", Need::Run, list_recent),
        Route::new(Method::GET, "/v1/messages/{id}/story", Need::Run, story),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list_recent, story))]
pub(super) struct Doc;

/// Jobs shown with a story at most: a message has one per next hop at any time, so more is a curiosity.
const STORY_JOBS_MAX: usize = 1_000;
/// Messages in the list of the newest when the request does not say, and at most.
const RECENT_DEFAULT: usize = 20;
const RECENT_MAX: usize = 1_000;

/// The newest messages, refused ones included.
#[utoipa::path(get, path = "/v1/messages/recent", tag = "messages",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)), responses((status = 200, body = Recent)))]
pub(super) async fn list_recent(State(face): State<Face>, params: Params) -> Result<Json<Recent>, Problem> {
    let mut fields = params.0;
    let limit = fields.take::<usize>("limit")?.unwrap_or(RECENT_DEFAULT).clamp(1, RECENT_MAX);
    fields.finish(&["limit"])?;
    let messages = face.store.recent(limit).await.map_err(store_problem)?;
    Ok(Json(Recent {
        now: face.clock.now(),
        messages: messages.into_iter().map(|(_, event)| event).collect(),
    }))
}

/// All that is known of one message.
#[utoipa::path(get, path = "/v1/messages/{id}/story", tag = "messages", operation_id = "tell_story",
    params(("id" = String, Path)), responses((status = 200, body = Story)))]
pub(crate) async fn story(
    State(face): State<Face>,
    At(message): At<MessageId>,
) -> Result<Json<Story>, Problem> {
    let events = face.store.story(message).await.map_err(store_problem)?;
    let filter = Filter { message: Some(message), ..Filter::default() };
    let jobs = face.store.find(&filter, None, STORY_JOBS_MAX).await.map_err(store_problem)?;
    if events.is_empty() && jobs.is_empty() {
        let detail = format!("nothing is known of message {message}; its history may have been cleaned up");
        return Err(Problem::not_found(detail));
    }
    let jobs = rows(jobs, &face.delivery);
    Ok(Json(Story { message, now: face.clock.now(), events, jobs }))
}
