//! `/console`: pages for operators. They are in the program, ask nobody else for anything, and do all they do by `/v1`.
//!
//! Invariant: no page has a script or a style of its own in it, and none runs or loads what does not come from here.

mod assets;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::Problem;
use crate::v1::Face;
use assets::{ASSETS, Asset, INDEX, VERSION};

/// What a page may do: load scripts, styles and pictures from here and ask here, show previews of templates, and nothing else.
/// Text never becomes a part of the page unread (Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What every answer says besides.
const FIELDS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The pages.
pub(crate) fn router() -> Router<Face> {
    Router::new()
        .route("/", get(home))
        .route("/console", get(home))
        .route("/console/", get(page))
        .route("/console/{*page}", get(page))
        .route("/console/assets/{version}/{*name}", get(asset))
}

async fn home(State(face): State<Face>) -> Response {
    check(&face).map(|()| Redirect::temporary("/console/")).into_response()
}

/// One document for all pages: which of them is shown, its script reads from the address.
async fn page(State(face): State<Face>) -> Result<Response, Problem> {
    check(&face)?;
    let fields = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    Ok(protected((fields, INDEX.as_str()).into_response()))
}

async fn asset(
    State(face): State<Face>,
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check(&face)?;
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let asset = found.ok_or_else(|| Problem::not_found("the console has no such file"))?;
    // A page of before an update asks for what it knew; what it gets is not to be kept under that name.
    let keep = if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-store" };
    Ok(protected(send(asset, keep, &headers)))
}

fn send(asset: &Asset, keep: &'static str, headers: &HeaderMap) -> Response {
    let fields = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, keep),
        (header::VARY, "accept-encoding"),
    ];
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.split(',').any(|one| one.trim() == "gzip")) {
        return (fields, [(header::CONTENT_ENCODING, "gzip")], asset.packed()).into_response();
    }
    (fields, asset.octets).into_response()
}

fn protected(mut response: Response) -> Response {
    for (name, value) in FIELDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn check(face: &Face) -> Result<(), Problem> {
    if face.has_console() {
        Ok(())
    } else {
        Err(Problem::not_found("the console is off: api.console.enabled"))
    }
}
