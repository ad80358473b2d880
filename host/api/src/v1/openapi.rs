//! `/v1/openapi.json`: all of this, for programs that write programs.

use axum::Json;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi as Document, RefOr, SecurityRequirement};

use super::route::{Need, Route};
use super::{audit, messages, streams, tenants, tokens, uploads};

/// The name of the way in which a token is shown.
const BEARER: &str = "token";

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/v1/openapi.json", Need::Nothing, show)]
}

#[derive(OpenApi)]
#[openapi(paths(show))]
struct Doc;

/// The whole API as an OpenAPI document.
pub(crate) fn document() -> Document {
    let mut document = Doc::openapi();
    document.info = InfoBuilder::new()
        .title("Baton")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Sends mail, and tells what became of it."))
        .build();
    let parts = [
        messages::Doc::openapi(),
        uploads::Doc::openapi(),
        tenants::Doc::openapi(),
        streams::Doc::openapi(),
        tokens::Doc::openapi(),
        audit::Doc::openapi(),
    ];
    for part in parts {
        document.merge(part);
    }
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `baton token add`: `Authorization: Bearer bt_…`"))
        .build();
    let components = document.components.take().unwrap_or_else(|| ComponentsBuilder::new().build());
    document.components = Some(
        ComponentsBuilder::from(components).security_scheme(BEARER, SecurityScheme::Http(scheme)).build(),
    );
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    for item in document.paths.paths.values_mut() {
        let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        all.into_iter().flatten().for_each(complete);
    }
    document
}

/// Gives an operation a name of its own, as programs make functions of them, and each answer its description.
fn complete(operation: &mut Operation) {
    let tag = operation.tags.as_ref().and_then(|tags| tags.first()).cloned().unwrap_or_default();
    let name = operation.operation_id.take().unwrap_or_default();
    // Each module has handlers of these names; all others tell what they are about themselves.
    let is_common = ["list", "add", "show", "change", "remove", "cancel"].contains(&name.as_str());
    operation.operation_id = Some(if is_common { format!("{name}_{tag}") } else { name });
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description =
                if status.starts_with('2') { "Done" } else { "Refused, and why" }.to_owned();
        }
    }
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "about", security(()),
    responses((status = 200, description = "The OpenAPI document", content_type = "application/json")))]
pub(super) async fn show() -> Response {
    let mut response = Json(document()).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::openapi::path::PathItem;

    use super::*;

    fn methods(item: &PathItem) -> Vec<&'static str> {
        let all = [
            ("GET", &item.get),
            ("PUT", &item.put),
            ("POST", &item.post),
            ("DELETE", &item.delete),
            ("PATCH", &item.patch),
        ];
        all.into_iter().filter(|(_, operation)| operation.is_some()).map(|(name, _)| name).collect()
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document = document();
        let told: BTreeSet<_> = document
            .paths
            .paths
            .iter()
            .flat_map(|(path, item)| methods(item).into_iter().map(move |name| format!("{name} {path}")))
            .collect();
        let routed: BTreeSet<_> =
            super::super::table().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(told, routed);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_answer_is_described() {
        let document = serde_json::to_value(document()).unwrap();
        let mut names = BTreeSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                assert!(names.insert(operation["operationId"].to_string()), "{operation}");
                for response in operation["responses"].as_object().unwrap().values() {
                    assert!(
                        response["description"].as_str().is_some_and(|text| !text.is_empty()),
                        "{operation}"
                    );
                }
            }
        }
    }
}
