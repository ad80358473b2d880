//! `/v1/shaping`, `/v1/sites` and `/v1/warmup`: how delivery is paced, what holds mail back, and how new sources come along.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use baton_mail::text::sanitize;
use baton_mail::{Domain, MessageId, UnixMs};
use baton_store::shaping::{Action, BY_OPERATOR, MEASURES_MAX, Measure, NewMeasure, Scope};
use baton_store::{JobView, KvError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::admin::AdminDeps;
use crate::filter::Fields;
use crate::{FieldError, Problem};

/// Tells whether the settings know what a scope names.
pub type ScopeCheck = dyn Fn(&Scope) -> Result<(), FieldError> + Send + Sync;

/// A look at delivery while it runs.
#[derive(Clone)]
pub struct DeliveryFace {
    /// All sites in use.
    pub sites: Arc<dyn Fn() -> Vec<SiteView> + Send + Sync>,
    /// Says which part of a scope the settings do not know.
    pub check_scope: Arc<ScopeCheck>,
    /// What a job of a message waits for in memory, in words.
    pub waits: Arc<dyn Fn(MessageId, u16) -> Option<String> + Send + Sync>,
    /// When a job is given up, by the class of its last failure too.
    pub given_up_at: Arc<dyn Fn(&JobView) -> UnixMs + Send + Sync>,
    /// Where each source with a plan stands.
    pub warmups: Arc<dyn Fn() -> Vec<WarmupView> + Send + Sync>,
    /// What blocklists say about our addresses.
    pub listings: Arc<dyn Fn() -> Vec<ListingView> + Send + Sync>,
    /// Counts complaints; false when the source has no plan.
    pub complain: Arc<dyn Fn(&Complaints) -> bool + Send + Sync>,
}

/// A site as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SitesView {
    /// The fullest first.
    pub sites: Vec<SiteView>,
}

/// All measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuresView {
    /// The relay's time.
    pub now: UnixMs,
    /// Those that hold, the oldest first.
    pub measures: Vec<Measure>,
}

/// Where a source stands in its plan at one provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    pub next: Option<UnixMs>,
}

/// All positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmupsView {
    /// The relay's time.
    pub now: UnixMs,
    /// By source and provider.
    pub warmups: Vec<WarmupView>,
}

/// What a blocklist says about an address of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingView {
    /// The source; empty when the settings name none.
    pub source: String,
    /// Its address.
    pub address: IpAddr,
    /// The zone of the list.
    pub list: String,
    /// `clear`, `listed` or `unknown`.
    pub state: String,
    /// Why it is listed, or why nothing is known.
    pub reason: Option<String>,
    /// Since when.
    pub since: UnixMs,
    /// When it was asked last.
    pub asked: UnixMs,
}

/// What all blocklists say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingsView {
    /// The relay's time.
    pub now: UnixMs,
    /// A row for each address and list.
    pub listings: Vec<ListingView>,
}

/// Complaints about messages, as feedback loops tell of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Complaints {
    /// The source that sent them.
    pub source: String,
    /// The provider whose users complained.
    pub provider: String,
    /// How many.
    pub count: u32,
}

/// `GET /v1/sites`: how each site stands.
pub(crate) async fn sites(State(deps): State<AdminDeps>) -> Json<SitesView> {
    Json(SitesView { sites: (deps.delivery.sites)() })
}

/// `GET /v1/shaping`: what holds mail back or slows it down now.
pub(crate) async fn measures(State(deps): State<AdminDeps>) -> Result<Json<MeasuresView>, Problem> {
    let measures = deps.store.measures();
    measures.load().await.map_err(unavailable)?;
    let now = deps.clock.now();
    let measures = measures.now().iter().filter(|one| one.holds(now)).cloned().collect();
    Ok(Json(MeasuresView { now, measures }))
}

/// `POST /v1/shaping`: suspends the mail that the body names, for a while (`for`) or until it is lifted.
pub(crate) async fn suspend(State(deps): State<AdminDeps>, body: Bytes) -> Result<Json<Measure>, Problem> {
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
    let by = fields.take::<String>("by")?.unwrap_or_else(|| BY_OPERATOR.to_owned());
    fields.finish(&SUSPEND_FIELDS)?;
    if all != scope.is_all() {
        return Err(Problem::field(
            "all",
            "name the mail by tenant, stream, domain, provider, site or source, or say `all` alone",
        ));
    }
    (deps.delivery.check_scope)(&scope).map_err(|error| Problem::field(&error.field, error.message))?;
    if reason.trim().is_empty() {
        return Err(Problem::field("reason", "is missing: those who wait for the mail are told it"));
    }
    let measure = NewMeasure {
        action: Action::Suspend,
        scope,
        rule: sanitize(&by, BY_OCTETS_MAX),
        reason: sanitize(&reason, REASON_OCTETS_MAX),
        until: lasts.map(|lasts| deps.clock.now().plus(lasts)),
    };
    let taken = deps.store.measures().take(measure).await.map_err(unavailable)?;
    taken.map(Json).ok_or_else(|| Problem::unavailable(format!("there are {MEASURES_MAX} measures already")))
}

/// The fields of a suspension.
const SUSPEND_FIELDS: [&str; 10] =
    ["tenant", "stream", "domain", "provider", "site", "source", "all", "for", "reason", "by"];
/// Octets of a reason.
const REASON_OCTETS_MAX: usize = 300;
/// Octets of the name of who did it.
const BY_OCTETS_MAX: usize = 100;

/// `DELETE /v1/shaping/{id}`: lifts a measure; answers what it was.
pub(crate) async fn lift(
    State(deps): State<AdminDeps>,
    Path(id): Path<String>,
) -> Result<Json<Measure>, Problem> {
    let lifted = deps.store.measures().lift(&id).await.map_err(unavailable)?;
    lifted.map(Json).ok_or_else(|| Problem::not_found(format!("there is no measure {id}; it may have ended")))
}

/// `GET /v1/warmup`: where each new source stands.
pub(crate) async fn warmups(State(deps): State<AdminDeps>) -> Json<WarmupsView> {
    Json(WarmupsView { now: deps.clock.now(), warmups: (deps.delivery.warmups)() })
}

/// `GET /v1/blocklists`: what blocklists say about our addresses.
pub(crate) async fn listings(State(deps): State<AdminDeps>) -> Json<ListingsView> {
    Json(ListingsView { now: deps.clock.now(), listings: (deps.delivery.listings)() })
}

/// `POST /v1/warmup/complaints`: counts complaints.
pub(crate) async fn complaints(
    State(deps): State<AdminDeps>,
    Json(complaints): Json<Complaints>,
) -> Result<Json<Complaints>, Problem> {
    if (deps.delivery.complain)(&complaints) {
        return Ok(Json(complaints));
    }
    Err(Problem::field("source", format!("`{}` follows no plan of warm-up", complaints.source)))
}

fn unavailable(error: KvError) -> Problem {
    Problem::unavailable(error.to_string())
}
