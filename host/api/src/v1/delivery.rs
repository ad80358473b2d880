//! `/v1/shaping`, `/v1/sites` and `/v1/warmup`: how delivery is paced, what holds mail back, and how new sources come along.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_mail::text::sanitize;
use baton_mail::{Domain, UnixMs};
use baton_store::shaping::{Action, MEASURES_MAX, Measure, NewMeasure, Scope};
use baton_store::{JobKey, JobView, KvError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::audit::{self, Deed};
use super::caller::Caller;
use super::input::{At, Input, read_json};
use super::route::{Need, Route};
use crate::filter::Fields;
use crate::{FieldError, Problem};

pub(super) fn routes() -> Vec<Route> {
    let relay = Need::Run;
    vec![
        Route::new(Method::GET, "/v1/sites", relay, list_sites),
        Route::new(Method::GET, "/v1/shaping", relay, list_measures),
        Route::new(Method::POST, "/v1/shaping", relay, suspend_mail),
        Route::new(Method::DELETE, "/v1/shaping/{id}", relay, lift_measure),
        Route::new(Method::GET, "/v1/blocklists", relay, list_listings),
        Route::new(Method::GET, "/v1/warmup", relay, list_warmups),
        Route::new(Method::POST, "/v1/warmup/complaints", relay, count_complaints),
    ]
}

#[derive(OpenApi)]
#[openapi(paths(
    list_sites,
    list_measures,
    suspend_mail,
    lift_measure,
    list_listings,
    list_warmups,
    count_complaints
))]
pub(super) struct Doc;

/// What holds mail back, or slows it down, for a while.
#[derive(ToSchema)]
#[schema(as = Measure)]
#[allow(dead_code, reason = "describes a type of another crate")]
struct MeasureSchema {
    /// Its name.
    id: String,
    /// `suspend`, `bounce`, or `{"slow-down": 2.0}`.
    #[schema(value_type = Value)]
    action: (),
    /// To which mail.
    scope: MeasuredSchema,
    /// Which rule asked for it, or who.
    rule: String,
    /// Why.
    reason: String,
    /// Since when, in milliseconds since 1970.
    since: u64,
    /// When it ends by itself, in milliseconds since 1970; none for never.
    until: Option<u64>,
}

/// Which mail a measure is about: all that is set must fit.
#[derive(ToSchema)]
#[schema(as = Measured)]
#[allow(dead_code, reason = "describes a type of another crate")]
struct MeasuredSchema {
    /// Of this tenant.
    tenant: Option<String>,
    /// Of this stream.
    stream: Option<String>,
    /// To this recipient domain.
    domain: Option<String>,
    /// To this provider.
    provider: Option<String>,
    /// To this site.
    site: Option<String>,
    /// By this source.
    source: Option<String>,
}

/// Mail to be suspended.
#[derive(ToSchema)]
#[schema(as = Suspension)]
#[allow(dead_code, reason = "describes what is read field by field")]
struct SuspensionSchema {
    #[serde(flatten)]
    scope: MeasuredSchema,
    /// All mail, instead of some.
    all: Option<bool>,
    /// For so long, such as `2h`; without it until it is lifted.
    r#for: Option<String>,
    /// Why: those who wait for the mail are told it.
    reason: String,
}

/// Tells whether the settings know what a scope names.
pub type ScopeCheck = dyn Fn(&Scope) -> Result<(), FieldError> + Send + Sync;

/// Tells what jobs wait for.
pub type WaitsOf = dyn Fn(&HashSet<JobKey>) -> HashMap<JobKey, String> + Send + Sync;

/// A look at delivery while it runs.
#[derive(Clone)]
pub struct DeliveryFace {
    /// All sites in use.
    pub sites: Arc<dyn Fn() -> Vec<SiteView> + Send + Sync>,
    /// Says which part of a scope the settings do not know.
    pub check_scope: Arc<ScopeCheck>,
    /// Hosts that could not be used a moment ago are tried again.
    pub forget_failures: Arc<dyn Fn() + Send + Sync>,
    /// What jobs wait for in memory, in words; those that do not are left out.
    pub waits: Arc<WaitsOf>,
    /// When a job is given up, by the class of its last failure too.
    pub given_up_at: Arc<dyn Fn(&JobView) -> UnixMs + Send + Sync>,
    /// Where each source with a plan stands.
    pub warmups: Arc<dyn Fn() -> Vec<WarmupView> + Send + Sync>,
    /// What blocklists say about our addresses.
    pub listings: Arc<dyn Fn() -> (Vec<ListingView>, usize) + Send + Sync>,
    /// Counts complaints; false when the source has no plan.
    pub complain: Arc<dyn Fn(&Complaints) -> bool + Send + Sync>,
}

