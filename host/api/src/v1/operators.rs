//! `/v1/operators`: people who use the pages. A password comes in, and nothing of it goes out.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use baton_accounts::PasswordError;
use baton_mail::UnixMs;
use baton_mail::operator::{Operator, Role};
use baton_mail::tenant::{self, Label};
use baton_store::catalog::{Edit, Expect, Key, Kind, Query, Record};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed, catalog_problem};
use super::caller::Caller;
use super::input::{At, Input, Params};
use super::route::{Need, Route};
use crate::Problem;

/// Operators: of the relay, by name.
const OPERATOR: Kind = Kind::new("operator", 1_000);
/// Characters of a password at least.
const PASSWORD_CHARACTERS_MIN: usize = 12;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/operators", Need::Relay, list),
        Route::new(Method::POST, "/v1/operators", Need::Relay, add),
        Route::new(Method::GET, "/v1/operators/{operator}", Need::Relay, show),
        Route::new(Method::PATCH, "/v1/operators/{operator}", Need::Relay, change),
        Route::new(Method::DELETE, "/v1/operators/{operator}", Need::Relay, remove),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, add, show, change, remove))]
pub(super) struct Doc;

/// What an operator may do.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "kebab-case")]
#[allow(dead_code, reason = "describes a type of another crate")]
pub(super) enum RoleSchema {
    /// To look at things.
    Viewer,
    /// To run the mail: the queue, suppression, templates, webhooks.
    Operator,
    /// Everything.
    Admin,
}

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperatorRow {
    /// Its name: lower case letters, digits, hyphens.
    #[schema(value_type = String, example = "ann")]
    pub name: Label,
    /// What it may do.
    #[schema(value_type = RoleSchema)]
    pub role: Role,
    /// The only tenant that it sees; none sees all of the relay.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Label>,
    /// What is to be remembered.
    pub note: String,
    /// It may not log in.
    pub disabled: bool,
    /// When it was made, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub created_at: UnixMs,
    /// When it was changed last, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub changed_at: UnixMs,
    /// Another one after each change.
    pub version: u64,
}

/// A page of operators.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OperatorPage {
    /// In the order of their names.
    pub operators: Vec<OperatorRow>,
    /// Give this as `after` to see what follows; none at the end.
    pub next: Option<String>,
}

/// What is to be of an operator. In a change, what is absent stays; every change ends its sessions.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorChange {
    /// Its name, when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "ann")]
    pub name: Option<Label>,
    /// The new password: 12 characters or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What it may do; `viewer` when it is new and nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RoleSchema>)]
    pub role: Option<Role>,
    /// The only tenant that it sees; an empty text lets it see all of the relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What is to be remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// It may not log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

impl OperatorChange {
    /// As the audit log has it.
    fn told(&self) -> serde_json::Value {
        let password = self.password.as_ref().map(|_| "(another one)".to_owned());
        serde_json::to_value(OperatorChange { password, ..self.clone() }).unwrap_or_default()
    }

    /// The operator after it; the hash is that of the new password, when there is one.
    fn apply(
        &self,
        face: &Face,
        mut operator: Operator,
        password: Option<String>,
    ) -> Result<Operator, Problem> {
        if let Some(note) = &self.note {
            tenant::check_note(note).map_err(|wrong| Problem::unfit("note", wrong))?;
            operator.note.clone_from(note);
        }
        match self.tenant.as_deref() {
            None => {}
            Some("") => operator.tenant = None,
            Some(name) if face.store.tenants().tenant(name).is_some() => {
                let named = name.parse().map_err(|wrong| Problem::unfit("tenant", format!("{wrong}")))?;
                operator.tenant = Some(named);
            }
            Some(_) => return Err(Problem::unfit("tenant", "there is no such tenant")),
        }
        operator.password = password.unwrap_or(operator.password);
        operator.role = self.role.unwrap_or(operator.role);
        operator.disabled = self.disabled.unwrap_or(operator.disabled);
        Ok(operator)
    }
}

