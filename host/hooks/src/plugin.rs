//! A loaded plugin: its compiled component, and the terms on which it runs.

use std::sync::Arc;

use baton_mail::Origin;
use tokio::sync::SetOnce;
use wasmtime::component::{Instance, InstancePre};

use crate::bindings::exports::baton::relay as exports;
use crate::breaker::Breaker;
use crate::engine::{Digest, Engine};
use crate::guard::{GuardError, Guards};
use crate::host::Capabilities;
use crate::log_gate::LogGate;
use crate::manifest::Manifest;
use crate::metrics::{BreakerMeters, Meters};
use crate::next::Next;
use crate::record::Recorder;
use crate::secrets::Secrets;
use crate::shelf::Shelf;
use crate::state::State;
use crate::{
    Advice, Call, EventSettings, Grants, Hook, HttpGrant, Limits, Mode, OnFailure, PluginSettings,
    SessionFacts, SessionNotes,
};

/// A plugin, ready to be called.
pub(crate) struct Plugin {
    pub(crate) terms: Arc<Terms>,
    /// What it was made from, to see whether a reload can carry it over.
    pub(crate) settings: PluginSettings,
    /// SHA-256 of its file.
    pub(crate) digest: Digest,
    /// What its compiled component is remembered by.
    pub(crate) key: Digest,
    /// The services that it was given.
    pub(crate) given: Capabilities,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) on_failure: OnFailure,
    pub(crate) manifest: Option<Manifest>,
    /// The name of the trusted key that signed it.
    pub(crate) signer: Option<String>,
    /// What its artefact asks for.
    pub(crate) asked: Grants,
    /// What the operator should know about it.
    pub(crate) advice: Vec<Advice>,
    pub(crate) code: Arc<Code>,
    /// What takes the place of `code` soon, for a script.
    pub(crate) faster: Option<Arc<Faster>>,
    pub(crate) running: Running,
    /// A new version that is tried.
    pub(crate) next: Option<Next>,
}

impl Plugin {
    /// What a new instance is made of.
    pub(crate) fn code(&self) -> &Arc<Code> {
        let faster = self.faster.as_ref().and_then(|faster| faster.get()?.as_ref());
        faster.unwrap_or(&self.code)
    }
}

/// Code that is made in the background; none in it when it can not be made.
pub(crate) type Faster = SetOnce<Option<Arc<Code>>>;

/// A component that is ready to be instantiated, and where its hooks stand.
pub(crate) struct Code {
    pub(crate) component: InstancePre<State>,
    pub(crate) exports: Exports,
}

impl Code {
    /// Finds these hooks in a component.
    pub(crate) fn of(hooks: &[Hook], component: InstancePre<State>) -> wasmtime::Result<Arc<Code>> {
        let mut exports = Exports::default();
        for hook in hooks {
            exports.find(*hook, &component)?;
        }
        Ok(Arc::new(Code { component, exports }))
    }
}

/// How a plugin runs, with what changes while it does.
pub(crate) struct Running {
    pub(crate) mode: Mode,
    pub(crate) guards: Guards,
    pub(crate) breaker: Breaker,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) events: EventSettings,
    pub(crate) recorder: Option<Arc<Recorder>>,
}

impl Running {
    /// As the settings say, for a plugin that is asked at these hooks.
    pub(crate) fn new(
        engine: &Engine,
        settings: &PluginSettings,
        hooks: &[Hook],
        meters: BreakerMeters,
    ) -> Result<Running, Vec<GuardError>> {
        Ok(Running {
            mode: settings.run.mode,
            guards: Guards::check_all(&settings.run.when, hooks)?,
            breaker: Breaker::new(settings.run.breaker, meters),
            shelf: Shelf::new(engine, &settings.run),
            events: settings.run.events,
            recorder: settings.run.record.as_ref().map(|record| Recorder::new(record, &settings.name)),
        })
    }
}

/// The session of an instance that rests: nobody's.
pub(crate) struct Nobody {
    session: Arc<SessionFacts>,
    notes: SessionNotes,
}

impl Nobody {
    pub(crate) fn new() -> Nobody {
        let session = Arc::new(SessionFacts::of(&Origin::internal()));
        Nobody { session, notes: SessionNotes::default() }
    }

    /// A call about nothing. Costs no allocation.
    pub(crate) fn call(&self) -> Call {
        Call::new(Arc::clone(&self.session), self.notes.clone())
    }
}

impl Plugin {
    /// The first eight digits of its digest, for people.
    pub(crate) fn short_digest(&self) -> String {
        short(&self.digest)
    }
}