/// A site as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SiteView {
    /// The names of its hosts.
    pub site: String,
    /// Whose it is, when the settings know that.
    pub provider: Option<String>,
    /// What mail goes there by; empty when the settings name no sources.
    pub source: String,
    /// Jobs that wait in memory.
    pub ready: usize,
    /// Connections that are open or being opened.
    pub connections: usize,
    /// How many there may be by what the site said of late.
    pub allowed: usize,
    /// How many there may be by the settings.
    pub bound: usize,
    /// How many times slower it is for now, by measures.
    pub slower: f64,
    /// What the next message waits for, in words.
    pub waits: Option<String>,
}

/// All sites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SitesView {
    /// The fullest first.
    pub sites: Vec<SiteView>,
}

/// All measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeasuresView {
    /// The relay's time.
    #[schema(value_type = u64)]
    pub now: UnixMs,
    /// Those that hold, the oldest first.
    #[schema(value_type = Vec<MeasureSchema>)]
    pub measures: Vec<Measure>,
}

/// Where a source stands in its plan at one provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WarmupView {
    /// The source.
    pub source: String,
    /// Its plan.
    pub plan: String,
    /// The provider.
    pub provider: String,
    /// The table of days for the provider.
    pub days: Vec<u32>,
    /// The day of the plan, from 1 on.
    pub day: u32,
    /// Messages sent today.
    pub sent: u32,
    /// Of which so many were deferred.
    pub deferred: u32,
    /// And so many complained about.
    pub complaints: u32,
    /// What that means: `warm`, `open`, `spread`, `used` or `stopped`.
    pub state: String,
    /// When it may send again, when it may not now.
    #[schema(value_type = Option<u64>)]
    pub next: Option<UnixMs>,
}

/// All positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WarmupsView {
    /// The relay's time.
    #[schema(value_type = u64)]
    pub now: UnixMs,
    /// By source and provider.
    pub warmups: Vec<WarmupView>,
}

/// What a blocklist says about an address of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListingView {
    /// The source; empty when the settings name none.
    pub source: String,
    /// Its address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// The zone of the list.
    pub list: String,
    /// `clear`, `listed` or `unknown`.
    pub state: String,
    /// Why it is listed, or why nothing is known.
    pub reason: Option<String>,
    /// Since when.
    #[schema(value_type = u64)]
    pub since: UnixMs,
    /// When it was asked last.
    #[schema(value_type = u64)]
    pub asked: UnixMs,
}

/// What all blocklists say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListingsView {
    /// The relay's time.
    #[schema(value_type = u64)]
    pub now: UnixMs,
    /// A row for each address and list.
    pub listings: Vec<ListingView>,
    /// So many rows more are asked for just now.
    pub awaited: usize,
}

/// Complaints about messages, as feedback loops tell of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Complaints {
    /// The source that sent them.
    pub source: String,
    /// The provider whose users complained.
    pub provider: String,
    /// How many.
    pub count: u32,
}

/// How each site stands.
#[utoipa::path(get, path = "/v1/sites", tag = "delivery", responses((status = 200, body = SitesView)))]
pub(super) async fn list_sites(State(face): State<Face>) -> Json<SitesView> {
    Json(SitesView { sites: (face.delivery.sites)() })
}

/// What holds mail back or slows it down now.
#[utoipa::path(get, path = "/v1/shaping", tag = "delivery", responses((status = 200, body = MeasuresView)))]
pub(super) async fn list_measures(State(face): State<Face>) -> Result<Json<MeasuresView>, Problem> {
    let measures = face.store.measures();
    measures.load().await.map_err(unavailable)?;
    let now = face.clock.now();
    let measures = measures.now().iter().filter(|one| one.holds(now)).cloned().collect();
    Ok(Json(MeasuresView { now, measures }))
}

/// Suspends mail, for a while or until it is lifted.
#[utoipa::path(post, path = "/v1/shaping", tag = "delivery", request_body = SuspensionSchema,
    responses((status = 200, body = MeasureSchema)))]