impl std::fmt::Debug for OperatorChange {
    /// Nothing, because a password may be among it.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OperatorChange").finish_non_exhaustive()
    }
}

/// All operators.
#[utoipa::path(get, path = "/v1/operators", tag = "operators",
    params(("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = OperatorPage), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(face): State<Face>,
    mut params: Params,
) -> Result<Json<OperatorPage>, Problem> {
    let (after, limit) = (params.0.take::<Label>("after")?, params.take_limit()?);
    params.0.finish(&["after", "limit"])?;
    let after = after.map(|name| key(&name)).transpose()?;
    let query = Query::of(OPERATOR).tenant(None).after(after).limit(limit);
    let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
    let operators = page.records.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Json(OperatorPage { operators, next: page.next.map(|key| key.name().to_owned()) }))
}

/// An operator of a tenant, where it has one.
pub(super) async fn any_of(face: &Face, tenant: &Label) -> Result<Option<String>, Problem> {
    let mut query = Query::of(OPERATOR).tenant(None);
    loop {
        let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
        for record in &page.records {
            let operator: Operator = record.json().map_err(catalog_problem)?;
            if operator.tenant.as_ref() == Some(tenant) {
                return Ok(Some(record.key.name().to_owned()));
            }
        }
        let Some(next) = page.next else { return Ok(None) };
        query = Query::of(OPERATOR).tenant(None).after(Some(next));
    }
}

