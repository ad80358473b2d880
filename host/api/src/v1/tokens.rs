//! `/v1/tokens`: what programs show to be let in. A token is shown once, when it is made; what is kept can not be used.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_mail::UnixMs;
use baton_mail::tenant::{self, Label, NETWORKS_MAX, Scope, Token};
use baton_store::catalog::{Edit, Expect, Key, Query, Record, Row, TOKEN};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed, catalog_problem};
use super::caller::Caller;
use super::input::{Asked, At, Input, Whose};
use super::route::{Need, Route};
use super::streams::check_tenant;
use crate::Problem;

/// What every token begins with, so that scanners of leaked secrets know it.
const PREFIX: &str = "bt_";
/// Octets of chance in a token.
const CHANCE_OCTETS: usize = 32;
/// Hexadecimal digits of an id: the beginning of the token's digest.
const ID_DIGITS: usize = 16;
/// Where the last use of each token is kept; plugins' buckets have a slash in their names.
const USED_BUCKET: &str = "#token-used";
/// The last use is written down when it is so much later than what was written before.
const USED_STEP: Duration = Duration::from_secs(60);

pub(super) fn routes() -> Vec<Route> {
    let admin = Need::Scope(Scope::Admin);
    vec![
        Route::new(Method::GET, "/v1/tokens", admin, list),
        Route::new(Method::POST, "/v1/tokens", admin, add),
        Route::new(Method::GET, "/v1/tokens/{token}", admin, show),
        Route::new(Method::PATCH, "/v1/tokens/{token}", admin, change),
        Route::new(Method::DELETE, "/v1/tokens/{token}", admin, remove),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, add, show, change, remove))]
pub(super) struct Doc;

/// What a token may be used for.
#[derive(ToSchema)]
#[schema(as = Scope, rename_all = "kebab-case")]
#[allow(dead_code, reason = "describes a type of another crate")]
pub(super) enum ScopeSchema {
    Send,
    Read,
    Suppress,
    Templates,
    Webhooks,
    Admin,
}

/// A token, without what makes it one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenRow {
    /// Its name.
    pub id: String,
    /// Whose it is; none is the relay's, and sees all tenants.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Label>,
    /// The only stream that it is good for.
    #[schema(value_type = Option<String>)]
    pub stream: Option<Label>,
    /// What it may be used for.
    #[schema(value_type = Vec<ScopeSchema>)]
    pub scopes: Vec<Scope>,
    /// What whoever made it wants to remember.
    pub note: String,
    /// Networks that it may be used from; empty is everywhere.
    #[schema(value_type = Vec<String>)]
    pub networks: Vec<IpNet>,
    /// Requests within a minute; none is as the settings say.
    pub requests_per_minute: Option<u32>,
    /// When it ends, in milliseconds since 1970; none for never.
    #[schema(value_type = Option<u64>)]
    pub expires_at: Option<UnixMs>,
    /// It may not be used.
    pub disabled: bool,
    /// When it was made, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub created_at: UnixMs,
    /// When it was used last, to the minute, in milliseconds since 1970; none for never.
    #[schema(value_type = Option<u64>)]
    pub used_at: Option<UnixMs>,
    /// Another one after each change.
    pub version: u64,
}

/// A token that was just made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// The token itself. It is shown this once.
    #[schema(example = "bt_6mJ0X3o2yWk5N8q1rT4uV7xZaBcDeFgHiJkLmNoPqRs")]
    pub token: String,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub row: TokenRow,
}

/// A page of tokens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenPage {
    /// In the order of their ids.
    pub tokens: Vec<TokenRow>,
    /// Give this as `after` to see what follows; none at the end.
    pub next: Option<String>,
}

