//! A real store and the real delivery, without inbound.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use baton_dns::{DnsSettings, Resolver};
use baton_hooks::Generation;
use baton_hooks::host::{HttpBackend, HttpError, HttpRequest, HttpResponse};
use baton_identity::Signer;
use baton_identity::reports::outgoing::Tally;
use baton_mail::event::{Event, What};
use baton_mail::trace::Hub;
use baton_mail::{Body, Clock, Envelope, Mailbox, MessageId, Origin, Recipient, ReversePath, SystemClock};
use baton_outbound::metrics::Metrics;
use baton_outbound::{
    DeliveryView, DomainPattern, HostPort, HttpClient, NextHop, Outbound, OutboundDeps, OutboundSettings,
    Policies, RouteTable, RouteTarget,
};
use baton_store::{NewJob, NewMessage, Store, StoreSettings};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Relay {
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) view: DeliveryView,
    pub(crate) folder: tempfile::TempDir,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

/// Settings with short deadlines, where all mail goes to this next hop.
pub(crate) fn settings(next_hop: NextHop) -> OutboundSettings {
    let mut settings = OutboundSettings::new("relay.test".parse().unwrap());
    settings.routes = routes(next_hop, &[]);
    let timeouts = &mut settings.timeouts;
    for bound in [
        &mut timeouts.connect_ms,
        &mut timeouts.greeting_ms,
        &mut timeouts.ehlo_ms,
        &mut timeouts.tls_ms,
        &mut timeouts.mail_ms,
        &mut timeouts.rcpt_ms,
        &mut timeouts.data_init_ms,
        &mut timeouts.data_block_ms,
        &mut timeouts.data_dot_ms,
    ] {
        *bound = 600;
    }
    settings.limits.idle_ms = 2_000;
    settings.limits.drain_ms = 1_000;
    settings.limits.host_failure_ms = 0;
    settings
}

/// All mail to `default`, some domains elsewhere.
pub(crate) fn routes(default: NextHop, others: &[(&str, NextHop)]) -> RouteTable {
    let mut next_hops = HashMap::from([("default".to_owned(), default)]);
    let mut rules = Vec::new();
    for (pattern, next_hop) in others {
        next_hops.insert((*pattern).to_owned(), next_hop.clone());
        rules.push((pattern.parse::<DomainPattern>().unwrap(), RouteTarget::Named((*pattern).to_owned())));
    }
    RouteTable::new(next_hops, &rules, &RouteTarget::Named("default".to_owned())).unwrap()
}

/// The next hop at this address.
pub(crate) fn host(address: SocketAddr) -> NextHop {
    NextHop::Hosts(vec![HostPort { host: address.ip().to_string(), port: address.port() }])
}

/// Policies of a relay that reaches no web server.
pub(crate) fn policies(store: &Store, resolver: &Resolver) -> Policies {
    Policies::new(resolver.clone(), no_web(), store.kv(), Arc::new(SystemClock), Arc::default())
}

fn no_web() -> HttpClient {
    let http: Arc<dyn HttpBackend> = Arc::new(NoWeb);
    Arc::new(ArcSwap::from_pointee(http))
}

/// A network without web servers.
struct NoWeb;

impl HttpBackend for NoWeb {
    fn fetch<'a>(
        &'a self,
        _plugin: &'a str,
        _request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpResponse, HttpError>> {
        Box::pin(std::future::ready(Err(HttpError::Timeout)))
    }
}

