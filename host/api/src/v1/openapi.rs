//! `/v1/openapi.json`: all of this, for programs that write programs.

use axum::Json;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder,
    SecurityRequirement,
};

use super::route::{Need, Route};
use crate::Problem;

/// The name of the way in which a token is shown.
const BEARER: &str = "token";

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/v1/openapi.json", Need::Nothing, show)]
}

#[derive(OpenApi)]
#[openapi(paths(show), components(schemas(Problem)))]
pub(super) struct Doc;

/// The whole API as an OpenAPI document.
pub(crate) fn document() -> Document {
    let mut document = Document::default();
    document.info = InfoBuilder::new()
        .title("Baton")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Sends mail, and tells what became of it."))
        .build();
    let mut routes = Vec::new();
    for (of_part, told) in super::parts() {
        routes.extend(of_part);
        document.merge(told);
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
    for route in &routes {
        let item = document.paths.paths.get_mut(route.path);
        if let Some(operation) = item.and_then(|item| operation_of(item, &route.method)) {
            complete(operation, route.need);
        }
    }
    document
}

/// The names that the query of a route may have: those that the document tells.
pub(super) fn query_of(document: &Document, route: &Route) -> Vec<String> {
    let item = document.paths.paths.get(route.path).cloned();
    let operation = item.and_then(|mut item| operation_of(&mut item, &route.method).cloned());
    let told = operation.and_then(|operation| operation.parameters).unwrap_or_default();
    let name = |parameter: RefOr<Parameter>| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name),
        _ => None,
    };
    told.into_iter().filter_map(name).collect()
}

fn operation_of<'a>(item: &'a mut PathItem, method: &Method) -> Option<&'a mut Operation> {
    match *method {
        Method::GET => item.get.as_mut(),
        Method::PUT => item.put.as_mut(),
        Method::POST => item.post.as_mut(),
        Method::PATCH => item.patch.as_mut(),
        Method::DELETE => item.delete.as_mut(),
        _ => None,
    }
}

/// Gives an operation a name of its own, as programs make functions of them, each answer its description, and says what
/// every operation has in common: who may ask (`x-scope`), and how it is refused.
fn complete(operation: &mut Operation, need: Need) {
    let (scope, who) = match need {
        Need::Nothing => ("none".to_owned(), "Needs no token.".to_owned()),
        Need::Scope(scope) => (scope.to_string(), format!("Needs the scope `{scope}`.")),
        Need::Run | Need::Relay => {
            ("operator".to_owned(), "For operators: needs the scope `admin`, of no tenant.".to_owned())
        }
    };
    operation.description =
        Some([operation.description.take().unwrap_or_default(), who].join("\n\n").trim().to_owned());
    operation.extensions.get_or_insert_default().insert("x-scope".to_owned(), scope.into());
    let refused = || {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().content("application/problem+json", content);
        RefOr::T(response.description("Refused, and why").build())
    };
    for status in ["4XX", "5XX"] {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(refused);
    }
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
