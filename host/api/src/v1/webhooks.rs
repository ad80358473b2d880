//! `/v1/webhooks`: endpoints that events are posted to.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use baton_events::webhook::{EndpointChange, EndpointView, Tested, WebhookError};
use baton_mail::tenant::Scope;
use baton_store::catalog::{CatalogError, Edit};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed};
use super::happened::take_moment;
use super::input::{Asked, At, Input, Whose};
use super::route::{Need, Route};
use crate::Problem;

pub(super) fn routes() -> Vec<Route> {
    let webhooks = Need::Scope(Scope::Webhooks);
    let of_one = "/v1/webhooks/{name}";
    vec![
        Route::new(Method::GET, "/v1/webhooks", webhooks, list),
        Route::new(Method::GET, of_one, webhooks, show),
        Route::new(Method::PUT, of_one, webhooks, add),
        Route::new(Method::PATCH, of_one, webhooks, change),
        Route::new(Method::DELETE, of_one, webhooks, remove),
        Route::new(Method::POST, "/v1/webhooks/{name}/secret", webhooks, rotate_webhook_secret),
        Route::new(Method::POST, "/v1/webhooks/{name}/test", webhooks, test_webhook),
        Route::new(Method::POST, "/v1/webhooks/{name}/replay", webhooks, replay_webhook),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, show, add, change, remove, rotate_webhook_secret, test_webhook, replay_webhook))]
pub(super) struct Doc;

/// The endpoints of a tenant, or of all.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EndpointList {
    /// In the order of tenants and names.
    pub webhooks: Vec<EndpointView>,
}

/// What a replay will post.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Replay {
    /// So many numbers of the feed are read again; how many of their events are wanted shows when they are read.
    pub behind: u64,
}

/// An endpoint is the whole tenant's: whoever may see one stream only could learn of others by it.
fn check(whose: &Whose) -> Result<(), Problem> {
    match whose.caller.stream {
        Some(_) => {
            Err(Problem::forbidden("this token is for one stream, and webhooks are the whole tenant's"))
        }
        None => Ok(()),
    }
}

/// The line of the audit log.
fn lines<T: Serialize>(
    face: &Face,
    whose: &Whose,
    action: &str,
    name: &str,
    change: &T,
) -> Result<Vec<Edit>, Problem> {
    let change = serde_json::to_value(change).unwrap_or_default();
    let deed = Deed { action, tenant: whose.tenant.as_ref(), target: name, change };
    audit::lines(face, &whose.caller, deed)
}

/// The endpoints of a tenant.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    params(("tenant" = Option<String>, Query, description = "Whose; operators only, and none is everybody's")),
    responses((status = 200, body = EndpointList)))]
pub(super) async fn list(State(face): State<Face>, whose: Whose) -> Result<Json<EndpointList>, Problem> {
    check(&whose)?;
    let webhooks = face.webhooks.list(whose.tenant()).await.map_err(problem)?;
    Ok(Json(EndpointList { webhooks }))
}

/// One endpoint, and how its delivery goes.
#[utoipa::path(get, path = "/v1/webhooks/{name}", tag = "webhooks",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = EndpointView)))]
pub(super) async fn show(
    State(face): State<Face>,
    At(name): At<String>,
    whose: Whose,
) -> Result<Json<EndpointView>, Problem> {
    check(&whose)?;
    face.webhooks.show(whose.tenant(), &name).await.map(Json).map_err(problem)
}