/// A token to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewToken {
    /// Whose it is; operators only, and none is the relay's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Label>,
    /// The only stream that it is good for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub stream: Option<Label>,
    /// What it may be used for; at least one.
    #[schema(value_type = Vec<ScopeSchema>, min_items = 1, example = json!(["send"]))]
    pub scopes: Vec<Scope>,
    /// What is to be remembered.
    pub note: String,
    /// Networks that it may be used from, such as `192.0.2.0/24`; empty is everywhere.
    #[schema(value_type = Vec<String>)]
    pub networks: Vec<IpNet>,
    /// Requests within a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// When it ends, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub expires_at: Option<UnixMs>,
}

/// What is to be changed of a token; what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenChange {
    /// What is to be remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Networks that it may be used from; an empty list is everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub networks: Option<Vec<IpNet>>,
    /// Requests within a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// When it ends, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub expires_at: Option<UnixMs>,
    /// It may not be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// Finds the token that a request shows, and judges whether it may be used from there and now. Whoever shows none that
/// may, learns no more than that.
pub(super) fn judge(
    face: &Face,
    headers: &HeaderMap,
    client: IpAddr,
) -> Result<(Arc<str>, Arc<Row<Token>>), Problem> {
    let missing = || Problem::unauthorized("show a token: `Authorization: Bearer bt_…`");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, shown) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    let unknown = || Problem::unauthorized("the token is not known, or has ended");
    let shown = digest(&SHA256, shown.trim().as_bytes());
    let id = id_of(shown.as_ref());
    let row = face.store.tenants().token(&id).ok_or_else(unknown)?;
    let token = &row.value;
    verify_slices_are_equal(&token.digest, shown.as_ref()).map_err(|_| unknown())?;
    let now = face.clock.now();
    if token.disabled || token.expires_at.is_some_and(|at| at <= now) {
        return Err(unknown());
    }
    let client = client.to_canonical();
    if !token.networks.is_empty() && !token.networks.iter().any(|network| network.contains(&client)) {
        return Err(Problem::forbidden(format!("this token may not be used from {client}")));
    }
    let id: Arc<str> = id.into();
    note_use(face, &id, now);
    Ok((id, row))
}

/// Notes when a token is used, but not each time.
fn note_use(face: &Face, id: &Arc<str>, now: UnixMs) {
    {
        let mut used = face.0.used.lock();
        let last = used.get(id).copied().unwrap_or_default();
        if now.since(last) < USED_STEP {
            return;
        }
        used.insert(Arc::clone(id), now);
    }
    let (kv, id) = (face.store.kv(), Arc::clone(id));
    // What is lost with a crash is a minute of a remark.
    tokio::spawn(async move { drop(kv.set(USED_BUCKET, &id, now.0.to_string().as_bytes(), None).await) });
}

fn id_of(digest: &[u8]) -> String {
    let nibbles = digest.iter().take(ID_DIGITS / 2).flat_map(|octet| [octet >> 4, octet & 0xf]);
    nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
}

/// The tokens of a tenant.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens",
    params(("tenant" = Option<String>, Query, description = "Whose; operators only, and none is the relay's own"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = TokenPage)))]
pub(super) async fn list(
    State(face): State<Face>,
    Asked { whose, mut params }: Asked,
) -> Result<Json<TokenPage>, Problem> {
    let Whose { caller, tenant } = &whose;
    let (after, limit) = (params.0.take::<TokenId>("after")?, params.take_limit()?);
    params.0.finish(&["tenant", "after", "limit"])?;
    let after = after.map(|id| key(tenant.as_ref(), &id)).transpose()?;
    let query = Query::of(TOKEN).tenant(whose.tenant()).after(after).limit(limit);
    let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
    let mut tokens = Vec::with_capacity(page.records.len());
    for record in &page.records {
        let token = row(&face, record).await?;
        if caller.sees(token.tenant.as_ref().map(Label::as_str), token.stream.as_ref().map(Label::as_str)) {
            tokens.push(token);
        }
    }
    Ok(Json(TokenPage { tokens, next: page.next.map(|key| key.name().to_owned()) }))
}