/// Makes an operator.
#[utoipa::path(post, path = "/v1/operators", tag = "operators", request_body = OperatorChange,
    responses((status = 201, body = OperatorRow), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add(
    State(face): State<Face>,
    caller: Caller,
    Input(change): Input<OperatorChange>,
) -> Result<(StatusCode, Json<OperatorRow>), Problem> {
    let Some(name) = change.name.clone() else { return Err(Problem::field("name", "is missing")) };
    if change.password.is_none() {
        return Err(Problem::field("password", "is missing"));
    }
    if find(&face, &name).await?.is_some() {
        return Err(Problem::conflict(format!("there is an operator `{name}` already")));
    }
    let new = Operator {
        password: String::new(),
        role: Role::default(),
        tenant: None,
        note: String::new(),
        disabled: false,
        created_at: face.clock.now(),
    };
    let operator = change.apply(&face, new, hash(&face, change.password.as_deref()).await?)?;
    let deed = Deed { action: "operator.add", tenant: None, target: name.as_str(), change: change.told() };
    let written = write(&face, &caller, deed, &operator, Expect::Nothing).await?;
    Ok((StatusCode::CREATED, Json(written)))
}

/// One operator.
#[utoipa::path(get, path = "/v1/operators/{operator}", tag = "operators",
    params(("operator" = String, Path, description = "Its name")),
    responses((status = 200, body = OperatorRow), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    State(face): State<Face>,
    At(name): At<Label>,
) -> Result<Json<OperatorRow>, Problem> {
    let record = find(&face, &name).await?.ok_or_else(|| missing(&name))?;
    Ok(Json(row(&record)?))
}

/// Changes an operator; what is absent stays. Its sessions end.
#[utoipa::path(patch, path = "/v1/operators/{operator}", tag = "operators", request_body = OperatorChange,
    params(("operator" = String, Path, description = "Its name")),
    responses((status = 200, body = OperatorRow), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn change(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<Label>,
    Input(change): Input<OperatorChange>,
) -> Result<Json<OperatorRow>, Problem> {
    if change.name.as_ref().is_some_and(|new| *new != name) {
        return Err(Problem::unfit("name", "can not be changed"));
    }
    let record = find(&face, &name).await?.ok_or_else(|| missing(&name))?;
    let before: Operator = record.json().map_err(catalog_problem)?;
    let operator = change.apply(&face, before, hash(&face, change.password.as_deref()).await?)?;
    let deed = Deed { action: "operator.change", tenant: None, target: name.as_str(), change: change.told() };
    let expect = Expect::Version(record.version);
    Ok(Json(write(&face, &caller, deed, &operator, expect).await?))
}

/// Removes an operator; its sessions end.
#[utoipa::path(delete, path = "/v1/operators/{operator}", tag = "operators",
    params(("operator" = String, Path, description = "Its name")),
    responses((status = 200, body = OperatorRow), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<Label>,
) -> Result<Json<OperatorRow>, Problem> {
    let record = find(&face, &name).await?.ok_or_else(|| missing(&name))?;
    let was = row(&record)?;
    let change = serde_json::Value::Null;
    let deed = Deed { action: "operator.remove", tenant: None, target: name.as_str(), change };
    let mut edits = audit::lines(&face, &caller, deed)?;
    edits.push(Edit::remove(record.key.clone()).expecting(Expect::Version(record.version)));
    face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    Ok(Json(was))
}

/// The operator of that name with the version of its record.
pub(super) async fn known(face: &Face, name: &Label) -> Result<Option<(Operator, u64)>, Problem> {
    let Some(record) = find(face, name).await? else { return Ok(None) };
    Ok(Some((record.json().map_err(catalog_problem)?, record.version)))
}

/// Gives an operator, whose record has that version, the password that it chose itself. What comes back is the same after it.
pub(super) async fn change_password(
    face: &Face,
    caller: &Caller,
    (name, before, version): (&Label, Operator, u64),
    new: &str,
) -> Result<(Operator, u64), Problem> {
    let about_new = |problem: Problem| match problem.errors.as_slice() {
        [one] => Problem::unfit("new", one.message.clone()),
        _ => problem,
    };
    let password = hash(face, Some(new)).await.map_err(about_new)?.unwrap_or_default();
    let operator = Operator { password, ..before };
    let change = serde_json::Value::Null;
    let deed =
        Deed { action: "operator.password", tenant: operator.tenant.as_ref(), target: name.as_str(), change };
    let row = write(face, caller, deed, &operator, Expect::Version(version)).await?;
    Ok((operator, row.version))
}

async fn find(face: &Face, name: &Label) -> Result<Option<Record>, Problem> {
    face.store.catalog().get(&key(name)?).await.map_err(catalog_problem)
}

async fn hash(face: &Face, password: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(password) = password else { return Ok(None) };
    if password.chars().count() < PASSWORD_CHARACTERS_MIN {
        let least = format!("has {PASSWORD_CHARACTERS_MIN} characters at least");
        return Err(Problem::unfit("password", least));
    }
    match face.authenticator.hash(password).await {
        Ok(hash) => Ok(Some(hash)),
        Err(error @ PasswordError::Unfit) => Err(Problem::unfit("password", error.to_string())),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

async fn write(
    face: &Face,
    caller: &Caller,
    deed: Deed<'_>,
    operator: &Operator,
    expect: Expect,
) -> Result<OperatorRow, Problem> {
    let name: Label = deed.target.parse().map_err(|wrong| Problem::unfit("name", format!("{wrong}")))?;
    let mut edits = audit::lines(face, caller, deed)?;
    edits.push(Edit::put_json(key(&name)?, operator).map_err(catalog_problem)?.expecting(expect));
    let written = face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    let record = written.into_iter().next_back().flatten();
    row(&record.ok_or_else(|| Problem::unavailable("the change left nothing"))?)
}

fn key(name: &Label) -> Result<Key, Problem> {
    Key::new(OPERATOR, None, name.as_str()).map_err(catalog_problem)
}

fn row(record: &Record) -> Result<OperatorRow, Problem> {
    let operator: Operator = record.json().map_err(catalog_problem)?;
    let name = record.key.name().parse();
    Ok(OperatorRow {
        name: name.map_err(|_| Problem::unavailable("an operator has a name that is none"))?,
        role: operator.role,
        tenant: operator.tenant,
        note: operator.note,
        disabled: operator.disabled,
        created_at: operator.created_at,
        changed_at: record.changed_at,
        version: record.version,
    })
}

fn missing(name: &Label) -> Problem {
    Problem::not_found(format!("there is no operator `{name}`"))
}
