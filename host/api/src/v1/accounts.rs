//! `/v1/accounts`: who may send. A password comes in, and nothing of it goes out.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_accounts::{Authenticator, PasswordError};
use baton_mail::account::{Quota, SENDERS_MAX, Secrets, SenderRule};
use baton_mail::tenant::{Label, Scope};
use baton_mail::{Account, AccountName, Domain, UnixMs};
use baton_store::ChangeError;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed};
use super::caller::Caller;
use super::input::{At, Input, Params};
use super::route::{Need, Route};
use super::tenants::QuotaSchema;
use crate::Problem;
use crate::admin::store_problem;

/// Accounts that are read at a time.
const PAGE_ACCOUNTS: usize = 1_000;
/// Octets of a tenant's or stream's name at most.
const LABEL_OCTETS_MAX: usize = 255;

pub(super) fn routes() -> Vec<Route> {
    let admin = Need::Scope(Scope::Admin);
    let of_one = "/v1/accounts/{name}";
    vec![
        Route::new(Method::GET, "/v1/accounts", admin, list),
        Route::new(Method::GET, of_one, admin, show),
        Route::new(Method::PUT, of_one, admin, add),
        Route::new(Method::PATCH, of_one, admin, change),
        Route::new(Method::DELETE, of_one, admin, remove),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, show, add, change, remove))]
pub(super) struct Doc;

/// An account as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountRow {
    /// Its name.
    #[schema(value_type = String)]
    pub name: AccountName,
    /// Whose mail it is.
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    pub stream: Option<String>,
    /// In whose name it may send; empty is its own.
    #[schema(value_type = Vec<String>)]
    pub senders: Vec<SenderRule>,
    /// How much it may send.
    #[schema(value_type = QuotaSchema)]
    pub quota: Quota,
    /// It may not authenticate.
    pub disabled: bool,
    /// It has a password.
    pub password: bool,
    /// It can use SCRAM.
    pub scram: bool,
    /// When it was made.
    #[schema(value_type = u64)]
    pub created_at: UnixMs,
    /// When it was changed last.
    #[schema(value_type = u64)]
    pub changed_at: UnixMs,
    /// What of its rules does not count as things are, and what would make it count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
}

