//! `/v1/session`: operators log in by a password, and their browser shows a cookie from then on.
//!
//! Invariant: what a cookie holds is kept as its hash only, in memory; a restart ends all sessions.
//! Invariant: a session is worth nothing once its operator was changed in any way.
//! Invariant: a request with a cookie that could change something shows the session's second secret, which no other site can
//! know, and what another site makes a browser ask is not answered at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_mail::UnixMs;
use baton_mail::operator::{Operator, Role};
use baton_mail::tenant::{Label, Scope};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::audit::{self, Deed, catalog_problem};
use super::caller::{Caller, Who};
use super::client::Peer;
use super::input::Input;
use super::operators::{self, RoleSchema};
use super::route::{Need, Route};
use super::tokens::ScopeSchema;
use super::{ConsoleSettings, Face};
use crate::Problem;

/// Octets of chance in a cookie, and in the secret beside it.
const CHANCE_OCTETS: usize = 32;
/// Sessions of one operator at once; the oldest ends.
const PER_OPERATOR_MAX: usize = 16;
/// The cookie's name over TLS: browsers take it from this host by TLS only (RFC 6265bis 4.1.3.2).
const COOKIE_TLS: &str = "__Host-baton";
/// The cookie's name without TLS, which there is on loopback only.
const COOKIE_PLAIN: &str = "baton";
/// Where pages show the session's second secret.
const CSRF_HEADER: &str = "x-csrf-token";
/// What stands before an operator's name where failures are counted, which none of an account's has.
const COUNTED_AS: &str = "console:";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/v1/session", Need::Nothing, log_in).public_only(),
        Route::new(Method::GET, "/v1/session", Need::Nothing, show_session).public_only(),
        Route::new(Method::DELETE, "/v1/session", Need::Nothing, log_out).public_only(),
        Route::new(Method::PUT, "/v1/session/password", Need::Nothing, change_password).public_only(),
        Route::new(Method::DELETE, "/v1/sessions", Need::Nothing, end_sessions).public_only(),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(log_in, show_session, log_out, change_password, end_sessions))]
pub(super) struct Doc;

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

/// One session.
#[derive(Clone)]
struct Session {
    operator: Label,
    /// The version of the operator's record when it logged in.
    version: u64,
    csrf: Arc<str>,
    begun: UnixMs,
    used: UnixMs,
}

/// Who asks by a session.
pub(super) struct Person {
    pub(super) name: Label,
    pub(super) operator: Operator,
}

/// A name and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    /// The operator.
    name: String,
    /// Its password.
    password: String,
}

/// Another password for who asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    /// The password of now.
    old: String,
    /// The one from now on: 12 characters or more.
    new: String,
}

/// A session as its pages see it.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionRow {
    /// The operator.
    #[schema(value_type = String)]
    name: Label,
    /// What it may do.
    #[schema(value_type = RoleSchema)]
    role: Role,
    /// The only tenant that it sees; none sees all of the relay.
    #[schema(value_type = Option<String>)]
    tenant: Option<Label>,
    /// The same as scopes of tokens.
    #[schema(value_type = Vec<ScopeSchema>)]
    scopes: Vec<Scope>,
    /// Changes show this in `X-CSRF-Token`.
    csrf: String,
    /// When it ends at the latest, in milliseconds since 1970.
    #[schema(value_type = u64)]
    ends_at: UnixMs,
}

impl Sessions {
    /// A new session: what its cookie holds, and itself.
    fn begin(
        &self,
        operator: Label,
        version: u64,
        bounds: &ConsoleSettings,
        now: UnixMs,
    ) -> Result<(String, Session), Problem> {
        let (cookie, csrf) = (chance()?, chance()?.into());
        let session = Session { operator, version, csrf, begun: now, used: now };
        let mut sessions = self.0.lock();
        let own = sessions.values().filter(|other| other.operator == session.operator).count();
        if own >= PER_OPERATOR_MAX {
            drop_oldest(&mut sessions, |other| other.operator == session.operator);
        }
        if sessions.len() >= bounds.sessions_max {
            sessions.retain(|_, session| session.lives(bounds, now));
        }
        if sessions.len() >= bounds.sessions_max {
            drop_oldest(&mut sessions, |_| true);
        }
        sessions.insert(hash_of(&cookie), session.clone());
        Ok((cookie, session))
    }

