//! `/v1/plugins/{plugin}/switch`: lets a plugin be watched only, or its new version serve a share of the mail, while the
//! relay runs. What is switched stays so, over reloads and restarts, until it is cleared.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_hooks::{Mode, NextMode, NextSwitch, Switch};
use baton_mail::tenant::Label;
use baton_store::Store;
use baton_store::catalog::{CatalogError, Edit, Key, Kind, Query};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::{OpenApi, ToSchema};

use super::audit::{self, Deed, catalog_problem};
use super::caller::Caller;
use super::input::{At, Input};
use super::plugins;
use super::route::{Need, Route};
use super::{Face, Wish};
use crate::Problem;
use crate::wire::PluginRow;

/// What was switched, by the plugin's name.
const SWITCH: Kind = Kind::new("plugin-switch", 1_000);

pub(super) fn routes() -> Vec<Route> {
    let path = "/v1/plugins/{plugin}/switch";
    vec![
        Route::new(Method::PUT, path, Need::Run, switch_plugin),
        Route::new(Method::DELETE, path, Need::Run, clear_switch),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(switch_plugin, clear_switch))]
pub(super) struct Doc;

/// What is to be switched of a plugin, in the place of all that was switched of it before; what is absent is as the settings
/// say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchChange {
    /// `monitor`: it is asked, and its answers do not count; or `enforce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mode: Option<Mode>,
    /// What the new version beside it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextChange>,
}

/// What the new version beside a plugin is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NextChange {
    /// `shadow`: it is asked too and compared; or `canary`: it serves.
    #[schema(value_type = String)]
    pub mode: NextMode,
    /// The share of sessions that a canary serves, in percent; 0 without a tenant lets it rest.
    #[serde(default)]
    #[schema(maximum = 100)]
    pub percent: u8,
    /// The tenant that a canary serves, whatever the share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Label>,
}

/// Switches a plugin while the relay runs. It holds for new sessions, and stays over reloads and restarts.
#[utoipa::path(put, path = "/v1/plugins/{plugin}/switch", tag = "plugins", request_body = SwitchChange,
    params(("plugin" = String, Path, description = "Its name in the settings")),
    responses((status = 200, body = PluginRow), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn switch_plugin(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<String>,
    Input(change): Input<SwitchChange>,
) -> Result<Json<PluginRow>, Problem> {
    let row = find(&face, &name)?;
    check(&change, &row)?;
    let told = serde_json::to_value(&change).unwrap_or_default();
    let next = change.next.map(|next| NextSwitch {
        mode: next.mode,
        percent: next.percent,
        tenant: next.tenant.map(|tenant| tenant.to_string()),
    });
    let switch = Switch { mode: change.mode, next, by: caller.name(), at: face.clock.now() };
    let deed = Deed { action: "plugin.switch", tenant: None, target: &name, change: told };
    let mut edits = audit::lines(&face, &caller, deed)?;
    edits.push(Edit::put_json(key(&name)?, &switch).map_err(catalog_problem)?);
    face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    serve(&face).await?;
    find(&face, &name).map(Json)
}

/// Clears what was switched of a plugin: it runs as the settings say again.
#[utoipa::path(delete, path = "/v1/plugins/{plugin}/switch", tag = "plugins",
    params(("plugin" = String, Path, description = "Its name in the settings; it may be loaded no more")),
    responses((status = 200, body = SwitchChange, description = "What was switched"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn clear_switch(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<String>,
) -> Result<Json<SwitchChange>, Problem> {
    let none = || Problem::not_found(format!("nothing is switched of a plugin `{}`", shown(&name)));
    let key = Key::new(SWITCH, None, &name).map_err(|_| none())?;
    let record = face.store.catalog().get(&key).await.map_err(catalog_problem)?.ok_or_else(none)?;
    let was: Switch = record.json().map_err(catalog_problem)?;
    let change = serde_json::Value::Null;
    let deed = Deed { action: "plugin.clear", tenant: None, target: &name, change };
    let mut edits = audit::lines(&face, &caller, deed)?;
    edits.push(Edit::remove(key));
    face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    serve(&face).await?;
    let next = was.next.map(|next| NextChange {
        mode: next.mode,
        percent: next.percent,
        tenant: next.tenant.and_then(|tenant| tenant.parse().ok()),
    });
    Ok(Json(SwitchChange { mode: was.mode, next }))
}

/// All that is switched, by plugin.
///
/// # Errors
/// When the store does not answer.
pub async fn switches(store: &Store) -> Result<BTreeMap<String, Switch>, CatalogError> {
    let (catalog, mut query) = (store.catalog(), Query::of(SWITCH).tenant(None));
    let mut switches = BTreeMap::new();
    loop {
        let page = catalog.list(&query).await?;
        for record in page.records {
            switches.insert(record.key.name().to_owned(), record.json()?);
        }
        match page.next {
            Some(last) => query = query.after(Some(last)),
            None => return Ok(switches),
        }
    }
}

/// Lets the relay serve by what is switched now.
async fn serve(face: &Face) -> Result<(), Problem> {
    let later =
        || Problem::unavailable("it is noted, and holds after the next reload: the relay is stopping");
    let (answer, answered) = oneshot::channel();
    face.wishes.send(Wish::Switch { answer }).await.map_err(|_| later())?;
    answered.await.map_err(|_| later())?.map_err(Problem::unavailable)
}

fn find(face: &Face, name: &str) -> Result<PluginRow, Problem> {
    let loaded = face.hooks.load().plugins();
    let found = loaded.into_iter().find(|plugin| plugin.name == name);
    found
        .map(plugins::row)
        .ok_or_else(|| Problem::not_found(format!("no plugin `{}` is loaded", shown(name))))
}

fn check(change: &SwitchChange, plugin: &PluginRow) -> Result<(), Problem> {
    let Some(next) = &change.next else {
        let is_empty = change.mode.is_none();
        let what = "say `mode` or `next`; DELETE clears what was switched";
        return if is_empty { Err(Problem::unfit("mode", what)) } else { Ok(()) };
    };
    if plugin.next.is_none() {
        let name = &plugin.name;
        let why = format!("the settings name no new version beside it: set plugins.{name}.next.source");
        return Err(Problem::unfit("next", why));
    }
    if next.percent > 100 {
        return Err(Problem::unfit("next.percent", "is 100 at most"));
    }
    let selects = next.percent > 0 || next.tenant.is_some();
    if next.mode == NextMode::Shadow && selects {
        let field = if next.percent > 0 { "next.percent" } else { "next.tenant" };
        return Err(Problem::unfit(field, "a shadow is asked about all mail: leave it out"));
    }
    Ok(())
}

fn key(name: &str) -> Result<Key, Problem> {
    Key::new(SWITCH, None, name).map_err(catalog_problem)
}

fn shown(name: &str) -> String {
    baton_mail::text::sanitize(name, 100)
}
