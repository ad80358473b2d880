//! All plugins of one version of the settings, and the chains that ask them.

use std::sync::Arc;

use baton_mail::Mailbox;

use crate::answer::Answer;
use crate::ask::{self, Ask, AskAuth, AskBounce, AskConnect, AskData, AskRcpt, AskRoute, Credential};
use crate::bindings::exports::baton::relay::auth_hook;
use crate::breaker::BreakerState;
use crate::call::Parameter;
use crate::chain;
use crate::engine::Engine;
use crate::next::Next;
use crate::plugin::Plugin;
use crate::{
    Advice, AuthAnswer, BounceAnswer, Call, ConnectAnswer, DataAnswer, Grants, Hook, Instances, Mode,
    NextMode, NextSettings, OnFailure, RcptAnswer, RouteAnswer, Switch, Thresholds, Verdict,
};

/// The plugins of one load and their order. Immutable; a reload makes the next one beside it.
pub struct Generation {
    pub(crate) number: u64,
    /// None only in the empty generation.
    pub(crate) engine: Option<Engine>,
    pub(crate) plugins: Vec<Arc<Plugin>>,
    pub(crate) chains: [Vec<Arc<Plugin>>; 6],
    pub(crate) thresholds: Thresholds,
    pub(crate) troubles: Vec<String>,
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
    /// The version that its manifest names.
    pub version: Option<String>,
    /// The name of the trusted key that signed it.
    pub signer: Option<String>,
    /// What it may do: granted, and asked for.
    pub grants: Grants,
    /// What it asks for.
    pub asked: Grants,
    /// What happens when it fails.
    pub on_failure: OnFailure,
    /// Whether its answers count.
    pub mode: Mode,
    /// Whether they do by the settings.
    pub set_mode: Mode,
    /// What an operator switched.
    pub switch: Option<Switch>,
    /// How long its instances live.
    pub instances: Instances,
    /// Instances that rest now.
    pub resting: usize,
    /// How its breaker stands.
    pub breaker: BreakerState,
    /// How often the breaker opened since the load.
    pub breaker_openings: u64,
    /// The new version beside it.
    pub next: Option<NextInfo>,
    /// The same, by the settings.
    pub set_next: Option<NextInfo>,
    /// What an operator should know about it.
    pub advice: Vec<Advice>,
}

/// A new version beside a plugin, for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct NextInfo {
    /// The first eight digits of its file's SHA-256.
    pub digest: String,
    /// What it is for.
    pub mode: NextMode,
    /// The share of sessions that a canary serves, in percent.
    pub percent: u8,
    /// The tenant that a canary serves.
    pub tenant: Option<String>,
}

impl Generation {
    /// No plugins: every answer is `Next`.
    pub fn empty() -> Generation {
        Generation {
            number: 0,
            engine: None,
            plugins: Vec::new(),
            chains: Default::default(),
            thresholds: Thresholds::default(),
            troubles: Vec::new(),
        }
    }

    /// The number of the load.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// True when some plugin is asked at that hook. When false, a call may be left out altogether.
    pub fn has(&self, hook: Hook) -> bool {
        !self.chain(hook).is_empty()
    }

    /// Waits until every script runs from its snapshot, or can not. Calls do not need to wait: until then they take
    /// longer.
    pub async fn settled(&self) {
        for plugin in &self.plugins {
            if let Some(faster) = &plugin.faster {
                faster.wait().await;
            }
        }
    }

    /// Why plugins serve in their last version, or not at all, although their files changed.
    pub fn troubles(&self) -> &[String] {
        &self.troubles
    }

    /// The names of the plugins of every chain, in the order in which they are asked.
    pub fn order(&self) -> Vec<(Hook, Vec<String>)> {
        let names = |hook| self.chain(hook).iter().map(|plugin| plugin.terms.name.clone()).collect();
        Hook::ALL.into_iter().map(|hook| (hook, names(hook))).collect()
    }

