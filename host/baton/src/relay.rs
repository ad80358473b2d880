//! The relay as a whole: its parts, made from checked settings, and their run from start to stop.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use arc_swap::{ArcSwap, ArcSwapOption};
use baton_accounts::{Authenticator, Fetch};
use baton_api::{
    AdminDeps, ApiListener, ApiSettings, Face, FaceDeps, PublicDeps, SendReports, Wish, bind_admin,
    serve_admin, serve_api, serve_public, switches,
};
use baton_content::track::Tracker;
use baton_dns::Resolver;
use baton_hooks::cache::Cache;
use baton_hooks::host::{Capabilities, HttpBackend};
use baton_hooks::{Engine, EventFeed, Generation};
use baton_identity::Signer;
use baton_identity::domains::{Domains, Inspector};
use baton_identity::reports::outgoing::{Tally, TlsCounts};
use baton_inbound::{Inbound, InboundDeps, ListenerTls, Policy, Sockets};
use baton_mail::trace::Hub;
use baton_mail::{Clock, SystemClock};
use baton_outbound::{
    DeliveryView, HttpClient, Outbound, OutboundDeps, OutboundSettings, Policies, Verifier, read_next_hop,
};
use baton_store::{Store, Suppressions};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::compiling;
use crate::events;
use crate::logs::Log;
use crate::registry::{Fetched, fetch_all};
use crate::reporting::{Reporter, ReporterDeps};
use crate::settings::check::Checked;
use crate::wiring::{
    Acme, CertificateKeeper, Following, PluginDns, PluginHttp, PluginKv, PluginVerify, Programs, PublicLinks,
    count_complaints, delivery_face, fetch_by, follow, programs, start_certificates, tell_observers,
};

/// Wishes about what serves that may wait.
const WISHES_MAX: usize = 4;

/// What a reload replaces.
#[derive(Clone)]
pub(crate) struct Swappable {
    pub(crate) hooks: Arc<ArcSwap<Generation>>,
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    pub(crate) outbound: Arc<ArcSwap<OutboundSettings>>,
    /// Fetches the policies of domains.
    pub(crate) client: HttpClient,
    /// Tells the plugins that observe.
    pub(crate) feed: Arc<EventFeed>,
    /// Signs what leaves, with the keys of these domains.
    pub(crate) signer: Signer,
    pub(crate) domains: Domains,
    /// Judges credentials.
    pub(crate) authenticator: Authenticator,
    /// To whom nothing is sent.
    pub(crate) suppression: Suppressions,
    /// The bounds of the API.
    pub(crate) api: Arc<ArcSwap<ApiSettings>>,
    /// Makes and opens links; none while nothing is tracked.
    pub(crate) tracking: Arc<ArcSwapOption<Tracker>>,
}

/// Sockets that were opened before the relay runs.
pub(crate) struct OpenSockets {
    pub(crate) inbound: Sockets,
    /// Where an ACME authority asks.
    pub(crate) acme: Option<std::net::TcpListener>,
}

/// A relay whose parts are made and whose sockets are open; nothing runs yet.
pub(crate) struct Relay {
    pub(crate) swappable: Swappable,
    pub(crate) engine: Engine,
    pub(crate) capabilities: Capabilities,
    /// What the listeners show; none when none speaks TLS.
    pub(crate) certificates: Option<Arc<CertificateKeeper>>,
    /// How the listeners speak TLS.
    pub(crate) listener_tls: Arc<ListenerTls>,
    acme: Option<Acme>,
    /// The client behind `capabilities.http`.
    pub(crate) http: Arc<PluginHttp>,
    pub(crate) resolver: Resolver,
    pub(crate) store: Store,
    /// Sends our reports about others.
    pub(crate) reporter: Reporter,
    inspector: Inspector,
    clock: Arc<dyn Clock>,
    inbound: Inbound,
    outbound: Outbound,
    admin: UnixListener,
    metrics: Option<TcpListener>,
    /// The API, and where it listens.
    programs: Programs,
    /// What answers tracked links.
    links: Option<PublicLinks>,
    registry: Registry,
    /// Those who follow what happens.
    following: Following,
    /// Shows dialogues to operators who look on.
    trace: Arc<Hub>,
}

/// A relay that runs.
pub(crate) struct Running {
    /// Wishes about what serves, by the API.
    pub(crate) wishes: mpsc::Receiver<Wish>,
    /// Inbound and outbound; done when both have come to an end.
    pub(crate) stages: JoinHandle<()>,
    store: Store,
    reporter: Reporter,
    faces: Vec<JoinHandle<()>>,
    stop_faces: CancellationToken,
    /// The thread of those who follow what happens.
    following: Option<std::thread::JoinHandle<()>>,
    stop_following: CancellationToken,
}

