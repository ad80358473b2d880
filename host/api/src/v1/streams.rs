//! `/v1/streams`: messages of one purpose, and what holds for them.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use baton_mail::UnixMs;
use baton_mail::account::Quota;
use baton_mail::envelope::PRIORITY_MAX;
use baton_mail::tenant::{self, Label, Requirements, Retention, Scope, Stream, StreamKind, Tracking};
use baton_store::catalog::{Edit, Expect, Key, Query, Record, STREAM};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed, catalog_problem};
use super::caller::Caller;
use super::input::{Asked, At, Input, Whose};
use super::route::{Need, Route};
use super::tenants::QuotaSchema;
use crate::Problem;

pub(super) fn routes() -> Vec<Route> {
    let admin = Need::Scope(Scope::Admin);
    vec![
        Route::get("/v1/streams", Scope::Read, list),
        Route::new(Method::POST, "/v1/streams", admin, add),
        Route::get("/v1/streams/{stream}", Scope::Read, show),
        Route::new(Method::PATCH, "/v1/streams/{stream}", admin, change),
        Route::new(Method::DELETE, "/v1/streams/{stream}", admin, remove),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(list, add, show, change, remove))]
pub(super) struct Doc;

/// What a stream is for.
#[derive(ToSchema)]
#[schema(as = StreamKind, rename_all = "kebab-case")]
#[allow(dead_code, reason = "describes a type of another crate")]
enum KindSchema {
    Transactional,
    Bulk,
}

/// What is followed of messages.
#[derive(ToSchema)]
#[schema(as = Tracking)]
#[allow(dead_code, reason = "describes a type of another crate")]
struct TrackingSchema {
    /// Whether a message was opened.
    #[schema(default = false)]
    opens: Option<bool>,
    /// Which links were followed.
    #[schema(default = false)]
    clicks: Option<bool>,
}

/// What a message must have to be taken.
#[derive(ToSchema)]
#[schema(as = Requirements)]
#[allow(dead_code, reason = "describes a type of another crate")]
struct RequirementsSchema {
    /// A List-Unsubscribe field with an address; the relay puts one into bulk mail where links are set up.
    #[schema(default = false)]
    unsubscribe: Option<bool>,
    /// The sender's postal address, which the text names; an empty text asks for none.
    postal_address: Option<String>,
}

/// How long what is kept, in days; what is absent follows the settings of the relay.
#[derive(ToSchema)]
#[schema(as = Retention)]
#[allow(dead_code, reason = "describes a type of another crate")]
struct RetentionSchema {
    /// Content, after the message left the queue.
    bodies_days: Option<u32>,
    /// The story of each message.
    events_days: Option<u32>,
    /// Recipients' addresses in stories.
    addresses_days: Option<u32>,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamRow {
    /// Its name: lower case letters, digits, hyphens.
    #[schema(value_type = String, example = "receipts")]
    pub name: Label,
    /// Whose it is; none is the relay's own.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Label>,
    /// What its owner wants to remember.
    pub note: String,
    /// What it is for.
    #[schema(value_type = KindSchema)]
    pub kind: StreamKind,
    /// How urgent its messages are, -9 to 9.
    pub priority: i8,
    /// The pool of sources by which it leaves; none is as the settings say.
    pub pool: Option<String>,
    /// How much it may send.
    #[schema(value_type = QuotaSchema)]
    pub quota: Quota,
    /// What is followed.
    #[schema(value_type = TrackingSchema)]
    pub tracking: Tracking,
    /// What its messages must have, beside what the settings of the relay ask for.
    #[serde(default)]
    #[schema(value_type = RequirementsSchema)]
    pub require: Requirements,
    /// How long what is kept.
    #[schema(value_type = RetentionSchema)]
    pub retention: Retention,
    /// Nothing is taken for it.
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

/// A page of streams.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StreamPage {
    /// In the order of their names.
    pub streams: Vec<StreamRow>,
    /// Give this as `after` to see what follows; none at the end.
    pub next: Option<String>,
}

/// What is to be of a stream. In a change, what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamChange {
    /// Its name, when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "receipts")]
    pub name: Option<Label>,
    /// Whose it is, when it is new; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Label>,
    /// What is to be remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<KindSchema>)]
    pub kind: Option<StreamKind>,
    /// How urgent its messages are, -9 to 9.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -9, maximum = 9)]
    pub priority: Option<i8>,
    /// The pool of sources by which it leaves; an empty text is as the settings say. Operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// How much it may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<QuotaSchema>)]
    pub quota: Option<Quota>,
    /// What is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TrackingSchema>)]
    pub tracking: Option<Tracking>,
    /// What its messages must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RequirementsSchema>)]
    pub require: Option<Requirements>,
    /// How long what is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RetentionSchema>)]
    pub retention: Option<Retention>,
    /// Nothing is taken for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Only if it still has this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl StreamChange {
    fn apply(&self, mut stream: Stream, caller: &Caller) -> Result<Stream, Problem> {
        if let Some(note) = &self.note {
            tenant::check_note(note).map_err(|wrong| Problem::unfit("note", wrong))?;
            stream.note.clone_from(note);
        }
        if let Some(priority) = self.priority {
            if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority) {
                return Err(Problem::unfit(
                    "priority",
                    format!("is a number from -{PRIORITY_MAX} to {PRIORITY_MAX}"),
                ));
            }
            stream.priority = priority;
        }
        if let Some(pool) = &self.pool {
            if !caller.is_relay() {
                return Err(Problem::unfit("pool", "is chosen by operators of the relay"));
            }
            tenant::check_note(pool).map_err(|wrong| Problem::unfit("pool", wrong))?;
            stream.pool = Some(pool.clone()).filter(|pool| !pool.is_empty());
        }
        if let Some(field) = self.retention.and_then(|retention| retention.unfit()) {
            return Err(Problem::unfit(&format!("retention.{field}"), "is a hundred years at most"));
        }
        stream.kind = self.kind.unwrap_or(stream.kind);
        stream.quota = self.quota.unwrap_or(stream.quota);
        stream.tracking = self.tracking.unwrap_or(stream.tracking);
        if let Some(require) = &self.require {
            tenant::check_note(&require.postal_address)
                .map_err(|wrong| Problem::unfit("require.postal_address", wrong))?;
            stream.require.clone_from(require);
        }
        stream.retention = self.retention.unwrap_or(stream.retention);
        stream.disabled = self.disabled.unwrap_or(stream.disabled);
        Ok(stream)
    }
}