/// Makes a token. It is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = TokenMade)))]
pub(super) async fn add(
    State(face): State<Face>,
    caller: Caller,
    Input(new): Input<NewToken>,
) -> Result<(StatusCode, Json<TokenMade>), Problem> {
    let tenant = caller.tenant_of(new.tenant.as_ref())?;
    check_tenant(&face, tenant.as_ref())?;
    let stream = caller.stream_of(new.stream.as_ref())?;
    let known = |name: &Label| face.store.tenants().stream(tenant.as_ref().map(Label::as_str), name.as_str());
    if let Some(name) = stream.as_ref().filter(|name| known(name).is_none()) {
        return Err(Problem::unfit("stream", format!("there is no stream `{name}`")));
    }
    if new.scopes.is_empty() {
        return Err(Problem::unfit("scopes", "name at least one"));
    }
    check(Some(&new.note), Some(&new.networks))?;
    let (text, hash) = make()?;
    let mut scopes = new.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    let token = Token {
        digest: hash,
        tenant,
        stream,
        scopes,
        note: new.note.clone(),
        networks: new.networks.clone(),
        requests_per_minute: new.requests_per_minute,
        expires_at: new.expires_at,
        disabled: false,
        created_at: face.clock.now(),
    };
    let id = TokenId(id_of(&hash));
    let asked = serde_json::to_value(&new).unwrap_or_default();
    let record = write(&face, &caller, "token.add", &id, &token, asked, Expect::Nothing).await?;
    Ok((StatusCode::CREATED, Json(TokenMade { token: text, row: row(&face, &record).await? })))
}

/// One token.
#[utoipa::path(get, path = "/v1/tokens/{token}", tag = "tokens",
    params(("token" = String, Path, description = "Its id")),
    responses((status = 200, body = TokenRow)))]
pub(super) async fn show(
    State(face): State<Face>,
    caller: Caller,
    At(id): At<TokenId>,
) -> Result<Json<TokenRow>, Problem> {
    let (record, _) = find(&face, &caller, &id).await?;
    Ok(Json(row(&face, &record).await?))
}

/// Changes a token; what is absent stays.
#[utoipa::path(patch, path = "/v1/tokens/{token}", tag = "tokens", request_body = TokenChange,
    params(("token" = String, Path, description = "Its id")),
    responses((status = 200, body = TokenRow)))]
pub(super) async fn change(
    State(face): State<Face>,
    caller: Caller,
    At(id): At<TokenId>,
    Input(change): Input<TokenChange>,
) -> Result<Json<TokenRow>, Problem> {
    let (record, found) = find(&face, &caller, &id).await?;
    check(change.note.as_deref(), change.networks.as_deref())?;
    let before = found.value.clone();
    let token = Token {
        note: change.note.clone().unwrap_or(before.note),
        networks: change.networks.clone().unwrap_or(before.networks),
        requests_per_minute: change.requests_per_minute.or(before.requests_per_minute),
        expires_at: change.expires_at.or(before.expires_at),
        disabled: change.disabled.unwrap_or(before.disabled),
        ..before
    };
    let asked = serde_json::to_value(&change).unwrap_or_default();
    let expect = Expect::Version(record.version);
    let record = write(&face, &caller, "token.change", &id, &token, asked, expect).await?;
    Ok(Json(row(&face, &record).await?))
}

/// Removes a token: it is worth nothing from now on.
#[utoipa::path(delete, path = "/v1/tokens/{token}", tag = "tokens",
    params(("token" = String, Path, description = "Its id")),
    responses((status = 200, body = TokenRow)))]
pub(super) async fn remove(
    State(face): State<Face>,
    caller: Caller,
    At(id): At<TokenId>,
) -> Result<Json<TokenRow>, Problem> {
    let (record, found) = find(&face, &caller, &id).await?;
    let shown = row(&face, &record).await?;
    let tenant = found.value.tenant.as_ref();
    let deed = Deed { action: "token.remove", tenant, target: &id.0, change: serde_json::Value::Null };
    let mut edits = audit::lines(&face, &caller, deed)?;
    edits.push(Edit::remove(record.key.clone()).expecting(Expect::Version(record.version)));
    face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    Ok(Json(shown))
}

