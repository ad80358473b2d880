//! `/v1/reports`: what others reported about mail in the names of our domains.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use baton_identity::reports::{BUCKET, Report};

use crate::Problem;
use crate::admin::AdminDeps;
use crate::filter::Fields;
use crate::wire::{ReportsPage, ReportsSent};

/// Reports of a page when the request does not say, and at most.
const REPORTS_DEFAULT: usize = 50;
const REPORTS_MAX: usize = 500;

/// `GET /v1/reports/{kind}`: reports of `dmarc` or `tls`, by domain and time, a page from `after` on.
pub(crate) async fn list(
    State(deps): State<AdminDeps>,
    Path(kind): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<ReportsPage>, Problem> {
    if !matches!(kind.as_str(), "dmarc" | "tls") {
        return Err(Problem::not_found(format!("there are reports of dmarc and tls, none of {kind}")));
    }
    let mut fields = Fields::new(query);
    let domain = fields.take::<baton_mail::Domain>("domain")?;
    let after = fields.take::<String>("after")?;
    let limit = fields.take::<usize>("limit")?.unwrap_or(REPORTS_DEFAULT).clamp(1, REPORTS_MAX);
    fields.finish(&["domain", "after", "limit"])?;
    let prefix = domain.map_or_else(|| format!("{kind}/"), |domain| format!("{kind}/{domain}/"));
    let unavailable = |error: baton_store::KvError| Problem::unavailable(error.to_string());
    let kv = deps.store.kv();
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

/// `POST /v1/reports/send`: sends our own reports about others at once.
pub(crate) async fn send(State(deps): State<AdminDeps>) -> Json<ReportsSent> {
    Json(ReportsSent { reports: (deps.send_reports)().await })
}