/// Makes an endpoint, for what happens from now on. Its secret is in this answer and nowhere else.
#[utoipa::path(put, path = "/v1/webhooks/{name}", tag = "webhooks", request_body = EndpointChange,
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 201, body = EndpointView)))]
pub(super) async fn add(
    State(face): State<Face>,
    At(name): At<String>,
    whose: Whose,
    Input(change): Input<EndpointChange>,
) -> Result<(StatusCode, Json<EndpointView>), Problem> {
    check(&whose)?;
    let beside = lines(&face, &whose, "webhook.add", &name, &change)?;
    let added = face.webhooks.add(whose.tenant(), &name, change, beside).await.map_err(problem)?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// Changes an endpoint; what is absent stays.
#[utoipa::path(patch, path = "/v1/webhooks/{name}", tag = "webhooks", request_body = EndpointChange,
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = EndpointView)))]
pub(super) async fn change(
    State(face): State<Face>,
    At(name): At<String>,
    whose: Whose,
    Input(change): Input<EndpointChange>,
) -> Result<Json<EndpointView>, Problem> {
    check(&whose)?;
    let beside = lines(&face, &whose, "webhook.change", &name, &change)?;
    face.webhooks.set(whose.tenant(), &name, change, beside).await.map(Json).map_err(problem)
}

/// Removes an endpoint; what it was not told it never is.
#[utoipa::path(delete, path = "/v1/webhooks/{name}", tag = "webhooks",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove(
    State(face): State<Face>,
    At(name): At<String>,
    whose: Whose,
) -> Result<StatusCode, Problem> {
    check(&whose)?;
    let beside = lines(&face, &whose, "webhook.remove", &name, &())?;
    face.webhooks.remove(whose.tenant(), &name, beside).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A new secret, in this answer only; the one before counts for a while.
#[utoipa::path(post, path = "/v1/webhooks/{name}/secret", tag = "webhooks",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = EndpointView)))]
pub(super) async fn rotate_webhook_secret(
    State(face): State<Face>,
    At(name): At<String>,
    whose: Whose,
) -> Result<Json<EndpointView>, Problem> {
    check(&whose)?;
    let beside = lines(&face, &whose, "webhook.secret", &name, &())?;
    face.webhooks.rotate(whose.tenant(), &name, beside).await.map(Json).map_err(problem)
}

/// Posts something that tells of nothing, and says what came of it.
#[utoipa::path(post, path = "/v1/webhooks/{name}/test", tag = "webhooks",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = Tested)))]
pub(super) async fn test_webhook(
    State(face): State<Face>,
    At(name): At<String>,
    whose: Whose,
) -> Result<Json<Tested>, Problem> {
    check(&whose)?;
    face.webhooks.test(whose.tenant(), &name).await.map(Json).map_err(problem)
}

/// Posts again what happened since then.
#[utoipa::path(post, path = "/v1/webhooks/{name}/replay", tag = "webhooks",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only"),
        ("since" = String, Query, description = "RFC 3339, or how long ago, such as `2h`")),
    responses((status = 200, body = Replay)))]
pub(super) async fn replay_webhook(
    State(face): State<Face>,
    At(name): At<String>,
    Asked { whose, params }: Asked,
) -> Result<Json<Replay>, Problem> {
    check(&whose)?;
    let mut fields = params.0;
    let since = take_moment(&mut fields, "since", face.clock.now())?;
    fields.finish(&["tenant", "since"])?;
    let since = since.ok_or_else(|| Problem::field("since", "is missing: say from when on, such as 2h"))?;
    // Whose it is not, learns nothing, and leaves no line.
    face.webhooks.show(whose.tenant(), &name).await.map_err(problem)?;
    let deed = Deed {
        action: "webhook.replay",
        tenant: whose.tenant.as_ref(),
        target: &name,
        change: serde_json::json!({ "since": since }),
    };
    audit::note(&face, &whose.caller, deed).await?;
    let behind = face.webhooks.replay(whose.tenant(), &name, since).await.map_err(problem)?;
    Ok(Json(Replay { behind }))
}

pub(super) fn problem(error: WebhookError) -> Problem {
    match error {
        WebhookError::Unfit(unfit) => Problem::field(unfit.field, unfit.why),
        WebhookError::NotFound => Problem::not_found(error.to_string()),
        WebhookError::Exists => Problem::conflict(error.to_string()),
        WebhookError::Catalog(CatalogError::Unfit(why)) => Problem::field("name", why),
        WebhookError::Catalog(error @ CatalogError::TooMany { .. }) => Problem::conflict(error.to_string()),
        WebhookError::Catalog(error) => Problem::unavailable(error.to_string()),
    }
}
