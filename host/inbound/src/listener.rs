//! Listeners: bind all of them first, then take connections and start a session for each.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use baton_accounts::Authenticator;
use baton_content::track::Tracker;
use baton_dns::Resolver;
use baton_hooks::{Generation, Hook, VerifyBackend};
use baton_identity::reports::outgoing::{DmarcCounts, Tally};
use baton_identity::{Checker, Signer};
use baton_mail::trace::Hub;
use baton_mail::{Clock, Domain};
use baton_smtp::server::ServerSettings;
use baton_store::Store;
use baton_tls::{Certificates, TlsServer};
use ipnet::IpNet;
use prometheus_client::metrics::gauge::Gauge as OpenGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::binding::{Acceptor, BindError, Sockets};
use crate::gate::Gate;
use crate::limits::{ConnectionLimits, ContentMemory, Counts, Crowded, Gauge, Permit};
use crate::listener_tls::{ListenerTls, make_tls};
use crate::metrics::{ListenerLabel, Metrics};
use crate::networks::Profiles;
use crate::pressure::Pressure;
use crate::rates::Rates;
use crate::settings::Judges;
use crate::standing::Standing;
use crate::stream::Socket;
use crate::{InboundSettings, ListenerKind, ListenerSettings, Policy, TlsMode, VrfyPolicy, log, session};

/// What the listeners and sessions use.
#[derive(Clone)]
pub struct InboundDeps {
    /// Where accepted messages go.
    pub store: Store,
    /// The plugins; replaced by a reload.
    pub hooks: Arc<ArcSwap<Generation>>,
    /// For the names of clients.
    pub resolver: Resolver,
    /// For VRFY, where the next hop is to be asked.
    pub verify: Arc<dyn VerifyBackend>,
    /// Judges credentials.
    pub authenticator: Authenticator,
    /// Signs what leaves.
    pub signer: Signer,
    /// Wall time for ids, trace fields and the history.
    pub clock: Arc<dyn Clock>,
    /// The rules; replaced by a reload.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
    /// Where messages are counted for reports of DMARC.
    pub dmarc: Arc<Tally<DmarcCounts>>,
    /// Shows dialogues to operators who look on.
    pub trace: Arc<Hub>,
    /// Makes links for mail of users that is to be tracked; none while nothing is. Replaced by a reload.
    pub tracking: Arc<ArcSwapOption<Tracker>>,
    /// What is shown in TLS handshakes; needed where a listener speaks TLS.
    pub certificates: Option<Arc<Certificates>>,
}

/// All listeners, bound and not yet taking connections.
pub struct Inbound {
    listeners: Vec<(Acceptor, Arc<Listener>)>,
    settings: InboundSettings,
    deps: InboundDeps,
    shared: Arc<Shared>,
    /// Sessions of all listeners.
    total: Arc<Gauge>,
}

/// What the sessions of all listeners share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The content that they hold.
    pub(crate) memory: Arc<ContentMemory>,
    /// How often clients do what they do.
    pub(crate) rates: Rates,
    /// What the relay is short of.
    pub(crate) pressure: Pressure,
}

/// What the sessions of one listener share.
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) kind: ListenerKind,
    pub(crate) hostname: Domain,
    pub(crate) deps: InboundDeps,
    pub(crate) checker: Checker,
    pub(crate) shared: Arc<Shared>,
    pub(crate) drain_s: u64,
    /// Seconds that a message may be held at most.
    pub(crate) hold_s_max: u32,
    pub(crate) vrfy: VrfyPolicy,
    proxy_networks: Vec<IpNet>,
    xclient_networks: Vec<IpNet>,
    mode: TlsMode,
    tls: Option<ArcSwap<TlsServer>>,
    handshakes: Arc<Semaphore>,
    profiles: Profiles,
    counts: Arc<Counts>,
    limits: ConnectionLimits,
    sessions_open: OpenGauge,
}

impl Inbound {
    /// Binds every listener of the settings, or none.
    pub async fn bind(settings: InboundSettings, deps: InboundDeps) -> Result<Inbound, BindError> {
        let sockets = Sockets::open(&settings)?;
        Inbound::over(settings, sockets, deps).await
    }

