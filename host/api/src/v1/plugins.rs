//! `/v1/plugins` and `/v1/reload`: what serves, and the wish to serve by what the settings say now.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_hooks::{Instances, NextInfo, PluginInfo};
use tokio::sync::oneshot;
use utoipa::OpenApi;

use super::audit::{self, Deed};
use super::caller::Caller;
use super::route::{Need, Route};
use super::{Face, Wish};
use crate::Problem;
use crate::wire::{PluginRow, PluginsView, ReloadReport, TrialRow};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/plugins", Need::Run, list),
        Route::new(Method::POST, "/v1/reload", Need::Run, reload_settings),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, reload_settings))]
pub(super) struct Doc;

/// Reads the settings again and swaps what may be swapped.
#[utoipa::path(post, path = "/v1/reload", tag = "plugins", responses((status = 200, body = ReloadReport)))]
pub(super) async fn reload_settings(
    State(face): State<Face>,
    caller: Caller,
) -> Result<Json<ReloadReport>, Problem> {
    let deed = Deed { action: "reload", tenant: None, target: "settings", change: serde_json::Value::Null };
    audit::note(&face, &caller, deed).await?;
    let stopping = || Problem::unavailable("the relay is stopping");
    let (answer, answered) = oneshot::channel();
    face.wishes.send(Wish::Reload { answer }).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())?.map(Json).map_err(Problem::settings)
}

/// What is loaded, and who is asked in which order.
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins", responses((status = 200, body = PluginsView)))]
pub(super) async fn list(State(face): State<Face>) -> Json<PluginsView> {
    let generation = face.hooks.load();
    let plugins = generation.plugins().into_iter().map(row);
    let order = generation.order().into_iter().map(|(hook, names)| (hook.as_str().to_owned(), names));
    Json(PluginsView { generation: generation.number(), plugins: plugins.collect(), order: order.collect() })
}

pub(super) fn row(plugin: PluginInfo) -> PluginRow {
    let instances = match plugin.instances {
        Instances::Fresh => "fresh".to_owned(),
        kept => format!("{} ({} at rest)", kept.as_str(), plugin.resting),
    };
    let breaker = match plugin.breaker_openings {
        0 => plugin.breaker.as_str().to_owned(),
        times => format!("{} (opened {times}\u{d7})", plugin.breaker.as_str()),
    };
    PluginRow {
        name: plugin.name,
        digest: plugin.digest,
        hooks: plugin.hooks.iter().map(|hook| hook.as_str().to_owned()).collect(),
        version: plugin.version,
        signer: plugin.signer,
        grants: plugin.grants.in_words(),
        on_failure: plugin.on_failure.as_str().to_owned(),
        mode: plugin.mode.as_str().to_owned(),
        set_mode: plugin.set_mode.as_str().to_owned(),
        switch: plugin.switch,
        instances,
        breaker,
        next: plugin.next.as_ref().map(trial),
        set_next: plugin.set_next.as_ref().map(trial),
        advice: plugin.advice.iter().map(ToString::to_string).collect(),
    }
}

fn trial(next: &NextInfo) -> TrialRow {
    TrialRow {
        digest: next.digest.clone(),
        mode: next.mode.as_str().to_owned(),
        percent: next.percent,
        tenant: next.tenant.clone(),
    }
}
