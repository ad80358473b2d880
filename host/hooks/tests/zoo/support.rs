//! An engine, the zoo's settings, and services that live in memory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use baton_hooks::host::{
    Capabilities, HttpBackend, HttpError, HttpRequest, HttpResponse, VerifyAnswer, VerifyBackend, VerifyError,
};
use baton_hooks::worlds::World;
use baton_hooks::{
    AttemptFacts, Call, Credential, EditGrant, Engine, EngineSettings, FailureFacts, Generation, Grants,
    Hook, Limits, MessageContent, PluginSettings, SessionFacts, SessionNotes,
};
use baton_mail::body::Content;
use baton_mail::clock::ManualClock;
use baton_mail::{
    EnhancedCode, Envelope, FailureClass, Mailbox, MessageId, Origin, Phase, Reply, ReversePath, SessionId,
    SystemClock, UnixMs,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub(crate) const MESSAGE: &str = "Received: from a\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nTo: Ann <ann@us.example>\r\nX-Old: 1\r\n\r\na needle\r\n";

/// The component. Fails, and says what to do, when it was not built.
pub(crate) fn zoo_path() -> PathBuf {
    let folder = std::env::var_os("BATON_PLUGIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"));
        target.join("wasm32-wasip2/plugin")
    });
    let path = folder.join("baton_plugin_zoo.wasm");
    assert!(
        path.exists(),
        "{} is missing; build it: cargo build --profile plugin --target wasm32-wasip2 -p baton-plugin-zoo",
        path.display()
    );
    path
}

/// One process has one engine; each test is a process of its own, or shares nothing but the engine's address space.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) capabilities: Capabilities,
}

impl Host {
    pub(crate) fn new() -> Host {
        Host::with(&EngineSettings { concurrent_calls_max: 16, ..EngineSettings::default() })
    }

    pub(crate) fn with(settings: &EngineSettings) -> Host {
        let world = World::default();
        world.dns.put("1.2.0.192.list.example", 1, vec!["127.0.0.2".to_owned()]);
        world.dns.put("1.2.0.192.in-addr.arpa", 12, vec!["host-192.0.2.1.example".to_owned()]);
        world.dns.put("host-192.0.2.1.example", 1, vec!["192.0.2.1".to_owned()]);
        let capabilities = Capabilities {
            http: Arc::new(ScriptedHttp),
            verify: Arc::new(ScriptedNextHop),
            clock: Arc::new(SystemClock),
            ..world.capabilities()
        };
        Host { engine: Engine::new(settings).unwrap(), capabilities }
    }

    /// A host whose time stands still, so that everything falls into one second.
    pub(crate) fn standing_still() -> Host {
        let mut host = Host::new();
        host.capabilities.clock = Arc::new(ManualClock::new(UnixMs(1_000_000)));
        host
    }

    pub(crate) async fn load(&self, plugins: &[PluginSettings]) -> Generation {
        match Generation::load(&self.engine, 1, plugins, &HashMap::new(), &self.capabilities).await {
            Ok(generation) => generation,
            Err(errors) => {
                panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            }
        }
    }

