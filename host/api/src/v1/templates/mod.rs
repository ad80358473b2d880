//! `/v1/templates`: what messages are made from. Those of a tenant, or of the relay itself, and those that ship.

mod keeper;
mod pages;
mod rules;
mod wire;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use baton_content::template::lint::{data as sample_data, lint};
use baton_content::{Library, Template, TemplateName};
use baton_mail::tenant::{Label, Scope};
use serde_json::{Value, json};
use utoipa::OpenApi;

pub(super) use keeper::{Templates, template_problem};
pub use wire::{
    LintReport, Preview, PreviewRequest, TemplateChanged, TemplatePage, TemplateRow, TemplateView,
    VersionPage, VersionRow,
};

pub(super) use keeper::TEMPLATE;

use super::Face;
use super::audit::{self, Deed};
use super::caller::Caller;
use super::input::{At, Input, Params};
use super::route::{Need, Route};
use super::streams::check_tenant;
use crate::Problem;
use keeper::{read_name, ready_rows};
use wire::{LintRequest, TemplateSchema};

pub(super) fn routes() -> Vec<Route> {
    let scope = Scope::Templates;
    vec![
        Route::get("/v1/templates", scope, list),
        Route::get("/v1/templates/{template}", scope, show),
        Route::new(Method::PUT, "/v1/templates/{template}", Need::Scope(scope), put_template).large(),
        Route::new(Method::DELETE, "/v1/templates/{template}", Need::Scope(scope), remove),
        Route::get("/v1/templates/{template}/versions", scope, template_versions),
        Route::new(Method::POST, "/v1/templates/{template}/preview", Need::Scope(scope), preview_template)
            .large(),
        Route::get("/v1/previews/{preview}", scope, show_preview).public_only(),
        Route::new(Method::POST, "/v1/templates/{template}/lint", Need::Scope(scope), lint_template).large(),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(
    list,
    show,
    put_template,
    remove,
    template_versions,
    preview_template,
    show_preview,
    lint_template
))]
pub(super) struct Doc;