/// What everything else stands on.
struct Ground {
    clock: Arc<dyn Clock>,
    registry: Registry,
    store: Store,
    admin: UnixListener,
    resolver: Resolver,
    engine: Engine,
    http: Arc<PluginHttp>,
    client: HttpClient,
    trace: Arc<Hub>,
    metrics: Arc<baton_outbound::metrics::Metrics>,
}

impl Ground {
    fn lay(checked: &Checked, log: &Log) -> anyhow::Result<Ground> {
        make_state_folder(&checked.state_path)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut registry = registry_of(log);
        let store = open_store(checked, &clock, &mut registry)?;
        let admin = bind_admin(&checked.api.admin_socket)?;
        let resolver = Resolver::new(&checked.dns).context("the DNS resolver can not be made; see [dns]")?;
        let engine = make_engine(checked)?;
        let http = Arc::new(PluginHttp::new(checked.http.clone(), resolver.clone())?);
        let client = http_client(&http);
        let trace = Hub::new(clock.clone());
        let names = store.suppression().names();
        log.name_addresses_by(Box::new(move |address| names.of(address)));
        let metrics = outbound_metrics(&mut registry);
        Ok(Ground { clock, registry, store, admin, resolver, engine, http, client, trace, metrics })
    }

    /// Who asks what domains publish about their mail hosts, and who asks next hops about recipients.
    fn askers(&self, settings: &Arc<ArcSwap<OutboundSettings>>) -> (Policies, Verifier) {
        let policies = self.policies();
        let verifier = self.verifier(settings, &policies);
        (policies, verifier)
    }

    /// What domains publish about the TLS of their mail hosts.
    fn policies(&self) -> Policies {
        let Ground { resolver, store, clock, client, metrics, .. } = self;
        Policies::new(resolver.clone(), client.clone(), store.kv(), clock.clone(), metrics.clone())
    }

    /// Asks next hops about recipients.
    fn verifier(&self, settings: &Arc<ArcSwap<OutboundSettings>>, policies: &Policies) -> Verifier {
        let Ground { resolver, trace, metrics, .. } = self;
        Verifier::new(settings.clone(), resolver.clone(), policies.clone(), metrics.clone(), trace.clone())
    }
}

impl Relay {
    /// Makes all parts, or says which one failed and why.
    pub(crate) async fn build(checked: &Checked, sockets: OpenSockets, log: &Log) -> anyhow::Result<Relay> {
        let ground = Ground::lay(checked, log)?;
        let (settings, policy) = (shared(&checked.outbound), shared(&checked.policy));
        let (policies, verifier) = ground.askers(&settings);
        let Ground { clock, mut registry, store, admin, resolver, engine, http, client, trace, metrics } =
            ground;
        let capabilities = services(&store, &resolver, &http, verifier, &clock, &mut registry);
        let (hooks, feed) = start_plugins(&engine, checked, &capabilities, &store).await?;
        let (signer, domains) = load_signer(checked)?;
        let reporter = reporter(checked, &store, &resolver, &signer, &client, &clock, &mut registry);
        let authenticator = authenticator(checked, &store, &clock, fetch_by(&http), &mut registry)?;
        let (certificates, shown) = start_certificates(checked, &clock)?;
        let tracking = Arc::new(ArcSwapOption::new(checked.tracking.load()?));
        let deps = InboundDeps {
            store: store.clone(),
            hooks: hooks.clone(),
            resolver: resolver.clone(),
            verify: capabilities.verify.clone(),
            authenticator: authenticator.clone(),
            signer: signer.clone(),
            clock: clock.clone(),
            policy: policy.clone(),
            metrics: inbound_metrics(&mut registry),
            dmarc: reporter.dmarc(),
            trace: trace.clone(),
            tracking: tracking.clone(),
            certificates: shown.clone(),
        };
        let delivering = outbound_deps(&deps, policies, reporter.tls(), &client, metrics);
        let inbound = Inbound::over(checked.inbound.clone(), sockets.inbound, deps).await?;
        settings.store(Arc::new(knowing_itself(checked.outbound.clone(), &inbound, &store)));
        let following = follow(&checked.follow, &store, &clock, &resolver, &settings, &mut registry)?;
        let programs = programs::open(checked, &inbound, &clock, shown.clone()).await?;
        let swappable = Swappable {
            hooks,
            policy,
            outbound: settings,
            client,
            feed,
            signer,
            domains,
            authenticator,
            suppression: store.suppression(),
            api: programs.settings.clone(),
            tracking,
        };
        Ok(Relay {
            outbound: Outbound::new(swappable.outbound.clone(), delivering),
            swappable,
            engine,
            capabilities,
            certificates,
            links: PublicLinks::bind(checked, shown, &clock, &mut registry).await?,
            listener_tls: Arc::new(inbound.listener_tls()),
            acme: open_acme(checked, sockets.acme, &clock, &mut registry)?,
            http,
            inspector: checked.inspector(resolver.clone()),
            resolver,
            store,
            reporter,
            clock,
            inbound,
            admin,
            metrics: bind_metrics(checked).await?,
            programs,
            registry,
            following,
            trace,
        })
    }