    /// The listeners of the settings over the sockets that were opened for them.
    pub async fn over(
        settings: InboundSettings,
        mut sockets: Sockets,
        deps: InboundDeps,
    ) -> Result<Inbound, BindError> {
        let shared = Arc::new(Shared::default());
        let handshakes = Arc::new(Semaphore::new(settings.handshakes_max.min(Semaphore::MAX_PERMITS)));
        let total: Arc<Gauge> = Arc::default();
        let mut listeners = Vec::with_capacity(settings.listeners.len());
        for one in &settings.listeners {
            let tls = make_tls(one, &deps)?;
            let counts = Counts { total: Arc::clone(&total), ..Counts::default() };
            let mut listener = Listener::new(&settings, one, &deps, &shared, counts);
            (listener.tls, listener.handshakes) = (tls.map(ArcSwap::from_pointee), handshakes.clone());
            let listener = Arc::new(listener);
            let sockets = Acceptor::bind_all(one, &mut sockets)?;
            listeners.extend(sockets.into_iter().map(|socket| (socket, listener.clone())));
        }
        Ok(Inbound { listeners, settings, deps, shared, total })
    }

    /// The way in for programs, which counts its messages under this name, as a listener for users does.
    pub fn gate(&self, name: &str) -> Gate {
        let unbound = ([0, 0, 0, 0], 0).into();
        let one = ListenerSettings {
            connections_max: self.settings.sessions_max,
            ..ListenerSettings::new(name, unbound, ListenerKind::Submission)
        };
        let counts = Counts { total: Arc::clone(&self.total), ..Counts::default() };
        Gate::new(Arc::new(Listener::new(&self.settings, &one, &self.deps, &self.shared, counts)))
    }

    /// What a reload needs to change how the listeners speak TLS.
    pub fn listener_tls(&self) -> ListenerTls {
        ListenerTls::of(self.listeners.iter().map(|(_, listener)| listener))
    }