/// The streams of a tenant.
#[utoipa::path(get, path = "/v1/streams", tag = "streams",
    params(("tenant" = Option<String>, Query, description = "Whose; operators only, and none is the relay's own"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, body = StreamPage)))]
pub(super) async fn list(
    State(face): State<Face>,
    Asked { whose, mut params }: Asked,
) -> Result<Json<StreamPage>, Problem> {
    let Whose { caller, tenant } = &whose;
    let (after, limit) = (params.0.take::<Label>("after")?, params.take_limit()?);
    params.0.finish(&["tenant", "after", "limit"])?;
    if let Some(own) = &caller.stream {
        let streams = row(&find(&face, tenant.as_ref(), own).await?)?;
        return Ok(Json(StreamPage { streams: vec![streams], next: None }));
    }
    let after = after.map(|name| key(tenant.as_ref(), &name)).transpose()?;
    let query = Query::of(STREAM).tenant(whose.tenant()).after(after).limit(limit);
    let page = face.store.catalog().list(&query).await.map_err(catalog_problem)?;
    let streams = page.records.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Json(StreamPage { streams, next: page.next.map(|key| key.name().to_owned()) }))
}

/// Makes a stream.
#[utoipa::path(post, path = "/v1/streams", tag = "streams", request_body = StreamChange,
    responses((status = 201, body = StreamRow)))]
pub(super) async fn add(
    State(face): State<Face>,
    caller: Caller,
    Input(change): Input<StreamChange>,
) -> Result<(StatusCode, Json<StreamRow>), Problem> {
    let Some(name) = change.name.clone() else { return Err(Problem::field("name", "is missing")) };
    caller.stream_of(Some(&name))?;
    let tenant = caller.tenant_of(change.tenant.as_ref())?;
    check_tenant(&face, tenant.as_ref())?;
    let place = Place { tenant, name };
    let found = face.store.tenants().stream(place.tenant.as_ref().map(Label::as_str), place.name.as_str());
    if found.is_some() {
        return Err(Problem::conflict(format!("there is a stream `{}` already", place.name)));
    }
    let new = Stream { created_at: face.clock.now(), ..Stream::default() };
    let written = write(&face, &caller, &place, &change, new, Expect::Nothing).await?;
    Ok((StatusCode::CREATED, Json(written)))
}

/// One stream.
#[utoipa::path(get, path = "/v1/streams/{stream}", tag = "streams",
    params(("stream" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = StreamRow)))]
pub(super) async fn show(
    State(face): State<Face>,
    At(name): At<Label>,
    whose: Whose,
) -> Result<Json<StreamRow>, Problem> {
    let place = Place::of(&whose, name)?;
    Ok(Json(row(&find(&face, place.tenant.as_ref(), &place.name).await?)?))
}

/// Changes a stream; what is absent stays.
#[utoipa::path(patch, path = "/v1/streams/{stream}", tag = "streams", request_body = StreamChange,
    params(("stream" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = StreamRow)))]