impl Relay {
    pub(crate) fn start(settings: OutboundSettings) -> Relay {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store_settings = StoreSettings::new(folder.path().join("store"));
        let store = Store::open(store_settings, clock.clone(), Arc::default()).unwrap();
        let dns = DnsSettings {
            servers: vec!["127.0.0.1:9".parse().unwrap()],
            timeout_ms: 200,
            ..Default::default()
        };
        let metrics = Arc::new(Metrics::default());
        let resolver = Resolver::new(&dns).unwrap();
        let deps = OutboundDeps {
            store: store.clone(),
            hooks: Arc::new(ArcSwap::from_pointee(Generation::empty())),
            policies: policies(&store, &resolver),
            tally: Arc::new(Tally::new(clock.clone())),
            http: no_web(),
            resolver,
            signer: Signer::default(),
            clock,
            metrics: metrics.clone(),
            trace: Hub::new(Arc::new(SystemClock)),
        };
        let stop = CancellationToken::new();
        let outbound = Outbound::new(Arc::new(ArcSwap::from_pointee(settings)), deps);
        let view = outbound.view();
        let running = tokio::spawn(outbound.run(stop.clone()));
        Relay { store, metrics, view, folder, stop, running }
    }

    /// Queues a message; its jobs are one for each domain.
    pub(crate) async fn submit(&self, sender: &str, recipients: &[&str], text: &str) -> MessageId {
        self.submit_with(sender, recipients, text.as_bytes(), |_| ()).await
    }

    pub(crate) async fn submit_with(
        &self,
        sender: &str,
        recipients: &[&str],
        text: &[u8],
        change: impl FnOnce(&mut Envelope),
    ) -> MessageId {
        let now = SystemClock.now();
        let sender = match sender {
            "" => ReversePath::Null,
            text => ReversePath::Mailbox(text.parse().unwrap()),
        };
        let lifetime = Duration::from_secs(3_600);
        let mut envelope = Envelope::new(MessageId::new(now), now, lifetime, sender, Origin::internal());
        let mut jobs: Vec<NewJob> = Vec::new();
        for (index, recipient) in (0u16..).zip(recipients) {
            let mailbox: Mailbox = recipient.parse().unwrap();
            let queue = mailbox.domain().to_string();
            envelope.recipients.push(Recipient::from(mailbox));
            match jobs.iter_mut().find(|job| job.queue == queue) {
                Some(job) => job.recipients.push(index),
                None => jobs.push(NewJob { queue, recipients: vec![index], due: now }),
            }
        }
        envelope.size = text.len() as u64;
        change(&mut envelope);
        let body = Body::from(Bytes::copy_from_slice(text));
        let accepted =
            self.store.accept(NewMessage { envelope, body, jobs, events: Vec::new() }).await.unwrap();
        accepted.id()
    }

    /// Waits until the story of the message has `count` events that `wanted` says yes to; returns those.
    pub(crate) async fn events(&self, id: MessageId, count: usize, wanted: fn(&What) -> bool) -> Vec<What> {
        let search = async {
            loop {
                let story = self.store.story(id).await.unwrap_or_default();
                let found: Vec<What> =
                    story.into_iter().map(|event: Event| event.what).filter(&wanted).collect();
                if found.len() >= count {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!("not told in time: {:#?}", self.store.story(id).await),
        }
    }

    /// The first event of the message that ends an attempt.
    pub(crate) async fn outcome(&self, id: MessageId) -> What {
        self.events(id, 1, is_outcome).await.swap_remove(0)
    }

    /// Stops delivery; the store stays open.
    pub(crate) async fn stop(self) -> (Store, tempfile::TempDir) {
        self.stop.cancel();
        self.running.await.unwrap();
        (self.store, self.folder)
    }
}

/// An attempt ended.
pub(crate) fn is_outcome(what: &What) -> bool {
    matches!(what, What::Delivered { .. } | What::Deferred { .. } | What::Failed { .. })
}

/// In short: kind, phase, enhanced code.
pub(crate) fn short(what: &What) -> String {
    match what {
        What::Delivered { status, .. } => format!("delivered {} {}", status.phase, status.enhanced),
        What::Deferred { status, .. } => format!("deferred {} {}", status.phase, status.enhanced),
        What::Failed { status, .. } => format!("failed {} {}", status.phase, status.enhanced),
        other => format!("{other:?}"),
    }
}
