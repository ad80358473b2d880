//! `/v1/persons`: all that is kept of one person, told and forgotten (GDPR articles 15 and 17).
//!
//! Invariant: who forgets a person keeps that it gets no mail, by the keyed hash of its address.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_mail::Mailbox;
use baton_mail::tenant::{Label, Scope};
use baton_store::catalog::{Edit, Key, Kind, Query, Record};
use baton_store::{Needles, Person};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, AUDIT, Deed, catalog_problem};
use super::input::{At, Whose};
use super::messages::ANSWER;
use super::queue::rows;
use super::route::{Need, Route};
use super::suppressions::SuppressionRow;
use crate::Problem;
use crate::admin::store_problem;
use crate::wire::JobRow;

/// Records of the catalog that a program wrote by itself: they can be written anew. What somebody set up stays as it is.
const KINDS: [Kind; 2] = [AUDIT, ANSWER];
/// Records that are written anew at once.
const EDITS_AT_ONCE: usize = 50;

pub(super) fn routes() -> Vec<Route> {
    let admin = Need::Scope(Scope::Admin);
    vec![
        Route::new(Method::GET, "/v1/persons/{address}", admin, export_person),
        Route::new(Method::DELETE, "/v1/persons/{address}", admin, erase_person),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(export_person, erase_person))]
pub(super) struct Doc;

/// All that is kept of a person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PersonRow {
    /// The address.
    #[schema(value_type = String)]
    pub address: Mailbox,
    /// Its keyed hash, by which logs name it where they name nobody.
    pub hash: String,
    /// What happened to messages to the person, or from it.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<baton_mail::event::Event>,
    /// What waits in the queue, to the person or from it.
    pub queue: Vec<JobRow>,
    /// What keeps mail from the person.
    pub suppressions: Vec<SuppressionRow>,
    /// Lines of the audit log, and answers to programs, that name the person.
    #[schema(value_type = Vec<Object>)]
    pub records: Vec<serde_json::Value>,
    /// Entries of the plugins' store that name the person: `bucket/key`; operators only.
    pub plugins: Vec<String>,
    /// There is more than is told.
    pub is_cut: bool,
}

/// What was forgotten of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonErased {
    /// Records of stories that were written anew, without the address.
    pub events: usize,
    /// Entries that were taken out of the queue.
    pub queue: usize,
    /// Entries that stay in the queue until they are done: others wait in them too, or they are being delivered. Erase again
    /// then.
    pub queue_left: usize,
    /// Lists that the person stays on, by its hash.
    pub suppressions: usize,
    /// Lines of the audit log, and answers to programs, that were written anew.
    pub records: usize,
    /// Entries of the plugins' store that were deleted.
    pub plugins: usize,
}

/// All that is kept of a person, in the mail of a tenant, or in all of it.
#[utoipa::path(get, path = "/v1/persons/{address}", tag = "persons",
    params(("address" = String, Path), ("tenant" = Option<String>, Query, description = "In whose mail; operators only, and none is all")),
    responses((status = 200, body = PersonRow)))]
pub(super) async fn export_person(
    State(face): State<Face>,
    At(address): At<Mailbox>,
    whose: Whose,
) -> Result<Json<PersonRow>, Problem> {
    let (person, scope) = (person(&face, &address, &whose)?, whose.caller.scope()?);
    note(&face, &whose, "person.export", &address).await?;
    let traces = person.traces().await.map_err(store_problem)?;
    let needles = person.needles();
    let mut records: Vec<serde_json::Value> = Vec::new();
    for kind in KINDS {
        let mut next = None;
        loop {
            let (found, more) = page(&face, &whose, &needles, kind, next).await?;
            records.extend(found.iter().filter_map(|record| record.json().ok()));
            next = more;
            if next.is_none() {
                break;
            }
        }
    }
    let now = face.clock.now();
    let listed = traces.suppressions.into_iter().map(|listed| SuppressionRow::of(listed, &scope, now));
    Ok(Json(PersonRow {
        hash: face.store.suppression().names().of(&address),
        address,
        events: traces.events,
        queue: rows(traces.jobs, &face.delivery),
        suppressions: listed.collect(),
        records,
        plugins: traces.kv,
        is_cut: traces.is_cut,
    }))
}