    /// A look at delivery.
    pub(crate) fn delivery(&self) -> DeliveryView {
        self.outbound.view()
    }

    /// The listeners and what addresses they got.
    pub(crate) fn addresses(&self) -> Vec<(String, std::net::SocketAddr)> {
        let metrics = self.metrics.as_ref().and_then(|listener| listener.local_addr().ok());
        self.inbound
            .addresses()
            .into_iter()
            .chain(metrics.map(|address| ("metrics".to_owned(), address)))
            .chain(self.programs.address())
            .chain(self.links.as_ref().and_then(PublicLinks::address))
            .chain(self.acme.as_ref().and_then(Acme::address).map(|address| ("acme".to_owned(), address)))
            .collect()
    }

    /// Starts everything. `shutdown` asks inbound and outbound to come to an end.
    pub(crate) fn start(self, shutdown: &CancellationToken) -> Running {
        let stop_faces = CancellationToken::new();
        let (wish, wishes) = mpsc::channel(WISHES_MAX);
        let registry = Arc::new(self.registry);
        let public =
            PublicDeps { registry: registry.clone(), store: self.store.clone(), shutdown: shutdown.clone() };
        let outbound = self.swappable.outbound.clone();
        let check_next_hop =
            Arc::new(move |text: &str| read_next_hop(text, &outbound.load().routes).map(|_| ()));
        let face = Face::new(FaceDeps {
            store: self.store.clone(),
            clock: self.clock.clone(),
            submit: self.programs.submit,
            settings: self.programs.settings,
            inspector: self.inspector,
            authenticator: self.swappable.authenticator.clone(),
            hooks: self.swappable.hooks.clone(),
            wishes: wish,
            check_next_hop,
            delivery: delivery_face(self.outbound.view()),
            send_reports: send_by(&self.reporter),
            webhooks: self.following.webhooks.clone(),
            followers: self.following.named.clone(),
            reports: self.following.reports.clone(),
        });
        let deps = AdminDeps { face: face.clone(), trace: self.trace, public: public.clone() };
        let mut faces = vec![tokio::spawn(serve_admin(self.admin, deps, stop_faces.clone()))];
        if let Some(keeper) = self.certificates {
            faces.extend(self.acme.map(|acme| tokio::spawn(acme.keep(keeper.clone()))));
            faces.push(tokio::spawn(keeper.follow_files()));
        }
        faces.push(tokio::spawn(tell_observers(self.store.clone(), self.swappable.feed.clone())));
        if let Some(listener) = self.metrics {
            if let Ok(address) = listener.local_addr() {
                events::metrics_listening(address);
            }
            faces.push(tokio::spawn(serve_public(listener, public, stop_faces.clone())));
        }
        if self.programs.listener.is_some() {
            faces.push(tokio::spawn(face.clone().watch(registry, stop_faces.clone())));
        }
        faces.extend(self.links.map(|links| {
            if let Some((_, address)) = links.address() {
                events::links_listening(address);
            }
            tokio::spawn(links.serve(&self.store, &self.swappable.tracking, &self.clock, stop_faces.clone()))
        }));
        faces.push(tokio::spawn(self.reporter.clone().run()));
        faces.push(tokio::spawn(count_complaints(self.store.clone(), self.outbound.view())));
        let stop_following = CancellationToken::new();
        let following = self.following.followers.start(stop_following.clone());
        let following = following.inspect_err(|error| events::part_failed("events", &error.to_string())).ok();
        let api = self.programs.listener.map(|listener| (listener, face));
        let stages = tokio::spawn(drive_stages(self.inbound, self.outbound, api, shutdown.clone()));
        Running {
            wishes,
            stages,
            store: self.store,
            reporter: self.reporter,
            faces,
            stop_faces,
            following,
            stop_following,
        }
    }
}

