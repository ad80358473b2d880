//! `/v1/suppressions`: to whom nothing is sent. An operator sees and changes all lists; a tenant its own, and one of its streams
//! that stream's. Of the wider lists these see only that they stop an address.

mod lines;
mod stream;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_mail::{Mailbox, MessageId, UnixMs};
use baton_store::suppression::{
    CHANGES_MAX, Change, Listed, NewEntry, Reason, Scope as ListScope, Suppress, Wanted, hash_text,
};
use baton_store::{StoreError, Suppressions};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed};
use super::caller::Caller;
use super::input::{At, Input, Params};
use super::route::{Need, Route};
use crate::admin::store_problem;
use crate::filter::Fields;
use crate::{Problem, Scope};

pub use stream::{Imported, LineError};

/// Entries that one page has when nobody says otherwise.
const PAGE_ENTRIES: usize = 100;
/// The longest lifetime of an entry in days: a hundred years.
const DAYS_MAX: u64 = 36_500;

pub(super) fn routes() -> Vec<Route> {
    let suppress = Need::Scope(baton_mail::tenant::Scope::Suppress);
    let of_one = "/v1/suppressions/{address}";
    vec![
        Route::new(Method::GET, "/v1/suppressions", suppress, list),
        Route::new(Method::POST, "/v1/suppressions", suppress, add).large(),
        Route::new(Method::GET, "/v1/suppressions/export", suppress, stream::export_suppressions),
        Route::new(Method::POST, "/v1/suppressions/import", suppress, stream::import_suppressions).streamed(),
        Route::new(Method::GET, of_one, suppress, show),
        Route::new(Method::DELETE, of_one, suppress, remove),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, add, show, remove, stream::export_suppressions, stream::import_suppressions))]
pub(super) struct Doc;

/// Why nothing is sent.
#[derive(ToSchema)]
#[schema(as = SuppressionReason, rename_all = "kebab-case")]
#[allow(dead_code, reason = "describes a type of another crate")]
enum ReasonSchema {
    HardBounce,
    SoftBounce,
    Complaint,
    Unsubscribe,
    Manual,
    SpamTrap,
}

/// An entry as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    #[schema(value_type = ReasonSchema)]
    pub reason: Reason,
    /// Since when, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub since: UnixMs,
    /// When the reason was given last.
    #[schema(value_type = u64)]
    pub at: UnixMs,
    /// When it ends by itself; none for never.
    #[schema(value_type = Option<u64>)]
    pub until: Option<UnixMs>,
    /// The message that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
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
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SuppressionPage {
    /// The entries, list by list, the newest of each first.
    pub entries: Vec<SuppressionRow>,
    /// Give this as `after` to see what follows; none at the end.
    pub next: Option<String>,
}

/// All that is kept of one address.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SuppressionsOf {
    /// The address.
    #[schema(value_type = String)]
    pub address: Mailbox,
    /// Its keyed hash.
    pub hash: String,
    /// The entries, in all lists that may be seen.
    pub entries: Vec<SuppressionRow>,
}

/// Entries to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSuppressions {
    /// At most 1,000.
    pub entries: Vec<NewSuppression>,
}

/// One entry to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
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
    #[schema(value_type = Option<ReasonSchema>)]
    pub reason: Option<Reason>,
    /// For how many days; unset: as the settings say for the reason; 0 for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
    /// What is to be remembered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// How many entries were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuppressionsChanged {
    /// So many.
    pub changed: usize,
}

impl Scope {
    /// The list that a request means.
    fn list(&self, tenant: Option<String>, stream: Option<String>) -> Result<ListScope, Problem> {
        let empty_is_none = |text: Option<String>| text.filter(|text| !text.is_empty());
        let tenant = self.tenant(empty_is_none(tenant))?;
        Ok(ListScope { tenant, stream: self.stream(empty_is_none(stream))? })
    }

    /// Whether a list is within it.
    fn has(&self, list: &ListScope) -> bool {
        self.tenant.as_ref().is_none_or(|own| list.tenant.as_ref() == Some(own))
            && self.stream.as_ref().is_none_or(|own| list.stream.as_ref() == Some(own))
    }

    /// Whether a list stops its mail, or some of it.
    fn is_stopped_by(&self, list: &ListScope) -> bool {
        let is_above = *list == ListScope::GLOBAL || list.tenant == self.tenant && list.stream.is_none();
        is_above || self.has(list)
    }
}

