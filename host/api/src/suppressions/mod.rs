//! `/v1/suppressions`: to whom nothing is sent. All is written for whoever asks: an operator, or one tenant, which sees and
//! changes its own lists, and sees of the global one only that it is stopped.

mod lines;
mod stream;

use std::collections::BTreeMap;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use baton_mail::{Mailbox, MessageId, UnixMs};
use baton_store::Suppressions;
use baton_store::suppression::{
    CHANGES_MAX, Change, Listed, NewEntry, Reason, Scope, Suppress, Wanted, hash_text,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::admin::{AdminDeps, store_problem};
use crate::filter::Fields;

pub use lines::Format;
pub use stream::{Imported, LineError, export, import};

/// Entries that one page has when nobody says otherwise.
const PAGE_ENTRIES: usize = 100;
/// The longest lifetime of an entry in days: a hundred years.
const DAYS_MAX: u64 = 36_500;

/// Whose lists somebody may see and change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// All of them.
    Operator,
    /// Those of a tenant and of its streams.
    Tenant(&'a str),
}

/// An entry as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionRow {
    /// The address; none after it was erased.
    pub address: Option<String>,
    /// The keyed hash of the address, in this relay.
    pub hash: String,
    /// Whose mail it stops; with neither tenant nor stream everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Of which stream only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Why: `hard-bounce`, `soft-bounce`, `complaint`, `unsubscribe`, `manual` or `spam-trap`.
    pub reason: Reason,
    /// Since when, in milliseconds since 1970.
    pub since: UnixMs,
    /// When the reason was given last.
    pub at: UnixMs,
    /// When it ends by itself; none for never.
    pub until: Option<UnixMs>,
    /// The message that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// Who or what said so.
    #[serde(default)]
    pub by: String,
    /// What whoever made it wanted to remember.
    #[serde(default)]
    pub note: String,
    /// It holds.
    #[serde(default)]
    pub holds: bool,
}

/// A page of entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SuppressionPage {
    /// The entries, list by list, the newest of each first.
    pub entries: Vec<SuppressionRow>,
    /// Give this as `after` to see what follows; none at the end.
    pub next: Option<String>,
}

/// All that is kept of one address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SuppressionsOf {
    /// The address.
    pub address: Mailbox,
    /// Its keyed hash.
    pub hash: String,
    /// The entries, in all lists that may be seen.
    pub entries: Vec<SuppressionRow>,
}

/// Entries to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSuppressions {
    /// At most 1,000.
    pub entries: Vec<NewSuppression>,
}

/// One entry to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewSuppression {
    /// The address.
    pub address: String,
    /// Whose mail is to be stopped; a tenant stops its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only that of this stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Why; `manual` when it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For how many days; unset: as the settings say for the reason; 0 for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
    /// What is to be remembered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// How many entries were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionsChanged {
    /// So many.
    pub changed: usize,
}

impl<'a> Owner<'a> {
    /// The scope that a request means.
    ///
    /// # Errors
    /// When it is not the caller's.
    pub fn scope(self, tenant: Option<String>, stream: Option<String>) -> Result<Scope, Problem> {
        let empty_is_none = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (tenant, stream) = (empty_is_none(tenant), empty_is_none(stream));
        let tenant = match (self, tenant) {
            (Owner::Operator, tenant) => tenant,
            (Owner::Tenant(own), None) => Some(own.to_owned()),
            (Owner::Tenant(own), Some(named)) if named == own => Some(named),
            (Owner::Tenant(_), Some(_)) => return Err(not_yours()),
        };
        Ok(Scope { tenant, stream })
    }

    fn owns(self, scope: &Scope) -> bool {
        match self {
            Owner::Operator => true,
            Owner::Tenant(own) => scope.tenant.as_deref() == Some(own),
        }
    }

    fn name(self) -> &'a str {
        match self {
            Owner::Operator => "operator",
            Owner::Tenant(own) => own,
        }
    }
}

fn not_yours() -> Problem {
    Problem {
        title: "Not allowed".to_owned(),
        status: 403,
        detail: "the list belongs to another tenant".to_owned(),
        errors: Vec::new(),
    }
}

impl SuppressionRow {
    /// An entry as this caller may see it.
    pub(crate) fn of(listed: Listed, owner: Owner<'_>, now: UnixMs) -> SuppressionRow {
        let holds = listed.holds(now);
        let is_own = owner.owns(&listed.scope);
        let Listed { scope, hash, entry } = listed;
        SuppressionRow {
            address: entry.address,
            hash: hash_text(&hash),
            tenant: scope.tenant,
            stream: scope.stream,
            reason: entry.reason,
            since: entry.since,
            at: entry.at,
            until: entry.until,
            message: entry.message.filter(|_| is_own),
            by: if is_own { entry.by } else { String::new() },
            note: if is_own { entry.note } else { String::new() },
            holds,
        }
    }
}

