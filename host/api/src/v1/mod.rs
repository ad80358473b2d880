//! `/v1`: what programs of customers and operators ask for.
//!
//! One table of routes says who may what. It is served on a listener of its own to whoever shows a token, and on the
//! admin socket to the operator, who may all of it.
//!
//! Invariant: a route is reached only by a caller whose token has its scope; what is another tenant's is not there for it.
//! Invariant: no token is kept, logged or shown again after it was made.
//! Invariant: a change and its line in the audit log are one batch; where they can not be, the line is written first.

pub mod accounts;
mod audit;
mod body;
mod caller;
mod client;
pub mod delivery;
mod deps;
mod domains;
pub mod followers;
mod guard;
pub mod happened;
mod input;
pub mod messages;
mod openapi;
mod operators;
mod pace;
pub mod persons;
mod plugins;
mod pulse;
mod queue;
mod reports;
mod route;
mod serve;
mod sessions;
mod story;
mod streams;
pub mod sums;
pub mod suppressions;
mod switches;
mod templates;
mod tenants;
mod tokens;
mod uploads;
pub mod webhooks;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use baton_mail::UnixMs;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

pub use audit::{AuditPage, AuditRow};
pub use deps::{
    ApiSettings, Beside, CheckNextHop, ConsoleSettings, FaceDeps, SendReports, Submit, Submitting,
    TemplateSettings, Wish,
};
pub use operators::{OperatorChange, OperatorPage, OperatorRow};
pub use pulse::{Look, PluginWork, PulseView};
pub(crate) use serve::serve;
pub use serve::{ApiListener, serve_api};
pub use streams::{StreamChange, StreamPage, StreamRow};
pub use switches::{NextChange, SwitchChange, switches};
pub use templates::{
    LintReport, Preview, PreviewRequest, TemplateChanged, TemplatePage, TemplateRow, TemplateView,
    VersionPage, VersionRow,
};
pub use tenants::{TenantChange, TenantPage, TenantRow};
pub use tokens::{NewToken, TokenChange, TokenMade, TokenPage, TokenRow};
pub use uploads::Upload;

pub(crate) use story::story;

use crate::{Problem, console};
use body::Memory;
use guard::Guard;
use messages::UnderWay;
use pace::Pace;
use pulse::Pulse;
use route::Route;
use sessions::Sessions;
use templates::Templates;

/// The API. Cheap to clone.
#[derive(Clone)]
pub struct Face(Arc<Parts>);

struct Parts {
    deps: FaceDeps,
    pace: Pace,
    memory: Memory,
    /// When each token was used last, as far as it was noted.
    used: Mutex<HashMap<Arc<str>, UnixMs>>,
    /// Requests with an `Idempotency-Key` that are being worked on.
    under_way: UnderWay,
    /// Places of messages on their way into the queue.
    places: Semaphore,
    /// What messages are made from.
    templates: Templates,
    /// Held while a tenant is changed: no domain has two owners.
    tenants: tokio::sync::Mutex<()>,
    /// Operators that are logged in.
    sessions: Sessions,
    /// The last hour.
    pulse: Pulse,
}

/// Messages on their way into the queue at once: enough that they share the syncs of the disk, and far below what sessions
/// reserve memory for. More wait for their turn.
const UNDER_WAY_MAX: usize = 1_024;

impl Face {
    /// Over these parts of the relay.
    pub fn new(deps: FaceDeps) -> Face {
        let templates = Templates::new(&deps.store, Arc::clone(&deps.settings));
        Face(Arc::new(Parts {
            deps,
            pace: Pace::default(),
            memory: Memory::default(),
            used: Mutex::default(),
            under_way: UnderWay::default(),
            places: Semaphore::new(UNDER_WAY_MAX),
            templates,
            tenants: tokio::sync::Mutex::default(),
            sessions: Sessions::default(),
            pulse: Pulse::default(),
        }))
    }

    /// Whether pages for operators are served.
    pub(crate) fn has_console(&self) -> bool {
        self.settings().console.enabled
    }

    fn settings(&self) -> arc_swap::Guard<Arc<ApiSettings>> {
        self.0.deps.settings.load()
    }

    fn templates(&self) -> &Templates {
        &self.0.templates
    }
}

impl std::ops::Deref for Face {
    type Target = FaceDeps;

    fn deref(&self) -> &FaceDeps {
        &self.0.deps
    }
}

impl std::fmt::Debug for Face {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Face").finish_non_exhaustive()
    }
}

/// Every part of the API: its routes, and what is told of them.
fn parts() -> [(Vec<Route>, Document); 25] {
    [
        (openapi::routes(), openapi::Doc::openapi()),
        (messages::routes(), messages::Doc::openapi()),
        (uploads::routes(), uploads::Doc::openapi()),
        (templates::routes(), templates::Doc::openapi()),
        (happened::routes(), happened::Doc::openapi()),
        (followers::routes(), followers::Doc::openapi()),
        (webhooks::routes(), webhooks::Doc::openapi()),
        (sums::routes(), sums::Doc::openapi()),
        (suppressions::routes(), suppressions::Doc::openapi()),
        (tenants::routes(), tenants::Doc::openapi()),
        (streams::routes(), streams::Doc::openapi()),
        (tokens::routes(), tokens::Doc::openapi()),
        (accounts::routes(), accounts::Doc::openapi()),
        (operators::routes(), operators::Doc::openapi()),
        (sessions::routes(), sessions::Doc::openapi()),
        (pulse::routes(), pulse::Doc::openapi()),
        (domains::routes(), domains::Doc::openapi()),
        (reports::routes(), reports::Doc::openapi()),
        (audit::routes(), audit::Doc::openapi()),
        (persons::routes(), persons::Doc::openapi()),
        (story::routes(), story::Doc::openapi()),
        (queue::routes(), queue::Doc::openapi()),
        (delivery::routes(), delivery::Doc::openapi()),
        (plugins::routes(), plugins::Doc::openapi()),
        (switches::routes(), switches::Doc::openapi()),
    ]
}

/// Every route of the API.
fn table() -> Vec<Route> {
    parts().into_iter().flat_map(|(routes, _)| routes).collect()
}

/// The API for whoever shows a token.
fn public_router(face: &Face) -> Router {
    let (routes, document) = (table(), openapi::document());
    let guarded = |router: Router<Face>, route: Route| {
        let query = openapi::query_of(&document, &route);
        router.route(route.path, Guard::tokens(face, &route, query).over(route.handler))
    };
    finish(routes.into_iter().fold(console::router(), guarded), face)
}

/// What the admin socket has of the API, for the operator.
pub(crate) fn socket_router(face: &Face) -> Router {
    let document = openapi::document();
    let routes = table().into_iter().filter(|route| route.on_socket);
    let guarded = |router: Router<Face>, route: Route| {
        let query = openapi::query_of(&document, &route);
        router.route(route.path, Guard::operator(face, &route, query).over(route.handler))
    };
    routes.fold(Router::new(), guarded).layer(DefaultBodyLimit::disable()).with_state(face.clone())
}

fn finish(router: Router<Face>, face: &Face) -> Router {
    router
        .method_not_allowed_fallback(async || Problem::no_method())
        .fallback(async || Problem::not_found("there is no such path; /v1/openapi.json has all of them"))
        // The guard bounds bodies.
        .layer(DefaultBodyLimit::disable())
        .with_state(face.clone())
}
