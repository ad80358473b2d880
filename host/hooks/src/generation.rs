//! All plugins of one version of the settings, and the chains that ask them.

use std::sync::Arc;

use baton_mail::Mailbox;
use baton_mail::event::Decision;

use crate::answer::Answer;
use crate::ask::{self, Ask, AskAuth, AskBounce, AskConnect, AskData, AskRcpt, AskRoute, Credential};
use crate::bindings::exports::baton::relay::auth_hook;
use crate::call::Parameter;
use crate::engine::Engine;
use crate::plugin::Plugin;
use crate::policy::{Failure, Fallback, fallback};
use crate::run::{Outcome, run};
use crate::{
    AuthAnswer, BounceAnswer, Call, ConnectAnswer, DataAnswer, Grants, Hook, OnFailure, RcptAnswer,
    RouteAnswer, Verdict,
};

/// The plugins of one load and their order. Immutable; a reload makes the next one beside it.
pub struct Generation {
    pub(crate) number: u64,
    /// None only in the empty generation.
    pub(crate) engine: Option<Engine>,
    pub(crate) plugins: Vec<Arc<Plugin>>,
    pub(crate) chains: [Vec<Arc<Plugin>>; 6],
}

/// What is loaded, for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// The first eight digits of its file's SHA-256.
    pub digest: String,
    /// The hooks it is asked at.
    pub hooks: Vec<Hook>,
    /// What it may do.
    pub grants: Grants,
    /// What happens when it fails.
    pub on_failure: OnFailure,
}

impl Generation {
    /// No plugins: every answer is `Next`.
    pub fn empty() -> Generation {
        Generation { number: 0, engine: None, plugins: Vec::new(), chains: Default::default() }
    }

    /// The number of the load.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// True when some plugin is asked at that hook. When false, a call may be left out altogether.
    pub fn has(&self, hook: Hook) -> bool {
        !self.chain(hook).is_empty()
    }

    /// The names of the plugins of every chain, in the order in which they are asked.
    pub fn order(&self) -> Vec<(Hook, Vec<String>)> {
        let names = |hook| self.chain(hook).iter().map(|plugin| plugin.terms.name.clone()).collect();
        Hook::ALL.into_iter().map(|hook| (hook, names(hook))).collect()
    }