    /// The names of the listeners with the addresses that they got.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.listeners
            .iter()
            .filter_map(|(socket, listener)| Some((listener.name.clone(), socket.tcp_address()?)))
            .collect()
    }

    /// Takes connections until `shutdown`; then closes the listeners and returns when all sessions ended, or when
    /// the drain time passed.
    pub async fn run(self, shutdown: CancellationToken) {
        let sessions = TaskTracker::new();
        let acceptors = TaskTracker::new();
        for (socket, listener) in &self.listeners {
            log::listening(&listener.name, &socket.shown());
        }
        for (socket, listener) in self.listeners {
            acceptors.spawn(drive_listener(socket, listener, sessions.clone(), shutdown.clone()));
        }
        acceptors.close();
        acceptors.wait().await;
        sessions.close();
        let drain_s = self.settings.drain_s;
        log::draining(sessions.len(), drain_s);
        // Sessions end by themselves when the drain time passed; the grace is for their last reply.
        let patience = Duration::from_secs(drain_s.saturating_add(DRAIN_GRACE_S));
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
        shared: &Arc<Shared>,
        counts: Counts,
    ) -> Listener {
        let label = ListenerLabel { listener: listener.name.clone() };
        Listener {
            name: listener.name.clone(),
            kind: listener.kind,
            hostname: settings.hostname.clone(),
            deps: deps.clone(),
            checker: Checker::new(deps.resolver.clone(), deps.clock.clone()),
            shared: shared.clone(),
            drain_s: settings.drain_s,
            hold_s_max: listener.hold_s_max,
            vrfy: listener.vrfy,
            proxy_networks: listener.proxy_networks.clone(),
            xclient_networks: listener.xclient_networks.clone(),
            mode: listener.tls,
            tls: None,
            handshakes: Arc::new(Semaphore::new(0)),
            profiles: Profiles::new(listener, &settings.hostname),
            counts: Arc::new(counts),
            limits: ConnectionLimits {
                total_max: settings.sessions_max,
                listener_max: listener.connections_max,
                client_max: listener.connections_per_address_max,
                network_max: 0,
            },
            sessions_open: deps.metrics.sessions_open.get_or_create(&label).clone(),
        }
    }

    /// The protocol settings of a session: AUTH is offered where it is allowed and somebody can judge it. Under TLS,
    /// `has_binding` tells whether an exchange can be bound to it.
    pub(crate) fn server_settings(
        &self,
        client: IpAddr,
        generation: &Generation,
        is_protected: bool,
        has_binding: bool,
    ) -> Arc<ServerSettings> {
        let plugins = generation.has(Hook::Auth);
        let judges = Judges {
            plugins,
            accounts: self.deps.authenticator.accounts().are_there(),
            tokens: self.deps.authenticator.takes_tokens(plugins),
            binding: has_binding,
        };
        self.profiles.find(client).server(is_protected, judges)
    }

    /// True when credentials can be judged without plugins.
    pub(crate) fn has_own_judges(&self) -> bool {
        self.deps.authenticator.accounts().are_there()
    }

    /// From now on this does the handshakes, where TLS is spoken.
    pub(crate) fn replace_tls(&self, next: TlsServer) {
        if let Some(serving) = &self.tls {
            serving.store(Arc::new(next));
        }
    }

    /// TLS begins with the connection.
    pub(crate) fn is_implicit(&self) -> bool {
        self.mode == TlsMode::Implicit
    }

    /// What does the handshakes here; none where TLS is not spoken.
    pub(crate) fn tls(&self) -> Option<Arc<TlsServer>> {
        self.tls.as_ref().map(ArcSwap::load_full)
    }

    /// Takes a place for a handshake; none when too many are under way.
    pub(crate) fn take_handshake(&self) -> Option<OwnedSemaphorePermit> {
        self.handshakes.clone().try_acquire_owned().ok()
    }

    /// What holds for a client at this address.
    pub(crate) fn standing(&self, policy: &Policy, address: IpAddr) -> Standing {
        Standing::of(policy, address, self.profiles.find(address), self.limits)
    }

    /// Takes a place for a session, or says which bound is reached.
    fn take_permit(&self, peer: SocketAddr) -> Result<Permit, Crowded> {
        if self.is_balancer(peer.ip()) {
            return Permit::take(&self.counts, self.limits, None);
        }
        let policy = self.deps.policy.load();
        let standing = self.standing(&policy, peer.ip());
        self.check_client(&policy, &standing)?;
        Permit::take(&self.counts, standing.connections, standing.counted())
    }

    /// Takes a place for the message of a program, which is judged by its token and not by where it is.
    pub(crate) fn take_program(&self) -> Result<Place, Crowded> {
        let policy = self.deps.policy.load();
        if self.shared.pressure.is_short_of_memory(policy.pressure, self.deps.clock.now()) {
            return Err(Crowded::Memory);
        }
        let permit = Permit::take(&self.counts, self.limits, None)?;
        let place = Place { permit, open: self.sessions_open.clone() };
        place.open.inc();
        Ok(place)
    }

    /// Whether a client that connects is welcome just now.
    fn check_client(&self, policy: &Policy, standing: &Standing) -> Result<(), Crowded> {
        if standing.is_exempt {
            return Ok(());
        }
        if self.shared.pressure.is_short_of_memory(policy.pressure, self.deps.clock.now()) {
            return Err(Crowded::Memory);
        }
        standing.take_connection(&self.shared.rates).map_err(Crowded::Rate)
    }

    /// True when connections from this address begin with a PROXY header.
    pub(crate) fn is_balancer(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxy_networks.iter().any(|network| network.contains(&address))
    }

    /// True when a client at this address may say by XCLIENT for whom it speaks.
    pub(crate) fn may_speak_for_others(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.xclient_networks.iter().any(|network| network.contains(&address))
    }

    /// Counts the client that somebody trusted names, instead of whom the session counted for before; or says why it is
    /// not welcome.
    pub(crate) fn count_client(&self, place: &mut Place, client: IpAddr) -> Result<(), Crowded> {
        let policy = self.deps.policy.load();
        let standing = self.standing(&policy, client);
        self.check_client(&policy, &standing)?;
        match standing.counted() {
            Some(places) => place.permit.count_client(standing.connections, places),
            None => {
                place.permit.forget_client();
                Ok(())
            }
        }
    }
}

/// The accept loop of one socket of a listener.
async fn drive_listener(
    socket: Acceptor,
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
                        let place = Place { permit, open: listener.sessions_open.clone() };
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
    permit: Permit,
    open: OpenGauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// The cheap way out: one write into the empty send buffer, no task, no session.
pub(crate) fn turn_away(listener: &Listener, stream: &Socket, peer: SocketAddr, crowded: Crowded) {
    let bound = crowded.as_str();
    listener.deps.metrics.count_turned_away(&listener.name, bound);
    log::turned_away(&listener.name, peer, bound);
    if listener.is_implicit() {
        // It would take plain text for a broken handshake.
        return;
    }
    let mut wire = Vec::new();
    crowded.refusal().reply().encode(&mut wire);
    // A client that is gone already needs no answer.
    stream.send_at_once(&wire);
}

/// Errors that concern the connection which was to be taken, not the listener (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// The first pause after a failed accept, such as for want of file descriptors; it doubles up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// For the last replies of sessions that used all of the drain time.
const DRAIN_GRACE_S: u64 = 3;
