//! Listeners: bind all of them first, then take connections and start a session for each.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use baton_dns::Resolver;
use baton_hooks::{Generation, Hook};
use baton_identity::{Checker, Signer};
use baton_mail::{Clock, Domain};
use baton_smtp::server::{AuthOffer, ServerSettings};
use baton_store::Store;
use prometheus_client::metrics::gauge::Gauge;
use socket2::{Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::{ConnectionLimits, ContentMemory, Counts, Crowded, Permit};
use crate::metrics::{ListenerLabel, Metrics, TurnedAwayLabel};
use crate::replies::Refusal;
use crate::{InboundSettings, ListenerKind, ListenerSettings, Policy, log, session};

/// What the listeners and sessions use.
#[derive(Clone)]
pub struct InboundDeps {
    /// Where accepted messages go.
    pub store: Store,
    /// The plugins; replaced by a reload.
    pub hooks: Arc<ArcSwap<Generation>>,
    /// For the names of clients.
    pub resolver: Resolver,
    /// Signs what leaves.
    pub signer: Signer,
    /// Wall time for ids, trace fields and the history.
    pub clock: Arc<dyn Clock>,
    /// The rules; replaced by a reload.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
}

/// A listener can not be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener}: can not listen on {address}: {cause}; {remedy}")]
pub struct BindError {
    /// The listener's name in the settings.
    pub listener: String,
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub cause: io::Error,
    /// What to do about it.
    pub remedy: &'static str,
}

/// All listeners, bound and not yet taking connections.
pub struct Inbound {
    listeners: Vec<(TcpListener, Arc<Listener>)>,
    drain_s: u64,
}

/// What the sessions of one listener share.
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) kind: ListenerKind,
    pub(crate) hostname: Domain,
    pub(crate) deps: InboundDeps,
    pub(crate) checker: Checker,
    pub(crate) memory: Arc<ContentMemory>,
    pub(crate) drain_s: u64,
    auth_without_tls: bool,
    server: Arc<ServerSettings>,
    server_with_auth: Arc<ServerSettings>,
    counts: Arc<Counts>,
    limits: ConnectionLimits,
    sessions_open: Gauge,
}

impl Inbound {
    /// Binds every listener of the settings, or none.
    pub async fn bind(settings: InboundSettings, deps: InboundDeps) -> Result<Inbound, BindError> {
        let memory = Arc::new(ContentMemory::default());
        let total = Arc::default();
        let mut listeners = Vec::with_capacity(settings.listeners.len());
        for listener in &settings.listeners {
            let socket = bind(listener).map_err(|cause| BindError {
                listener: listener.name.clone(),
                address: listener.address,
                remedy: remedy(&cause),
                cause,
            })?;
            let counts = Counts { total: Arc::clone(&total), ..Counts::default() };
            listeners.push((socket, Arc::new(Listener::new(&settings, listener, &deps, &memory, counts))));
        }
        Ok(Inbound { listeners, drain_s: settings.drain_s })
    }

    /// The names of the listeners with the addresses that they got.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let address = |socket: &TcpListener| socket.local_addr().ok();
        self.listeners
            .iter()
            .filter_map(|(socket, listener)| Some((listener.name.clone(), address(socket)?)))
            .collect()
    }

    /// Takes connections until `shutdown`; then closes the listeners and returns when all sessions ended, or when
    /// the drain time passed.
    pub async fn run(self, shutdown: CancellationToken) {
        let sessions = TaskTracker::new();
        let acceptors = TaskTracker::new();
        for (name, address) in self.addresses() {
            log::listening(&name, address);
        }
        for (socket, listener) in self.listeners {
            acceptors.spawn(drive_listener(socket, listener, sessions.clone(), shutdown.clone()));
        }
        acceptors.close();
        acceptors.wait().await;
        sessions.close();
        log::draining(sessions.len(), self.drain_s);
        // Sessions end by themselves when the drain time passed; the grace is for their last reply.
        let patience = Duration::from_secs(self.drain_s.saturating_add(DRAIN_GRACE_S));
        if tokio::time::timeout(patience, sessions.wait()).await.is_err() {
            log::drain_incomplete(sessions.len());
        }
    }
}

