//! `/v1`: what programs of customers and operators ask for.
//!
//! One table of routes says who may what. It is served on a listener of its own to whoever shows a token, and on the
//! admin socket to the operator, who may all of it.
//!
//! Invariant: a route is reached only by a caller whose token has its scope; what is another tenant's is not there for it.
//! Invariant: no token is kept, logged or shown again after it was made.
//! Invariant: a change and its line in the audit log are one batch.

mod audit;
mod body;
mod caller;
mod client;
mod guard;
mod input;
pub mod messages;
mod openapi;
mod pace;
mod route;
mod serve;
mod streams;
mod tenants;
mod tokens;
mod uploads;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use baton_mail::submission::{Submission, Submitted};
use baton_mail::{Clock, Mailbox, Reply, UnixMs};
use baton_store::Store;
use baton_store::catalog::Edit;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub use audit::{AuditPage, AuditRow};
pub use serve::{ApiListener, serve_api};
pub use streams::{StreamChange, StreamPage, StreamRow};
pub use tenants::{TenantChange, TenantPage, TenantRow};
pub use tokens::{NewToken, TokenChange, TokenMade, TokenPage, TokenRow};
pub use uploads::Upload;

use crate::Problem;
use body::Memory;
use guard::Guard;
use messages::UnderWay;
use pace::Pace;
use route::Route;

/// Makes the records of the catalog that are written with a message, once it is known which recipients were refused.
pub type Beside = Box<dyn FnOnce(&[(Mailbox, Reply)]) -> Vec<Edit> + Send>;

/// Takes a message of a program, by the same rules as from a client of SMTP.
pub type Submit = Arc<dyn Fn(Submission, Beside) -> Submitting + Send + Sync>;

/// What will have become of a message.
pub type Submitting = BoxFuture<'static, Submitted>;

/// The bounds of the API.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Networks of proxies whose word about the client is taken (`X-Forwarded-For`).
    pub trusted_networks: Vec<IpNet>,
    /// Octets of a body at most, also after it was unpacked. Default 32 MiB.
    pub body_octets_max: usize,
    /// Octets of all bodies that are being read or worked on. Default 256 MiB.
    pub memory_octets_max: usize,
    /// How long a request may take to come in, in seconds. Default 60.
    pub request_s: u64,
    /// Requests of one token within a minute, where the token does not say. Default 6,000.
    pub requests_per_minute: u32,
    /// How long lines of the audit log are kept, in days. Default 400.
    pub audit_days: u32,
    /// Octets of a message at most, as it is composed; 0 is no bound. Default 50 MiB.
    pub message_octets_max: u64,
    /// Recipients of one message at most. Default 1,000.
    pub recipients_max: usize,
    /// Messages of one batch at most. Default 1,000.
    pub batch_messages_max: usize,
    /// How far ahead a message may be scheduled, in days. Default 30.
    pub schedule_days_max: u32,
    /// How long answers to requests with an `Idempotency-Key` are kept, in hours. Default 24.
    pub idempotency_hours: u32,
    /// How long uploads are kept, in hours. Default 72.
    pub upload_hours: u32,
}

impl Default for ApiSettings {
    fn default() -> ApiSettings {
        ApiSettings {
            trusted_networks: Vec::new(),
            body_octets_max: 32 << 20,
            memory_octets_max: 256 << 20,
            request_s: 60,
            requests_per_minute: 6_000,
            audit_days: 400,
            message_octets_max: 50 << 20,
            recipients_max: 1_000,
            batch_messages_max: 1_000,
            schedule_days_max: 30,
            idempotency_hours: 24,
            upload_hours: 72,
        }
    }
}

/// What the API needs.
pub struct FaceDeps {
    /// The queue and the catalog.
    pub store: Store,
    /// The relay's time.
    pub clock: Arc<dyn Clock>,
    /// Takes messages.
    pub submit: Submit,
    /// The bounds; replaced by a reload.
    pub settings: Arc<ArcSwap<ApiSettings>>,
}

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
    /// Held while a tenant is changed: no domain has two owners.
    tenants: tokio::sync::Mutex<()>,
}

/// Messages on their way into the queue at once: enough that they share the syncs of the disk, and far below what sessions
/// reserve memory for. More wait for their turn.
const UNDER_WAY_MAX: usize = 1_024;

impl Face {
    /// Over these parts of the relay.
    pub fn new(deps: FaceDeps) -> Face {
        Face(Arc::new(Parts {
            deps,
            pace: Pace::default(),
            memory: Memory::default(),
            used: Mutex::default(),
            under_way: UnderWay::default(),
            places: Semaphore::new(UNDER_WAY_MAX),
            tenants: tokio::sync::Mutex::default(),
        }))
    }

    fn settings(&self) -> arc_swap::Guard<Arc<ApiSettings>> {
        self.0.deps.settings.load()
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

/// Every route of the API.
fn table() -> Vec<Route> {
    let mut routes = openapi::routes();
    routes.extend(tenants::routes());
    routes.extend(streams::routes());
    routes.extend(tokens::routes());
    routes.extend(messages::routes());
    routes.extend(uploads::routes());
    routes.extend(audit::routes());
    routes
}

/// The API for whoever shows a token.
fn public_router(face: &Face) -> Router {
    let routes = table();
    let guarded = |router: Router<Face>, route: Route| {
        router.route(route.path, Guard::tokens(face, &route).over(route.handler))
    };
    finish(routes.into_iter().fold(Router::new(), guarded), face)
}

/// What the admin socket has of the API, for the operator.
pub(crate) fn socket_router(face: &Face) -> Router {
    let routes = table().into_iter().filter(|route| route.on_socket);
    let guarded = |router: Router<Face>, route: Route| {
        router.route(route.path, Guard::operator(face, &route).over(route.handler))
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
