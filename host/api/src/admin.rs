//! The admin interface on a Unix socket.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use baton_accounts::Authenticator;
use baton_events::report::Reports;
use baton_events::webhook::Webhooks;
use baton_hooks::{Generation, Instances, NextInfo, PluginInfo};
use baton_identity::domains::Inspector;
use baton_mail::Clock;
use baton_mail::trace::Hub;
use baton_store::{Store, StoreError};
use futures_util::future::BoxFuture;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::delivery::{self, DeliveryFace};
use crate::happened::{self, HappenedDeps};
use crate::listener::Bounded;
use crate::public::{self, PublicDeps};
use crate::scope::Scope;
use crate::sums::{self, SumDeps};
use crate::v1::{Face, socket_router};
use crate::webhooks::{self, WebhookDeps};
use crate::wire::{PluginRow, PluginsView, ReloadReport};
use crate::{
    FieldError, Problem, accounts, domains, messages, queue, reports, suppressions, trace, transfers,
};

/// Octets of a request body at most.
const BODY_OCTETS_MAX: usize = 64 * 1024;
/// Open connections to the socket at most.
const CONNECTIONS_MAX: usize = 64;

/// A wish to reload the settings, with the place where the answer goes.
pub struct ReloadRequest {
    /// Takes the report, or every reason why nothing was changed.
    pub answer: oneshot::Sender<Result<ReloadReport, Vec<FieldError>>>,
}

/// Says what is wrong with a next hop in an operator's words.
pub type CheckNextHop = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Sends our own reports about others at once; tells what became of each.
pub type SendReports = Arc<dyn Fn() -> BoxFuture<'static, Vec<String>> + Send + Sync>;

/// What the admin interface needs.
#[derive(Clone)]
pub struct AdminDeps {
    /// The queue.
    pub store: Store,
    /// Looks at the domains to send from.
    pub inspector: Inspector,
    /// Keeps the accounts.
    pub authenticator: Authenticator,
    /// The plugins that serve.
    pub hooks: Arc<ArcSwap<Generation>>,
    /// The relay's time.
    pub clock: Arc<dyn Clock>,
    /// Where wishes to reload go.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// Says what is wrong with a next hop in an operator's words.
    pub check_next_hop: CheckNextHop,
    /// A look at delivery.
    pub delivery: DeliveryFace,
    /// Sends our own reports about others.
    pub send_reports: SendReports,
    /// Dialogues of sessions.
    pub trace: Arc<Hub>,
    /// Endpoints that events are posted to.
    pub webhooks: Webhooks,
    /// Sums over time.
    pub reports: Reports,
    /// The API, of which this face has what operators need.
    pub face: Face,
    /// Metrics and health, which this face answers too.
    pub public: PublicDeps,
}

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AdminBindError {
    /// Another relay answers on it.
    #[error("another relay answers on {0}: stop it first, or give this one another `store.path`")]
    InUse(PathBuf),
    /// The file system said no.
    #[error(
        "can not make the admin socket {path}: {source}; check that the folder exists and may be written"
    )]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the socket, readable and writable by its owner only. What a crashed relay left behind is replaced.
pub fn bind_admin(path: &Path) -> Result<UnixListener, AdminBindError> {
    let failed = |source| AdminBindError::Io { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(failed(io::Error::other("there is a file of that name which is no socket")));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(AdminBindError::InUse(path.to_owned()));
        }
        _ => {}
    }
    // Made under another name and moved into place: nobody can connect before the mode is set.
    let fresh = path.with_extension("new");
    std::fs::remove_file(&fresh).or_else(ignore_missing).map_err(failed)?;
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)?;
    Ok(listener)
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Serves the admin interface until `stop` is cancelled.
pub async fn serve_admin(listener: UnixListener, deps: AdminDeps, stop: CancellationToken) {
    let served = axum::serve(Bounded::new(listener, CONNECTIONS_MAX), router(deps, &stop));
    if let Err(error) = served.with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(target: "api", %error, "the admin socket ended");
    }
}

