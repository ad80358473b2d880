//! `/v1/uploads`: attachments that are sent up once and named in many messages. They are forgotten after a while.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use baton_mail::tenant::Scope;
use baton_mail::text::is_unsafe;
use baton_mail::{MessageId, UnixMs};
use baton_store::catalog::{EDITS_MAX, Edit, Expect, Key, Kind, VALUE_OCTETS_MAX};
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::catalog_problem;
use super::input::{Asked, At, Whose};
use super::route::{Need, Route};
use crate::Problem;

/// What is known of an upload.
const UPLOAD: Kind = Kind::new("upload", 10_000);
/// Its octets, in pieces.
const PIECE: Kind = Kind::new("upload-piece", usize::MAX);
/// Octets of an upload at most: its pieces are written in one batch.
const UPLOAD_OCTETS_MAX: usize = (EDITS_MAX - 1) * VALUE_OCTETS_MAX;
/// Octets of a file's name at most.
const FILENAME_OCTETS_MAX: usize = 255;

pub(super) fn routes() -> Vec<Route> {
    let send = Need::Scope(Scope::Send);
    vec![
        Route::new(Method::POST, "/v1/uploads", send, add).large(),
        Route::new(Method::GET, "/v1/uploads/{upload}", send, show),
        Route::new(Method::DELETE, "/v1/uploads/{upload}", send, remove),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(add, show, remove))]
pub(super) struct Doc;

/// Something that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// Its name in attachments: `{"upload": "01KB…"}`.
    #[schema(value_type = String)]
    pub id: MessageId,
    /// Octets.
    pub size: usize,
    /// The media type.
    pub content_type: String,
    /// The name of the file.
    pub filename: Option<String>,
    /// When it is forgotten, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub expires_at: UnixMs,
}

/// Takes a file: the body is its content, `Content-Type` its type.
#[utoipa::path(post, path = "/v1/uploads", tag = "uploads",
    params(("filename" = Option<String>, Query, description = "The name of the file"),
        ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 201, body = Upload)))]
pub(super) async fn add(
    State(face): State<Face>,
    Asked { whose, mut params }: Asked,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Upload>), Problem> {
    let filename = params.0.take::<String>("filename")?;
    params.0.finish(&["filename", "tenant"])?;
    if body.len() > UPLOAD_OCTETS_MAX {
        return Err(Problem::too_large(UPLOAD_OCTETS_MAX));
    }
    if body.is_empty() {
        return Err(Problem::field("body", "is empty"));
    }
    if let Some(name) = &filename
        && (name.len() > FILENAME_OCTETS_MAX || name.chars().any(is_unsafe))
    {
        return Err(Problem::field("filename", "has 255 octets at most and no control characters"));
    }
    face.store.check_space().map_err(|refusal| Problem::unavailable(refusal.to_string()))?;
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = given.and_then(|given| given.split(';').next()).unwrap_or(ANY_TYPE).trim().to_owned();
    let now = face.clock.now();
    let hours = u64::from(face.settings().upload_hours);
    let expires_at = UnixMs(now.0.saturating_add(hours * 3_600_000));
    let upload = Upload { id: MessageId::new(now), size: body.len(), content_type, filename, expires_at };
    let tenant = whose.tenant();
    let key = key(UPLOAD, tenant, &upload.id.to_string())?;
    let mut edits = vec![Edit::put_json(key, &upload).map_err(catalog_problem)?.expecting(Expect::Nothing)];
    for (number, piece) in body.chunks(VALUE_OCTETS_MAX).enumerate() {
        edits
            .push(Edit::put(piece_key(tenant, upload.id, number)?, piece.to_vec()).map_err(catalog_problem)?);
    }
    let edits = edits.into_iter().map(|edit| edit.until(expires_at)).collect();
    face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    Ok((StatusCode::CREATED, Json(upload)))
}

/// What is known of an upload.
#[utoipa::path(get, path = "/v1/uploads/{upload}", tag = "uploads",
    params(("upload" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = Upload)))]
pub(super) async fn show(
    State(face): State<Face>,
    At(id): At<MessageId>,
    whose: Whose,
) -> Result<Json<Upload>, Problem> {
    find(&face, whose.tenant(), id).await.map(Json)
}

/// Forgets an upload. Messages that named it have its content.
#[utoipa::path(delete, path = "/v1/uploads/{upload}", tag = "uploads",
    params(("upload" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = Upload)))]
pub(super) async fn remove(
    State(face): State<Face>,
    At(id): At<MessageId>,
    whose: Whose,
) -> Result<Json<Upload>, Problem> {
    let tenant = whose.tenant();
    let upload = find(&face, tenant, id).await?;
    let mut edits = vec![Edit::remove(key(UPLOAD, tenant, &id.to_string())?)];
    for number in 0..pieces(&upload) {
        edits.push(Edit::remove(piece_key(tenant, id, number)?));
    }
    face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    Ok(Json(upload))
}

/// An upload with its content.
pub(super) async fn read(
    face: &Face,
    tenant: Option<&str>,
    id: MessageId,
) -> Result<(Upload, Bytes), Problem> {
    let upload = find(face, tenant, id).await?;
    let mut content = BytesMut::with_capacity(upload.size);
    for number in 0..pieces(&upload) {
        let key = piece_key(tenant, id, number)?;
        let piece = face.store.catalog().get(&key).await.map_err(catalog_problem)?;
        content.extend_from_slice(&piece.ok_or_else(|| missing(id))?.value);
    }
    Ok((upload, content.freeze()))
}

async fn find(face: &Face, tenant: Option<&str>, id: MessageId) -> Result<Upload, Problem> {
    let key = key(UPLOAD, tenant, &id.to_string())?;
    let record = face.store.catalog().get(&key).await.map_err(catalog_problem)?;
    record.ok_or_else(|| missing(id))?.json().map_err(catalog_problem)
}

fn pieces(upload: &Upload) -> usize {
    upload.size.div_ceil(VALUE_OCTETS_MAX)
}

fn key(kind: Kind, tenant: Option<&str>, name: &str) -> Result<Key, Problem> {
    Key::new(kind, tenant, name).map_err(catalog_problem)
}

fn piece_key(tenant: Option<&str>, id: MessageId, number: usize) -> Result<Key, Problem> {
    key(PIECE, tenant, &format!("{id}/{number:04}"))
}

fn missing(id: MessageId) -> Problem {
    Problem::not_found(format!("there is no upload `{id}`; it may have been forgotten"))
}

/// The type of what nobody says the type of.
const ANY_TYPE: &str = "application/octet-stream";