impl SuppressionRow {
    /// An entry as this caller may see it.
    pub(crate) fn of(listed: Listed, scope: &Scope, now: UnixMs) -> SuppressionRow {
        let holds = listed.holds(now);
        let is_own = scope.has(&listed.scope);
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

/// A page of the lists.
#[utoipa::path(get, path = "/v1/suppressions", tag = "suppressions",
    params(("tenant" = Option<String>, Query, description = "Whose lists; operators only, and an empty text is the global one"),
        ("stream" = Option<String>, Query, description = "That of this stream only"),
        ("reason" = Option<String>, Query), ("text" = Option<String>, Query, description = "In the address"),
        ("ended" = Option<bool>, Query, description = "Those too that do not hold any more"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = SuppressionPage)))]
pub(super) async fn list(
    State(face): State<Face>,
    scope: Scope,
    params: Params,
) -> Result<Json<SuppressionPage>, Problem> {
    let mut fields = params.0;
    let wanted = take_wanted(&mut fields, &scope)?;
    let after = fields.take::<String>("after")?.map(|text| read_cursor(&text)).transpose()?;
    let limit = fields.take::<usize>("limit")?.unwrap_or(PAGE_ENTRIES).clamp(1, 1_000);
    fields.finish(&["tenant", "stream", "reason", "text", "ended", "after", "limit"])?;
    let page = face.store.suppression().list(wanted, after, limit).await.map_err(|error| match error {
        StoreError::Misuse(why) => Problem::field("after", why),
        error => store_problem(error),
    })?;
    let now = face.clock.now();
    let row = |listed| SuppressionRow::of(listed, &scope, now);
    let next = page.next.map(|key| hex(&key));
    Ok(Json(SuppressionPage { entries: page.entries.into_iter().map(row).collect(), next }))
}

/// Which entries a query means.
fn take_wanted(fields: &mut Fields, scope: &Scope) -> Result<Wanted, Problem> {
    let tenant = fields.take::<String>("tenant")?;
    let stream = fields.take::<String>("stream")?;
    let is_global = scope.tenant.is_none() && tenant.as_deref() == Some("") && stream.is_none();
    let list = scope.list(tenant, stream)?;
    let reason = fields.take::<String>("reason")?.map(|name| read_reason(&name)).transpose()?;
    let is_exact = is_global || list.stream.is_some();
    Ok(Wanted {
        tenant: list.tenant.clone().filter(|_| !is_exact),
        scope: is_exact.then_some(list),
        reason,
        text: fields.take("text")?,
        with_ended: fields.take("ended")?.unwrap_or(false),
    })
}

/// All that is kept of an address: which lists stop mail to it, and why.
#[utoipa::path(get, path = "/v1/suppressions/{address}", tag = "suppressions",
    params(("address" = String, Path), ("tenant" = Option<String>, Query, description = "Whose mail they stop; operators only"),
        ("stream" = Option<String>, Query, description = "The mail of this stream")),
    responses((status = 200, body = SuppressionsOf)))]
pub(super) async fn show(
    State(face): State<Face>,
    scope: Scope,
    At(address): At<Mailbox>,
    params: Params,
) -> Result<Json<SuppressionsOf>, Problem> {
    let mut fields = params.0;
    let tenant = scope.tenant(fields.take("tenant")?)?;
    let sender = Scope { tenant, stream: scope.stream(fields.take("stream")?)? };
    fields.finish(&["tenant", "stream"])?;
    let (lists, now) = (face.store.suppression(), face.clock.now());
    let found = lists.of_person(&address).await.map_err(store_problem)?;
    let found = found.into_iter().filter(|listed| sender.is_stopped_by(&listed.scope));
    let entries = found.map(|listed| SuppressionRow::of(listed, &scope, now)).collect();
    Ok(Json(SuppressionsOf { hash: lists.names().of(&address), address, entries }))
}

/// Puts addresses on a list, all or none.
#[utoipa::path(post, path = "/v1/suppressions", tag = "suppressions", request_body = NewSuppressions,
    responses((status = 200, body = SuppressionsChanged)))]
pub(super) async fn add(
    State(face): State<Face>,
    caller: Caller,
    scope: Scope,
    Input(new): Input<NewSuppressions>,
) -> Result<Json<SuppressionsChanged>, Problem> {
    if new.entries.len() > CHANGES_MAX {
        return Err(Problem::field("entries", format!("are {CHANGES_MAX} at most; import takes more")));
    }
    let (lists, by, now) = (face.store.suppression(), caller.name(), face.clock.now());
    let mut changes = Vec::with_capacity(new.entries.len());
    for (index, entry) in new.entries.into_iter().enumerate() {
        let change = suppress(&lists, &scope, entry, &by, now);
        changes.push(change.map_err(|problem| in_entry(problem, index))?);
    }
    let changed = changes.len();
    let target = match changes.as_slice() {
        // An address has no place in a log that outlives it.
        [one] => lists.names().of(&one.address),
        _ => format!("{changed} addresses"),
    };
    note(&face, &caller, "suppression.add", &target).await?;
    lists.change(changes, Vec::new()).await.map_err(store_problem)?;
    Ok(Json(SuppressionsChanged { changed }))
}

