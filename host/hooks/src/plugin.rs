//! A loaded plugin: its compiled component, and the terms on which it runs.

use std::sync::Arc;

use baton_mail::Origin;
use tokio::sync::SetOnce;
use wasmtime::component::InstancePre;

use crate::breaker::Breaker;
use crate::contract::{Exports, Version};
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

/// A component that is ready to be instantiated, and where its functions stand.
pub(crate) struct Code {
    pub(crate) component: InstancePre<State>,
    pub(crate) exports: Exports,
}

impl Code {
    /// Finds these hooks, and init where there is one, in a component that speaks that version.
    pub(crate) fn of(
        version: Version,
        hooks: &[Hook],
        has_lifecycle: bool,
        component: InstancePre<State>,
    ) -> wasmtime::Result<Arc<Code>> {
        let exports = version.find(hooks, has_lifecycle, &component)?;
        Ok(Arc::new(Code { component, exports }))
    }
}

/// How a plugin runs, with what changes while it does.
pub(crate) struct Running {
    pub(crate) mode: Mode,
    pub(crate) guards: Arc<Guards>,
    pub(crate) breaker: Arc<Breaker>,
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
            mode: settings.mode(),
            guards: Arc::new(Guards::check_all(&settings.run.when, hooks)?),
            breaker: Arc::new(Breaker::new(settings.run.breaker, meters)),
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