/// The id of a token.
pub(super) struct TokenId(String);

impl std::str::FromStr for TokenId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<TokenId, &'static str> {
        let is_digit = |octet: u8| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet);
        let fits = text.len() == ID_DIGITS && text.bytes().all(is_digit);
        if fits { Ok(TokenId(text.to_owned())) } else { Err("the id of a token has 16 hexadecimal digits") }
    }
}

/// A new token, and what is kept of it.
fn make() -> Result<(String, [u8; 32]), Problem> {
    let mut chance = [0; CHANCE_OCTETS];
    aws_lc_rs::rand::fill(&mut chance).map_err(|_| Problem::unavailable("there is no chance to be had"))?;
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(chance));
    let hash = digest(&SHA256, text.as_bytes());
    let hash = hash.as_ref().try_into().map_err(|_| Problem::unavailable("the digest has another size"))?;
    Ok((text, hash))
}

fn check(note: Option<&str>, networks: Option<&[IpNet]>) -> Result<(), Problem> {
    if let Some(note) = note {
        tenant::check_note(note).map_err(|wrong| Problem::unfit("note", wrong))?;
    }
    match networks {
        Some(networks) if networks.len() > NETWORKS_MAX => {
            Err(Problem::unfit("networks", format!("are {NETWORKS_MAX} at most")))
        }
        _ => Ok(()),
    }
}

async fn write(
    face: &Face,
    caller: &Caller,
    action: &str,
    id: &TokenId,
    token: &Token,
    change: serde_json::Value,
    expect: Expect,
) -> Result<Record, Problem> {
    let tenant = token.tenant.as_ref();
    let mut edits = audit::lines(face, caller, Deed { action, tenant, target: &id.0, change })?;
    edits.push(Edit::put_json(key(tenant, id)?, token).map_err(catalog_problem)?.expecting(expect));
    let written = face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    written.into_iter().next_back().flatten().ok_or_else(|| Problem::unavailable("the change left nothing"))
}

/// A token that is the caller's business.
async fn find(face: &Face, caller: &Caller, id: &TokenId) -> Result<(Record, Arc<Row<Token>>), Problem> {
    let missing = || Problem::not_found(format!("there is no token `{}`", id.0));
    let found = face.store.tenants().token(&id.0).ok_or_else(missing)?;
    let token = &found.value;
    if !caller.sees(token.tenant.as_ref().map(Label::as_str), token.stream.as_ref().map(Label::as_str)) {
        return Err(missing());
    }
    let record = face.store.catalog().get(&key(token.tenant.as_ref(), id)?).await.map_err(catalog_problem)?;
    Ok((record.ok_or_else(missing)?, found))
}

fn key(tenant: Option<&Label>, id: &TokenId) -> Result<Key, Problem> {
    Key::new(TOKEN, tenant.map(Label::as_str), &id.0).map_err(catalog_problem)
}

async fn row(face: &Face, record: &Record) -> Result<TokenRow, Problem> {
    let token: Token = record.json().map_err(catalog_problem)?;
    let id = record.key.name().to_owned();
    let now = face.0.used.lock().get(id.as_str()).copied();
    let used_at = match now {
        Some(at) => Some(at),
        None => {
            let kept = face.store.kv().get(USED_BUCKET, &id).await;
            let kept = kept.map_err(|error| Problem::unavailable(error.to_string()))?;
            kept.and_then(|text| String::from_utf8(text).ok()?.parse().ok()).map(UnixMs)
        }
    };
    Ok(TokenRow {
        id,
        tenant: token.tenant,
        stream: token.stream,
        scopes: token.scopes,
        note: token.note,
        networks: token.networks,
        requests_per_minute: token.requests_per_minute,
        expires_at: token.expires_at,
        disabled: token.disabled,
        created_at: token.created_at,
        used_at,
        version: record.version,
    })
}

impl std::fmt::Debug for TokenMade {
    /// Nothing by which it could be used.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenMade").field("row", &self.row).finish_non_exhaustive()
    }
}
