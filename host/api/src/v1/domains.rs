//! `/v1/domains`: the domains to send from, and what the DNS says about them.

use axum::Json;
use axum::extract::State;
use baton_identity::domains::{DomainError, DomainRow, Inspection};
use baton_mail::Domain;
use baton_mail::tenant::Scope;
use utoipa::OpenApi;

use super::Face;
use super::caller::Caller;
use super::input::At;
use super::route::Route;
use crate::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/domains", Scope::Read, list),
        Route::get("/v1/domains/{domain}", Scope::Read, inspect_domain),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, inspect_domain))]
pub(super) struct Doc;

/// The domains with their keys; those with a token of a tenant see its own.
#[utoipa::path(get, path = "/v1/domains", tag = "domains", responses((status = 200, body = Vec<DomainRow>)))]
pub(super) async fn list(State(face): State<Face>, caller: Caller) -> Result<Json<Vec<DomainRow>>, Problem> {
    let files = face.inspector.domains().list().map_err(|error| Problem::unavailable(error.to_string()))?;
    let files = files.into_iter().filter(|file| face.owns(&caller, &file.domain));
    Ok(Json(files.map(DomainRow::from).collect()))
}

/// What is right, missing or wrong in the DNS, and the records to publish. It changes nothing: new keys are taken into use by
/// `baton domain check`.
#[utoipa::path(get, path = "/v1/domains/{domain}", tag = "domains", params(("domain" = String, Path)),
    responses((status = 200, body = Inspection)))]
pub(super) async fn inspect_domain(
    State(face): State<Face>,
    caller: Caller,
    At(domain): At<Domain>,
) -> Result<Json<Inspection>, Problem> {
    let unknown = |domain| Problem::not_found(DomainError::Unknown(domain).to_string());
    if !face.owns(&caller, &domain) {
        return Err(unknown(domain));
    }
    match face.inspector.inspect(&domain).await {
        Ok(inspection) => Ok(Json(inspection)),
        Err(DomainError::Unknown(domain)) => Err(unknown(domain)),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

impl Face {
    /// Whether a domain is the caller's business: one of its tenant, or below one.
    pub(super) fn owns(&self, caller: &Caller, domain: &Domain) -> bool {
        let Some(name) = &caller.tenant else { return caller.is_relay() };
        let tenant = self.store.tenants().tenant(name.as_str());
        tenant.is_some_and(|tenant| tenant.value.domains.iter().any(|own| domain.is_within(own)))
    }
}
