//! `/v1/followers`: who follows what happens, and how far each is behind: webhooks, files, NATS, sums, the index.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use baton_events::is_known_by_itself;
use baton_events::webhook::EndpointStatus;
use baton_store::feed::ConsumerName;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed};
use super::caller::Caller;
use super::input::{At, Params};
use super::route::{Need, Route};
use super::webhooks;
use crate::Problem;
use crate::admin::store_problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/followers", Need::Run, list_followers),
        Route::new(Method::DELETE, "/v1/followers/{name}", Need::Run, forget_follower),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list_followers, forget_follower))]
pub(super) struct Doc;

/// Somebody who follows what happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowerRow {
    /// Its kind and name, such as `nats/all`, `file/all`, `webhook/acme/orders`.
    pub name: String,
    /// So many records of the feed are still to be read.
    pub behind: u64,
    /// False for one that the settings do not name any more: only its place in the feed is kept, until it is forgotten.
    pub configured: bool,
    /// Why nothing is posted to a webhook just now; none while it is not paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// How it goes; none for what the relay itself keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<EndpointStatus>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowerPage {
    /// By name.
    pub followers: Vec<FollowerRow>,
}

/// Who follows what happens, and how far each is behind.
#[utoipa::path(get, path = "/v1/followers", tag = "events", responses((status = 200, body = FollowerPage)))]
pub(super) async fn list_followers(
    State(face): State<Face>,
    params: Params,
) -> Result<Json<FollowerPage>, Problem> {
    params.0.finish(&[])?;
    let feed = face.store.feed();
    let behind = |at: u64| feed.head().saturating_sub(at);
    let mut rows: BTreeMap<String, FollowerRow> = BTreeMap::new();
    for (name, next) in feed.consumers("").await.map_err(store_problem)? {
        let name = name.to_string();
        let configured = is_known_by_itself(&name);
        let row = FollowerRow { name, behind: behind(next), configured, paused: None, status: None };
        rows.insert(row.name.clone(), row);
    }
    for view in &face.followers {
        let (name, status) = (view.consumer.clone(), view.status());
        // Nothing was acknowledged yet where it has no row.
        let behind = rows.get(&name).map_or_else(|| behind(status.at), |row| row.behind);
        let row = FollowerRow { name, behind, configured: true, paused: None, status: Some(status) };
        rows.insert(row.name.clone(), row);
    }
    for endpoint in face.webhooks.list(None).await.map_err(webhooks::problem)? {
        let name = format!("webhook/{}/{}", endpoint.tenant.unwrap_or_default(), endpoint.name);
        if let Some(row) = rows.get_mut(&name) {
            (row.paused, row.status) = (endpoint.paused, Some(endpoint.status));
        }
    }
    Ok(Json(FollowerPage { followers: rows.into_values().collect() }))
}

/// Forgets how far somebody has read whom the settings do not name any more.
#[utoipa::path(delete, path = "/v1/followers/{name}", tag = "events",
    params(("name" = String, Path, description = "Its kind and name, such as `file/all`; the slash as %2F")),
    responses((status = 204, description = "Forgotten")))]
pub(super) async fn forget_follower(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<ConsumerName>,
) -> Result<StatusCode, Problem> {
    let feed = face.store.feed();
    let shown = name.to_string();
    if feed.cursor(&name).await.map_err(store_problem)?.is_none() {
        return Err(Problem::not_found(format!("there is no follower `{shown}`; see baton followers")));
    }
    if is_known_by_itself(&shown) || face.followers.iter().any(|view| view.consumer == shown) {
        return Err(Problem::busy(format!("{shown} still follows: {}", remedy(&shown))));
    }
    let change = serde_json::Value::Null;
    let deed = Deed { action: "follower.forget", tenant: None, target: &shown, change };
    audit::note(&face, &caller, deed).await?;
    feed.forget(&name).map_err(store_problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// How somebody who still follows is brought to an end.
fn remedy(name: &str) -> String {
    match name.split_once('/') {
        Some(("webhook", _)) => "remove it by baton webhook remove".to_owned(),
        Some((kind @ ("file" | "nats"), name)) => {
            let section = if kind == "file" { "files" } else { "nats" };
            format!("remove [events.{section}.{name}] from the settings and start the relay again")
        }
        _ => "the relay itself needs it".to_owned(),
    }
}
