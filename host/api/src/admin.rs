//! The admin interface on a Unix socket.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use baton_mail::trace::Hub;
use baton_store::StoreError;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::listener::Bounded;
use crate::public::{self, PublicDeps};
use crate::v1::{Face, socket_router, story};
use crate::{Problem, trace, transfers};

/// Octets of a request body at most.
const BODY_OCTETS_MAX: usize = 64 * 1024;
/// Open connections to the socket at most.
const CONNECTIONS_MAX: usize = 64;

/// What the admin interface needs.
#[derive(Clone)]
pub struct AdminDeps {
    /// Everything that the API has.
    pub face: Face,
    /// Dialogues of sessions.
    pub trace: Arc<Hub>,
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

/// What the API has, as its operator, and what only the socket has.
fn router(deps: AdminDeps, stop: &CancellationToken) -> Router {
    let AdminDeps { face, trace: hub, public } = deps;
    let stop = stop.clone();
    let follow = move |query| trace::follow(hub.clone(), stop.clone(), query);
    Router::new()
        // Operators are told more of a message than programs are.
        .route("/v1/messages/{id}", get(story))
        .route("/v1/trace", get(follow))
        .route("/v1/transfers/{id}", post(transfers::pack).delete(transfers::forget))
        .route(
            "/v1/transfers",
            put(transfers::take).layer(DefaultBodyLimit::max(transfers::PARCEL_OCTETS_MAX)),
        )
        .layer(DefaultBodyLimit::max(BODY_OCTETS_MAX))
        .with_state(face.clone())
        .merge(socket_router(&face))
        .merge(public::router(public))
        .fallback(async || Problem::not_found("there is no such path"))
}

/// What a failure of the store means to a caller.
pub(crate) fn store_problem(error: StoreError) -> Problem {
    Problem::unavailable(error.to_string())
}