impl Listener {
    fn new(
        settings: &InboundSettings,
        listener: &ListenerSettings,
        deps: &InboundDeps,
        memory: &Arc<ContentMemory>,
        counts: Counts,
    ) -> Listener {
        let label = ListenerLabel { listener: listener.name.clone() };
        Listener {
            name: listener.name.clone(),
            kind: listener.kind,
            hostname: settings.hostname.clone(),
            deps: deps.clone(),
            checker: Checker::new(deps.resolver.clone(), deps.clock.clone()),
            memory: memory.clone(),
            drain_s: settings.drain_s,
            auth_without_tls: listener.auth_without_tls,
            server: Arc::new(listener.to_server(&settings.hostname, AuthOffer::None)),
            server_with_auth: Arc::new(listener.to_server(&settings.hostname, AuthOffer::PlainLogin)),
            counts: Arc::new(counts),
            limits: ConnectionLimits {
                total_max: settings.sessions_max,
                listener_max: listener.connections_max,
                client_max: listener.connections_per_address_max,
            },
            sessions_open: deps.metrics.sessions_open.get_or_create(&label).clone(),
        }
    }

    /// The protocol settings of a session: AUTH is offered when it is allowed here and a plugin can judge it.
    pub(crate) fn server_settings(&self, generation: &Generation) -> Arc<ServerSettings> {
        let offers_auth = self.auth_without_tls && generation.has(Hook::Auth);
        if offers_auth { self.server_with_auth.clone() } else { self.server.clone() }
    }

    /// Takes a place for a session, or says which bound is reached.
    fn take_permit(&self, peer: SocketAddr) -> Result<Permit, Crowded> {
        let counted = !self.deps.policy.load().is_relay_network(peer.ip());
        Permit::take(&self.counts, self.limits, peer.ip(), counted)
    }
}

/// The accept loop of one listener.
async fn drive_listener(
    socket: TcpListener,
    listener: Arc<Listener>,
    sessions: TaskTracker,
    shutdown: CancellationToken,
) {
    let mut stopped = pin!(shutdown.cancelled());
    let label = ListenerLabel { listener: listener.name.clone() };
    let begun = listener.deps.metrics.sessions.get_or_create(&label).clone();
    let mut pause = PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = PAUSE_MIN;
                match listener.take_permit(peer) {
                    Ok(permit) => {
                        begun.inc();
                        let place = Place { _permit: permit, open: listener.sessions_open.clone() };
                        place.open.inc();
                        sessions.spawn(session::run(listener.clone(), stream, peer, shutdown.clone(), place));
                    }
                    Err(crowded) => turn_away(&listener, &stream, peer, crowded),
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                listener.deps.metrics.accept_errors.inc();
                log::accept_failed(
                    &listener.name,
                    &error,
                    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                );
                tokio::select! {
                    () = &mut stopped => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// A session's place in all counts; given back when the session's task ends in whatever way.
pub(crate) struct Place {
    _permit: Permit,
    open: Gauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// The cheap way out: one write into the empty send buffer, no task, no session.
fn turn_away(listener: &Listener, stream: &TcpStream, peer: SocketAddr, crowded: Crowded) {
    let bound = crowded.as_str();
    listener
        .deps
        .metrics
        .turned_away
        .get_or_create(&TurnedAwayLabel { listener: listener.name.clone(), bound })
        .inc();
    log::turned_away(&listener.name, peer, bound);
    let mut wire = Vec::new();
    Refusal::Crowded.reply().encode(&mut wire);
    // A client that is gone already needs no answer.
    let _ = SockRef::from(stream).send(&wire);
}

/// Errors that concern the connection which was to be taken, not the listener (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn bind(settings: &ListenerSettings) -> io::Result<TcpListener> {
    let address = settings.address;
    let socket = Socket::new(socket2::Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before it.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // 0.0.0.0 and [::] are two listeners, whatever the system's default.
        socket.set_only_v6(true)?;
    }
    // Replies are written whole; waiting for more to send only delays them. Accepted sockets inherit the option.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(settings.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: stop it, or choose another port",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it, or choose a higher port"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has the address: correct it, or listen on all"
        }
        _ => "correct the listener's address",
    }
}

/// The first pause after a failed accept, such as for want of file descriptors; it doubles up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// For the last replies of sessions that used all of the drain time.
const DRAIN_GRACE_S: u64 = 3;
