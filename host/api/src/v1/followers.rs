//! `/v1/followers`: who follows what happens, and how far each is behind: webhooks, files, NATS, sums, the index.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_events::webhook::EndpointStatus;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::input::Params;
use super::route::{Need, Route};
use crate::Problem;
use crate::admin::store_problem;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/v1/followers", Need::Run, list_followers)]
}

#[derive(OpenApi)]
#[openapi(paths(list_followers))]
pub(super) struct Doc;

/// Somebody who follows what happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowerRow {
    /// Its kind and name, such as `nats/all`, `file/all`, `webhook/acme/orders`.
    pub name: String,
    /// So many records of the feed are still to be read.
    pub behind: u64,
    /// How it goes, for what sends to a server; webhooks tell it at `/v1/webhooks`.
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
    let consumers = feed.consumers("").await.map_err(store_problem)?;
    let mut followers: Vec<FollowerRow> = consumers
        .into_iter()
        .map(|(name, next)| {
            let name = name.to_string();
            FollowerRow { name, behind: feed.head().saturating_sub(next), status: None }
        })
        .collect();
    for view in &face.publishers {
        let status = view.status();
        match followers.iter_mut().find(|row| row.name == view.consumer) {
            Some(row) => row.status = Some(status),
            // Nothing was acknowledged yet.
            None => followers.push(FollowerRow {
                name: view.consumer.clone(),
                behind: feed.head().saturating_sub(status.at),
                status: Some(status),
            }),
        }
    }
    followers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(FollowerPage { followers }))
}