/// The change that an entry means.
fn suppress(
    lists: &Suppressions,
    scope: &Scope,
    new: NewSuppression,
    by: &str,
    now: UnixMs,
) -> Result<Suppress, Problem> {
    let address = read_address(&new.address)?;
    let scope = scope.list(new.tenant, new.stream)?;
    check_list(&scope)?;
    let reason = new.reason.unwrap_or(Reason::Manual);
    let until = match new.days {
        None => lists.rules().until(reason, now),
        Some(0) => None,
        Some(days) if days <= DAYS_MAX => Some(now.plus(std::time::Duration::from_secs(days * 86_400))),
        Some(_) => return Err(Problem::field("days", format!("are {DAYS_MAX} at most; 0 is for ever"))),
    };
    let entry = NewEntry { reason, until, message: None, since: None, by: by.to_owned(), note: new.note };
    Ok(Suppress { scope, address, change: Change::Add(entry) })
}

/// Takes an address off one list; answers what stood there.
#[utoipa::path(delete, path = "/v1/suppressions/{address}", tag = "suppressions",
    params(("address" = String, Path), ("tenant" = Option<String>, Query, description = "Whose list; operators only"),
        ("stream" = Option<String>, Query, description = "That of this stream")),
    responses((status = 200, body = SuppressionRow)))]
pub(super) async fn remove(
    State(face): State<Face>,
    caller: Caller,
    scope: Scope,
    At(address): At<Mailbox>,
    params: Params,
) -> Result<Json<SuppressionRow>, Problem> {
    let mut fields = params.0;
    let list = scope.list(fields.take("tenant")?, fields.take("stream")?)?;
    fields.finish(&["tenant", "stream"])?;
    let lists = face.store.suppression();
    let found = lists.get(&list, &address).await.map_err(store_problem)?;
    let Some(listed) = found else {
        return Err(Problem::not_found(format!("<{address}> is not on the list: {list}")));
    };
    note(&face, &caller, "suppression.remove", &lists.names().of(&address)).await?;
    let change = Suppress { scope: list, address, change: Change::Remove };
    lists.change(vec![change], Vec::new()).await.map_err(store_problem)?;
    Ok(Json(SuppressionRow::of(listed, &scope, face.clock.now())))
}

async fn note(face: &Face, caller: &Caller, action: &str, target: &str) -> Result<(), Problem> {
    let (tenant, change) = (caller.tenant.as_ref(), serde_json::Value::Null);
    audit::note(face, caller, Deed { action, tenant, target, change }).await
}

fn check_list(scope: &ListScope) -> Result<(), Problem> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_means_its_own_lists_and_no_others() {
        let name = |text: &str| Some(text.to_owned());
        let acme = Scope { tenant: name("acme"), stream: None };
        assert_eq!(acme.list(None, None).unwrap(), ListScope::tenant(Some("acme")));
        assert_eq!(acme.list(name("acme"), name("news")).unwrap(), ListScope::stream(Some("acme"), "news"));
        assert_eq!(acme.list(name("other"), None).unwrap_err().status, 403);
        assert_eq!(
            acme.list(name(""), None).unwrap(),
            ListScope::tenant(Some("acme")),
            "never the global one"
        );
        assert_eq!(Scope::everything().list(name(""), None).unwrap(), ListScope::GLOBAL);
    }

    #[test]
    fn a_stream_sees_what_stops_it_and_changes_its_own_list() {
        let name = |text: &str| Some(text.to_owned());
        let news = Scope { tenant: name("acme"), stream: name("news") };
        let own = ListScope::stream(Some("acme"), "news");
        assert_eq!(news.list(None, None).unwrap(), own);
        assert_eq!(news.list(None, name("receipts")).unwrap_err().status, 403);
        assert!(news.has(&own) && news.is_stopped_by(&own));
        for above in [ListScope::GLOBAL, ListScope::tenant(Some("acme"))] {
            assert!(news.is_stopped_by(&above) && !news.has(&above), "{above}");
        }
        for other in [ListScope::stream(Some("acme"), "receipts"), ListScope::tenant(Some("other"))] {
            assert!(!news.is_stopped_by(&other), "{other}");
        }
    }

    #[test]
    fn cursors_are_read_as_they_were_written() {
        assert_eq!(read_cursor(&hex(&[1, 0, 255])).unwrap(), [1, 0, 255]);
        for wrong in ["1", "xx", "ä0"] {
            assert!(read_cursor(wrong).is_err(), "{wrong}");
        }
    }
}