impl AccountRow {
    fn of(face: &Face, account: Account) -> AccountRow {
        AccountRow {
            advice: advice(face, &account),
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

/// About a tenant that is not there, and about names that the account may send in by its own rules and that are not its
/// tenant's: mail in them is refused.
fn advice(face: &Face, account: &Account) -> Vec<String> {
    let Some(name) = account.tenant.as_deref() else { return Vec::new() };
    let Some(row) = face.store.tenants().tenant(name) else {
        let none = format!(
            "there is no tenant `{name}`, so no domain and no quota of it bounds this account: \
             `baton tenant add {name}` makes it"
        );
        return vec![none];
    };
    let own = account.name.mailbox().map(SenderRule::Address).filter(|_| account.senders.is_empty());
    let outside = account.senders.iter().chain(&own).filter(|rule| is_outside(rule, &row.value.domains));
    outside.map(|rule| outside_in_words(rule, name, &row.value.domains)).collect()
}

/// True when nothing that the rule allows is within the domains.
fn is_outside(rule: &SenderRule, domains: &[Domain]) -> bool {
    let is_within = |domain: &Domain| domains.iter().any(|own| domain.is_within(own));
    match rule {
        SenderRule::Any => false,
        SenderRule::Address(mailbox) => !is_within(mailbox.domain()),
        SenderRule::Domain(domain) => !is_within(domain),
        SenderRule::Below(domain) => !is_within(domain) && !domains.iter().any(|own| own.is_within(domain)),
    }
}

fn outside_in_words(rule: &SenderRule, tenant: &str, domains: &[Domain]) -> String {
    let new = match rule {
        SenderRule::Any => None,
        SenderRule::Address(mailbox) => Some(mailbox.domain()),
        SenderRule::Domain(domain) | SenderRule::Below(domain) => Some(domain),
    };
    let own: Vec<String> = domains.iter().map(ToString::to_string).collect();
    let only = if own.is_empty() { "no domain".to_owned() } else { format!("{} only", own.join(", ")) };
    let options: String = domains.iter().chain(new).map(|domain| format!(" --domain {domain}")).collect();
    format!(
        "mail from {rule} is refused, for the tenant `{tenant}` has {only}: give it the domain by \
         `baton tenant set {tenant}{options}`, or the account another sender rule"
    )
}

/// A page of accounts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountPage {
    /// In the order of their names.
    pub accounts: Vec<AccountRow>,
    /// Give this as `after` to see what follows; none at the end.
    #[schema(value_type = Option<String>)]
    pub next: Option<AccountName>,
}

/// What is to be changed of an account; what is absent stays. Empty texts and 0 take away.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
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
    #[schema(value_type = Option<Vec<String>>)]
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

/// The accounts by which clients of SMTP send.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts",
    params(("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = AccountPage)))]
pub(super) async fn list(
    State(face): State<Face>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<AccountPage>, Problem> {
    let (after, limit) = (params.0.take::<AccountName>("after")?, params.take_limit()?);
    params.0.finish(&["after", "limit"])?;
    let found = find(&face, after, limit, |account| is_theirs(&caller, account)).await?;
    let next = found.get(limit - 1).filter(|_| found.len() > limit).map(|last| last.name.clone());
    Ok(Json(AccountPage {
        accounts: found.into_iter().take(limit).map(|account| AccountRow::of(&face, account)).collect(),
        next,
    }))
}

/// Accounts after `after` that are wanted: more than `limit` when there are more.
async fn find(
    face: &Face,
    mut after: Option<AccountName>,
    limit: usize,
    is_wanted: impl Fn(&Account) -> bool,
) -> Result<Vec<Account>, Problem> {
    let mut found = Vec::new();
    loop {
        let page =
            face.authenticator.accounts().list(after.take(), PAGE_ACCOUNTS).await.map_err(store_problem)?;
        after = page.last().filter(|_| page.len() == PAGE_ACCOUNTS).map(|last| last.name.clone());
        found.extend(page.into_iter().filter(&is_wanted));
        if after.is_none() || found.len() > limit {
            return Ok(found);
        }
    }
}

/// An account of a tenant, where it has one.
pub(super) async fn any_of(face: &Face, tenant: &Label) -> Result<Option<AccountName>, Problem> {
    let is_its = |account: &Account| account.tenant.as_deref() == Some(tenant.as_str());
    Ok(find(face, None, 0, is_its).await?.into_iter().next().map(|account| account.name))
}

/// One account.
#[utoipa::path(get, path = "/v1/accounts/{name}", tag = "accounts", params(("name" = String, Path)),
    responses((status = 200, body = AccountRow)))]
pub(super) async fn show(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<AccountName>,
) -> Result<Json<AccountRow>, Problem> {
    let found = face.authenticator.accounts().get(&name).await.map_err(store_problem)?;
    theirs(&caller, found, &name).map(|account| Json(AccountRow::of(&face, account)))
}

/// Makes an account that is not there. Those of a tenant are addresses in its domains, so that nobody takes another one's name.
#[utoipa::path(put, path = "/v1/accounts/{name}", tag = "accounts", request_body = AccountChange,
    params(("name" = String, Path)), responses((status = 200, body = AccountRow)))]
pub(super) async fn add(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<AccountName>,
    Input(change): Input<AccountChange>,
) -> Result<Json<AccountRow>, Problem> {
    let change = change.of(&face, &caller)?;
    if let Some(tenant) = &caller.tenant
        && !name.mailbox().is_some_and(|mailbox| face.owns(&caller, mailbox.domain()))
    {
        return Err(Problem::unfit("name", format!("is an address in a domain of `{tenant}`")));
    }
    let (secrets, now) = (secrets(&face.authenticator, &change).await?, face.clock.now());
    note(&face, &caller, "account.add", &name, Some(&change)).await?;
    let exists =
        || Problem::conflict(format!("there is an account `{name}` already; `set` and `passwd` change it"));
    let new = |found: Option<Account>| match found {
        Some(_) => Err(exists()),
        None => change.apply(Account::new(name.clone(), now), secrets, now).map(Some),
    };
    changed(&face, face.authenticator.accounts().change(&name, new).await, &name)
}

/// Changes an account; what is absent stays.
#[utoipa::path(patch, path = "/v1/accounts/{name}", tag = "accounts", request_body = AccountChange,
    params(("name" = String, Path)), responses((status = 200, body = AccountRow)))]