    /// What is loaded, in the order of the settings.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.plugins.iter().map(|plugin| PluginInfo::of(plugin)).collect()
    }

    /// The same plugins, with these thresholds after the data chain.
    pub fn with_thresholds(mut self, thresholds: Thresholds) -> Generation {
        self.thresholds = thresholds;
        self
    }

    /// Another generation serves from now on: drops the instances that rest. Sessions that still hold on to this one
    /// get fresh instances.
    /// What the other one carried over stays as it is.
    pub fn retire(&self, successor: &Generation) {
        let is_carried =
            |plugin: &&Arc<Plugin>| successor.plugins.iter().any(|kept| Arc::ptr_eq(kept, plugin));
        for plugin in self.plugins.iter().filter(|plugin| !is_carried(plugin)) {
            plugin.running.shelf.retire();
            if let Some(next) = &plugin.next {
                next.plugin.running.shelf.retire();
            }
        }
    }

    /// True when some plugin is asked or, of events, told.
    pub(crate) fn serves(&self, hook: Hook) -> bool {
        self.plugins.iter().any(|plugin| plugin.hooks.contains(&hook))
    }

    /// The plugins that observe.
    pub(crate) fn observers(&self) -> Vec<(Engine, Arc<Plugin>)> {
        let observes = |plugin: &&Arc<Plugin>| plugin.hooks.contains(&Hook::Events);
        let Some(engine) = &self.engine else { return Vec::new() };
        self.plugins.iter().filter(observes).map(|plugin| (engine.clone(), Arc::clone(plugin))).collect()
    }

    /// A client connected.
    pub async fn connect(&self, call: &mut Call) -> Verdict<ConnectAnswer> {
        Box::pin(self.drive_chain(call, None, |_| AskConnect, |_, _, _| ())).await
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
        let question = |_: &Call| AskAuth { mechanism, user, credential: credential.clone() };
        Box::pin(self.drive_chain(call, None, question, |_, _, _| ())).await
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
        let question = |call: &Call| AskRcpt {
            recipient: ask::address(
                call.envelope.recipients.last().map_or(rcpt, |recipient| &recipient.address),
            ),
            parameters: ask::parameters(parameters),
        };
        let grant = |plugin: &Plugin, call: &mut Call, answer: &RcptAnswer| {
            call.relay_granted |= plugin.terms.grants.relay && *answer == RcptAnswer::Accept;
        };
        Box::pin(self.drive_chain(call, Some(rcpt), question, grant)).await
    }

    /// The whole message is here: [`Call::content`] holds it.
    pub async fn data(&self, call: &mut Call) -> Verdict<DataAnswer> {
        let mut verdict = Box::pin(self.drive_chain(call, None, |_| AskData, |_, _, _| ())).await;
        self.thresholds.judge(call, &mut verdict);
        verdict
    }

    /// A copy for this recipient is due. What plugins set is in [`Call::routes`].
    pub async fn route(&self, call: &mut Call, rcpt: &Mailbox) -> Verdict<RouteAnswer> {
        let question = |_: &Call| AskRoute { recipient: ask::address(rcpt) };
        Box::pin(self.drive_chain(call, Some(rcpt), question, |_, _, _| ())).await
    }

    /// An attempt for this recipient failed: [`Call::failure`] says how. A class that plugins set is in [`Call::class`].
    pub async fn bounce(&self, call: &mut Call, rcpt: &Mailbox) -> Verdict<BounceAnswer> {
        let question = |_: &Call| AskBounce { recipient: ask::address(rcpt) };
        Box::pin(self.drive_chain(call, Some(rcpt), question, |_, _, _| ())).await
    }

    fn chain(&self, hook: Hook) -> &[Arc<Plugin>] {
        self.chains.get(hook.index()).map_or(&[], Vec::as_slice)
    }

    /// Asks one plugin after the other until one has an answer.
    async fn drive_chain<Q: Ask>(
        &self,
        call: &mut Call,
        rcpt: Option<&Mailbox>,
        question: impl Fn(&Call) -> Q,
        answered: impl Fn(&Plugin, &mut Call, &Q::Answer),
    ) -> Verdict<Q::Answer> {
        match &self.engine {
            Some(engine) => chain::drive(engine, self.chain(Q::HOOK), call, rcpt, question, answered).await,
            None => Verdict { answer: Answer::NEXT, by: None, decisions: Vec::new() },
        }
    }
}

impl PluginInfo {
    fn of(plugin: &Plugin) -> PluginInfo {
        let (breaker, breaker_openings) = plugin.running.breaker.state();
        PluginInfo {
            name: plugin.terms.name.clone(),
            digest: plugin.short_digest(),
            hooks: plugin.hooks.clone(),
            version: plugin.manifest.as_ref().map(|manifest| manifest.version.clone()),
            signer: plugin.signer.clone(),
            asked: plugin.asked.clone(),
            advice: plugin.advice.clone(),
            grants: plugin.terms.grants.clone(),
            on_failure: plugin.on_failure,
            mode: plugin.running.mode,
            set_mode: plugin.settings.run.mode,
            switch: plugin.settings.switch.clone(),
            instances: plugin.running.shelf.instances(),
            resting: plugin.running.shelf.len(),
            breaker,
            breaker_openings,
            next: plugin.next.as_ref().map(|next| NextInfo::of(next, &next.settings)),
            set_next: plugin
                .next
                .as_ref()
                .zip(plugin.settings.run.next.as_ref())
                .map(|(next, set)| NextInfo::of(next, set)),
        }
    }
}

impl NextInfo {
    fn of(next: &Next, settings: &NextSettings) -> NextInfo {
        NextInfo {
            digest: next.plugin.short_digest(),
            mode: settings.mode,
            percent: settings.percent,
            tenant: settings.tenant.clone(),
        }
    }
}
