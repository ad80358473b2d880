//! The guard before each route: who asks, whether it may, how often, and how much it sends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use baton_mail::MessageId;
use baton_mail::operator::Role;
use baton_mail::tenant::{Scope, Token};

use super::body::{self, Bounds};
use super::caller::{Caller, Who};
use super::client::{Peer, client};
use super::pace::Standing;
use super::route::{Bodies, Need, Route};
use super::{Face, sessions, tokens};
use crate::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Octets of a small body at most.
const SMALL_OCTETS_MAX: usize = 64 << 10;

/// Stands before one route.
#[derive(Clone)]
pub(super) struct Guard {
    face: Face,
    method: Method,
    path: &'static str,
    need: Need,
    body: Bodies,
    /// The names that a query may have.
    query: Arc<[String]>,
    /// Whoever asks is the operator: the way itself is the proof.
    is_operators: bool,
}

impl Guard {
    /// Lets in whoever shows a token that has what the route needs.
    pub(super) fn tokens(face: &Face, route: &Route, query: Vec<String>) -> Guard {
        let (face, query) = (face.clone(), query.into());
        Guard {
            face,
            method: route.method.clone(),
            path: route.path,
            need: route.need,
            body: route.body,
            query,
            is_operators: false,
        }
    }

    /// Lets in everybody, as the operator.
    pub(super) fn operator(face: &Face, route: &Route, query: Vec<String>) -> Guard {
        Guard { is_operators: true, ..Guard::tokens(face, route, query) }
    }

    /// The handler behind the guard.
    pub(super) fn over(self, handler: MethodRouter<Face>) -> MethodRouter<Face> {
        handler.layer(from_fn_with_state(self, stand))
    }
}

async fn stand(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let name: Arc<str> = format!("req-{}", MessageId::new(guard.face.clock.now())).into();
    let (mut parts, body) = request.into_parts();
    let caller = guard.identify(&parts, &name).await;
    let who = caller.as_ref().map_or(Who::Nobody, |(caller, _)| caller.who.clone());
    let (result, standing) = match caller {
        Ok((caller, limit)) => {
            let standing = limit.map(|limit| guard.pace(&caller, limit));
            match standing.filter(|standing| standing.retry_s.is_some()) {
                Some(_) => (Err(Problem::too_many("you ask too often; see Retry-After")), standing),
                None => {
                    parts.extensions.insert(caller);
                    (guard.pass(Request::from_parts(parts, body), next).await, standing)
                }
            }
        }
        Err(problem) => (Err(problem), None),
    };
    let mut response = result.unwrap_or_else(IntoResponse::into_response);
    decorate(response.headers_mut(), &name, standing);
    let status = response.status();
    tracing::debug!(target: "api", request = %name, method = %guard.method, path = guard.path, status = status.as_u16(), by = %who, "answered");
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"baton\""));
    }
    response
}

