//! `/v1/tenants`: customers, their domains and their bounds.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use baton_mail::account::Quota;
use baton_mail::tenant::{self, DOMAINS_MAX, Label, Scope, Tenant};
use baton_mail::{Domain, UnixMs};
use baton_store::catalog::{Edit, Expect, Key, Query, Record, STREAM, TENANT, TOKEN};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed, catalog_problem};
use super::caller::Caller;
use super::input::{At, Input, Params};
use super::route::{Need, Route};
use super::templates::TEMPLATE;
use super::{accounts, operators, webhooks};
use crate::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/tenants", Scope::Read, list),
        Route::new(Method::POST, "/v1/tenants", Need::Relay, add),
        Route::get("/v1/tenants/{tenant}", Scope::Read, show),
        Route::new(Method::PATCH, "/v1/tenants/{tenant}", Need::Relay, change),
        Route::new(Method::DELETE, "/v1/tenants/{tenant}", Need::Relay, remove),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, add, show, change, remove))]
pub(super) struct Doc;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantRow {
    /// Its name: lower case letters, digits, hyphens.
    #[schema(value_type = String, example = "acme")]
    pub name: Label,
    /// What operators want to remember.
    pub note: String,
    /// The domains in whose name it sends, and in those below them.
    #[schema(value_type = Vec<String>, example = json!(["acme.example"]))]
    pub domains: Vec<Domain>,
    /// How much it may send.
    #[schema(value_type = QuotaSchema)]
    pub quota: Quota,
    /// Why it may not send at all, when it may not.
    pub suspended: Option<String>,
    /// When it was made, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub created_at: UnixMs,
    /// When it was changed last, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub changed_at: UnixMs,
    /// Another one after each change.
    pub version: u64,
}

/// How much may be sent; what is absent has no bound.
#[derive(ToSchema)]
#[schema(as = Quota)]
#[allow(dead_code, reason = "describes a type of another crate")]
pub(super) struct QuotaSchema {
    /// Messages within an hour.
    messages_per_hour: Option<u32>,
    /// Messages within a day.
    messages_per_day: Option<u32>,
    /// Recipients within an hour.
    recipients_per_hour: Option<u32>,
    /// Recipients within a day.
    recipients_per_day: Option<u32>,
}

/// A page of tenants.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantPage {
    /// In the order of their names.
    pub tenants: Vec<TenantRow>,
    /// Give this as `after` to see what follows; none at the end.
    pub next: Option<String>,
}

/// What is to be of a tenant. In a change, what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantChange {
    /// Its name, when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "acme")]
    pub name: Option<Label>,
    /// What operators want to remember.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// All domains in whose name it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["acme.example"]))]
    pub domains: Option<Vec<Domain>>,
    /// How much it may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<QuotaSchema>)]
    pub quota: Option<Quota>,
    /// Why it may not send; an empty text lets it send again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// Only if it still has this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl TenantChange {
    fn apply(&self, mut tenant: Tenant) -> Result<Tenant, Problem> {
        if let Some(note) = &self.note {
            tenant::check_note(note).map_err(|wrong| Problem::unfit("note", wrong))?;
            tenant.note.clone_from(note);
        }
        if let Some(domains) = &self.domains {
            if domains.len() > DOMAINS_MAX {
                return Err(Problem::unfit("domains", format!("are {DOMAINS_MAX} at most")));
            }
            if let Some(literal) = domains.iter().find(|domain| domain.as_literal().is_some()) {
                return Err(Problem::unfit("domains", format!("{literal} is an address")));
            }
            tenant.domains.clone_from(domains);
            tenant.domains.sort_unstable();
            tenant.domains.dedup();
        }
        if let Some(quota) = self.quota {
            tenant.quota = quota;
        }
        if let Some(reason) = &self.suspended {
            tenant::check_note(reason).map_err(|wrong| Problem::unfit("suspended", wrong))?;
            tenant.suspended = Some(reason.clone()).filter(|reason| !reason.is_empty());
        }
        Ok(tenant)
    }
}

/// All tenants; those with a token of a tenant see that one.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants",
    params(("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = TenantPage)))]
pub(super) async fn list(
    State(face): State<Face>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<TenantPage>, Problem> {
    let (after, limit) = (params.0.take::<Label>("after")?, params.take_limit()?);
    params.0.finish(&["after", "limit"])?;
    if let Some(own) = &caller.tenant {
        let tenants =
            find(&face, own).await.map(|record| row(&record)).into_iter().collect::<Result<_, _>>()?;
        return Ok(Json(TenantPage { tenants, next: None }));
    }
    let after = after.map(|name| key(&name)).transpose()?;
    let query = Query::of(TENANT).tenant(None).after(after).limit(limit);
    let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
    let tenants = page.records.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Json(TenantPage { tenants, next: page.next.map(|key| key.name().to_owned()) }))
}

/// Makes a tenant.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = TenantChange,
    responses((status = 201, body = TenantRow)))]
