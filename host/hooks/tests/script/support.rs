//! Scripts in files of their own, in a world in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use baton_hooks::worlds::World;
use baton_hooks::{
    AttemptFacts, Call, Credential, EditGrant, Engine, EngineSettings, FailureFacts, Generation, Grants,
    Hook, HttpBackend, HttpError, HttpRequest, HttpResponse, Limits, MessageContent, PluginSettings,
    SessionFacts, SessionNotes, VerifyAnswer, VerifyBackend, VerifyError,
};
use baton_mail::body::Content;
use baton_mail::{
    EnhancedCode, Envelope, FailureClass, Mailbox, MessageId, Origin, Phase, Reply, ReversePath, SessionId,
    UnixMs,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) world: World,
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let settings = EngineSettings { concurrent_calls_max: 8, ..EngineSettings::default() };
        let world = World::new(World::BEGIN);
        Stage { engine: Engine::new(&settings).unwrap(), world, folder: tempfile::tempdir().unwrap() }
    }

    /// A script in a file of that name, which may do everything.
    pub(crate) fn script(&self, file: &str, text: &str) -> PluginSettings {
        let source = self.folder.path().join(file);
        std::fs::write(&source, text).unwrap();
        PluginSettings {
            limits: Limits {
                cpu_ms: 500,
                wall_ms: 20_000,
                memory_octets: 16 << 20,
                host_calls_max: 20_000,
                ..Limits::default()
            },
            grants: Grants {
                edit: vec![EditGrant::Headers, EditGrant::Body, EditGrant::Recipients, EditGrant::Sender],
                relay: true,
                route: vec!["*".to_owned()],
                kv: vec!["rate".to_owned()],
                dns: true,
                http: vec!["http://api.example/v1/".to_owned()],
                verify: true,
                secrets: Vec::new(),
            },
            config: serde_json::json!({ "name": "value", "nested": { "list": [1, 2] } }),
            ..PluginSettings::new("policy", source)
        }
    }

    pub(crate) async fn try_load(&self, settings: PluginSettings) -> Result<Generation, String> {
        let mut capabilities = self.world.capabilities();
        (capabilities.http, capabilities.verify) = (Arc::new(EchoingHttp), Arc::new(KnowingAnn));
        let loaded = Generation::load(&self.engine, 1, &[settings], &HashMap::new(), &capabilities).await;
        loaded.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    pub(crate) async fn load(&self, text: &str) -> Generation {
        self.try_load(self.script("policy.js", text)).await.unwrap()
    }

    /// What a script that does not load is told, without the folder.
    pub(crate) async fn trouble(&self, file: &str, text: &str) -> String {
        let error = self.try_load(self.script(file, text)).await.err().expect("it does not load");
        error.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// What the script decides at that hook.
    pub(crate) async fn decide(&self, hook: Hook, text: &str) -> String {
        ask(&self.load(text).await, hook, &mut call_at(hook)).await.0
    }
}

pub(crate) fn mailbox(text: &str) -> Mailbox {
    text.parse().unwrap()
}

pub(crate) const MESSAGE: &str = "Received: from a\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nTo: Ann <ann@us.example>\r\n\
    X-Old: 1\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/html\r\n\r\n<p>a <a href=\"http://x.example/y\">needle</a></p>\r\n\
    --b\r\nContent-Type: application/octet-stream; name=\"a.exe\"\r\nContent-Disposition: attachment\r\n\
    Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n";

/// A call as it stands at that hook: one recipient, one message, one failure, where the hook has them.
pub(crate) fn call_at(hook: Hook) -> Call {
    let session = SessionFacts::new(SessionId(7), "relay".to_owned(), "192.0.2.1".parse().unwrap(), 4_000);
    let session = SessionFacts { helo: Some("client.example".to_owned()), ..session };
    let mut call = Call::new(Arc::new(session), SessionNotes::default());
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
            reply: Some(Reply::new(550, EnhancedCode(5, 1, 1), "no such user")),
        });
    }
    call
}

/// Asks at one hook. Answers the decision as the log has it ("next" when there is nothing to log), and the edits.
pub(crate) async fn ask(generation: &Generation, hook: Hook, call: &mut Call) -> (String, Vec<String>) {
    let rcpt = mailbox("ann@us.example");
    let parameters = [("NOTIFY".to_owned(), Some("NEVER".to_owned()))];
    let mut decisions = match hook {
        Hook::Connect => generation.connect(call).await.decisions,
        Hook::Auth => {
            let credential = Credential::Password("secret".to_owned());
            generation.auth(call, "PLAIN", "ann", credential).await.decisions
        }
        Hook::Rcpt => generation.rcpt(call, &rcpt, &parameters).await.decisions,
        Hook::Data => generation.data(call).await.decisions,
        Hook::Route => generation.route(call, &rcpt).await.decisions,
        Hook::Bounce => generation.bounce(call, &rcpt).await.decisions,
        Hook::Events => panic!("observers are not asked"),
    };
    match decisions.pop() {
        Some(decision) => (decision.answer, decision.edits),
        None => ("next".to_owned(), Vec::new()),
    }
}

/// Answers with what it was asked.
struct EchoingHttp;

impl HttpBackend for EchoingHttp {
    fn fetch<'a>(
        &'a self,
        plugin: &'a str,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpResponse, HttpError>> {
        async move {
            let octets = request.body.to_bytes().len();
            let body =
                format!("{{\"plugin\":\"{plugin}\",\"method\":\"{}\",\"octets\":{octets}}}", request.method);
            let headers = vec![("x-name".to_owned(), "value".to_owned())];
            Ok(HttpResponse { status: 200, headers, body: body.into() })
        }
        .boxed()
    }
}

/// Knows Ann, and nobody else.
struct KnowingAnn;

impl VerifyBackend for KnowingAnn {
    fn recipient<'a>(&'a self, rcpt: &'a Mailbox) -> BoxFuture<'a, Result<VerifyAnswer, VerifyError>> {
        let reply = match rcpt.local() {
            "ann" => Reply::new(250, EnhancedCode(2, 1, 5), "ok"),
            _ => Reply::new(550, EnhancedCode(5, 1, 1), "no such user"),
        };
        async move { Ok(VerifyAnswer { host: "mx.example".to_owned(), reply }) }.boxed()
    }
}
