//! Sessions over real sockets, with a real queue in a temporary folder.

mod deadlines;
mod lifecycle;
mod limits;
mod plugins;
mod proxies;
mod relaying;
mod services;
mod tls;
mod transactions;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use baton_accounts::{AccountSettings, Authenticator, Fetch};
use baton_dns::{DnsSettings, Resolver};
use baton_hooks::Generation;
use baton_hooks::worlds::World;
use baton_mail::event::What;
use baton_mail::{MessageId, SystemClock};
use baton_store::{Filter, JobView, Store, StoreSettings};
use baton_tls::{CertificateSet, CertificateSettings, Certificates};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::{Inbound, InboundDeps, InboundSettings, ListenerKind, ListenerSettings, Policy};

/// A running relay, inbound only: what it accepts stays in the queue.
struct Relay {
    _folder: tempfile::TempDir,
    store: Store,
    hooks: Arc<ArcSwap<Generation>>,
    metrics: Arc<Metrics>,
    policy: Arc<ArcSwap<Policy>>,
    addresses: Vec<(String, SocketAddr)>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

/// Knows nobody.
fn authenticator(store: &Store) -> Authenticator {
    let clock = Arc::new(SystemClock);
    let settings = AccountSettings { hash_memory_kib: 64, hash_passes: 1, ..AccountSettings::default() };
    let fetch = Fetch(Arc::new(|_| Box::pin(async { Err("there is no network".to_owned()) })));
    Authenticator::new(store.accounts(), store.kv(), clock, Arc::default(), settings, fetch).unwrap()
}

impl Relay {
    /// A relay with one listener of that kind; `adjust` sees all settings before it starts.
    async fn start(kind: ListenerKind, adjust: impl FnOnce(&mut InboundSettings, &mut Policy)) -> Relay {
        Relay::with_plugins(kind, Generation::empty(), adjust).await
    }

    /// The same, with plugins.
    async fn with_plugins(
        kind: ListenerKind,
        generation: Generation,
        adjust: impl FnOnce(&mut InboundSettings, &mut Policy),
    ) -> Relay {
        let listener = ListenerSettings::new("test", ([127, 0, 0, 1], 0).into(), kind);
        let mut settings = InboundSettings::new("mx.example".parse().unwrap(), vec![listener]);
        let mut policy = Policy::default();
        policy.local_domains.insert("us.example".parse().unwrap());
        adjust(&mut settings, &mut policy);
        let folder = tempfile::tempdir().unwrap();
        let store_settings = StoreSettings::new(folder.path().join("store"));
        let store = Store::open(store_settings, Arc::new(SystemClock), Arc::default()).unwrap();
        let metrics = Arc::new(Metrics::default());
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let hooks = Arc::new(ArcSwap::from_pointee(generation));
        let deps = InboundDeps {
            store: store.clone(),
            hooks: hooks.clone(),
            resolver: Resolver::new(&DnsSettings::default()).unwrap(),
            verify: World::default().capabilities().verify,
            authenticator: authenticator(&store),
            signer: baton_identity::Signer::default(),
            clock: Arc::new(SystemClock),
            policy: policy.clone(),
            metrics: metrics.clone(),
            dmarc: Arc::new(baton_identity::reports::outgoing::Tally::new(Arc::new(SystemClock))),
            trace: baton_mail::trace::Hub::new(Arc::new(baton_mail::SystemClock)),
            tracking: Arc::default(),
            certificates: Some(own_certificate(folder.path())),
        };
        let inbound = Inbound::bind(settings, deps).await.unwrap();
        let addresses = inbound.addresses();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(inbound.run(shutdown.clone()));
        Relay { _folder: folder, store, hooks, metrics, policy, addresses, shutdown, running }
    }

    /// A relay to which every client is a stranger.
    async fn for_strangers(adjust: impl FnOnce(&mut InboundSettings, &mut Policy)) -> Relay {
        Relay::start(ListenerKind::Mx, |settings, policy| {
            policy.relay_networks.clear();
            adjust(settings, policy);
        })
        .await
    }

    fn address(&self) -> SocketAddr {
        self.addresses[0].1
    }

    /// A client that was greeted.
    async fn client(&self) -> Client {
        let mut client = self.connect().await;
        assert!(client.reply().await.starts_with("220 mx.example"));
        client
    }

    /// A client that was greeted and said EHLO.
    async fn esmtp(&self) -> Client {
        let mut client = self.client().await;
        client.expect("EHLO client.example", "250").await;
        client
    }

    async fn connect(&self) -> Client {
        Client::over(TcpStream::connect(self.address()).await.unwrap())
    }

    async fn connect_from(&self, address: IpAddr) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        Client::over(socket.connect(self.address()).await.unwrap())
    }

    /// All jobs in the queue.
    async fn queue(&self) -> Vec<JobView> {
        self.store.find(&Filter::default(), None, 100).await.unwrap()
    }

    /// The content of the only message in the queue.
    async fn only_body(&self) -> String {
        let queue = self.queue().await;
        assert_eq!(queue.len(), 1, "{queue:?}");
        let body = self.store.body(queue[0].key.message).await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    async fn story(&self, message: MessageId) -> Vec<What> {
        self.store.story(message).await.unwrap().into_iter().map(|event| event.what).collect()
    }
}

/// The self-signed certificate of a relay that was given none.
fn own_certificate(folder: &Path) -> Arc<Certificates> {
    let (folder, hostname) = (folder.join("tls"), "mx.example".parse().unwrap());
    let settings = CertificateSettings { files: Vec::new(), obtained: None, folder, hostname };
    Certificates::new(CertificateSet::load(&settings, &SystemClock).unwrap())
}

/// What a client talks over.
trait Conversation: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation for S {}

/// The client's side of a session.
struct Client {
    stream: BufReader<Box<dyn Conversation>>,
}

impl Client {
    fn over(stream: impl Conversation + 'static) -> Client {
        Client { stream: BufReader::new(Box::new(stream)) }
    }

    async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(octets.as_ref()).await.unwrap();
    }

    /// One whole reply, lines joined by `\n`; empty when the server closed.
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await;
            match read.expect("a reply within the test's patience") {
                Ok(0) | Err(_) => return reply,
                Ok(_) => reply.push_str(line.trim_end()),
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
            reply.push('\n');
        }
    }

    async fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.reply().await
    }

    /// Sends a command whose reply must begin so.
    async fn expect(&mut self, line: &str, start: &str) -> String {
        let reply = self.command(line).await;
        assert!(reply.starts_with(start), "{line}: {reply}");
        reply
    }

    /// A whole transaction; the reply to the end of data.
    async fn deliver(&mut self, recipient: &str, content: &str) -> String {
        self.expect("MAIL FROM:<a@client.example>", "250").await;
        self.expect(&format!("RCPT TO:<{recipient}>"), "250").await;
        self.expect("DATA", "354").await;
        self.send(format!("{content}\r\n.\r\n")).await;
        self.reply().await
    }

    /// Reads until the server closes.
    async fn closed(&mut self) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.is_ok()
    }
}

/// The id at the end of a reply such as `550 5.7.1 Relaying denied (01KB...)` or `250 2.0.0 queued as 01KB...`.
fn id_in(reply: &str) -> MessageId {
    let last = reply.split_whitespace().last().unwrap();
    last.trim_matches(['(', ')']).parse().unwrap_or_else(|_| panic!("no message id in {reply}"))
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
