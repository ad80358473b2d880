//! `/v1/messages`: messages of programs, one by one, many at once, or as they are.
//!
//! Invariant: 202 leaves after the synced batch that has the message. A dry run leaves nothing.

mod batch;
mod compose;
mod idempotency;
mod parts;
mod raw;
mod status;
mod submit;
mod template;
mod wire;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use baton_mail::tenant::Scope;
use bytes::Bytes;
use futures_util::StreamExt;
use utoipa::OpenApi;

pub(super) use idempotency::{ANSWER, UnderWay};
pub use status::{MessageRow, RecipientRow, RecipientStatus, StepRow};
pub use wire::{
    BatchItem, NewAttachment, NewBatch, NewField, NewMessage, NewTracking, Party, RefusedRecipient, Sent,
    SentBatch, SentStatus, When,
};

use super::Face;
use super::caller::Caller;
use super::input::{Params, is_of_type, read_json};
use super::route::{Need, Route};
use crate::Problem;
use compose::Attachment;
use idempotency::Turn;
use parts::{Owner, Parts, files};
use submit::{Ready, submit};

/// Octets of messages of a batch that are composed and under way at once, about.
const UNDER_WAY_OCTETS: usize = 32 << 20;
/// Messages of a batch that are under way at once at most.
const UNDER_WAY_MAX: usize = 128;

pub(super) fn routes() -> Vec<Route> {
    let send = Need::Scope(Scope::Send);
    vec![
        Route::new(Method::POST, "/v1/messages", send, send_one).large(),
        Route::new(Method::POST, "/v1/messages/batch", send, send_many).large(),
        // The admin socket tells more, in a form of its own.
        Route::get("/v1/messages/{id}", Scope::Read, status::show).public_only(),
        Route::new(Method::DELETE, "/v1/messages/{id}", send, status::cancel).public_only(),
        Route::get("/v1/messages/{id}/content", Scope::Read, status::message_content),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(send_one, send_many, status::show, status::cancel, status::message_content))]
pub(super) struct Doc;

