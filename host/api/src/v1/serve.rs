//! The listener of the API, and of tracked links: connections with or without TLS, each with a deadline for every request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use baton_mail::TlsFacts;
use baton_tls::TlsServer;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::client::Peer;
use super::{Face, public_router};

/// How long the fields of a request, or the next request, may take.
const HEADER_WAIT: Duration = Duration::from_secs(60);
/// How long a handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(30);
/// Octets of the fields of a request at most.
const HEADER_OCTETS_MAX: usize = 64 << 10;
/// The pause after a failed accept, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the API or the pages behind links listen.
pub struct ApiListener {
    /// The socket.
    pub socket: TcpListener,
    /// Does the handshakes; none speaks plain HTTP.
    pub tls: Option<Arc<TlsServer>>,
    /// Open connections at most; more wait.
    pub connections_max: usize,
    /// How long requests under way may go on after a stop was asked for, in seconds.
    pub drain_s: u64,
}

impl ApiListener {
    /// The address that it got.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves the API until `stop`; then takes no more and returns when all requests ended, or the drain time passed.
pub async fn serve_api(listener: ApiListener, face: Face, stop: CancellationToken) {
    serve(listener, public_router(&face), None, stop).await;
}

/// Serves these routes. A connection lives so long at most, whatever it does.
pub(crate) async fn serve(
    listener: ApiListener,
    router: Router,
    lifetime: Option<Duration>,
    stop: CancellationToken,
) {
    let ApiListener { socket, tls, connections_max, drain_s } = listener;
    let places = Arc::new(Semaphore::new(connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = drive(stream, peer, tls.clone(), router.clone(), stop.clone(), place);
                match lifetime {
                    Some(lifetime) => connections.spawn(ended(lifetime, connection)),
                    None => connections.spawn(connection),
                };
            }
            Err(error) => {
                tracing::warn!(target: "api", %error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(socket);
    connections.close();
    if tokio::time::timeout(Duration::from_secs(drain_s), connections.wait()).await.is_err() {
        tracing::warn!(target: "api", left = connections.len(), "requests did not end in time");
    }
}

async fn ended(lifetime: Duration, connection: impl Future<Output = ()>) {
    // Whoever sends a request an octet at a time does not hold a place for long.
    let _ = tokio::time::timeout(lifetime, connection).await;
}

async fn drive(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<TlsServer>>,
    router: Router,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return speak(stream, Peer { address, tls: None }, router, stop).await };
    match tokio::time::timeout(HANDSHAKE_WAIT, tls.accept(stream)).await {
        Ok(Ok((stream, facts))) => {
            let facts: Option<Arc<TlsFacts>> = Some(Arc::new(facts));
            speak(stream, Peer { address, tls: facts }, router, stop).await;
        }
        Ok(Err(failure)) => {
            tracing::debug!(target: "api", %address, %failure, "a TLS handshake failed");
        }
        Err(_) => tracing::debug!(target: "api", %address, "a TLS handshake was not complete in time"),
    }
}

/// One connection, request by request.
async fn speak<S>(stream: S, peer: Peer, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = tower_service_fn(router, peer);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_WAIT).max_buf_size(HEADER_OCTETS_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // What a client does wrong is its own affair.
            _ = connection.as_mut() => return,
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The router, for requests of that peer.
fn tower_service_fn(router: Router, peer: Peer) -> TowerToHyperService<OfPeer> {
    TowerToHyperService::new(OfPeer { router, peer })
}

#[derive(Clone)]
struct OfPeer {
    router: Router,
    peer: Peer,
}

impl Service<hyper::Request<Incoming>> for OfPeer {
    type Response = <Router as Service<Request>>::Response;
    type Error = <Router as Service<Request>>::Error;
    type Future = <Router as Service<Request>>::Future;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        <Router as Service<Request>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, request: hyper::Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer.clone());
        self.router.call(request)
    }
}