/// The first eight digits of a digest.
pub(crate) fn short(digest: &Digest) -> String {
    digest.iter().take(4).map(|octet| format!("{octet:02x}")).collect()
}

/// What a plugin is called, what it may use and do, and the services that it is given. Shared by all its calls.
pub(crate) struct Terms {
    pub(crate) name: String,
    /// `name@digest#generation`, for logs and decisions.
    pub(crate) label: String,
    pub(crate) limits: Limits,
    /// What is granted and asked for.
    pub(crate) grants: Grants,
    pub(crate) config: serde_json::Value,
    pub(crate) config_json: String,
    pub(crate) secrets: Secrets,
    /// The grant `http`, read.
    pub(crate) http_grants: Vec<HttpGrant>,
    pub(crate) capabilities: Capabilities,
    pub(crate) log_gate: LogGate,
    pub(crate) meters: Meters,
    pub(crate) nobody: Nobody,
}

/// Where the hooks stand in the component, so that no call looks anything up by name.
#[derive(Default)]
pub(crate) struct Exports {
    pub(crate) connect: Option<exports::connect_hook::GuestIndices>,
    pub(crate) auth: Option<exports::auth_hook::GuestIndices>,
    pub(crate) rcpt: Option<exports::rcpt_hook::GuestIndices>,
    pub(crate) data: Option<exports::data_hook::GuestIndices>,
    pub(crate) route: Option<exports::route_hook::GuestIndices>,
    pub(crate) bounce: Option<exports::bounce_hook::GuestIndices>,
    pub(crate) events: Option<exports::events_hook::GuestIndices>,
}

impl Exports {
    /// Finds the functions of that hook.
    pub(crate) fn find(&mut self, hook: Hook, component: &InstancePre<State>) -> wasmtime::Result<()> {
        match hook {
            Hook::Connect => self.connect = Some(exports::connect_hook::GuestIndices::new(component)?),
            Hook::Auth => self.auth = Some(exports::auth_hook::GuestIndices::new(component)?),
            Hook::Rcpt => self.rcpt = Some(exports::rcpt_hook::GuestIndices::new(component)?),
            Hook::Data => self.data = Some(exports::data_hook::GuestIndices::new(component)?),
            Hook::Route => self.route = Some(exports::route_hook::GuestIndices::new(component)?),
            Hook::Bounce => self.bounce = Some(exports::bounce_hook::GuestIndices::new(component)?),
            Hook::Events => self.events = Some(exports::events_hook::GuestIndices::new(component)?),
        }
        Ok(())
    }

    /// Checks that the functions of that hook have the types of the contract.
    pub(crate) fn check(
        &self,
        hook: Hook,
        store: &mut wasmtime::Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        match hook {
            Hook::Connect => found(&self.connect)?.load(store, instance).map(drop),
            Hook::Auth => found(&self.auth)?.load(store, instance).map(drop),
            Hook::Rcpt => found(&self.rcpt)?.load(store, instance).map(drop),
            Hook::Data => found(&self.data)?.load(store, instance).map(drop),
            Hook::Route => found(&self.route)?.load(store, instance).map(drop),
            Hook::Bounce => found(&self.bounce)?.load(store, instance).map(drop),
            Hook::Events => found(&self.events)?.load(store, instance).map(drop),
        }
    }
}

/// The functions of one instance, each looked up when it is first called.
#[derive(Default)]
pub(crate) struct Guests {
    pub(crate) connect: Option<exports::connect_hook::Guest>,
    pub(crate) auth: Option<exports::auth_hook::Guest>,
    pub(crate) rcpt: Option<exports::rcpt_hook::Guest>,
    pub(crate) data: Option<exports::data_hook::Guest>,
    pub(crate) route: Option<exports::route_hook::Guest>,
    pub(crate) bounce: Option<exports::bounce_hook::Guest>,
    pub(crate) events: Option<exports::events_hook::Guest>,
}

/// What stands at a place, looked up when nothing does.
pub(crate) fn looked_up<G>(
    place: &mut Option<G>,
    look_up: impl FnOnce() -> wasmtime::Result<G>,
) -> wasmtime::Result<&G> {
    match place {
        Some(guest) => Ok(guest),
        None => Ok(place.insert(look_up()?)),
    }
}

/// The indices of a hook that is in a chain. They are there: a chain holds only plugins whose hook was found.
pub(crate) fn found<I>(indices: &Option<I>) -> wasmtime::Result<&I> {
    indices.as_ref().ok_or_else(|| wasmtime::Error::msg("the plugin does not export this hook"))
}