/// Sends a message: JSON, or a whole message as `message/rfc822`. 202 means that it is on disk.
#[utoipa::path(post, path = "/v1/messages", tag = "messages",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The same key with the same body is answered the same, and sent once"),
        ("from" = Option<String>, Query, description = "`message/rfc822` only: the return path; without it the author"),
        ("to" = Option<String>, Query, description = "`message/rfc822` only: recipients, with commas between; without it those of To, Cc and Bcc"),
        ("tenant" = Option<String>, Query, description = "`message/rfc822` only: whose it is; operators only"),
        ("stream" = Option<String>, Query, description = "`message/rfc822` only: its stream"),
        ("tags" = Option<String>, Query, description = "`message/rfc822` only: tags, with commas between"),
        ("priority" = Option<i8>, Query, description = "`message/rfc822` only"),
        ("send_at" = Option<String>, Query, description = "`message/rfc822` only"),
        ("expires_at" = Option<String>, Query, description = "`message/rfc822` only"),
        ("dry_run" = Option<bool>, Query, description = "`message/rfc822` only")),
    request_body(content((NewMessage = "application/json"), (String = "message/rfc822"))),
    responses((status = 202, body = Sent, description = "It is on disk"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn send_one(
    State(face): State<Face>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let tenant = caller.tenant.as_ref().map(baton_mail::tenant::Label::as_str);
    let turn = Turn::begin(&face, &headers, tenant, "message", &body).await?;
    if let Some(sent) = turn.as_ref().and_then(|turn| turn.known(0)) {
        return Ok(accepted(&sent, true));
    }
    let ready = if is_of_type(&headers, "message/rfc822") {
        raw::ready(&face, &caller, params, body)?
    } else {
        super::input::check_json(&headers)?;
        params.0.finish(&[])?;
        let new: NewMessage = read_json(&body)?;
        drop(body);
        let owner = Owner::find(&face, &caller, new.tenant.as_ref(), new.stream.as_ref())?;
        let files = files(&face, owner.tenant(), &new.attachments).await?;
        let made = template::fill(&face, &owner, new).await?;
        Ready::compose(&face, Parts::check(&face, &caller, made, files)?).await?
    };
    let sent = submit(&face, &caller, ready, turn.as_ref().map(|turn| turn.note(0))).await?;
    Ok(accepted(&sent, false))
}

/// Sends many messages: what they have in common, and what each has for itself. Each is taken or refused by itself; 202
/// means that those which were taken are on disk.
#[utoipa::path(post, path = "/v1/messages/batch", tag = "messages", request_body = NewBatch,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same body is answered the same, and each message sent once")),
    responses((status = 202, body = SentBatch, description = "What became of each"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn send_many(
    State(face): State<Face>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    super::input::check_json(&headers)?;
    let tenant = caller.tenant.as_ref().map(baton_mail::tenant::Label::as_str);
    let turn = Turn::begin(&face, &headers, tenant, "batch", &body).await?;
    let NewBatch { common, messages }: NewBatch = read_json(&body)?;
    drop(body);
    let most = face.settings().batch_messages_max;
    match messages.len() {
        0 => return Err(Problem::unfit("messages", "there is none")),
        count if count > most => return Err(Problem::unfit("messages", format!("are {most} at most"))),
        _ => {}
    }
    let owner = Owner::find(&face, &caller, common.tenant.as_ref(), common.stream.as_ref())?;
    let shared = files(&face, owner.tenant(), &common.attachments).await.map_err(in_common)?;
    let octets = 16_384 + shared.iter().map(|file| file.content.len() * 3 / 2).sum::<usize>();
    let at_once = (UNDER_WAY_OCTETS / octets).clamp(1, UNDER_WAY_MAX);
    let one = |(number, own): (usize, NewMessage)| {
        let known = turn.as_ref().and_then(|turn| turn.known(number));
        let note = turn.as_ref().map(|turn| turn.note(number));
        let (face, caller, common, shared) = (&face, &caller, &common, &shared);
        async move {
            match known {
                Some(sent) => Ok(sent),
                None => send_of_batch(face, caller, batch::combine(common, own), shared, note).await,
            }
        }
    };
    let results: Vec<Result<Sent, Problem>> = futures_util::stream::iter(messages.into_iter().enumerate())
        .map(one)
        .buffered(at_once)
        .collect()
        .await;
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    let refused = results.len() - accepted;
    let item = |result: Result<Sent, Problem>| match result {
        Ok(sent) => BatchItem { sent: Some(sent), problem: None },
        Err(problem) => BatchItem { sent: None, problem: Some(problem) },
    };
    let batch = SentBatch { accepted, refused, messages: results.into_iter().map(item).collect() };
    Ok((StatusCode::ACCEPTED, Json(batch)).into_response())
}

async fn send_of_batch(
    face: &Face,
    caller: &Caller,
    new: NewMessage,
    shared: &[Attachment],
    note: Option<idempotency::Note>,
) -> Result<Sent, Problem> {
    let owner = Owner::find(face, caller, new.tenant.as_ref(), new.stream.as_ref())?;
    let own = files(face, owner.tenant(), &new.attachments).await?;
    let all = if own.is_empty() { shared.to_vec() } else { own };
    let made = template::fill(face, &owner, new).await?;
    let parts = Parts::check(face, caller, made, all)?;
    submit(face, caller, Ready::compose(face, parts).await?, note).await
}

/// A mistake in what all messages have.
fn in_common(mut problem: Problem) -> Problem {
    for error in &mut problem.errors {
        error.field = format!("common.{}", error.field);
    }
    problem
}

/// The answer about a message that is on disk.
fn accepted(sent: &Sent, is_replay: bool) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(sent)).into_response();
    if let Ok(place) = HeaderValue::try_from(format!("/v1/messages/{}", sent.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    if is_replay {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}