    pub(crate) async fn errors(
        &self,
        plugins: &[PluginSettings],
        order: &HashMap<Hook, Vec<String>>,
    ) -> Vec<String> {
        match Generation::load(&self.engine, 1, plugins, order, &self.capabilities).await {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    /// The value of one line of the metrics; 0 when there is no such line.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.capabilities.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let found = text.lines().find_map(|have| have.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or(0.0)
    }
}

/// Limits that are far enough for a loaded machine, and close enough for a quick test.
pub(crate) fn limits() -> Limits {
    Limits {
        cpu_ms: 100,
        wall_ms: 20_000,
        memory_octets: 16 << 20,
        host_calls_max: 20_000,
        ..Limits::default()
    }
}

/// The zoo under the name `zoo`, which may do everything.
pub(crate) fn zoo(config: serde_json::Value) -> PluginSettings {
    PluginSettings {
        limits: limits(),
        grants: Grants {
            edit: vec![EditGrant::Headers, EditGrant::Body, EditGrant::Recipients, EditGrant::Sender],
            relay: true,
            route: vec!["*".to_owned()],
            kv: vec!["zoo".to_owned()],
            dns: true,
            http: vec!["http://api.example/v1/".to_owned()],
            verify: true,
            secrets: Vec::new(),
        },
        config,
        ..PluginSettings::new("zoo", zoo_path())
    }
}

/// A config with that behaviour at every hook.
pub(crate) fn everywhere(behaviour: &str) -> serde_json::Value {
    Hook::ALL
        .into_iter()
        .map(|hook| (hook.as_str().to_owned(), behaviour.into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(crate) fn mailbox(text: &str) -> Mailbox {
    text.parse().unwrap()
}

/// A call as it stands at that hook: one recipient, one message, one failure, where the hook has them.
pub(crate) fn call_at(hook: Hook) -> Call {
    let session = SessionFacts::new(SessionId(7), "relay".to_owned(), "192.0.2.1".parse().unwrap(), 4_000);
    let mut call = Call::new(
        Arc::new(SessionFacts { helo: Some("client.example".to_owned()), ..session }),
        SessionNotes::default(),
    );
    if matches!(hook, Hook::Connect | Hook::Auth) {
        return call;
    }
    let sender = ReversePath::Mailbox(mailbox("from@them.example"));
    let id = MessageId::first_at(UnixMs(1_000));
    call.envelope = Envelope::new(id, UnixMs(1_000), Duration::from_secs(3_600), sender, Origin::internal());
    call.envelope.recipients.push(mailbox("ann@us.example").into());
    call.recipient_parameters.push(vec![("NOTIFY".to_owned(), Some("NEVER".to_owned()))]);
    if hook == Hook::Rcpt {
        return call;
    }
    call.content = Some(MessageContent::new(Content::split(MESSAGE.into())));
    if matches!(hook, Hook::Route | Hook::Bounce) {
        call.attempt = Some(AttemptFacts { attempt: 2, age_ms: 5_000, last: None });
    }
    if hook == Hook::Bounce {
        call.failure = Some(FailureFacts {
            permanent: true,
            phase: Phase::Rcpt,
            class: FailureClass::Unknown,
            remote_host: Some("mx.example".to_owned()),
            reply: None,
        });
    }
    call
}

/// Asks at one hook, and renders the answer.
pub(crate) async fn ask(generation: &Generation, hook: Hook, call: &mut Call) -> String {
    let rcpt = mailbox("ann@us.example");
    match hook {
        Hook::Connect => format!("{:?}", generation.connect(call).await.answer),
        Hook::Auth => {
            let credential = Credential::Password("secret".to_owned());
            format!("{:?}", generation.auth(call, "PLAIN", "ann", credential).await.answer)
        }
        Hook::Rcpt => format!("{:?}", generation.rcpt(call, &rcpt, &[]).await.answer),
        Hook::Data => format!("{:?}", generation.data(call).await.answer),
        Hook::Route => format!("{:?}", generation.route(call, &rcpt).await.answer),
        Hook::Bounce => format!("{:?}", generation.bounce(call, &rcpt).await.answer),
        Hook::Events => panic!("observers are not asked"),
    }
}

/// Everything of a call that a plugin could change.
pub(crate) fn image(call: &Call) -> String {
    let content = call.content.as_ref().map(MessageContent::content);
    format!(
        "{:?} {:?} {:?} {content:?} {:?} {:?} {} {:?} {:?}",
        call.envelope,
        call.sender_parameters,
        call.recipient_parameters,
        call.routes,
        call.class,
        call.relay_granted,
        call.quarantine,
        call.notes
    )
}

/// Answers with what it was asked: method, URL, fields, octets. The path `/v1/slow` has no answer.
struct ScriptedHttp;

impl HttpBackend for ScriptedHttp {
    fn fetch<'a>(
        &'a self,
        plugin: &'a str,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpResponse, HttpError>> {
        async move {
            if request.url.target == "/v1/slow" {
                return std::future::pending().await;
            }
            let body = request.body.to_bytes();
            let text = format!("{plugin} {} {} {:?}\n", request.method, request.url, request.headers);
            if text.len() + body.len() > request.response_octets_max {
                return Err(HttpError::TooLarge);
            }
            let headers = vec![("x-named".to_owned(), request.host_is_granted.to_string())];
            Ok(HttpResponse { status: 200, headers, body: [text.as_bytes(), &body].concat().into() })
        }
        .boxed()
    }
}

/// Knows Ann, and nobody else.
struct ScriptedNextHop;

impl VerifyBackend for ScriptedNextHop {
    fn recipient<'a>(&'a self, rcpt: &'a Mailbox) -> BoxFuture<'a, Result<VerifyAnswer, VerifyError>> {
        let reply = match rcpt.local() {
            "ann" => Reply::new(250, EnhancedCode(2, 1, 5), "ok"),
            _ => Reply::new(550, EnhancedCode(5, 1, 1), "no such user"),
        };
        async move { Ok(VerifyAnswer { host: "mx.example".to_owned(), reply }) }.boxed()
    }
}