    /// The session of a cookie, which it is used by.
    fn use_by(&self, cookie: &str, bounds: &ConsoleSettings, now: UnixMs) -> Option<Session> {
        let hash = hash_of(cookie);
        let mut sessions = self.0.lock();
        let session = sessions.get_mut(&hash)?;
        if !session.lives(bounds, now) {
            sessions.remove(&hash);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    fn end(&self, cookie: &str) {
        self.0.lock().remove(&hash_of(cookie));
    }

    fn end_all(&self, operator: &Label) {
        self.0.lock().retain(|_, session| session.operator != *operator);
    }
}

impl Session {
    fn lives(&self, bounds: &ConsoleSettings, now: UnixMs) -> bool {
        now < self.ends_at(bounds) && now.since(self.used) < Duration::from_secs(bounds.idle_s)
    }

    fn ends_at(&self, bounds: &ConsoleSettings) -> UnixMs {
        self.begun.plus(Duration::from_secs(bounds.session_s))
    }

    fn row(&self, operator: &Operator, bounds: &ConsoleSettings) -> SessionRow {
        SessionRow {
            name: self.operator.clone(),
            role: operator.role,
            tenant: operator.tenant.clone(),
            scopes: Scope::ALL.into_iter().filter(|scope| operator.role.may(*scope)).collect(),
            csrf: self.csrf.to_string(),
            ends_at: self.ends_at(bounds),
        }
    }
}

fn drop_oldest(sessions: &mut HashMap<[u8; 32], Session>, among: impl Fn(&Session) -> bool) {
    let oldest =
        sessions.iter().filter(|(_, session)| among(session)).min_by_key(|(_, session)| session.used);
    if let Some(hash) = oldest.map(|(hash, _)| *hash) {
        sessions.remove(&hash);
    }
}

/// True when a request shows a cookie of ours and no token.
pub(super) fn is_shown(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::AUTHORIZATION) && cookie(headers).is_some()
}

/// Finds the session that a request shows, and judges whether it may be used so. Who shows none that may, learns no more
/// than that.
pub(super) async fn judge(face: &Face, method: &Method, headers: &HeaderMap) -> Result<Person, Problem> {
    let (session, operator) = find(face, headers).await?;
    check_site(headers)?;
    if !method.is_safe() {
        let shown = headers.get(CSRF_HEADER).map_or(&b""[..], HeaderValue::as_bytes);
        verify_slices_are_equal(session.csrf.as_bytes(), shown).map_err(|_| {
            Problem::forbidden("a change by a session shows its secret in X-CSRF-Token; load the page again")
        })?;
    }
    Ok(Person { name: session.operator, operator })
}

async fn find(face: &Face, headers: &HeaderMap) -> Result<(Session, Operator), Problem> {
    let over = || Problem::unauthorized("the session is over; log in again");
    let cookie = cookie(headers).ok_or_else(over)?;
    let bounds = face.settings().console.clone();
    let session = face.0.sessions.use_by(cookie, &bounds, face.clock.now()).ok_or_else(over)?;
    let known = operators::known(face, &session.operator).await?;
    let is_same = |(operator, version): &(Operator, u64)| *version == session.version && !operator.disabled;
    match known.filter(is_same) {
        Some((operator, _)) => Ok((session, operator)),
        None => {
            face.0.sessions.end(cookie);
            Err(over())
        }
    }
}

/// Refuses what another site made a browser ask (Fetch Metadata). Programs do not send the field.
fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    match site {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Problem::forbidden("this is for pages of the relay only")),
    }
}

