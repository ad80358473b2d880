//! The audit log: who changed what, when. Each line is written in the batch of the change that it tells of.

use axum::Json;
use axum::extract::State;
use baton_mail::UnixMs;
use baton_mail::tenant::{Label, Scope};
use baton_store::catalog::{CatalogError, Edit, Key, Kind, Query};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::caller::Caller;
use super::input::Asked;
use super::route::Route;
use crate::Problem;

/// Lines of the audit log, by time backwards. They expire, so their number needs no bound.
pub(super) const AUDIT: Kind = Kind::new("audit", usize::MAX);
const DAY_MS: u64 = 86_400_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/v1/audit", Scope::Admin, list)]
}

#[derive(OpenApi)]
#[openapi(paths(list))]
pub(super) struct Doc;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRow {
    /// When, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub at: UnixMs,
    /// Who: `operator`, or `token:` and its id.
    pub by: String,
    /// From where.
    pub client: String,
    /// The request, as its answer called it (`X-Request-Id`).
    pub request: String,
    /// What was done, such as `stream.change`.
    pub action: String,
    /// To whose things; none to those of the relay.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Label>,
    /// To what, such as the stream's name.
    pub target: String,
    /// What was asked for; no secrets.
    pub change: serde_json::Value,
}

/// A page of the audit log, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The changes.
    pub changes: Vec<AuditRow>,
    /// Give this as `after` to see what came before; none at the end.
    pub next: Option<String>,
}

/// A change to be told of.
pub(super) struct Deed<'a> {
    pub(super) action: &'a str,
    pub(super) tenant: Option<&'a Label>,
    pub(super) target: &'a str,
    pub(super) change: serde_json::Value,
}

/// The lines about a change: one for the relay, and one for the tenant whose thing it was.
pub(super) fn lines(face: &Face, caller: &Caller, deed: Deed<'_>) -> Result<Vec<Edit>, Problem> {
    let now = face.clock.now();
    let row = AuditRow {
        at: now,
        by: caller.name(),
        client: caller.client.ip().to_canonical().to_string(),
        request: caller.request.to_string(),
        action: deed.action.to_owned(),
        tenant: deed.tenant.cloned(),
        target: deed.target.to_owned(),
        change: deed.change,
    };
    let until = UnixMs(now.0.saturating_add(u64::from(face.settings().audit_days) * DAY_MS));
    // Later lines come first; what happens in the same millisecond is told apart by the request.
    let name = format!("{:020}-{}", u64::MAX - now.0, caller.request);
    let owners = [Some(None), deed.tenant.map(|tenant| Some(tenant.as_str()))];
    let line = |owner| Ok(Edit::put_json(Key::new(AUDIT, owner, &name)?, &row)?.until(until));
    owners.into_iter().flatten().map(line).collect::<Result<_, CatalogError>>().map_err(catalog_problem)
}

/// Notes a deed before it is done, where its line can not be in the batch of the change.
pub(super) async fn note(face: &Face, caller: &Caller, deed: Deed<'_>) -> Result<(), Problem> {
    let lines = lines(face, caller, deed)?;
    face.store.catalog().apply(lines).await.map_err(catalog_problem).map(drop)
}

/// The audit log, the newest change first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit",
    params(("tenant" = Option<String>, Query, description = "Changes to this tenant's things; operators only"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = AuditPage)))]
pub(super) async fn list(
    State(face): State<Face>,
    Asked { whose, mut params }: Asked,
) -> Result<Json<AuditPage>, Problem> {
    let tenant = whose.tenant();
    let (after, limit) = (params.0.take::<String>("after")?, params.take_limit()?);
    params.0.finish(&["tenant", "after", "limit"])?;
    let after = after.map(|name| Key::new(AUDIT, tenant, &name)).transpose();
    let after = after.map_err(|error| Problem::field("after", error.to_string()))?;
    let query = Query::of(AUDIT).tenant(tenant).after(after).limit(limit);
    let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
    let changes = page.records.iter().map(|record| record.json()).collect::<Result<_, _>>();
    Ok(Json(AuditPage {
        changes: changes.map_err(catalog_problem)?,
        next: page.next.map(|key| key.name().to_owned()),
    }))
}

/// What a failure of the catalog means to a caller.
pub(super) fn catalog_problem(error: CatalogError) -> Problem {
    match error {
        CatalogError::Conflict { found: Some(_), .. } => {
            Problem::busy("somebody else changed it meanwhile; look at it again")
        }
        CatalogError::Conflict { found: None, key } => Problem::not_found(format!("there is no {key}")),
        CatalogError::TooMany { kind, most } => {
            Problem::unfit("body", format!("there are {most} of kind {kind} already, which is the most"))
        }
        CatalogError::Unfit(detail) => Problem::field("body", detail),
        CatalogError::Store(error) => Problem::unavailable(error.to_string()),
    }
}
