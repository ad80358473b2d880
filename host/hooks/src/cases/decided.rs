//! The question of a case, and the answer in the words of case files.

use baton_mail::Reply;

use super::scene::Scene;
use crate::answer::Answer;
use crate::ask::AskEvents;
use crate::policy::Failure;
use crate::run::run;
use crate::{
    AuthAnswer, BounceAnswer, Call, ConnectAnswer, DataAnswer, Generation, Hook, RcptAnswer, RouteAnswer,
    Verdict,
};

/// What a plugin decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Decided {
    pub(super) word: &'static str,
    pub(super) reply: Option<Reply>,
    pub(super) reason: Option<String>,
    pub(super) retry_ms: Option<u64>,
    pub(super) account: Option<String>,
    /// As the decision log has it.
    pub(super) words: String,
    /// The changes that were applied, in short form.
    pub(super) edits: Vec<String>,
}

/// Asks the one plugin of a generation.
pub(super) async fn ask(generation: &Generation, hook: Hook, scene: &Scene, call: &mut Call) -> Decided {
    match hook {
        Hook::Connect => generation.connect(call).await.into(),
        Hook::Auth => {
            let auth = &scene.auth;
            generation.auth(call, &auth.mechanism, &auth.user, auth.credential.clone()).await.into()
        }
        Hook::Rcpt => generation.rcpt(call, &scene.rcpt, scene.rcpt_parameters()).await.into(),
        Hook::Data => generation.data(call).await.into(),
        Hook::Route => generation.route(call, &scene.rcpt).await.into(),
        Hook::Bounce => generation.bounce(call, &scene.rcpt).await.into(),
        Hook::Events => observe(generation, scene, call).await,
    }
}

/// Tells the events of a scene. There is nothing to decide; that it was taken is `next`.
async fn observe(generation: &Generation, scene: &Scene, call: &mut Call) -> Decided {
    let mut decided = word("next");
    for (engine, plugin) in generation.observers() {
        let now = plugin.terms.capabilities.clock.now();
        let outcome = run(&engine, &plugin, &AskEvents { events: &scene.events(now) }, call).await;
        let told = |failure: Failure| format!("failed ({})", failure.kind);
        decided.words = outcome.result.map_or_else(told, |_| "taken".to_owned());
    }
    decided
}

/// An answer taken apart.
trait Parts: Answer {
    fn parts(self) -> Decided;
}

impl<A: Parts> From<Verdict<A>> for Decided {
    fn from(verdict: Verdict<A>) -> Decided {
        let words = verdict.answer.words();
        let edits = verdict.decisions.into_iter().flat_map(|decision| decision.edits).collect();
        Decided { words, edits, ..verdict.answer.parts() }
    }
}

fn word(word: &'static str) -> Decided {
    Decided { word, ..Decided::default() }
}

fn replied(word: &'static str, reply: Reply) -> Decided {
    Decided { word, reply: Some(reply), ..Decided::default() }
}

fn because(word: &'static str, reason: String) -> Decided {
    Decided { word, reason: Some(reason), ..Decided::default() }
}

impl Parts for ConnectAnswer {
    fn parts(self) -> Decided {
        match self {
            ConnectAnswer::Next => word("next"),
            ConnectAnswer::Accept => word("accept"),
            ConnectAnswer::Reject(reply) => replied("reject", reply),
            ConnectAnswer::Tempfail(reply) => replied("tempfail", reply),
        }
    }
}

impl Parts for AuthAnswer {
    fn parts(self) -> Decided {
        match self {
            AuthAnswer::Next => word("next"),
            AuthAnswer::Allow(account) => Decided { account: Some(account), ..word("allow") },
            AuthAnswer::Deny(reply) => replied("deny", reply),
            AuthAnswer::Tempfail(reply) => replied("tempfail", reply),
            AuthAnswer::Disconnect(reply) => replied("disconnect", reply),
        }
    }
}

impl Parts for RcptAnswer {
    fn parts(self) -> Decided {
        match self {
            RcptAnswer::Next => word("next"),
            RcptAnswer::Accept => word("accept"),
            RcptAnswer::Reject(reply) => replied("reject", reply),
            RcptAnswer::Tempfail(reply) => replied("tempfail", reply),
            RcptAnswer::Discard => word("discard"),
            RcptAnswer::Disconnect(reply) => replied("disconnect", reply),
        }
    }
}

impl Parts for DataAnswer {
    fn parts(self) -> Decided {
        match self {
            DataAnswer::Next => word("next"),
            DataAnswer::Accept => word("accept"),
            DataAnswer::Reject(reply) => replied("reject", reply),
            DataAnswer::Tempfail(reply) => replied("tempfail", reply),
            DataAnswer::Discard(reason) => because("discard", reason),
            DataAnswer::Quarantine(reason) => because("quarantine", reason),
            DataAnswer::Disconnect(reply) => replied("disconnect", reply),
        }
    }
}

impl Parts for RouteAnswer {
    fn parts(self) -> Decided {
        match self {
            RouteAnswer::Next => word("next"),
            RouteAnswer::Routed => word("routed"),
            RouteAnswer::Hold(reason) => because("hold", reason),
            RouteAnswer::Fail(reply) => replied("fail", reply),
            RouteAnswer::Retry { after_ms, reason } => {
                Decided { retry_ms: Some(after_ms), ..because("retry", reason) }
            }
        }
    }
}

impl Parts for BounceAnswer {
    fn parts(self) -> Decided {
        match self {
            BounceAnswer::Next => word("next"),
            BounceAnswer::Notify => word("notify"),
            BounceAnswer::Silent => word("silent"),
            BounceAnswer::Retry(after_ms) => Decided { retry_ms: Some(after_ms), ..word("retry") },
            BounceAnswer::Reroute => word("reroute"),
            BounceAnswer::Fail => word("fail"),
        }
    }
}
