//! `/v1/accounts`: who may send. A password comes in, and nothing of it goes out.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use baton_accounts::{Authenticator, PasswordError};
use baton_mail::account::{Quota, SENDERS_MAX, Secrets, SenderRule};
use baton_mail::{Account, AccountName, UnixMs};
use baton_store::ChangeError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::admin::{AdminDeps, store_problem};
use crate::filter::Fields;

/// Accounts that one page has when nobody says otherwise.
const PAGE_ACCOUNTS: usize = 100;
/// Octets of a tenant's or stream's name at most.
const LABEL_OCTETS_MAX: usize = 255;

/// An account as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Its name.
    pub name: AccountName,
    /// Whose mail it is.
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    pub stream: Option<String>,
    /// In whose name it may send; empty is its own.
    pub senders: Vec<SenderRule>,
    /// How much it may send.
    pub quota: Quota,
    /// It may not authenticate.
    pub disabled: bool,
    /// It has a password.
    pub password: bool,
    /// It can use SCRAM.
    pub scram: bool,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was changed last.
    pub changed_at: UnixMs,
}

impl From<Account> for AccountRow {
    fn from(account: Account) -> AccountRow {
        AccountRow {
            password: account.secrets.is_some(),
            scram: account.secrets.as_ref().is_some_and(|secrets| secrets.scram.is_some()),
            name: account.name,
            tenant: account.tenant,
            stream: account.stream,
            senders: account.senders,
            quota: account.quota,
            disabled: account.disabled,
            created_at: account.created_at,
            changed_at: account.changed_at,
        }
    }
}

/// A page of accounts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountPage {
    /// In the order of their names.
    pub accounts: Vec<AccountRow>,
    /// Give this as `after` to see what follows; none at the end.
    pub next: Option<AccountName>,
}

/// What is to be changed of an account; what is absent stays. Empty texts and 0 take away.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountChange {
    /// The new password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Whose mail it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// In whose name it may send: all rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub senders: Option<Vec<SenderRule>>,
    /// Messages within an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_hour: Option<u32>,
    /// Messages within a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_day: Option<u32>,
    /// Recipients within an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients_per_hour: Option<u32>,
    /// Recipients within a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients_per_day: Option<u32>,
    /// It may not authenticate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// `GET /v1/accounts`: a page of them.