/// A page of the lists: fields `tenant stream reason text ended after limit`.
///
/// # Errors
/// A field that is not understood, a list of another tenant, or the store.
pub async fn page(
    lists: &Suppressions,
    owner: Owner<'_>,
    query: BTreeMap<String, String>,
    now: UnixMs,
) -> Result<SuppressionPage, Problem> {
    let mut fields = Fields::new(query);
    let wanted = take_wanted(&mut fields, owner)?;
    let after = fields.take::<String>("after")?.map(|text| read_cursor(&text)).transpose()?;
    let limit = fields.take::<usize>("limit")?.unwrap_or(PAGE_ENTRIES).clamp(1, 1_000);
    fields.finish(&["tenant", "stream", "reason", "text", "ended", "after", "limit"])?;
    let page = lists.list(wanted, after, limit).await.map_err(store_problem)?;
    let row = |listed| SuppressionRow::of(listed, owner, now);
    Ok(SuppressionPage {
        entries: page.entries.into_iter().map(row).collect(),
        next: page.next.map(|key| hex(&key)),
    })
}

/// Which entries a query means.
pub(crate) fn take_wanted(fields: &mut Fields, owner: Owner<'_>) -> Result<Wanted, Problem> {
    let tenant = fields.take::<String>("tenant")?;
    let stream = fields.take::<String>("stream")?;
    let is_global = owner == Owner::Operator && tenant.as_deref() == Some("") && stream.is_none();
    let scope = owner.scope(tenant, stream)?;
    let reason = fields.take::<String>("reason")?.map(|name| read_reason(&name)).transpose()?;
    let is_exact = is_global || scope.stream.is_some();
    Ok(Wanted {
        tenant: scope.tenant.clone().filter(|_| !is_exact),
        scope: is_exact.then_some(scope),
        reason,
        text: fields.take("text")?,
        with_ended: fields.take("ended")?.unwrap_or(false),
    })
}

/// All that is kept of an address, as far as the caller may see it.
///
/// # Errors
/// When it is no address, or the store can not be read.
pub async fn look_up(
    lists: &Suppressions,
    owner: Owner<'_>,
    address: &str,
    now: UnixMs,
) -> Result<SuppressionsOf, Problem> {
    let address = read_address(address)?;
    let found = lists.of_person(&address).await.map_err(store_problem)?;
    let may_see = |listed: &Listed| owner.owns(&listed.scope) || listed.scope == Scope::GLOBAL;
    let entries = found.into_iter().filter(may_see).map(|one| SuppressionRow::of(one, owner, now)).collect();
    Ok(SuppressionsOf { hash: lists.names().of(&address), address, entries })
}

/// Makes entries, all or none.
///
/// # Errors
/// When one can not be understood or is of another tenant; the field tells which.
pub async fn add(
    lists: &Suppressions,
    owner: Owner<'_>,
    new: NewSuppressions,
    by: &str,
    now: UnixMs,
) -> Result<SuppressionsChanged, Problem> {
    if new.entries.len() > CHANGES_MAX {
        return Err(Problem::field("entries", format!("are {CHANGES_MAX} at most; import takes more")));
    }
    let mut changes = Vec::with_capacity(new.entries.len());
    for (index, entry) in new.entries.into_iter().enumerate() {
        let at = |problem: Problem| in_entry(problem, index);
        changes.push(suppress(lists, owner, entry, by, now).map_err(at)?);
    }
    let changed = changes.len();
    lists.change(changes, Vec::new()).await.map_err(store_problem)?;
    Ok(SuppressionsChanged { changed })
}

/// The change that an entry means.
pub(crate) fn suppress(
    lists: &Suppressions,
    owner: Owner<'_>,
    new: NewSuppression,
    by: &str,
    now: UnixMs,
) -> Result<Suppress, Problem> {
    let address = read_address(&new.address)?;
    let scope = owner.scope(new.tenant, new.stream)?;
    check_scope(&scope)?;
    let reason = new.reason.unwrap_or(Reason::Manual);
    let until = match new.days {
        None => lists.rules().until(reason, now),
        Some(0) => None,
        Some(days) if days <= DAYS_MAX => Some(now.plus(std::time::Duration::from_secs(days * 86_400))),
        Some(_) => return Err(Problem::field("days", format!("are {DAYS_MAX} at most; 0 is for ever"))),
    };
    let by = if by.is_empty() { owner.name().to_owned() } else { by.to_owned() };
    let entry = NewEntry { reason, until, message: None, by, note: new.note };
    Ok(Suppress { scope, address, change: Change::Add(entry) })
}