    /// What is loaded, in the order of the settings.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        let info = |plugin: &Arc<Plugin>| PluginInfo {
            name: plugin.terms.name.clone(),
            digest: plugin.digest.clone(),
            hooks: plugin.hooks.clone(),
            grants: plugin.terms.grants.clone(),
            on_failure: plugin.on_failure,
        };
        self.plugins.iter().map(info).collect()
    }

    /// A client connected.
    pub async fn connect(&self, call: &mut Call) -> Verdict<ConnectAnswer> {
        Box::pin(self.drive_chain(call, |_, _| AskConnect, |_, _, _| ())).await
    }

    /// A client wants to authenticate.
    pub async fn auth(
        &self,
        call: &mut Call,
        mechanism: &str,
        user: &str,
        credential: Credential,
    ) -> Verdict<AuthAnswer> {
        let credential = match credential {
            Credential::Password(password) => auth_hook::Credential::Password(password),
            Credential::Token(token) => auth_hook::Credential::Token(token),
        };
        let question = |_: &Plugin, _: &Call| AskAuth { mechanism, user, credential: credential.clone() };
        Box::pin(self.drive_chain(call, question, |_, _, _| ())).await
    }

    /// A recipient was named. The caller has put it at the end of the envelope's recipients (and its parameters into
    /// [`Call::recipient_parameters`]), and cuts both back to the earlier length when the recipient is refused or
    /// discarded. When an earlier plugin redirected it, later plugins are asked about the recipient that is last now.
    pub async fn rcpt(
        &self,
        call: &mut Call,
        rcpt: &Mailbox,
        parameters: &[Parameter],
    ) -> Verdict<RcptAnswer> {
        call.relay_granted = false;
        let question = |_: &Plugin, call: &Call| AskRcpt {
            recipient: ask::address(
                call.envelope.recipients.last().map_or(rcpt, |recipient| &recipient.address),
            ),
            parameters: ask::parameters(parameters),
        };
        let grant = |plugin: &Plugin, call: &mut Call, answer: &RcptAnswer| {
            call.relay_granted |= plugin.terms.grants.relay && *answer == RcptAnswer::Accept;
        };
        Box::pin(self.drive_chain(call, question, grant)).await
    }

    /// The whole message is here: [`Call::content`] holds it.
    pub async fn data(&self, call: &mut Call) -> Verdict<DataAnswer> {
        Box::pin(self.drive_chain(call, |_, _| AskData, |_, _, _| ())).await
    }

    /// A copy for this recipient is due. What plugins set is in [`Call::routes`].
    pub async fn route(&self, call: &mut Call, rcpt: &Mailbox) -> Verdict<RouteAnswer> {
        let question = |_: &Plugin, _: &Call| AskRoute { recipient: ask::address(rcpt) };
        Box::pin(self.drive_chain(call, question, |_, _, _| ())).await
    }

    /// An attempt for this recipient failed: [`Call::failure`] says how. A class that plugins set is in [`Call::class`].
    pub async fn bounce(&self, call: &mut Call, rcpt: &Mailbox) -> Verdict<BounceAnswer> {
        let question = |_: &Plugin, _: &Call| AskBounce { recipient: ask::address(rcpt) };
        Box::pin(self.drive_chain(call, question, |_, _, _| ())).await
    }

    fn chain(&self, hook: Hook) -> &[Arc<Plugin>] {
        self.chains.get(hook.index()).map_or(&[], Vec::as_slice)
    }

    /// Asks one plugin after the other until one has an answer.
    async fn drive_chain<Q: Ask>(
        &self,
        call: &mut Call,
        question: impl Fn(&Plugin, &Call) -> Q,
        answered: impl Fn(&Plugin, &mut Call, &Q::Answer),
    ) -> Verdict<Q::Answer> {
        let mut decisions = Vec::new();
        let Some(engine) = &self.engine else { return Verdict { answer: Answer::NEXT, by: None, decisions } };
        for plugin in self.chain(Q::HOOK) {
            let question = question(plugin, call);
            let outcome = run(engine, plugin, &question, call).await;
            let failed = outcome.result.is_err();
            let (answer, decision) = decide::<Q>(plugin, call, outcome);
            if failed || !answer.is_next() || !decision.edits.is_empty() {
                decisions.push(decision);
            }
            answered(plugin, call, &answer);
            if !answer.is_next() {
                return Verdict { answer, by: Some(plugin.terms.name.clone()), decisions };
            }
        }
        Verdict { answer: Answer::NEXT, by: None, decisions }
    }
}

/// The answer of a plugin, or what the operator wants in its place, with the record of it.
fn decide<Q: Ask>(plugin: &Plugin, call: &mut Call, outcome: Outcome<Q::Answer>) -> (Q::Answer, Decision) {
    let (answer, words) = match outcome.result {
        Ok(answer) if answer.is_next() && outcome.edits.is_empty() => (answer, String::new()),
        Ok(answer) => {
            let words = answer.words();
            (answer, words)
        }
        Err(failure) => {
            report(plugin, Q::HOOK, call, &failure);
            let fallback = fallback(Q::HOOK, plugin.on_failure);
            if fallback == Fallback::Quarantine {
                call.quarantine
                    .get_or_insert_with(|| format!("plugin {} failed ({})", plugin.terms.name, failure.kind));
            }
            let answer = Q::Answer::from_fallback(fallback);
            let words = format!(
                "failed ({}), by on-failure={}: {}",
                failure.kind,
                plugin.on_failure.as_str(),
                answer.words()
            );
            (answer, words)
        }
    };
    let decision = Decision {
        plugin: plugin.terms.label.clone(),
        hook: Q::HOOK.as_str().to_owned(),
        answer: words,
        edits: outcome.edits,
        micros: outcome.micros,
    };
    (answer, decision)
}

/// Tells the operator, as far as the plugin's share of the log goes; the counters tell of every failure.
fn report(plugin: &Plugin, hook: Hook, call: &Call, failure: &Failure) {
    let terms = &plugin.terms;
    let Some(dropped) = terms.log_gate.admit(terms.capabilities.clock.now(), terms.limits.log_lines_per_s)
    else {
        terms.meters.count_dropped_line();
        return;
    };
    tracing::warn!(
        target: "hooks",
        plugin = %terms.label,
        hook = hook.as_str(),
        kind = failure.kind.as_str(),
        blame = ?failure.kind.blame(),
        policy = plugin.on_failure.as_str(),
        session = %call.session.id,
        message = %call.envelope.id,
        dropped,
        detail = %failure.detail,
        "a plugin failed"
    );
}