impl Running {
    /// Puts everything away after the stages have ended.
    pub(crate) async fn close(self) {
        self.stop_faces.cancel();
        for face in self.faces {
            // Whatever a connection to the admin socket still waits for can not be answered any more.
            face.abort();
            let _ = face.await;
        }
        self.reporter.keep().await;
        self.stop_following.cancel();
        if let Some(following) = self.following {
            // It stops at once; what it did not acknowledge it reads again after the next start.
            let _ = tokio::task::spawn_blocking(move || following.join()).await;
        }
        self.store.close().await;
    }
}

/// Runs inbound, outbound and the API until all have come to an end. When one ends unasked, the others are stopped too.
async fn drive_stages(
    inbound: Inbound,
    outbound: Outbound,
    api: Option<(ApiListener, Face)>,
    shutdown: CancellationToken,
) {
    let inbound = watch("inbound", tokio::spawn(inbound.run(shutdown.clone())), shutdown.clone());
    let outbound = watch("outbound", tokio::spawn(outbound.run(shutdown.clone())), shutdown.clone());
    let api = async {
        let Some((listener, face)) = api else { return };
        if let Ok(address) = listener.address() {
            events::api_listening(address);
        }
        watch("api", tokio::spawn(serve_api(listener, face, shutdown.clone())), shutdown.clone()).await;
    };
    tokio::join!(inbound, outbound, api);
}

async fn watch(name: &str, part: JoinHandle<()>, shutdown: CancellationToken) {
    let ended = part.await;
    if let Err(error) = &ended {
        events::part_failed(name, &error.to_string());
    } else if !shutdown.is_cancelled() {
        events::part_failed(name, "it returned");
    }
    shutdown.cancel();
}

/// The client of plugins for the relay's own requests; a reload may put another one there.
fn http_client(http: &Arc<PluginHttp>) -> HttpClient {
    let backend: Arc<dyn HttpBackend> = http.clone();
    Arc::new(ArcSwap::from_pointee(backend))
}

/// All metrics; the log has some.
fn registry_of(log: &Log) -> Registry {
    let mut registry = Registry::default();
    log.register(&mut registry);
    registry
}

/// Counts what our reports tell, and sends them.
fn reporter(
    checked: &Checked,
    store: &Store,
    resolver: &Resolver,
    signer: &Signer,
    http: &HttpClient,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) -> Reporter {
    let deps = ReporterDeps {
        store: store.clone(),
        resolver: resolver.clone(),
        signer: signer.clone(),
        http: http.clone(),
        clock: clock.clone(),
    };
    Reporter::new(checked.reporting.clone(), deps, registry)
}

/// Sends all reports at once, for the admin socket.
fn send_by(reporter: &Reporter) -> SendReports {
    let reporter = reporter.clone();
    Arc::new(move || {
        let reporter = reporter.clone();
        Box::pin(async move { reporter.pass(true).await })
    })
}

/// The folder of compiled plugins. The relay runs without it too, only that its start takes longer.
fn open_cache(checked: &Checked) -> Option<Cache> {
    if checked.plugin_cache_octets == 0 {
        return None;
    }
    let folder = checked.state_path.join("plugins");
    let opened = Cache::open(&folder, checked.plugin_cache_octets);
    opened.inspect_err(|error| events::cache_refused(&error.to_string())).ok()
}

/// Loads the plugins of the settings.
pub(crate) async fn load_generation(
    engine: &Engine,
    checked: &Checked,
    capabilities: &Capabilities,
) -> anyhow::Result<(Generation, Vec<String>)> {
    let fail = |errors: Vec<String>| {
        let lines: Vec<_> = errors.iter().map(|error| format!("\n  {error}")).collect();
        anyhow!("plugins can not be loaded:{}", lines.concat())
    };
    let Fetched { plugins, advice } = fetch_all(checked).await.map_err(fail)?;
    let loaded = Generation::load(engine, 1, &plugins, &checked.order, capabilities).await;
    let generation = loaded.map_err(|errors| fail(errors.iter().map(ToString::to_string).collect()))?;
    Ok((generation.with_thresholds(checked.thresholds.clone()), advice))
}

/// The keys of the domains in whose name the relay signs.
fn load_signer(checked: &Checked) -> anyhow::Result<(Signer, Domains)> {
    let (signer, domains) = (Signer::default(), checked.domains());
    signer.load(&domains).context("the keys of `baton domain` can not be used")?;
    Ok((signer, domains))
}

/// What plugins may be granted, by the relay's own parts.
fn services(
    store: &Store,
    resolver: &Resolver,
    http: &Arc<PluginHttp>,
    verifier: Verifier,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) -> Capabilities {
    let metrics = Arc::new(baton_hooks::metrics::Metrics::default());
    metrics.register(registry);
    Capabilities {
        kv: Arc::new(PluginKv(store.kv())),
        dns: Arc::new(PluginDns(resolver.clone())),
        http: http.clone(),
        verify: Arc::new(PluginVerify(verifier)),
        clock: clock.clone(),
        metrics,
    }
}