pub(super) async fn add(
    State(face): State<Face>,
    caller: Caller,
    Input(change): Input<TenantChange>,
) -> Result<(StatusCode, Json<TenantRow>), Problem> {
    let Some(name) = change.name.clone() else { return Err(Problem::field("name", "is missing")) };
    let _alone = face.0.tenants.lock().await;
    if face.store.tenants().tenant(name.as_str()).is_some() {
        return Err(Problem::conflict(format!("there is a tenant `{name}` already")));
    }
    let new = Tenant { created_at: face.clock.now(), ..Tenant::default() };
    let written = write(&face, &caller, &name, &change, new, Expect::Nothing).await?;
    Ok((StatusCode::CREATED, Json(written)))
}

/// One tenant.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path)),
    responses((status = 200, body = TenantRow)))]
pub(super) async fn show(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<Label>,
) -> Result<Json<TenantRow>, Problem> {
    caller.tenant_of(Some(&name))?;
    Ok(Json(row(&find(&face, &name).await?)?))
}

/// Changes a tenant; what is absent stays.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}", tag = "tenants", request_body = TenantChange,
    params(("tenant" = String, Path)),
    responses((status = 200, body = TenantRow)))]
pub(super) async fn change(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<Label>,
    Input(change): Input<TenantChange>,
) -> Result<Json<TenantRow>, Problem> {
    if change.name.as_ref().is_some_and(|new| *new != name) {
        return Err(Problem::unfit("name", "can not be changed"));
    }
    let _alone = face.0.tenants.lock().await;
    let record = find(&face, &name).await?;
    let before = record.json().map_err(catalog_problem)?;
    let expect = Expect::Version(change.version.unwrap_or(record.version));
    write(&face, &caller, &name, &change, before, expect).await.map(Json)
}

/// Removes a tenant that has nothing of its own any more: streams, tokens, templates, webhooks, accounts, operators.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path)),
    responses((status = 200, body = TenantRow)))]
pub(super) async fn remove(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<Label>,
) -> Result<Json<TenantRow>, Problem> {
    let _alone = face.0.tenants.lock().await;
    let record = find(&face, &name).await?;
    if let Some(left) = what_is_left(&face, &name).await? {
        return Err(Problem::busy(format!("`{name}` has the {left} still; remove what it has first")));
    }
    let deed = Deed {
        action: "tenant.remove",
        tenant: Some(&name),
        target: name.as_str(),
        change: serde_json::Value::Null,
    };
    let mut edits = audit::lines(&face, &caller, deed)?;
    edits.push(Edit::remove(record.key.clone()).expecting(Expect::Version(record.version)));
    face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    Ok(Json(row(&record)?))
}

/// Something that belongs to a tenant: who gets its name later must not get that too.
async fn what_is_left(face: &Face, name: &Label) -> Result<Option<String>, Problem> {
    for kind in [STREAM, TOKEN, TEMPLATE] {
        let query = Query::of(kind).tenant(Some(name.as_str())).limit(1);
        let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
        if let Some(record) = page.records.first() {
            return Ok(Some(format!("{} `{}`", kind.name(), record.key.name())));
        }
    }
    let webhooks = face.webhooks.list(Some(name.as_str())).await.map_err(webhooks::problem)?;
    if let Some(webhook) = webhooks.first() {
        return Ok(Some(format!("webhook `{}`", webhook.name)));
    }
    if let Some(account) = accounts::any_of(face, name).await? {
        return Ok(Some(format!("account `{account}`")));
    }
    Ok(operators::any_of(face, name).await?.map(|operator| format!("operator `{operator}`")))
}

/// Writes a tenant that is changed so. The caller alone changes tenants just now.
async fn write(
    face: &Face,
    caller: &Caller,
    name: &Label,
    change: &TenantChange,
    before: Tenant,
    expect: Expect,
) -> Result<TenantRow, Problem> {
    let tenant = change.apply(before)?;
    for domain in change.domains.iter().flatten() {
        if let Some(owner) = face.store.tenants().owner_beside(name.as_str(), domain) {
            let detail = format!("{domain} belongs to the tenant `{owner}`, or is above or below what does");
            return Err(Problem::unfit("domains", detail));
        }
    }
    let asked = serde_json::to_value(change).unwrap_or_default();
    let action = if expect == Expect::Nothing { "tenant.add" } else { "tenant.change" };
    let mut edits = audit::lines(
        face,
        caller,
        Deed { action, tenant: Some(name), target: name.as_str(), change: asked },
    )?;
    edits.push(Edit::put_json(key(name)?, &tenant).map_err(catalog_problem)?.expecting(expect));
    let written = face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    match written.into_iter().next_back().flatten() {
        Some(record) => row(&record),
        None => Err(Problem::unavailable("the change left nothing")),
    }
}

async fn find(face: &Face, name: &Label) -> Result<Record, Problem> {
    let found = face.store.catalog().get(&key(name)?).await.map_err(catalog_problem)?;
    found.ok_or_else(|| Problem::not_found(format!("there is no tenant `{name}`")))
}

fn key(name: &Label) -> Result<Key, Problem> {
    Key::new(TENANT, None, name.as_str()).map_err(catalog_problem)
}

fn row(record: &Record) -> Result<TenantRow, Problem> {
    let Tenant { note, domains, quota, suspended, created_at } = record.json().map_err(catalog_problem)?;
    let name = record
        .key
        .name()
        .parse()
        .map_err(|_| Problem::unavailable("a record has a name that no tenant has"))?;
    let (changed_at, version) = (record.changed_at, record.version);
    Ok(TenantRow { name, note, domains, quota, suspended, created_at, changed_at, version })
}
