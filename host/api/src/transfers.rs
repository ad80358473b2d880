//! `/v1/transfers`: messages on their way from this queue to another relay's, and from there to here.
//!
//! A message is packed (`POST`, from then on it is held), taken by the other relay (`PUT` there; the answer comes when it is on
//! disk), and forgotten (`DELETE`). What was interrupted is done again from the beginning: a message that was taken before is
//! known.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use baton_mail::MessageId;
use baton_mail::text::sanitize;
use baton_store::{MoveError, Movers};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::admin::store_problem;
use crate::filter::Fields;
use crate::v1::Face;

/// Octets of a message that comes: more than any relay takes.
pub(crate) const PARCEL_OCTETS_MAX: usize = 2 << 30;
/// Octets of the name of a relay or of who moves.
const NAME_OCTETS_MAX: usize = 255;

/// What became of a message that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The message.
    pub message: MessageId,
    /// It was here already.
    pub known: bool,
}

/// What was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Entries that left the queue.
    pub entries: usize,
}

/// `POST /v1/transfers/{id}`: holds a message and answers it as octets.
pub(crate) async fn pack(
    State(deps): State<Face>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let packed = deps.store.pack(read_id(&id)?, read_movers(&body)?).await.map_err(problem)?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], packed).into_response())
}

/// `PUT /v1/transfers`: takes a message that another relay packed.
pub(crate) async fn take(State(deps): State<Face>, octets: Bytes) -> Result<Json<Taken>, Problem> {
    let taken = deps.store.take_moved(octets).await.map_err(problem)?;
    Ok(Json(Taken { message: taken.message, known: taken.known }))
}

/// `DELETE /v1/transfers/{id}`: forgets a message that the other relay has.
pub(crate) async fn forget(
    State(deps): State<Face>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Forgotten>, Problem> {
    let entries = deps.store.forget_moved(read_id(&id)?, read_movers(&body)?).await.map_err(problem)?;
    Ok(Json(Forgotten { entries }))
}

fn read_id(id: &str) -> Result<MessageId, Problem> {
    id.parse().map_err(|error| Problem::field("id", format!("`{id}`: {error}")))
}

fn read_movers(body: &Bytes) -> Result<Movers, Problem> {
    let mut fields = Fields::of_body(body)?;
    let mut name = |field: &str| -> Result<String, Problem> {
        let name = fields.take::<String>(field)?.ok_or_else(|| Problem::field(field, "is missing"))?;
        Ok(sanitize(&name, NAME_OCTETS_MAX))
    };
    let movers = Movers { from: name("from")?, to: name("to")?, by: name("by")? };
    fields.finish(&["from", "to", "by"])?;
    Ok(movers)
}

fn problem(error: MoveError) -> Problem {
    match error {
        MoveError::NotFound => Problem::not_found(error.to_string()),
        MoveError::InDelivery => Problem::busy(error.to_string()),
        MoveError::Unreadable(_) => Problem::field("body", error.to_string()),
        MoveError::Refused(refused) => Problem::unavailable(refused.to_string()),
        MoveError::Store(store) => store_problem(store),
    }
}