fn open_store(checked: &Checked, clock: &Arc<dyn Clock>, registry: &mut Registry) -> anyhow::Result<Store> {
    let metrics = Arc::new(baton_store::metrics::Metrics::default());
    metrics.register(registry);
    let store = Store::open(checked.store.clone(), clock.clone(), metrics)?;
    store.suppression().set_rules(checked.suppression.clone());
    Ok(store)
}

fn authenticator(
    checked: &Checked,
    store: &Store,
    clock: &Arc<dyn Clock>,
    fetch: Fetch,
    registry: &mut Registry,
) -> anyhow::Result<Authenticator> {
    let metrics = Arc::new(baton_accounts::Metrics::default());
    metrics.register(registry);
    let settings = checked.accounts.clone();
    Authenticator::new(store.accounts(), store.kv(), clock.clone(), metrics, settings, fetch)
        .context("passwords can not be hashed; see [accounts]")
}

fn outbound_metrics(registry: &mut Registry) -> Arc<baton_outbound::metrics::Metrics> {
    let metrics = Arc::new(baton_outbound::metrics::Metrics::default());
    metrics.register(registry);
    metrics
}

/// Delivery shares with reception what both need.
fn outbound_deps(
    reception: &InboundDeps,
    policies: Policies,
    tally: Arc<Tally<TlsCounts>>,
    http: &HttpClient,
    metrics: Arc<baton_outbound::metrics::Metrics>,
) -> OutboundDeps {
    OutboundDeps {
        store: reception.store.clone(),
        hooks: reception.hooks.clone(),
        resolver: reception.resolver.clone(),
        policies,
        tally,
        http: http.clone(),
        signer: reception.signer.clone(),
        clock: reception.clock.clone(),
        metrics,
        trace: reception.trace.clone(),
    }
}

fn inbound_metrics(registry: &mut Registry) -> Arc<baton_inbound::metrics::Metrics> {
    let metrics = Arc::new(baton_inbound::metrics::Metrics::default());
    metrics.register(registry);
    metrics
}

fn open_acme(
    checked: &Checked,
    socket: Option<std::net::TcpListener>,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) -> anyhow::Result<Option<Acme>> {
    let (Some(settings), Some(socket)) = (checked.acme.clone(), socket) else { return Ok(None) };
    Acme::open(settings, socket, clock.clone(), registry).map(Some)
}

/// What a reload replaces while others read it.
fn shared<T: Clone>(settings: &T) -> Arc<ArcSwap<T>> {
    Arc::new(ArcSwap::from_pointee(settings.clone()))
}

async fn bind_metrics(checked: &Checked) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = checked.api.metrics_address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    let explain =
        || format!("api.metrics_address: can not listen on {address}; choose another address or port");
    listener.map(Some).with_context(explain)
}

/// The first generation of plugins, as they were switched, and what tells them what happens.
async fn start_plugins(
    engine: &Engine,
    checked: &Checked,
    capabilities: &Capabilities,
    store: &Store,
) -> anyhow::Result<(Arc<ArcSwap<Generation>>, Arc<EventFeed>)> {
    let (generation, tags) = load_generation(engine, checked, capabilities).await?;
    let generation = generation.switched(generation.number(), &switches(store).await?);
    events::tags_resolved(&tags);
    let feed = Arc::new(EventFeed::new(&capabilities.metrics));
    feed.serve(&generation);
    Ok((Arc::new(ArcSwap::from_pointee(generation)), feed))
}

/// The engine of plugins, with its cache and with processes for compiling.
fn make_engine(checked: &Checked) -> anyhow::Result<Engine> {
    Engine::with_cache(&checked.engine, open_cache(checked), Some(compiling::workshop()))
        .context("the plugin engine can not be made; see [engine]")
}

/// The settings of delivery with the addresses at which the relay listens, as mail must not go to them, and with the
/// streams that choose what they leave by.
fn knowing_itself(mut outbound: OutboundSettings, inbound: &Inbound, store: &Store) -> OutboundSettings {
    Arc::make_mut(&mut outbound.sources).catalog = Some(store.tenants());
    outbound.loops.own_addresses = inbound.addresses().into_iter().map(|(_, address)| address).collect();
    outbound
}

/// The folder of all state, for this user only: it holds mail.
fn make_state_folder(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| {
        format!(
            "store.path: can not make the folder {}; make it for this user, or set another path",
            path.display()
        )
    })
}
