//! `/v1/reports/mail`: what became of mail, in sums over time.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use baton_events::report::{Group, Report, ReportError, ReportQuery, Step};
use baton_mail::UnixMs;
use utoipa::OpenApi;

use super::Face;
use super::happened::take_moment;
use super::input::Params;
use super::route::Route;
use crate::Problem;
use crate::filter::Fields;
use crate::scope::Scope;

/// How far a report goes back when the request does not say: a day, in milliseconds.
const SINCE_DEFAULT_MS: u64 = 86_400_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/v1/reports/mail", baton_mail::tenant::Scope::Read, report_mail)]
}

#[derive(OpenApi)]
#[openapi(paths(report_mail))]
pub(super) struct Doc;

/// What became of mail: by whatever `by` names, of whatever is filtered for, as JSON or as a table. Filters have the names
/// of the groups.
#[utoipa::path(get, path = "/v1/reports/mail", tag = "reports",
    params(("since" = Option<String>, Query, description = "RFC 3339, or how long ago, such as `30d`; a day ago when it is not said"),
        ("until" = Option<String>, Query, description = "RFC 3339, or how long ago"),
        ("step" = Option<String>, Query, description = "`hour`, `day` or `none`"),
        ("by" = Option<String>, Query, description = "Groups, with commas between: tenant, stream, tag, domain, provider, source, template, reason"),
        ("tenant" = Option<String>, Query, description = "Operators only"), ("stream" = Option<String>, Query),
        ("tag" = Option<String>, Query), ("domain" = Option<String>, Query), ("provider" = Option<String>, Query),
        ("source" = Option<String>, Query), ("template" = Option<String>, Query), ("reason" = Option<String>, Query),
        ("limit" = Option<usize>, Query, description = "So many rows at most, the largest", minimum = 1),
        ("format" = Option<String>, Query, description = "`json` or `csv`")),
    responses((status = 200, description = "The sums", content((Report = "application/json"), (String = "text/csv")))))]
pub(super) async fn report_mail(
    State(face): State<Face>,
    scope: Scope,
    params: Params,
) -> Result<Response, Problem> {
    let mut fields = params.0;
    let is_csv = match fields.take::<String>("format")?.as_deref() {
        None | Some("json") => false,
        Some("csv") => true,
        Some(other) => return Err(Problem::field("format", format!("`{other}` is not json or csv"))),
    };
    let query = take_query(&mut fields, &scope, face.clock.now())?;
    let mut known = vec!["format", "since", "until", "step", "by", "limit"];
    known.extend(Group::ALL.iter().map(|group| group.as_str()));
    fields.finish(&known)?;
    let by = query.by.clone();
    let report = face.reports.answer(query).await.map_err(problem)?;
    if is_csv {
        return Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], report.to_csv(&by))
            .into_response());
    }
    Ok(Json(report).into_response())
}

fn take_query(fields: &mut Fields, scope: &Scope, now: UnixMs) -> Result<ReportQuery, Problem> {
    let since = take_moment(fields, "since", now)?;
    let until = take_moment(fields, "until", now)?;
    let step = match fields.take::<String>("step")?.as_deref() {
        None | Some("none") => None,
        Some("hour") => Some(Step::Hour),
        Some("day") => Some(Step::Day),
        Some(other) => return Err(Problem::field("step", format!("`{other}` is not hour, day or none"))),
    };
    let by = fields.take::<String>("by")?.unwrap_or_default();
    let read = |name: &str| {
        let known: Vec<&str> = Group::ALL.iter().map(|group| group.as_str()).collect();
        let found = Group::ALL.into_iter().find(|group| group.as_str() == name);
        found.ok_or_else(|| Problem::field("by", format!("`{name}` is none of {}", known.join(", "))))
    };
    let by =
        by.split(',').map(str::trim).filter(|name| !name.is_empty()).map(read).collect::<Result<_, _>>()?;
    let mut only = BTreeMap::new();
    for group in Group::ALL {
        let asked = fields.take::<String>(group.as_str())?;
        let wanted = match group {
            Group::Tenant => scope.tenant(asked)?,
            Group::Stream => scope.stream(asked)?,
            _ => asked,
        };
        only.extend(wanted.map(|wanted| (group, wanted)));
    }
    let until = until.unwrap_or(now);
    let since = since.unwrap_or(UnixMs(until.0.saturating_sub(SINCE_DEFAULT_MS)));
    let rows_max = fields.take::<usize>("limit")?;
    if rows_max == Some(0) {
        return Err(Problem::field("limit", "is 1 at least"));
    }
    Ok(ReportQuery { since, until, step, by, only, rows_max })
}

fn problem(error: ReportError) -> Problem {
    match error {
        ReportError::TooLong => Problem::field("since", error.to_string()),
        ReportError::Backwards => Problem::field("until", error.to_string()),
        ReportError::Apart(..) => Problem::field("by", error.to_string()),
        ReportError::Store(error) => Problem::unavailable(error.to_string()),
    }
}
