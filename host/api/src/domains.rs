//! `/v1/domains`: the domains to send from, and what the DNS says about them.

use axum::Json;
use axum::extract::{Path, State};
use baton_identity::domains::{DomainError, DomainRow, Inspection};
use baton_mail::Domain;

use crate::Problem;
use crate::admin::AdminDeps;

/// `GET /v1/domains`: the domains with their keys.
pub(crate) async fn list(State(deps): State<AdminDeps>) -> Result<Json<Vec<DomainRow>>, Problem> {
    let files = deps.inspector.domains().list().map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok(Json(files.into_iter().map(DomainRow::from).collect()))
}

/// `GET /v1/domains/{domain}`: what is right, missing or wrong, and the records to publish. It changes nothing: new keys
/// are taken into use by `baton domain check`.
pub(crate) async fn inspect(
    State(deps): State<AdminDeps>,
    Path(domain): Path<String>,
) -> Result<Json<Inspection>, Problem> {
    let domain: Domain =
        domain.parse().map_err(|error| Problem::field("domain", format!("`{domain}`: {error}")))?;
    match deps.inspector.inspect(&domain).await {
        Ok(inspection) => Ok(Json(inspection)),
        Err(error @ DomainError::Unknown(_)) => Err(Problem::not_found(error.to_string())),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}