pub(super) async fn change(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<AccountName>,
    Input(change): Input<AccountChange>,
) -> Result<Json<AccountRow>, Problem> {
    let change = change.of(&face, &caller)?;
    let accounts = face.authenticator.accounts();
    // Nothing is noted, and no password hashed, about what is not there.
    theirs(&caller, accounts.get(&name).await.map_err(store_problem)?, &name)?;
    let (secrets, now) = (secrets(&face.authenticator, &change).await?, face.clock.now());
    note(&face, &caller, "account.change", &name, Some(&change)).await?;
    let next = |found: Option<Account>| change.apply(theirs(&caller, found, &name)?, secrets, now).map(Some);
    changed(&face, accounts.change(&name, next).await, &name)
}

/// Removes an account; the answer is what it was.
#[utoipa::path(delete, path = "/v1/accounts/{name}", tag = "accounts", params(("name" = String, Path)),
    responses((status = 200, body = AccountRow)))]
pub(super) async fn remove(
    State(face): State<Face>,
    caller: Caller,
    At(name): At<AccountName>,
) -> Result<Json<AccountRow>, Problem> {
    let accounts = face.authenticator.accounts();
    theirs(&caller, accounts.get(&name).await.map_err(store_problem)?, &name)?;
    note(&face, &caller, "account.remove", &name, None).await?;
    let mut was = None;
    let gone = |found: Option<Account>| {
        was = Some(theirs(&caller, found, &name)?);
        Ok(None)
    };
    accounts.change(&name, gone).await.map_err(change_problem)?;
    was.map(|account| Json(AccountRow::of(&face, account))).ok_or_else(|| missing(&name))
}

fn is_theirs(caller: &Caller, account: &Account) -> bool {
    caller.sees(account.tenant.as_deref(), account.stream.as_deref())
}

/// An account that is the caller's business. No other is there for it.
fn theirs(caller: &Caller, found: Option<Account>, name: &AccountName) -> Result<Account, Problem> {
    found.filter(|account| is_theirs(caller, account)).ok_or_else(|| missing(name))
}

/// The line of the audit log, without the password.
async fn note(
    face: &Face,
    caller: &Caller,
    action: &str,
    name: &AccountName,
    change: Option<&AccountChange>,
) -> Result<(), Problem> {
    let hide = |change: &AccountChange| AccountChange {
        password: change.password.as_ref().map(|_| "(hidden)".to_owned()),
        ..change.clone()
    };
    let change = serde_json::to_value(change.map(hide)).unwrap_or_default();
    let deed = Deed { action, tenant: caller.tenant.as_ref(), target: name.as_str(), change };
    audit::note(face, caller, deed).await
}

impl AccountChange {
    /// As this caller may want it: a tenant's account stays its own, and one of a stream that stream's.
    fn of(mut self, face: &Face, caller: &Caller) -> Result<AccountChange, Problem> {
        if caller.is_relay() {
            return Ok(self);
        }
        let tenant = caller.tenant_of(label("tenant", self.tenant.as_deref())?.as_ref())?;
        let stream = caller.stream_of(label("stream", self.stream.as_deref())?.as_ref())?;
        let tenant = tenant.as_ref().map(Label::as_str);
        if let Some(stream) = stream {
            if face.store.tenants().stream(tenant, stream.as_str()).is_none() {
                return Err(Problem::unfit("stream", format!("there is no stream `{stream}`")));
            }
            self.stream = Some(stream.into());
        }
        self.tenant = tenant.map(str::to_owned);
        Ok(self)
    }

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

/// A name that is given, if it is.
fn label(field: &str, text: Option<&str>) -> Result<Option<Label>, Problem> {
    let text = text.filter(|text| !text.is_empty());
    text.map(str::parse).transpose().map_err(|error| Problem::field(field, format!("{error}")))
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
    face: &Face,
    result: Result<Option<Account>, ChangeError<Problem>>,
    name: &AccountName,
) -> Result<Json<AccountRow>, Problem> {
    let account = result.map_err(change_problem)?.ok_or_else(|| missing(name))?;
    Ok(Json(AccountRow::of(face, account)))
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