fn router(deps: AdminDeps, stop: &CancellationToken) -> Router {
    let public = public::router(deps.public.clone()).merge(socket_router(&deps.face));
    let (hub, stop) = (deps.trace.clone(), stop.clone());
    let follow = move |query| trace::follow(hub.clone(), stop.clone(), query);
    let happened = HappenedDeps { store: deps.store.clone(), clock: deps.clock.clone() };
    let webhooks = WebhookDeps { webhooks: deps.webhooks.clone(), clock: deps.clock.clone() };
    let sums = SumDeps { reports: deps.reports.clone(), clock: deps.clock.clone() };
    // The public interface mounts the same routes, within the scope of a token.
    let scoped = happened::routes(happened).merge(webhooks::routes(webhooks)).merge(sums::routes(sums));
    let scoped = scoped.layer(DefaultBodyLimit::max(BODY_OCTETS_MAX)).layer(Extension(Scope::everything()));
    Router::new()
        .route("/v1/queue", get(queue::list))
        .route("/v1/queue/summary", get(queue::summary))
        .route("/v1/queue/count", get(queue::count))
        .route("/v1/queue/{operation}", post(queue::operate))
        .route("/v1/messages/recent", get(messages::recent))
        .route("/v1/messages/{id}", get(messages::story))
        .route("/v1/sites", get(delivery::sites))
        .route("/v1/shaping", get(delivery::measures).post(delivery::suspend))
        .route("/v1/shaping/{id}", axum::routing::delete(delivery::lift))
        .route("/v1/blocklists", get(delivery::listings))
        .route("/v1/trace", get(follow))
        .route("/v1/transfers/{id}", post(transfers::pack).delete(transfers::forget))
        .route(
            "/v1/transfers",
            axum::routing::put(transfers::take).layer(DefaultBodyLimit::max(transfers::PARCEL_OCTETS_MAX)),
        )
        .route("/v1/warmup", get(delivery::warmups))
        .route("/v1/warmup/complaints", post(delivery::complaints))
        .route("/v1/domains", get(domains::list))
        .route("/v1/domains/{domain}", get(domains::inspect))
        .route("/v1/reports/send", post(reports::send))
        .route("/v1/reports/{kind}", get(reports::list))
        .route("/v1/accounts", get(accounts::list))
        .route(
            "/v1/accounts/{name}",
            get(accounts::show).put(accounts::add).post(accounts::set).delete(accounts::remove),
        )
        .merge(suppressions::routes())
        .route("/v1/reload", post(reload))
        .route("/v1/plugins", get(plugins))
        .layer(DefaultBodyLimit::max(BODY_OCTETS_MAX))
        .with_state(deps)
        .merge(scoped)
        .merge(public)
        .fallback(async || Problem::not_found("there is no such path"))
}

/// `POST /v1/reload`: reads the settings again and swaps what may be swapped.
async fn reload(State(deps): State<AdminDeps>) -> Result<Json<ReloadReport>, Problem> {
    let stopping = || Problem::unavailable("the relay is stopping");
    let (answer, answered) = oneshot::channel();
    deps.reload.send(ReloadRequest { answer }).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())?.map(Json).map_err(Problem::settings)
}

/// `GET /v1/plugins`: what is loaded and who is asked in which order.
async fn plugins(State(deps): State<AdminDeps>) -> Json<PluginsView> {
    let generation = deps.hooks.load();
    let plugins = generation.plugins().into_iter().map(row);
    let order = generation.order().into_iter().map(|(hook, names)| (hook.as_str().to_owned(), names));
    Json(PluginsView { generation: generation.number(), plugins: plugins.collect(), order: order.collect() })
}

fn row(plugin: PluginInfo) -> PluginRow {
    let instances = match plugin.instances {
        Instances::Fresh => "fresh".to_owned(),
        kept => format!("{} ({} at rest)", kept.as_str(), plugin.resting),
    };
    let breaker = match plugin.breaker_openings {
        0 => plugin.breaker.as_str().to_owned(),
        times => format!("{} (opened {times}\u{d7})", plugin.breaker.as_str()),
    };
    PluginRow {
        name: plugin.name,
        digest: plugin.digest,
        hooks: plugin.hooks.iter().map(|hook| hook.as_str().to_owned()).collect(),
        version: plugin.version,
        signer: plugin.signer,
        grants: plugin.grants.in_words(),
        on_failure: plugin.on_failure.as_str().to_owned(),
        mode: plugin.mode.as_str().to_owned(),
        instances,
        breaker,
        next: plugin.next.as_ref().map(next_in_words),
        advice: plugin.advice.iter().map(ToString::to_string).collect(),
    }
}

fn next_in_words(next: &NextInfo) -> String {
    let share = if next.percent > 0 { format!(" {} %", next.percent) } else { String::new() };
    let tenant = next.tenant.as_ref().map(|tenant| format!(" tenant {tenant}")).unwrap_or_default();
    format!("{} {}{share}{tenant}", next.mode.as_str(), next.digest)
}

/// What a failure of the store means to a caller.
pub(crate) fn store_problem(error: StoreError) -> Problem {
    Problem::unavailable(error.to_string())
}
