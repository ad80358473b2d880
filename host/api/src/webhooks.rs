//! `/v1/webhooks`: endpoints that events are posted to.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use baton_events::webhook::{EndpointChange, EndpointView, Tested, WebhookError, Webhooks};
use baton_mail::Clock;
use baton_store::catalog::CatalogError;
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::filter::Fields;
use crate::happened::take_moment;
use crate::scope::Scope;

/// What these routes need.
#[derive(Clone)]
pub struct WebhookDeps {
    /// The endpoints.
    pub webhooks: Webhooks,
    /// The relay's time.
    pub clock: Arc<dyn Clock>,
}

/// The endpoints of a tenant, or of all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndpointList {
    /// In the order of tenants and names.
    pub webhooks: Vec<EndpointView>,
}

/// What a replay will post.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Replay {
    /// So many numbers of the feed are read again; how many of their events are wanted shows when they are read.
    pub behind: u64,
}

type Asked = Query<BTreeMap<String, String>>;

/// The routes. Who mounts them puts an [`Extension`] with the [`Scope`] of the request in front.
pub fn routes(deps: WebhookDeps) -> Router {
    Router::new()
        .route("/v1/webhooks", get(list))
        .route("/v1/webhooks/{name}", get(show).put(add).post(set).delete(remove))
        .route("/v1/webhooks/{name}/secret", post(rotate))
        .route("/v1/webhooks/{name}/test", post(test))
        .route("/v1/webhooks/{name}/replay", post(replay))
        .with_state(deps)
}

/// Whose endpoint is meant, and nothing else was asked.
fn tenant(scope: &Scope, query: BTreeMap<String, String>) -> Result<Option<String>, Problem> {
    whole_tenant(scope)?;
    let mut fields = Fields::new(query);
    let tenant = scope.tenant(fields.take("tenant")?)?;
    fields.finish(&["tenant"])?;
    Ok(tenant)
}

/// An endpoint is the whole tenant's: whoever may see one stream only could learn of others by it.
fn whole_tenant(scope: &Scope) -> Result<(), Problem> {
    match scope.stream {
        Some(_) => {
            Err(Problem::forbidden("this token is for one stream, and webhooks are the whole tenant's"))
        }
        None => Ok(()),
    }
}

/// `GET /v1/webhooks`
async fn list(
    State(deps): State<WebhookDeps>,
    Extension(scope): Extension<Scope>,
    Query(query): Asked,
) -> Result<Json<EndpointList>, Problem> {
    let tenant = tenant(&scope, query)?;
    let webhooks = deps.webhooks.list(tenant.as_deref()).await.map_err(problem)?;
    Ok(Json(EndpointList { webhooks }))
}

/// `GET /v1/webhooks/{name}`
async fn show(
    State(deps): State<WebhookDeps>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(query): Asked,
) -> Result<Json<EndpointView>, Problem> {
    let tenant = tenant(&scope, query)?;
    deps.webhooks.show(tenant.as_deref(), &name).await.map(Json).map_err(problem)
}

/// `PUT /v1/webhooks/{name}`: a new endpoint; its secret is in this answer only.
async fn add(
    State(deps): State<WebhookDeps>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(query): Asked,
    body: Bytes,
) -> Result<impl IntoResponse, Problem> {
    let tenant = tenant(&scope, query)?;
    let added = deps.webhooks.add(tenant.as_deref(), &name, change(&body)?).await.map_err(problem)?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// `POST /v1/webhooks/{name}`: changes the members that are named.
async fn set(
    State(deps): State<WebhookDeps>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(query): Asked,
    body: Bytes,
) -> Result<Json<EndpointView>, Problem> {
    let tenant = tenant(&scope, query)?;
    deps.webhooks.set(tenant.as_deref(), &name, change(&body)?).await.map(Json).map_err(problem)
}

/// `DELETE /v1/webhooks/{name}`
async fn remove(
    State(deps): State<WebhookDeps>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(query): Asked,
) -> Result<StatusCode, Problem> {
    let tenant = tenant(&scope, query)?;
    deps.webhooks.remove(tenant.as_deref(), &name).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/webhooks/{name}/secret`: a new secret, in this answer only; the one before counts for a while.
async fn rotate(
    State(deps): State<WebhookDeps>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(query): Asked,
) -> Result<Json<EndpointView>, Problem> {
    let tenant = tenant(&scope, query)?;
    deps.webhooks.rotate(tenant.as_deref(), &name).await.map(Json).map_err(problem)
}

/// `POST /v1/webhooks/{name}/test`: posts something that tells of nothing, and says what came of it.
async fn test(
    State(deps): State<WebhookDeps>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(query): Asked,
) -> Result<Json<Tested>, Problem> {
    let tenant = tenant(&scope, query)?;
    deps.webhooks.test(tenant.as_deref(), &name).await.map(Json).map_err(problem)
}

/// `POST /v1/webhooks/{name}/replay?since=`: posts again what happened since then.
async fn replay(
    State(deps): State<WebhookDeps>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(query): Asked,
) -> Result<Json<Replay>, Problem> {
    whole_tenant(&scope)?;
    let mut fields = Fields::new(query);
    let tenant = scope.tenant(fields.take("tenant")?)?;
    let since = take_moment(&mut fields, "since", deps.clock.now())?;
    fields.finish(&["tenant", "since"])?;
    let since = since.ok_or_else(|| Problem::field("since", "is missing: say from when on, such as 2h"))?;
    let behind = deps.webhooks.replay(tenant.as_deref(), &name, since).await.map_err(problem)?;
    Ok(Json(Replay { behind }))
}

fn change(body: &[u8]) -> Result<EndpointChange, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Problem::field("body", error.to_string()))
}

fn problem(error: WebhookError) -> Problem {
    match error {
        WebhookError::Unfit(unfit) => Problem::field(unfit.field, unfit.why),
        WebhookError::NotFound => Problem::not_found(error.to_string()),
        WebhookError::Exists => Problem::conflict(error.to_string()),
        WebhookError::Catalog(CatalogError::Unfit(why)) => Problem::field("name", why),
        WebhookError::Catalog(error @ CatalogError::TooMany { .. }) => Problem::conflict(error.to_string()),
        WebhookError::Catalog(error) => Problem::unavailable(error.to_string()),
    }
}