pub(crate) async fn list(
    State(deps): State<AdminDeps>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<AccountPage>, Problem> {
    let mut fields = Fields::new(query);
    let after = fields.take::<AccountName>("after")?;
    let limit = fields.take::<usize>("limit")?.unwrap_or(PAGE_ACCOUNTS).clamp(1, 1_000);
    fields.finish(&["after", "limit"])?;
    let accounts = deps.authenticator.accounts().list(after, limit).await.map_err(store_problem)?;
    let next = accounts.last().filter(|_| accounts.len() == limit).map(|last| last.name.clone());
    Ok(Json(AccountPage { accounts: accounts.into_iter().map(AccountRow::from).collect(), next }))
}

/// `GET /v1/accounts/{name}`: one of them.
pub(crate) async fn show(
    State(deps): State<AdminDeps>,
    Path(name): Path<String>,
) -> Result<Json<AccountRow>, Problem> {
    let name = read_name(&name)?;
    match deps.authenticator.accounts().get(&name).await.map_err(store_problem)? {
        Some(account) => Ok(Json(account.into())),
        None => Err(missing(&name)),
    }
}

/// `PUT /v1/accounts/{name}`: makes one that is not there.
pub(crate) async fn add(
    State(deps): State<AdminDeps>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<AccountRow>, Problem> {
    let (name, change) = (read_name(&name)?, read_change(&body)?);
    let (secrets, now) = (secrets(&deps.authenticator, &change).await?, deps.clock.now());
    let exists =
        || Problem::conflict(format!("there is an account `{name}` already; `set` and `passwd` change it"));
    let new = |found: Option<Account>| match found {
        Some(_) => Err(exists()),
        None => change.apply(Account::new(name.clone(), now), secrets, now).map(Some),
    };
    changed(deps.authenticator.accounts().change(&name, new).await, &name)
}

/// `POST /v1/accounts/{name}`: changes one that is there.
pub(crate) async fn set(
    State(deps): State<AdminDeps>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<AccountRow>, Problem> {
    let (name, change) = (read_name(&name)?, read_change(&body)?);
    let (secrets, now) = (secrets(&deps.authenticator, &change).await?, deps.clock.now());
    let next =
        |found: Option<Account>| change.apply(found.ok_or_else(|| missing(&name))?, secrets, now).map(Some);
    changed(deps.authenticator.accounts().change(&name, next).await, &name)
}

/// `DELETE /v1/accounts/{name}`: removes one; the answer is what it was.
pub(crate) async fn remove(
    State(deps): State<AdminDeps>,
    Path(name): Path<String>,
) -> Result<Json<AccountRow>, Problem> {
    let name = read_name(&name)?;
    let mut was = None;
    let gone = |found: Option<Account>| {
        was = Some(found.ok_or_else(|| missing(&name))?);
        Ok(None)
    };
    deps.authenticator.accounts().change(&name, gone).await.map_err(change_problem)?;
    was.map(|account| Json(account.into())).ok_or_else(|| missing(&name))
}

impl AccountChange {
    fn apply(&self, mut account: Account, secrets: Option<Secrets>, now: UnixMs) -> Result<Account, Problem> {
        let label = |field: &'static str, text: &Option<String>, old: Option<String>| match text.as_deref() {
            None => Ok(old),
            Some("") => Ok(None),
            Some(text) if text.len() > LABEL_OCTETS_MAX || text.chars().any(baton_mail::text::is_unsafe) => {
                Err(Problem::field(field, "has 255 octets at most and no control characters"))
            }
            Some(text) => Ok(Some(text.to_owned())),
        };
        account.tenant = label("tenant", &self.tenant, account.tenant)?;
        account.stream = label("stream", &self.stream, account.stream)?;
        if let Some(senders) = &self.senders {
            if senders.len() > SENDERS_MAX {
                return Err(Problem::field("senders", format!("are {SENDERS_MAX} at most")));
            }
            account.senders.clone_from(senders);
        }
        let bound = |new: Option<u32>, old: Option<u32>| match new {
            Some(0) => None,
            other => other.or(old),
        };
        let quota = &mut account.quota;
        quota.messages_per_hour = bound(self.messages_per_hour, quota.messages_per_hour);
        quota.messages_per_day = bound(self.messages_per_day, quota.messages_per_day);
        quota.recipients_per_hour = bound(self.recipients_per_hour, quota.recipients_per_hour);
        quota.recipients_per_day = bound(self.recipients_per_day, quota.recipients_per_day);
        account.disabled = self.disabled.unwrap_or(account.disabled);
        account.secrets = secrets.or(account.secrets);
        account.changed_at = now;
        Ok(account)
    }
}

fn read_name(text: &str) -> Result<AccountName, Problem> {
    text.parse().map_err(|error| Problem::field("name", format!("`{text}`: {error}")))
}

fn read_change(body: &[u8]) -> Result<AccountChange, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::field("body", error.to_string()))
}

async fn secrets(authenticator: &Authenticator, change: &AccountChange) -> Result<Option<Secrets>, Problem> {
    let Some(password) = &change.password else { return Ok(None) };
    match authenticator.secrets(password).await {
        Ok(secrets) => Ok(Some(secrets)),
        Err(error @ PasswordError::Unfit) => Err(Problem::field("password", error.to_string())),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}

fn changed(
    result: Result<Option<Account>, ChangeError<Problem>>,
    name: &AccountName,
) -> Result<Json<AccountRow>, Problem> {
    let account = result.map_err(change_problem)?.ok_or_else(|| missing(name))?;
    Ok(Json(account.into()))
}

fn change_problem(error: ChangeError<Problem>) -> Problem {
    match error {
        ChangeError::Refused(problem) => problem,
        ChangeError::Store(error) => store_problem(error),
    }
}

fn missing(name: &AccountName) -> Problem {
    Problem::not_found(format!("there is no account `{name}`"))
}

impl std::fmt::Debug for AccountChange {
    /// Nothing, because a password may be among it.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AccountChange").finish_non_exhaustive()
    }
}