/// Logs an operator in: the session is in the answer's cookie.
#[utoipa::path(post, path = "/v1/session", tag = "session", request_body = LogIn, security(()),
    responses((status = 200, body = SessionRow), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn log_in(
    State(face): State<Face>,
    Extension(peer): Extension<Peer>,
    caller: Caller,
    headers: HeaderMap,
    Input(asked): Input<LogIn>,
) -> Result<Response, Problem> {
    check_site(&headers)?;
    if !face.has_console() {
        return Err(Problem::not_found("the console is off: api.console.enabled"));
    }
    let (name, operator, version) = check_password(&face, &caller, &asked).await?;
    let response = open(&face, &peer, &headers, (&name, &operator, version))?;
    tell(&face, &caller, "session.open", &name, &operator).await?;
    Ok(response)
}

/// Begins a session of an operator, whose record has that version; its cookie is in the answer.
fn open(
    face: &Face,
    peer: &Peer,
    headers: &HeaderMap,
    (name, operator, version): (&Label, &Operator, u64),
) -> Result<Response, Problem> {
    let bounds = face.settings().console.clone();
    let (cookie, session) = face.0.sessions.begin(name.clone(), version, &bounds, face.clock.now())?;
    let row = session.row(operator, &bounds);
    let is_protected = peer.is_protected(headers, &face.settings().trusted_networks);
    let set = set_cookie(&cookie, bounds.session_s, is_protected)?;
    Ok(([(header::SET_COOKIE, set)], Json(row)).into_response())
}

/// Changes the password of whoever asks. All its sessions end; the answer's cookie is one that goes on.
#[utoipa::path(put, path = "/v1/session/password", tag = "session", request_body = PasswordChange, security(()),
    responses((status = 200, body = SessionRow), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn change_password(
    State(face): State<Face>,
    Extension(peer): Extension<Peer>,
    caller: Caller,
    headers: HeaderMap,
    Input(asked): Input<PasswordChange>,
) -> Result<Response, Problem> {
    let Person { name, .. } = judge(&face, &Method::PUT, &headers).await?;
    let shown = LogIn { name: name.to_string(), password: asked.old };
    let checked = check_password(&face, &caller, &shown).await.map_err(|problem| match problem.status {
        401 => Problem::unfit("old", "is not your password"),
        _ => problem,
    });
    let (name, before, version) = checked?;
    if asked.new == shown.password {
        return Err(Problem::unfit("new", "is the old one"));
    }
    let caller = Caller { who: Who::Person(name.as_str().into()), ..caller };
    let changed = operators::change_password(&face, &caller, (&name, before, version), &asked.new).await?;
    face.0.sessions.end_all(&name);
    open(&face, &peer, &headers, (&name, &changed.0, changed.1))
}

/// Ends all sessions of whoever asks, on all machines; this one too.
#[utoipa::path(delete, path = "/v1/sessions", tag = "session", security(()),
    responses((status = 204, description = "Logged out everywhere"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn end_sessions(
    State(face): State<Face>,
    Extension(peer): Extension<Peer>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Person { name, operator } = judge(&face, &Method::DELETE, &headers).await?;
    face.0.sessions.end_all(&name);
    tell(&face, &caller, "session.close-all", &name, &operator).await?;
    forget_cookie(&face, &peer, &headers)
}

/// Nothing, and a cookie that holds nothing.
fn forget_cookie(face: &Face, peer: &Peer, headers: &HeaderMap) -> Result<Response, Problem> {
    let is_protected = peer.is_protected(headers, &face.settings().trusted_networks);
    let gone = set_cookie("", 0, is_protected)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

/// The operator whose password that is. Who is wrong learns nothing but that, after the same work; and who is wrong too
/// often has to wait.
async fn check_password(
    face: &Face,
    caller: &Caller,
    asked: &LogIn,
) -> Result<(Label, Operator, u64), Problem> {
    let client = caller.client.ip();
    let name = asked.name.trim().to_lowercase().parse::<Label>().ok();
    let counted = name.as_ref().map(|name| format!("{COUNTED_AS}{name}"));
    let attempt = face.authenticator.attempt(client, false, counted.as_deref()).map_err(|blocked| {
        tracing::warn!(target: "api", %client, reason = blocked.as_str(), "no one may log in from there for now");
        Problem::too_many("somebody was wrong too often; wait a quarter of an hour")
    })?;
    let known = match &name {
        Some(name) => operators::known(face, name).await?,
        None => None,
    };
    let hash = known.as_ref().map(|(operator, _)| operator.password.clone());
    let is_right = match face.authenticator.check_hash(hash, &asked.password).await {
        Ok(is_right) => is_right,
        Err(error) => {
            attempt.take_back();
            return Err(Problem::unavailable(error.to_string()));
        }
    };
    match (name, known.filter(|(operator, _)| is_right && !operator.disabled)) {
        (Some(name), Some((operator, version))) => {
            attempt.succeed();
            Ok((name, operator, version))
        }
        _ => {
            tracing::warn!(target: "api", %client, "a log-in failed");
            Err(Problem::unauthorized("the name or the password is wrong"))
        }
    }
}

/// The session of whoever asks, or nothing.
#[utoipa::path(get, path = "/v1/session", tag = "session", security(()),
    responses((status = 200, body = SessionRow), (status = 204, description = "There is no session"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show_session(State(face): State<Face>, headers: HeaderMap) -> Result<Response, Problem> {
    check_site(&headers)?;
    match find(&face, &headers).await {
        Ok((session, operator)) => {
            let row = session.row(&operator, &face.settings().console);
            Ok(Json(row).into_response())
        }
        // Not to be logged in is no mistake.
        Err(problem) if problem.status == 401 => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(problem) => Err(problem),
    }
}

/// Ends the session of whoever asks, where there is one.
#[utoipa::path(delete, path = "/v1/session", tag = "session", security(()),
    responses((status = 204, description = "Logged out"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn log_out(
    State(face): State<Face>,
    Extension(peer): Extension<Peer>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match judge(&face, &Method::DELETE, &headers).await {
        Ok(Person { name, operator }) => {
            face.0.sessions.end(cookie(&headers).unwrap_or_default());
            tell(&face, &caller, "session.close", &name, &operator).await?;
        }
        Err(problem) if problem.status == 401 => {}
        Err(problem) => return Err(problem),
    }
    forget_cookie(&face, &peer, &headers)
}

/// A line of the audit log.
async fn tell(
    face: &Face,
    caller: &Caller,
    action: &str,
    name: &Label,
    operator: &Operator,
) -> Result<(), Problem> {
    let caller = Caller { who: Who::Person(name.as_str().into()), ..caller.clone() };
    let deed = Deed {
        action,
        tenant: operator.tenant.as_ref(),
        target: name.as_str(),
        change: serde_json::Value::Null,
    };
    let lines = audit::lines(face, &caller, deed)?;
    face.store.catalog().apply(lines).await.map(drop).map_err(catalog_problem)
}

fn set_cookie(value: &str, seconds: u64, is_protected: bool) -> Result<HeaderValue, Problem> {
    let (name, secure) = if is_protected { (COOKIE_TLS, "; Secure") } else { (COOKIE_PLAIN, "") };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).map_err(|_| Problem::unavailable("the cookie can not be written"))
}

/// What our cookie holds.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| [COOKIE_TLS, COOKIE_PLAIN].contains(name)).map(|(_, value)| value)
}

fn hash_of(cookie: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, cookie.as_bytes()).as_ref());
    hash
}

/// A text that nobody guesses.
pub(super) fn chance() -> Result<String, Problem> {
    let mut chance = [0; CHANCE_OCTETS];
    aws_lc_rs::rand::fill(&mut chance).map_err(|_| Problem::unavailable("there is no chance to be had"))?;
    Ok(URL_SAFE_NO_PAD.encode(chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> ConsoleSettings {
        ConsoleSettings { session_s: 100, idle_s: 10, sessions_max: 3, ..ConsoleSettings::default() }
    }

    fn begin(sessions: &Sessions, name: &str, at_s: u64) -> String {
        let now = UnixMs(at_s * 1_000);
        sessions.begin(name.parse().unwrap(), 1, &bounds(), now).unwrap().0
    }

    fn is_alive(sessions: &Sessions, cookie: &str, at_s: u64) -> bool {
        sessions.use_by(cookie, &bounds(), UnixMs(at_s * 1_000)).is_some()
    }

    #[test]
    fn a_session_ends_when_it_rests_and_when_it_is_old() {
        let sessions = Sessions::default();
        let (one, other) = (begin(&sessions, "ann", 0), begin(&sessions, "ann", 0));
        for at in [9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99] {
            assert!(is_alive(&sessions, &one, at), "{at}");
        }
        assert!(!is_alive(&sessions, &one, 100), "old");
        assert!(!is_alive(&sessions, &other, 10), "at rest");
        assert!(sessions.0.lock().is_empty());
    }

    #[test]
    fn there_are_so_many_sessions_at_most_and_the_oldest_goes() {
        let sessions = Sessions::default();
        let first = begin(&sessions, "ann", 0);
        let rest: Vec<_> = (1..4).map(|at| begin(&sessions, "bob", at)).collect();
        assert!(!is_alive(&sessions, &first, 4));
        assert!(rest.iter().all(|cookie| is_alive(&sessions, cookie, 4)));
        sessions.end(&rest[0]);
        assert!(!is_alive(&sessions, &rest[0], 4));
        let other = begin(&sessions, "ann", 4);
        sessions.end_all(&"bob".parse().unwrap());
        assert!(is_alive(&sessions, &other, 4) && !is_alive(&sessions, &rest[1], 4));
        sessions.end(&other);
        let bounds = ConsoleSettings { sessions_max: 1_000, ..bounds() };
        for _ in 0..PER_OPERATOR_MAX * 2 {
            sessions.begin("bob".parse().unwrap(), 1, &bounds, UnixMs(5_000)).unwrap();
        }
        assert_eq!(sessions.0.lock().len(), PER_OPERATOR_MAX);
    }

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(cookie(&headers), None);
        headers.insert(header::COOKIE, HeaderValue::from_static("theme=dark; __Host-baton=abc; x=y"));
        assert_eq!(cookie(&headers), Some("abc"));
        assert!(is_shown(&headers));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(!is_shown(&headers), "a token goes before");
        let set = set_cookie("abc", 60, true).unwrap();
        assert_eq!(set, "__Host-baton=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure");
        assert!(!set_cookie("abc", 60, false).unwrap().to_str().unwrap().contains("Secure"));
    }

    #[test]
    fn what_other_sites_ask_for_is_refused() {
        let check = |site: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(site.map(|site| {
                (header::HeaderName::from_static("sec-fetch-site"), HeaderValue::from_static(site))
            }));
            check_site(&headers).is_ok()
        };
        assert!(check(None) && check(Some("same-origin")) && check(Some("none")));
        assert!(!check(Some("cross-site")) && !check(Some("same-site")));
    }
}