/// Takes an address off one list: fields `tenant stream`, those of the list.
///
/// # Errors
/// When it is not there, not the caller's, or the store fails.
pub async fn remove(
    lists: &Suppressions,
    owner: Owner<'_>,
    address: &str,
    query: BTreeMap<String, String>,
    now: UnixMs,
) -> Result<SuppressionRow, Problem> {
    let address = read_address(address)?;
    let mut fields = Fields::new(query);
    let scope = owner.scope(fields.take("tenant")?, fields.take("stream")?)?;
    fields.finish(&["tenant", "stream"])?;
    let found = lists.get(&scope, &address).await.map_err(store_problem)?;
    let Some(listed) = found else {
        return Err(Problem::not_found(format!("<{address}> is not on the list: {scope}")));
    };
    let change = Suppress { scope, address, change: Change::Remove };
    lists.change(vec![change], Vec::new()).await.map_err(store_problem)?;
    Ok(SuppressionRow::of(listed, owner, now))
}

fn check_scope(scope: &Scope) -> Result<(), Problem> {
    for (field, name) in [("tenant", &scope.tenant), ("stream", &scope.stream)] {
        let Some(name) = name else { continue };
        if name.len() > baton_store::suppression::SCOPE_OCTETS_MAX
            || name.chars().any(baton_mail::text::is_unsafe)
        {
            return Err(Problem::field(field, "has 255 octets at most and no control characters"));
        }
    }
    Ok(())
}

fn read_address(text: &str) -> Result<Mailbox, Problem> {
    let shown = baton_mail::text::sanitize(text, 200);
    text.trim().parse().map_err(|error| Problem::field("address", format!("`{shown}`: {error}")))
}

pub(crate) fn read_reason(name: &str) -> Result<Reason, Problem> {
    Reason::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        Problem::field("reason", format!("is none of {}", names.join(", ")))
    })
}

/// The same problem, in one entry of a list.
fn in_entry(problem: Problem, index: usize) -> Problem {
    let errors = problem.errors.into_iter();
    let errors =
        errors.map(|one| crate::FieldError { field: format!("entries[{index}].{}", one.field), ..one });
    Problem { errors: errors.collect(), detail: format!("entries[{index}]: {}", problem.detail), ..problem }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn read_cursor(text: &str) -> Result<Vec<u8>, Problem> {
    let wrong = || Problem::field("after", "is no cursor that an earlier page gave");
    if !text.is_ascii() || !text.len().is_multiple_of(2) || text.len() > 2_048 {
        return Err(wrong());
    }
    let digits = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(|at| digits(at).ok_or_else(wrong)).collect()
}

/// The routes for operators.
pub(crate) fn routes() -> Router<AdminDeps> {
    Router::new()
        .route("/v1/suppressions", get(admin_page).post(admin_add))
        .route("/v1/suppressions/export", get(stream::admin_export))
        .route("/v1/suppressions/import", post(stream::admin_import).layer(DefaultBodyLimit::disable()))
        .route("/v1/suppressions/{address}", get(admin_look_up).delete(admin_remove))
}

async fn admin_page(
    State(deps): State<AdminDeps>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<SuppressionPage>, Problem> {
    page(&deps.store.suppression(), Owner::Operator, query, deps.clock.now()).await.map(Json)
}

async fn admin_look_up(
    State(deps): State<AdminDeps>,
    Path(address): Path<String>,
) -> Result<Json<SuppressionsOf>, Problem> {
    look_up(&deps.store.suppression(), Owner::Operator, &address, deps.clock.now()).await.map(Json)
}

async fn admin_add(State(deps): State<AdminDeps>, body: Bytes) -> Result<Json<SuppressionsChanged>, Problem> {
    let new = serde_json::from_slice(&body).map_err(|error| Problem::field("body", error.to_string()))?;
    add(&deps.store.suppression(), Owner::Operator, new, "", deps.clock.now()).await.map(Json)
}

async fn admin_remove(
    State(deps): State<AdminDeps>,
    Path(address): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<SuppressionRow>, Problem> {
    remove(&deps.store.suppression(), Owner::Operator, &address, query, deps.clock.now()).await.map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_means_its_own_lists_and_no_others() {
        let acme = Owner::Tenant("acme");
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(acme.scope(None, None).unwrap(), Scope::tenant(Some("acme")));
        assert_eq!(acme.scope(name("acme"), name("news")).unwrap(), Scope::stream(Some("acme"), "news"));
        assert_eq!(acme.scope(name("other"), None).unwrap_err().status, 403);
        assert_eq!(acme.scope(name(""), None).unwrap(), Scope::tenant(Some("acme")), "never the global one");
        assert_eq!(Owner::Operator.scope(name(""), None).unwrap(), Scope::GLOBAL);
    }

    #[test]
    fn cursors_are_read_as_they_were_written() {
        assert_eq!(read_cursor(&hex(&[1, 0, 255])).unwrap(), [1, 0, 255]);
        for wrong in ["1", "xx", "ä0"] {
            assert!(read_cursor(wrong).is_err(), "{wrong}");
        }
    }
}