pub(super) async fn change(
    State(face): State<Face>,
    At(name): At<Label>,
    whose: Whose,
    Input(change): Input<StreamChange>,
) -> Result<Json<StreamRow>, Problem> {
    let place = Place::of(&whose, name)?;
    if change.name.as_ref().is_some_and(|new| *new != place.name) {
        return Err(Problem::unfit("name", "can not be changed"));
    }
    if change.tenant.is_some() && change.tenant != place.tenant {
        return Err(Problem::unfit("tenant", "can not be changed"));
    }
    let record = find(&face, place.tenant.as_ref(), &place.name).await?;
    let before = record.json().map_err(catalog_problem)?;
    let expect = Expect::Version(change.version.unwrap_or(record.version));
    write(&face, &whose.caller, &place, &change, before, expect).await.map(Json)
}

/// Removes a stream. What it has in the queue is delivered.
#[utoipa::path(delete, path = "/v1/streams/{stream}", tag = "streams",
    params(("stream" = String, Path), ("tenant" = Option<String>, Query, description = "Whose; operators only")),
    responses((status = 200, body = StreamRow)))]
pub(super) async fn remove(
    State(face): State<Face>,
    At(name): At<Label>,
    whose: Whose,
) -> Result<Json<StreamRow>, Problem> {
    let place = Place::of(&whose, name)?;
    let record = find(&face, place.tenant.as_ref(), &place.name).await?;
    let mut edits = audit::lines(&face, &whose.caller, place.deed("stream.remove", serde_json::Value::Null))?;
    edits.push(Edit::remove(record.key.clone()).expecting(Expect::Version(record.version)));
    face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    Ok(Json(row(&record)?))
}

/// Where a stream is.
struct Place {
    tenant: Option<Label>,
    name: Label,
}

impl Place {
    fn of(whose: &Whose, name: Label) -> Result<Place, Problem> {
        if whose.caller.stream.as_ref().is_some_and(|own| *own != name) {
            return Err(missing(&name));
        }
        Ok(Place { tenant: whose.tenant.clone(), name })
    }

    fn deed<'a>(&'a self, action: &'a str, change: serde_json::Value) -> Deed<'a> {
        Deed { action, tenant: self.tenant.as_ref(), target: self.name.as_str(), change }
    }
}

/// Whether there is such a tenant.
pub(super) fn check_tenant(face: &Face, tenant: Option<&Label>) -> Result<(), Problem> {
    match tenant.filter(|name| face.store.tenants().tenant(name.as_str()).is_none()) {
        Some(name) => Err(Problem::unfit("tenant", format!("there is no tenant `{name}`"))),
        None => Ok(()),
    }
}

async fn write(
    face: &Face,
    caller: &Caller,
    place: &Place,
    change: &StreamChange,
    before: Stream,
    expect: Expect,
) -> Result<StreamRow, Problem> {
    let stream = change.apply(before, caller)?;
    let action = if expect == Expect::Nothing { "stream.add" } else { "stream.change" };
    let asked = serde_json::to_value(change).unwrap_or_default();
    let mut edits = audit::lines(face, caller, place.deed(action, asked))?;
    let key = key(place.tenant.as_ref(), &place.name)?;
    edits.push(Edit::put_json(key, &stream).map_err(catalog_problem)?.expecting(expect));
    let written = face.store.catalog().apply(edits).await.map_err(catalog_problem)?;
    match written.into_iter().next_back().flatten() {
        Some(record) => row(&record),
        None => Err(Problem::unavailable("the change left nothing")),
    }
}

async fn find(face: &Face, tenant: Option<&Label>, name: &Label) -> Result<Record, Problem> {
    let found = face.store.catalog().get(&key(tenant, name)?).await.map_err(catalog_problem)?;
    found.ok_or_else(|| missing(name))
}

fn missing(name: &Label) -> Problem {
    Problem::not_found(format!("there is no stream `{name}`"))
}

fn key(tenant: Option<&Label>, name: &Label) -> Result<Key, Problem> {
    Key::new(STREAM, tenant.map(Label::as_str), name.as_str()).map_err(catalog_problem)
}

fn row(record: &Record) -> Result<StreamRow, Problem> {
    let stream: Stream = record.json().map_err(catalog_problem)?;
    let unnamed = |_| Problem::unavailable("a record has a name that no stream has");
    Ok(StreamRow {
        name: record.key.name().parse().map_err(unnamed)?,
        tenant: record.key.tenant().map(str::parse).transpose().map_err(unnamed)?,
        note: stream.note,
        kind: stream.kind,
        priority: stream.priority,
        pool: stream.pool,
        quota: stream.quota,
        tracking: stream.tracking,
        require: stream.require,
        retention: stream.retention,
        disabled: stream.disabled,
        created_at: stream.created_at,
        changed_at: record.changed_at,
        version: record.version,
    })
}