pub(super) async fn suspend_mail(
    State(face): State<Face>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Measure>, Problem> {
    let asked: serde_json::Value = read_json(&body)?;
    let mut fields = Fields::of_body(&body)?;
    let scope = Scope {
        tenant: fields.take("tenant")?,
        stream: fields.take("stream")?,
        domain: fields.take::<Domain>("domain")?.map(|domain| domain.to_string()),
        provider: fields.take("provider")?,
        site: fields.take("site")?,
        source: fields.take("source")?,
    };
    let all = fields.take::<bool>("all")?.unwrap_or(false);
    let lasts = fields.take_age("for")?.map(Duration::from_millis);
    let reason = fields.take::<String>("reason")?.unwrap_or_default();
    let by = caller.by(fields.take("by")?)?;
    fields.finish(&SUSPEND_FIELDS)?;
    if all != scope.is_all() {
        return Err(Problem::field(
            "all",
            "name the mail by tenant, stream, domain, provider, site or source, or say `all` alone",
        ));
    }
    (face.delivery.check_scope)(&scope).map_err(|error| Problem::field(&error.field, error.message))?;
    if reason.trim().is_empty() {
        return Err(Problem::field("reason", "is missing: those who wait for the mail are told it"));
    }
    let deed = Deed { action: "shaping.suspend", tenant: None, target: &scope.to_string(), change: asked };
    audit::note(&face, &caller, deed).await?;
    let measure = NewMeasure {
        action: Action::Suspend,
        scope,
        rule: by,
        reason: sanitize(&reason, REASON_OCTETS_MAX),
        until: lasts.map(|lasts| face.clock.now().plus(lasts)),
    };
    let taken = face.store.measures().take(measure).await.map_err(unavailable)?;
    taken.map(Json).ok_or_else(|| Problem::unavailable(format!("there are {MEASURES_MAX} measures already")))
}

/// The fields of a suspension.
const SUSPEND_FIELDS: [&str; 10] =
    ["tenant", "stream", "domain", "provider", "site", "source", "all", "for", "reason", "by"];
/// Octets of a reason.
const REASON_OCTETS_MAX: usize = 300;

/// Lifts a measure; answers what it was.
#[utoipa::path(delete, path = "/v1/shaping/{id}", tag = "delivery", params(("id" = String, Path)),
    responses((status = 200, body = MeasureSchema)))]
pub(super) async fn lift_measure(
    State(face): State<Face>,
    caller: Caller,
    At(id): At<String>,
) -> Result<Json<Measure>, Problem> {
    let target = sanitize(&id, ID_OCTETS_MAX);
    let none = || {
        Problem::not_found(format!("there is no measure {target}; see `baton shaping ls`, it may have ended"))
    };
    let measures = face.store.measures();
    measures.load().await.map_err(unavailable)?;
    let now = face.clock.now();
    // What is not there is not lifted, and leaves no line.
    if !measures.now().iter().any(|one| one.id == id && one.holds(now)) {
        return Err(none());
    }
    let change = serde_json::Value::Null;
    audit::note(&face, &caller, Deed { action: "shaping.lift", tenant: None, target: &target, change })
        .await?;
    measures.lift(&id).await.map_err(unavailable)?.map(Json).ok_or_else(none)
}

/// Where each new source stands.
#[utoipa::path(get, path = "/v1/warmup", tag = "delivery", responses((status = 200, body = WarmupsView)))]
pub(super) async fn list_warmups(State(face): State<Face>) -> Json<WarmupsView> {
    Json(WarmupsView { now: face.clock.now(), warmups: (face.delivery.warmups)() })
}

/// What blocklists say about our addresses.
#[utoipa::path(get, path = "/v1/blocklists", tag = "delivery", responses((status = 200, body = ListingsView)))]
pub(super) async fn list_listings(State(face): State<Face>) -> Json<ListingsView> {
    let (listings, awaited) = (face.delivery.listings)();
    Json(ListingsView { now: face.clock.now(), listings, awaited })
}

/// Counts complaints about a new source.
#[utoipa::path(post, path = "/v1/warmup/complaints", tag = "delivery", request_body = Complaints,
    responses((status = 200, body = Complaints)))]
pub(super) async fn count_complaints(
    State(face): State<Face>,
    caller: Caller,
    Input(complaints): Input<Complaints>,
) -> Result<Json<Complaints>, Problem> {
    let change = serde_json::to_value(&complaints).unwrap_or_default();
    let target = sanitize(&complaints.source, ID_OCTETS_MAX);
    audit::note(&face, &caller, Deed { action: "warmup.complaints", tenant: None, target: &target, change })
        .await?;
    if (face.delivery.complain)(&complaints) {
        return Ok(Json(complaints));
    }
    Err(Problem::field("source", format!("`{target}` follows no plan of warm-up")))
}

/// Octets of a name in the audit log.
const ID_OCTETS_MAX: usize = 100;

fn unavailable(error: KvError) -> Problem {
    Problem::unavailable(error.to_string())
}
