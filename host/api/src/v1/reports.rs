//! `/v1/reports`: what others reported about mail in the names of our domains.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_identity::reports::{BUCKET, Report};
use baton_mail::Domain;
use baton_mail::tenant::Scope;
use utoipa::OpenApi;

use super::Face;
use super::audit::{self, Deed};
use super::caller::Caller;
use super::input::{At, Params};
use super::route::{Need, Route};
use crate::Problem;
use crate::wire::{ReportsPage, ReportsSent};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/reports/{kind}", Scope::Read, list),
        Route::new(Method::POST, "/v1/reports/send", Need::Run, send_reports),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, send_reports))]
pub(super) struct Doc;

/// Reports of a page when the request does not say, and at most.
const REPORTS_DEFAULT: usize = 50;
const REPORTS_MAX: usize = 500;

/// Reports of `dmarc` or `tls` that others sent, by domain and time.
#[utoipa::path(get, path = "/v1/reports/{kind}", tag = "domain reports",
    params(("kind" = String, Path, description = "`dmarc` or `tls`"),
        ("domain" = Option<String>, Query, description = "About this domain; those with a token of a tenant name one of its own"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, body = ReportsPage)))]
pub(super) async fn list(
    State(face): State<Face>,
    caller: Caller,
    At(kind): At<String>,
    params: Params,
) -> Result<Json<ReportsPage>, Problem> {
    if !matches!(kind.as_str(), "dmarc" | "tls") {
        return Err(Problem::not_found("there are reports of dmarc and tls, and of mail"));
    }
    let mut fields = params.0;
    let domain = fields.take::<Domain>("domain")?;
    let after = fields.take::<String>("after")?;
    let limit = fields.take::<usize>("limit")?.unwrap_or(REPORTS_DEFAULT).clamp(1, REPORTS_MAX);
    fields.finish(&["domain", "after", "limit"])?;
    match &domain {
        None if !caller.is_relay() => return Err(Problem::field("domain", "is missing: name one of yours")),
        Some(domain) if !face.owns(&caller, domain) => {
            return Err(Problem::not_found(format!("{domain} is not one of yours")));
        }
        _ => {}
    }
    let prefix = domain.map_or_else(|| format!("{kind}/"), |domain| format!("{kind}/{domain}/"));
    let unavailable = |error: baton_store::KvError| Problem::unavailable(error.to_string());
    let kv = face.store.kv();
    let page = kv.scan(BUCKET, &prefix, after.as_deref(), limit).await.map_err(unavailable)?;
    let mut reports = Vec::with_capacity(page.keys.len());
    for key in &page.keys {
        let Some(text) = kv.get(BUCKET, key).await.map_err(unavailable)? else { continue };
        match serde_json::from_slice::<Report>(&text) {
            Ok(report) => reports.push(report),
            // Of a later version of the relay, perhaps.
            Err(error) => tracing::warn!(target: "api", key, %error, "a kept report is not understood"),
        }
    }
    Ok(Json(ReportsPage { reports, next: page.cursor }))
}

/// Sends our own reports about others at once.
#[utoipa::path(post, path = "/v1/reports/send", tag = "domain reports", responses((status = 200, body = ReportsSent)))]
pub(super) async fn send_reports(
    State(face): State<Face>,
    caller: Caller,
) -> Result<Json<ReportsSent>, Problem> {
    let deed =
        Deed { action: "reports.send", tenant: None, target: "reports", change: serde_json::Value::Null };
    audit::note(&face, &caller, deed).await?;
    Ok(Json(ReportsSent { reports: (face.send_reports)().await }))
}