/// Forgets a person: its address leaves stories, the audit log and the plugins' store, what waits for it alone leaves the
/// queue. What keeps mail from it stays, by its hash.
#[utoipa::path(delete, path = "/v1/persons/{address}", tag = "persons",
    params(("address" = String, Path), ("tenant" = Option<String>, Query, description = "In whose mail; operators only, and none is all")),
    responses((status = 200, body = PersonErased)))]
pub(super) async fn erase_person(
    State(face): State<Face>,
    At(address): At<Mailbox>,
    whose: Whose,
) -> Result<Json<PersonErased>, Problem> {
    let person = person(&face, &address, &whose)?;
    note(&face, &whose, "person.erase", &address).await?;
    let anew = write_catalog_anew(&face, &whose, &person.needles()).await?;
    let forgotten = person.forget(&whose.caller.name()).await.map_err(store_problem)?;
    Ok(Json(PersonErased {
        events: forgotten.records,
        queue: forgotten.jobs,
        queue_left: forgotten.jobs_left,
        suppressions: forgotten.suppressions,
        records: anew,
        plugins: forgotten.kv,
    }))
}

/// A person is the whole tenant's: whoever may see one stream only could learn of others by it.
fn person(face: &Face, address: &Mailbox, whose: &Whose) -> Result<Person, Problem> {
    if whose.caller.stream.is_some() {
        return Err(Problem::forbidden("this token is for one stream, and persons are the whole tenant's"));
    }
    Ok(face.store.person(address.clone(), whose.tenant.clone().map(Label::into)))
}

/// The line of the audit log names nobody.
async fn note(face: &Face, whose: &Whose, action: &str, address: &Mailbox) -> Result<(), Problem> {
    let target = face.store.suppression().names().of(address);
    let (tenant, change) = (whose.tenant.as_ref(), serde_json::Value::Null);
    audit::note(face, &whose.caller, Deed { action, tenant, target: &target, change }).await
}

/// Writes the records of the catalog anew that name the person. Returns how many these are.
async fn write_catalog_anew(face: &Face, whose: &Whose, needles: &Needles) -> Result<usize, Problem> {
    let mut anew = 0;
    for kind in KINDS {
        let mut next = None;
        loop {
            let (found, more) = page(face, whose, needles, kind, next).await?;
            for records in found.chunks(EDITS_AT_ONCE) {
                let edits = records.iter().map(|record| written_anew(record, needles));
                let edits: Vec<Edit> = edits.collect::<Result<_, _>>()?;
                face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
            }
            anew += found.len();
            next = more;
            if next.is_none() {
                break;
            }
        }
    }
    Ok(anew)
}

/// Records of the catalog that name the person, of a page; and where to go on.
async fn page(
    face: &Face,
    whose: &Whose,
    needles: &Needles,
    kind: Kind,
    after: Option<Key>,
) -> Result<(Vec<Record>, Option<Key>), Problem> {
    let query = Query::of(kind).after(after);
    // Without a tenant: those of all.
    let query = if whose.tenant.is_some() { query.tenant(whose.tenant()) } else { query };
    let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
    let named = page.records.into_iter().filter(|record| is_named(record, needles));
    Ok((named.collect(), page.next))
}

fn is_named(record: &Record, needles: &Needles) -> bool {
    needles.may_be_in(&record.value) && needles.names(&String::from_utf8_lossy(&record.value))
}

/// The record without the person, for as long as it would have been kept.
fn written_anew(record: &Record, needles: &Needles) -> Result<Edit, Problem> {
    let mut value: serde_json::Value = record.json().map_err(catalog_problem)?;
    needles.replace_in(&mut value);
    let edit = Edit::put_json(record.key.clone(), &value).map_err(catalog_problem)?;
    Ok(match record.expires_at {
        Some(until) => edit.until(until),
        None => edit,
    })
}
