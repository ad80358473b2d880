//! What handlers take out of a request, so that whatever is wrong with it is told with its field.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use baton_mail::tenant::Label;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::caller::Caller;
use crate::Problem;
use crate::filter::Fields;

/// Records that one page has when nobody says otherwise, and at most.
pub(crate) const PAGE_DEFAULT: usize = 100;
pub(crate) const PAGE_MAX: usize = 1_000;

/// A JSON body.
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Input<T>, Problem> {
        check_json(request.headers())?;
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| Problem::field("body", "did not come whole"))?;
        read_json(&body).map(Input)
    }
}

/// True when the body is said to be of that type, whatever its parameters.
pub(crate) fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let is_json = !headers.contains_key(header::CONTENT_TYPE) || is_of_type(headers, "application/json");
    if is_json {
        Ok(())
    } else {
        Err(Problem::unsupported("write JSON, with Content-Type: application/json"))
    }
}

/// Reads JSON; a mistake is told with the path of its field.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    // An array would be read as the members of an object in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::field("body", "is an array; an object is expected"));
    }
    if let Ok(read) = serde_json::from_slice(body) {
        return Ok(read);
    }
    // Only a mistake is worth the keeping of paths, which takes longer than the reading.
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, why) = (error.path().to_string(), error.inner().to_string());
        // The path of a field that is not known ends before it.
        let unknown =
            why.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
        let field = match (path.as_str(), unknown) {
            // `?` stands for a name that could not be read to its end.
            ("." | "?", None) => "body".to_owned(),
            (path, None) if path.ends_with(".?") => path.trim_end_matches(".?").to_owned(),
            (".", Some(name)) => name.to_owned(),
            (path, Some(name)) if !path.ends_with(name) => format!("{path}.{name}"),
            (path, _) => path.to_owned(),
        };
        let most = |text: &str| baton_mail::text::sanitize(text, 1_000);
        Problem::field(&most(&field), in_words_of_json(&most(&why)))
    })?;
    reader.end().map_err(|_| Problem::field("body", "has something behind its end"))?;
    Ok(read)
}

/// Serde's words for kinds of values in those of JSON (RFC 8259 3).
fn in_words_of_json(text: &str) -> String {
    let text = match text.split_once("expected struct ") {
        Some((before, rest)) => {
            let after = rest.split_once(' ').map(|(_, after)| format!(" {after}")).unwrap_or_default();
            format!("{before}expected an object{after}")
        }
        None => text.to_owned(),
    };
    [
        ("invalid type: map", "invalid type: object"),
        ("invalid type: sequence", "invalid type: array"),
        ("expected a sequence", "expected an array"),
        ("expected a map", "expected an object"),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to))
}

/// What stands in the path.
pub(crate) struct At<T>(pub(crate) T);

impl<T, S: Send + Sync> FromRequestParts<S> for At<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<At<T>, Problem> {
        let found = Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let found = found.map_err(|_| Problem::field("path", "is not in UTF-8"))?.0;
        // Routes with one place only use this.
        let Some((name, text)) = found.into_iter().next() else {
            return Err(Problem::not_found("no such path"));
        };
        let shown = baton_mail::text::sanitize(&text, 200);
        text.parse().map(At).map_err(|error| Problem::field(&name, format!("`{shown}`: {error}")))
    }
}

/// The fields of a query.
pub(crate) struct Params(pub(crate) Fields);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Params, Problem> {
        let read = Query::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let Query(fields) = read.map_err(|error| Problem::field("query", error.body_text()))?;
        Ok(Params(Fields::new(fields)))
    }
}

impl Params {
    /// A bound on the records of a page.
    pub(crate) fn take_limit(&mut self) -> Result<usize, Problem> {
        let limit = self.0.take::<usize>("limit")?.unwrap_or(PAGE_DEFAULT);
        match limit {
            1..=PAGE_MAX => Ok(limit),
            _ => Err(Problem::field("limit", format!("is a number from 1 to {PAGE_MAX}"))),
        }
    }
}

/// Whose things a request is about: the caller's, or those of whom an operator names. Its query says nothing else.
pub(crate) struct Whose {
    pub(crate) caller: Caller,
    /// None is the relay's own.
    pub(crate) tenant: Option<Label>,
}

/// The same, with what else the query says.
pub(crate) struct Asked {
    pub(crate) whose: Whose,
    pub(crate) params: Params,
}

impl Whose {
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_ref().map(Label::as_str)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let mut params = Params::from_request_parts(parts, state).await?;
        let tenant = caller.tenant_of(params.0.take::<Label>("tenant")?.as_ref())?;
        Ok(Asked { whose: Whose { caller, tenant }, params })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Whose {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Whose, Problem> {
        let Asked { whose, params } = Asked::from_request_parts(parts, state).await?;
        params.0.finish(&["tenant"])?;
        Ok(whose)
    }
}