/// The templates of a tenant, or those that ship.
#[utoipa::path(get, path = "/v1/templates", tag = "templates",
    params(("tenant" = Option<String>, Query, description = "Whose; operators only, and none is the relay's own"),
        ("ready" = Option<bool>, Query, description = "Those that ship, which everybody can use, extend and copy"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = TemplatePage), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(face): State<Face>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<TemplatePage>, Problem> {
    let tenant = caller.tenant_of(params.0.take::<Label>("tenant")?.as_ref())?;
    let is_ready = params.0.take::<bool>("ready")?.unwrap_or(false);
    let (after, limit) = (params.0.take::<TemplateName>("after")?, params.take_limit()?);
    params.0.finish(&["tenant", "ready", "after", "limit"])?;
    if is_ready {
        return Ok(Json(TemplatePage { templates: ready_rows(), next: None }));
    }
    face.templates().list(text(&tenant), after, limit).await.map(Json)
}

/// One template with its sources.
#[utoipa::path(get, path = "/v1/templates/{template}", tag = "templates",
    params(("template" = String, Path, description = "Its name, or `ready%2FNAME`"),
        ("tenant" = Option<String>, Query, description = "Whose; operators only"),
        ("version" = Option<u32>, Query, description = "Without it the newest")),
    responses((status = 200, body = TemplateView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<String>,
    mut params: Params,
) -> Result<Json<TemplateView>, Problem> {
    let tenant = caller.tenant_of(params.0.take::<Label>("tenant")?.as_ref())?;
    let version = params.0.take::<u32>("version")?;
    params.0.finish(&["tenant", "version"])?;
    face.templates().get(text(&tenant), &name, version).await.map(Json)
}

/// Makes a template, or a new version of one. The versions before stay, as many as `templates.versions_kept` says.
#[utoipa::path(put, path = "/v1/templates/{template}", tag = "templates", request_body = TemplateSchema,
    params(("template" = String, Path, description = "Its name: lower case letters, digits, hyphens"),
        ("tenant" = Option<String>, Query, description = "Whose; operators only"),
        ("If-Match" = Option<String>, Header, description = "Only if this is the newest version, such as `\"3\"`; `\"0\"` if there must be none")),
    responses((status = 200, body = TemplateChanged, description = "A new version"),
        (status = 201, body = TemplateChanged, description = "Its first version"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn put_template(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<String>,
    params: Params,
    headers: HeaderMap,
    Input(template): Input<Template>,
) -> Result<(StatusCode, Json<TemplateChanged>), Problem> {
    let tenant = only_tenant(&caller, params)?;
    check_may_change(&caller)?;
    check_tenant(&face, tenant.as_ref())?;
    check_sample(&template)?;
    let (name, expected) = (read_name(&name)?, expected(&headers)?);
    let octets = template.source_octets();
    let deed = Deed {
        action: "template.put",
        tenant: tenant.as_ref(),
        target: name.as_str(),
        change: json!({ "octets": octets, "description": template.description }),
    };
    let beside = audit::lines(&face, &caller, deed)?;
    let kept = face.templates().put(text(&tenant), &name, template.clone(), expected, beside).await?;
    let (version, library) = kept;
    let shown = name.to_string();
    let rules = rules::rules_of(&face, &caller, tenant.as_ref(), None, &template).await?;
    let findings = blocking(move || lint(&library, name.as_str(), &template, &rules)).await?;
    let status = if version == 1 { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(TemplateChanged { name: shown, version, findings })))
}

/// Forgets a template with all its versions; the answer is what it was.
#[utoipa::path(delete, path = "/v1/templates/{template}", tag = "templates",
    params(("template" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = TemplateView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<String>,
    params: Params,
) -> Result<Json<TemplateView>, Problem> {
    let tenant = only_tenant(&caller, params)?;
    check_may_change(&caller)?;
    let name = read_name(&name)?;
    let was = face.templates().get(text(&tenant), name.as_str(), None).await?;
    let deed = Deed {
        action: "template.remove",
        tenant: tenant.as_ref(),
        target: name.as_str(),
        change: Value::Null,
    };
    let beside = audit::lines(&face, &caller, deed)?;
    face.templates().remove(text(&tenant), &name, beside).await?;
    Ok(Json(was))
}

/// The versions that are kept.
#[utoipa::path(get, path = "/v1/templates/{template}/versions", tag = "templates",
    params(("template" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = VersionPage), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn template_versions(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<String>,
    params: Params,
) -> Result<Json<VersionPage>, Problem> {
    let tenant = only_tenant(&caller, params)?;
    face.templates().versions(text(&tenant), &read_name(&name)?).await.map(Json)
}

/// Renders a template with these data, or with its own sample. Nothing is sent.
#[utoipa::path(post, path = "/v1/templates/{template}/preview", tag = "templates", request_body = PreviewRequest,
    params(("template" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = Preview), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn preview_template(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<String>,
    params: Params,
    Input(request): Input<PreviewRequest>,
) -> Result<Json<Preview>, Problem> {
    let tenant = only_tenant(&caller, params)?;
    let is_page = request.page;
    let (library, template) = asked(&face, text(&tenant), &name, request).await?;
    let made = move || {
        let rendered = library.render(&name, &sample_data(&template, template.bulk))?;
        Ok((rendered, library.variables(&name)))
    };
    let made = blocking(made).await?.map_err(|error| template_problem(&error));
    let (baton_content::Rendered { subject, html, text }, variables) = made?;
    let page = html.clone().filter(|_| is_page);
    let bounds = face.settings().templates;
    let keep = |html| face.templates().pages.keep(&caller.name(), html, &bounds, face.clock.now());
    let page = page.map(keep).transpose()?.map(|id| format!("/v1/previews/{id}"));
    Ok(Json(Preview { subject, html, text, page, variables }))
}

/// A page that a preview has made, for whoever asked for it. It runs no scripts and loads nothing.
#[utoipa::path(get, path = "/v1/previews/{preview}", tag = "templates",
    params(("preview" = String, Path, description = "As `page` of the preview names it")),
    responses((status = 200, description = "The page", content_type = "text/html"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show_preview(
    State(face): State<Face>,
    caller: Caller,
    At(id): At<String>,
) -> Result<Response, Problem> {
    let found = face.templates().pages.find(&id, &caller.name(), face.clock.now());
    found.ok_or_else(|| Problem::not_found("there is no such preview; it may be over: render it again"))
}

/// Says what is wrong with a template: missing variables, unclosed tags, no way to unsubscribe, no postal address where the
/// stream asks for one …
#[utoipa::path(post, path = "/v1/templates/{template}/lint", tag = "templates", request_body = LintRequest,
    params(("template" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = LintReport), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn lint_template(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<String>,
    params: Params,
    Input(request): Input<LintRequest>,
) -> Result<Json<LintReport>, Problem> {
    let tenant = only_tenant(&caller, params)?;
    let LintRequest { data, version, template, stream } = request;
    let (library, template) =
        asked(&face, text(&tenant), &name, PreviewRequest { data, version, template, page: false }).await?;
    let rules = rules::rules_of(&face, &caller, tenant.as_ref(), stream.as_ref(), &template).await?;
    let findings = blocking(move || lint(&library, &name, &template, &rules)).await?;
    Ok(Json(LintReport { findings }))
}

/// The template that a request is about, with the data as its sample, among the others of its owner.
async fn asked(
    face: &Face,
    tenant: Option<&str>,
    name: &str,
    request: PreviewRequest,
) -> Result<(Arc<Library>, Template), Problem> {
    let PreviewRequest { data, version, template, page: _ } = request;
    let (library, mut template) = match template {
        Some(template) => {
            check_sample(&template)?;
            let mut library = face.templates().all_compiled(tenant).await?;
            library.put(&read_name(name)?, &template).map_err(|error| template_problem(&error))?;
            (Arc::new(library), template)
        }
        None => {
            let template = face.templates().get(tenant, name, version).await?.template;
            (face.templates().find(tenant, name, version).await?.library, template)
        }
    };
    if let Some(data) = data {
        template.sample = Value::Object(data);
    }
    Ok((library, template))
}

fn text(tenant: &Option<Label>) -> Option<&str> {
    tenant.as_ref().map(Label::as_str)
}

/// The tenant of a request that has no other parameters.
fn only_tenant(caller: &Caller, mut params: Params) -> Result<Option<Label>, Problem> {
    let tenant = caller.tenant_of(params.0.take::<Label>("tenant")?.as_ref())?;
    params.0.finish(&["tenant"])?;
    Ok(tenant)
}

/// Templates are the tenant's: whoever is bound to one stream uses them, and changes nothing for the others.
fn check_may_change(caller: &Caller) -> Result<(), Problem> {
    match &caller.stream {
        Some(own) => Err(Problem::forbidden(format!(
            "templates are for all streams, and this token is for the stream `{own}` only"
        ))),
        None => Ok(()),
    }
}

fn check_sample(template: &Template) -> Result<(), Problem> {
    let is_fit = template.sample.is_null() || template.sample.is_object();
    if is_fit { Ok(()) } else { Err(Problem::field("sample", "is an object: names and values")) }
}

/// Within its bounds a template may take longer than a worker of the runtime may be held.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::unavailable(error.to_string()))
}

/// The version in `If-Match`, as an entity tag (RFC 9110 13.1.1).
fn expected(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse().ok());
    number
        .map(Some)
        .ok_or_else(|| Problem::field("If-Match", "is the number of a version in quotes, such as \"3\""))
}