/// The fields that every answer has.
fn decorate(headers: &mut HeaderMap, name: &str, standing: Option<Standing>) {
    headers.insert(REQUEST_ID, HeaderValue::try_from(name).expect("an id is letters, digits and a hyphen"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(standing) = standing {
        standing.tell(headers);
    }
}

impl Guard {
    /// Who asks, and how often it may within a minute; or why it may not.
    async fn identify(&self, request: &Parts, name: &Arc<str>) -> Result<(Caller, Option<u32>), Problem> {
        let peer = request.extensions.get::<Peer>();
        let address = peer.map_or(([127, 0, 0, 1], 0).into(), |peer| peer.address);
        let client = client(address, &request.headers, &self.face.settings().trusted_networks);
        let unknown = |who| Caller {
            who,
            tenant: None,
            stream: None,
            client,
            tls: peer.and_then(|peer| peer.tls.clone()),
            request: Arc::clone(name),
        };
        if self.is_operators {
            return Ok((unknown(Who::Operator), None));
        }
        if self.need == Need::Nothing {
            return Ok((unknown(Who::Nobody), None));
        }
        let limit = self.face.settings().requests_per_minute;
        if sessions::is_shown(&request.headers) {
            let person = sessions::judge(&self.face, &request.method, &request.headers).await?;
            let who = Who::Person(person.name.as_str().into());
            let caller = Caller { tenant: person.operator.tenant, ..unknown(who) };
            check_role(self.need, &self.method, person.operator.role, &caller)?;
            return Ok((caller, Some(limit)));
        }
        let (id, row) = tokens::judge(&self.face, &request.headers, client.ip())?;
        let token = &row.value;
        let caller =
            Caller { tenant: token.tenant.clone(), stream: token.stream.clone(), ..unknown(Who::Token(id)) };
        check_need(self.need, token, &caller)?;
        Ok((caller, Some(token.requests_per_minute.unwrap_or(limit))))
    }

    /// Counts the request against who asks.
    fn pace(&self, caller: &Caller, limit: u32) -> Standing {
        let id = match &caller.who {
            Who::Token(id) => Arc::clone(id),
            _ => caller.name().into(),
        };
        self.face.0.pace.take(&id, limit)
    }

    /// Refuses what no handler would read: a mistyped name must never widen what is meant.
    fn check_query(&self, uri: &Uri) -> Result<(), Problem> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(());
        }
        let Query(fields) = Query::<BTreeMap<String, String>>::try_from_uri(uri)
            .map_err(|error| Problem::field("query", error.body_text()))?;
        match fields.keys().find(|name| !self.query.contains(*name)) {
            None => Ok(()),
            Some(name) => {
                let name = baton_mail::text::sanitize(name, 100);
                let known = self.query.join(", ");
                Err(Problem::field(&name, format!("there is no such field; known are {known}")))
            }
        }
    }

    /// Reads the body and lets the request through.
    async fn pass(&self, request: Request, next: Next) -> Result<Response, Problem> {
        self.check_query(request.uri())?;
        let (mut parts, body) = request.into_parts();
        let settings = self.face.settings();
        let patience = Duration::from_secs(settings.request_s);
        let octets_max = match self.body {
            Bodies::Small => SMALL_OCTETS_MAX,
            Bodies::Large => settings.body_octets_max,
            Bodies::Streamed => {
                let body = body::paced(body, &parts.headers, patience)?;
                drop(settings);
                return Ok(next.run(Request::from_parts(parts, body)).await);
            }
        };
        let bounds = Bounds { octets_max, memory_octets_max: settings.memory_octets_max, patience };
        drop(settings);
        let (octets, held) = body::read(body, &parts.headers, &self.face.0.memory, bounds).await?;
        parts.headers.remove(header::CONTENT_ENCODING);
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts.headers.insert(header::CONTENT_LENGTH, octets.len().into());
        let response = next.run(Request::from_parts(parts, Body::from(octets))).await;
        drop(held);
        Ok(response)
    }
}

fn check_need(need: Need, token: &Token, caller: &Caller) -> Result<(), Problem> {
    match need {
        Need::Nothing => Ok(()),
        Need::Scope(scope) if token.may(scope) => Ok(()),
        Need::Scope(scope) => Err(Problem::forbidden(format!("this needs a token with the scope `{scope}`"))),
        Need::Run | Need::Relay if caller.is_relay() && token.may(Scope::Admin) => Ok(()),
        Need::Run | Need::Relay => Err(Problem::forbidden("this is for operators of the relay")),
    }
}

/// What a role has of the same.
fn check_role(need: Need, method: &Method, role: Role, caller: &Caller) -> Result<(), Problem> {
    match need {
        Need::Nothing => Ok(()),
        Need::Scope(scope) if role.may(scope) => Ok(()),
        Need::Scope(scope) => Err(Problem::forbidden(format!("a {role} does not have the scope `{scope}`"))),
        Need::Run if caller.is_relay() && (method.is_safe() || role >= Role::Operator) => Ok(()),
        Need::Relay if caller.is_relay() && role == Role::Admin => Ok(()),
        Need::Run | Need::Relay => Err(Problem::forbidden("this is for operators of the relay")),
    }
}
