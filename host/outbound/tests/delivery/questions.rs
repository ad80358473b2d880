//! Questions about recipients: routed as a delivery, and nothing but a question.

use std::sync::Arc;

use arc_swap::ArcSwap;
use baton_dns::{DnsSettings, Resolver};
use baton_mail::SystemClock;
use baton_outbound::metrics::{Metrics, Question};
use baton_outbound::{NextHop, OutboundSettings, Verifier};
use baton_store::{Store, StoreSettings};

use crate::peer::{Line, Peer, Say, Silence, Step, hello, hello_pipelining, script};
use crate::relay::{host, policies, routes, settings};

struct Asker {
    verifier: Verifier,
    metrics: Arc<Metrics>,
    _folder: tempfile::TempDir,
}

impl Asker {
    fn new(settings: OutboundSettings) -> Asker {
        let dns = DnsSettings {
            servers: vec!["127.0.0.1:9".parse().unwrap()],
            timeout_ms: 200,
            ..Default::default()
        };
        let metrics = Arc::new(Metrics::default());
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let folder = tempfile::tempdir().unwrap();
        let store = StoreSettings::new(folder.path().join("store"));
        let store = Store::open(store, Arc::new(SystemClock), Arc::default()).unwrap();
        let resolver = Resolver::new(&dns).unwrap();
        let policies = policies(&store, &resolver);
        let verifier = Verifier::new(
            settings,
            resolver,
            policies,
            metrics.clone(),
            baton_mail::trace::Hub::new(Arc::new(baton_mail::SystemClock)),
        );
        Asker { verifier, metrics, _folder: folder }
    }

    /// Host, code and text of the answer, or why there is none.
    async fn ask(&self, recipient: &str) -> Result<String, String> {
        let answered = self.verifier.ask(&recipient.parse().unwrap()).await;
        answered
            .map(|answer| format!("{} {} {}", answer.host, answer.reply.code(), answer.reply.text()))
            .map_err(|error| error.to_string())
    }

    fn count(&self, answer: &'static str) -> u64 {
        self.metrics.questions.get_or_create(&Question { answer }).get()
    }
}

/// Answers one question so, without pipelining.
fn answers(reply: &'static str) -> Vec<Step> {
    script([
        hello(),
        vec![Line, Say("250 2.1.0 ok\r\n"), Line, Say(reply), Line, Say("250 2.0.0 reset\r\n"), Line],
    ])
}

#[tokio::test]
async fn final_answers_are_told_and_remembered() {
    let yes = answers("250 2.1.5 fine\r\n");
    let peer = Peer::start(vec![yes, answers("550 5.1.1 no such user\r\n")]).await;
    let asker = Asker::new(settings(host(peer.address)));
    for _ in 0..3 {
        assert_eq!(asker.ask("a@b.example").await, Ok("127.0.0.1 250 fine".to_owned()));
    }
    for _ in 0..2 {
        assert_eq!(asker.ask("gone@b.example").await, Ok("127.0.0.1 550 no such user".to_owned()));
    }
    assert_eq!(peer.heard(|heard| heard.connections), 2);
    assert_eq!(["yes", "no", "remembered"].map(|answer| asker.count(answer)), [1, 1, 3]);
    let dialogue = peer.heard(|heard| heard.lines.clone());
    let asked = ["EHLO relay.test", "MAIL FROM:<>", "RCPT TO:<a@b.example>", "RSET"];
    assert_eq!(dialogue[..4], asked);
    assert_eq!(peer.count("DATA") + peer.count("BDAT"), 0);
}

#[tokio::test]
async fn a_transient_answer_is_not_remembered() {
    let peer = Peer::start(vec![answers("450 4.7.1 greylisted\r\n")]).await;
    let asker = Asker::new(settings(host(peer.address)));
    for _ in 0..2 {
        assert_eq!(asker.ask("a@b.example").await, Ok("127.0.0.1 450 greylisted".to_owned()));
    }
    assert_eq!((asker.count("later"), asker.count("remembered")), (2, 0));
}

#[tokio::test]
async fn pipelined_questions_and_refused_senders_are_understood() {
    let pipelined = script([
        hello_pipelining(),
        vec![Line, Line, Say("250 2.1.0 ok\r\n550 5.1.1 nobody\r\n"), Line, Say("250 2.0.0 reset\r\n")],
    ]);
    let refusing = script([hello(), vec![Line, Say("553 5.7.1 no null sender here\r\n")]]);
    let peer = Peer::start(vec![pipelined, refusing]).await;
    let asker = Asker::new(settings(host(peer.address)));
    assert_eq!(asker.ask("a@b.example").await, Ok("127.0.0.1 550 nobody".to_owned()));
    assert_eq!(asker.ask("c@b.example").await, Ok("127.0.0.1 553 no null sender here".to_owned()));
}

#[tokio::test]
async fn who_can_not_be_asked_is_told_in_words() {
    let silent = Peer::start(vec![script([hello(), vec![Line, Silence]])]).await;
    let busy = Peer::start(vec![vec![Say("421 4.3.2 busy\r\n")]]).await;
    let mut settings = settings(host(silent.address));
    settings.routes = routes(
        host(silent.address),
        &[
            ("busy.example", host(busy.address)),
            ("folder.example", NextHop::File("/nowhere".into())),
            ("held.example", NextHop::Hold("by hand".to_owned())),
            ("mx.example", NextHop::Mx("mx.example".parse().unwrap())),
        ],
    );
    let asker = Asker::new(settings);
    for (recipient, words) in [
        ("a@b.example", "no answer in time: waiting for the answer to MAIL"),
        ("a@busy.example", "busy"),
        ("a@folder.example", "is not a host that can be asked"),
        ("a@held.example", "the next hop has no hosts"),
        ("a@mx.example", "4.4.3"),
    ] {
        let error = asker.ask(recipient).await.unwrap_err();
        assert!(error.contains(words), "{recipient}: {error}");
    }
    assert_eq!(asker.count("unanswered"), 5);
}
