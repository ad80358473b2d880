//! From settings to a generation: read, check, settle grants, compile, link, find the hooks, run init, take a snapshot,
//! put the chains in order.

mod artefact;
mod contract;
mod error;
mod grants;
mod next;
mod order;
mod script;
mod shape;
mod snapshot;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use baton_mail::text::sanitize;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Component, Instance};

use crate::bindings::exports::baton::relay::lifecycle;
use crate::engine::{Digest, Engine};
use crate::host::Capabilities;
use crate::log_gate::LogGate;
use crate::manifest::Manifest;
use crate::plugin::{Code, Faster, Nobody, Plugin, Running, Terms, short};
use crate::policy::{Failure, FailureKind};
use crate::run::{classify, describe};
use crate::secrets::{self, Secrets};
use crate::state::State;
use crate::{Generation, Grants, Hook, HttpGrant, PluginSettings, Thresholds};

use artefact::Artefact;
pub(crate) use artefact::hex;
pub use error::LoadError;
pub use grants::Advice;
pub use script::{is_script, prepare_interpreter};
use snapshot::Snapshot;

/// Time that init may use: it runs once per load, off the mail path.
const INIT_CPU_MS: u32 = 1_000;
const INIT_WALL: Duration = Duration::from_secs(10);
/// Problems of one plugin's settings that are shown.
const PROBLEMS_MAX: usize = 100;
const NAME_OCTETS_MAX: usize = 64;

impl Generation {
    /// Loads all plugins. Answers every error that was found, so that one round of fixing is enough; nothing is in
    /// force then.
    ///
    /// `order` names the plugins of a hook in the order in which they are asked; a hook that is not in it asks them in
    /// the order of `plugins`.
    pub async fn load(
        engine: &Engine,
        number: u64,
        plugins: &[PluginSettings],
        order: &HashMap<Hook, Vec<String>>,
        capabilities: &Capabilities,
    ) -> Result<Generation, Vec<LoadError>> {
        Generation::empty().load_next(engine, number, plugins, order, capabilities).await
    }

    /// Loads the generation that is to follow this one, which goes on serving. A plugin whose file and settings are the
    /// same is carried over as it is, with its number; all else is made anew.
    pub async fn load_next(
        &self,
        engine: &Engine,
        number: u64,
        plugins: &[PluginSettings],
        order: &HashMap<Hook, Vec<String>>,
        capabilities: &Capabilities,
    ) -> Result<Generation, Vec<LoadError>> {
        let mut errors = check_names(plugins);
        let (mut loaded, mut troubles) = (Vec::new(), Vec::new());
        for settings in plugins {
            match self.load_plugin(engine, number, settings, capabilities).await {
                Ok(plugin) => loaded.push(plugin),
                Err(found) if settings.keeps_last && self.number > 0 => {
                    loaded.extend(self.plugins.iter().find(|last| last.terms.name == settings.name).cloned());
                    troubles.extend(found.iter().map(ToString::to_string));
                }
                Err(found) => errors.extend(found),
            }
        }
        let everything_loaded = errors.is_empty() && troubles.is_empty();
        let chains = order::chains(&loaded, order, everything_loaded).unwrap_or_else(|found| {
            errors.extend(found);
            Default::default()
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let next = |plugin: &Arc<Plugin>| plugin.next.as_ref().map(|next| next.plugin.key);
        for trouble in &troubles {
            tracing::error!(target: "hooks", "{trouble}");
        }
        let keys: Vec<Digest> =
            loaded.iter().flat_map(|plugin| [Some(plugin.key), next(plugin)]).flatten().collect();
        engine.retain(&keys);
        let thresholds = Thresholds::default();
        Ok(Generation { number, engine: Some(engine.clone()), plugins: loaded, chains, thresholds, troubles })
    }

    /// The plugin of this generation when nothing about it changed, or a new one.
    async fn load_plugin(
        &self,
        engine: &Engine,
        number: u64,
        settings: &PluginSettings,
        capabilities: &Capabilities,
    ) -> Result<Arc<Plugin>, Vec<LoadError>> {
        let own = Version::read(engine, settings.clone(), settings.name.clone()).await?;
        let beside = match next::settings_of(settings) {
            Some((wanted, next, meter)) => {
                let read = Version::read(engine, next, meter).await;
                Some((wanted, read.map_err(|errors| next::name_errors(errors, settings))?))
            }
            None => None,
        };
        let is_same = |plugin: &&Arc<Plugin>| {
            let is_next = match (&plugin.next, &beside) {
                (Some(next), Some((_, version))) => version.is_of(&next.plugin, capabilities),
                (None, None) => true,
                _ => false,
            };
            is_next && own.is_of(plugin, capabilities)
        };
        if let Some(plugin) = self.plugins.iter().find(is_same) {
            return Ok(Arc::clone(plugin));
        }
        let mut plugin = make_plugin(engine, number, own, capabilities).await?;
        if let Some((wanted, version)) = beside {
            let next = make_plugin(engine, number, version, capabilities).await;
            let next = next.map_err(|errors| next::name_errors(errors, settings))?;
            plugin.next = Some(next::beside(&plugin, next, wanted)?);
        }
        // Cases load a plugin many times, and what its settings lack is not what they are about.
        for advice in plugin.advice.iter().filter(|_| engine.takes_snapshots()) {
            tracing::warn!(target: "hooks", plugin = %plugin.terms.label, key = advice.key, "{}", advice.text);
        }
        Ok(Arc::new(plugin))
    }
}

/// What a plugin, or the new version beside it, is made from.
struct Version {
    settings: PluginSettings,
    artefact: Artefact,
    secrets: Secrets,
    /// The name of its meters.
    meter: String,
}

impl Version {
    async fn read(
        engine: &Engine,
        settings: PluginSettings,
        meter: String,
    ) -> Result<Version, Vec<LoadError>> {
        let artefact = artefact::read(engine, &settings).await.map_err(|error| vec![error])?;
        let secrets = read_secrets(&settings, &artefact).await?;
        Ok(Version { settings, artefact, secrets, meter })
    }

    /// True when that plugin was made from the same.
    fn is_of(&self, plugin: &Plugin, capabilities: &Capabilities) -> bool {
        plugin.settings == self.settings
            && plugin.digest == self.artefact.digest
            && plugin.signer == self.artefact.signer
            && plugin.terms.secrets == self.secrets
            && plugin.terms.capabilities.are_same(capabilities)
    }
}

fn check_names(plugins: &[PluginSettings]) -> Vec<LoadError> {
    let mut seen = HashSet::new();
    let mut errors = Vec::new();
    for PluginSettings { name, .. } in plugins {
        let is_valid = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        let is_name = name.len() <= NAME_OCTETS_MAX
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(is_valid);
        if !is_name || name == "shared" {
            errors.push(LoadError::Name { plugin: name.clone() });
        }
        if !seen.insert(name) {
            errors.push(LoadError::Duplicate { plugin: name.clone() });
        }
    }
    errors
}

async fn make_plugin(
    engine: &Engine,
    number: u64,
    version: Version,
    capabilities: &Capabilities,
) -> Result<Plugin, Vec<LoadError>> {
    let Version { settings, artefact, secrets, meter } = version;
    let settings = &settings;
    check_limits(engine, settings)?;
    let asked = artefact.asked(settings);
    let mut advice = grants::differences(settings, &asked);
    advice.extend(grants::suggestions(settings, artefact.manifest.as_ref()));
    let grants = grants::in_force(&settings.grants, &asked.grants);
    let mut terms = Terms {
        name: settings.name.clone(),
        label: format!("{}@{}#{number}", settings.name, short(&artefact.digest)),
        limits: settings.limits,
        http_grants: read_http_grants(settings, &grants)?,
        grants,
        config: settings.config.clone(),
        config_json: settings.config.to_string(),
        secrets,
        capabilities: capabilities.clone(),
        log_gate: LogGate::default(),
        meters: capabilities.metrics.meters(&meter),
        nobody: Nobody::new(),
    };
    if is_script(&settings.source) {
        terms.config = script::config(engine, settings, &artefact, capabilities).await?;
        terms.config_json = terms.config.to_string();
    }
    let terms = Arc::new(terms);
    let made = if is_script(&settings.source) {
        script::make(engine, settings, &terms).await?
    } else {
        let digest = artefact.digest;
        let key = if engine.takes_snapshots() { snapshot::key(&digest, &terms.config_json) } else { digest };
        let Linked { hooks, code, .. } = make(engine, settings, &terms, &artefact, key).await?;
        Made { key, hooks: hooks.in_use, code, faster: None }
    };
    let running = Running::new(engine, settings, &made.hooks, capabilities.metrics.breaker_meters(&meter));
    let running = running.map_err(|errors| LoadError::guards(settings, &errors))?;
    Ok(Plugin {
        terms,
        settings: settings.clone(),
        digest: artefact.digest,
        key: made.key,
        hooks: made.hooks,
        on_failure: settings.on_failure,
        manifest: artefact.manifest,
        signer: artefact.signer,
        asked: asked.grants,
        advice,
        code: made.code,
        faster: made.faster,
        running,
        next: None,
    })
}

/// What calls run.
struct Made {
    /// What its compiled component is remembered by.
    key: Digest,
    hooks: Vec<Hook>,
    code: Arc<Code>,
    faster: Option<Arc<Faster>>,
}

/// The component that calls start from: that of an earlier load or of an earlier run, or a new one.
async fn make(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    artefact: &Artefact,
    key: Digest,
) -> Result<Linked, Vec<LoadError>> {
    if !engine.takes_snapshots() {
        return make_plainly(engine, settings, terms, artefact, key).await;
    }
    let manifest = artefact.manifest.as_ref();
    if let Some(component) = engine.compiled(&key) {
        return link(engine, settings, manifest, &component);
    }
    if let Some(component) = blocking(engine, move |engine| engine.revive(&key)).await.flatten() {
        match try_out(engine, settings, terms, manifest, &component).await {
            Ok(linked) => return Ok(linked),
            Err(_) => engine.forget(&key),
        }
    }
    let linked = make_anew(engine, settings, terms, artefact, key).await?;
    let component = linked.code.component.component().clone();
    blocking(engine, move |engine| engine.keep(&key, &component)).await;
    Ok(linked)
}

/// A snapshot, or where there can be none what is in the file.
async fn make_anew(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    artefact: &Artefact,
    key: Digest,
) -> Result<Linked, Vec<LoadError>> {
    let manifest = artefact.manifest.as_ref();
    let reason = match snapshot::take(engine, settings, terms, artefact).await? {
        Snapshot::Taken(taken) => match use_snapshot(engine, settings, terms, manifest, key, taken).await {
            Ok(linked) => return Ok(linked),
            Err(reason) => reason,
        },
        Snapshot::NotPossible(reason) => reason,
    };
    let linked = make_plainly(engine, settings, terms, artefact, key).await?;
    tracing::warn!(target: "hooks", plugin = %terms.label, reason, "no snapshot after init: the plugin reads its settings at each call");
    Ok(linked)
}

/// The component as it is in its file; init has accepted the settings.
async fn make_plainly(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    artefact: &Artefact,
    key: Digest,
) -> Result<Linked, Vec<LoadError>> {
    let compiled = compile(engine, key, Arc::clone(&artefact.wasm)).await;
    let component = compiled.map_err(|error| vec![LoadError::compile(settings, describe(&error))])?;
    let linked = link(engine, settings, artefact.manifest.as_ref(), &component)?;
    initialise(engine, settings, terms, &linked).await?;
    Ok(linked)
}

/// Does work that blocks on a thread that may; nothing when the relay is shutting down.
async fn blocking<T: Send + 'static>(
    engine: &Engine,
    work: impl FnOnce(&Engine) -> T + Send + 'static,
) -> Option<T> {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || work(&engine)).await.ok()
}

/// Compiles a snapshot, and sees that it can be used.
async fn use_snapshot(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    manifest: Option<&Manifest>,
    key: Digest,
    snapshot: Vec<u8>,
) -> Result<Linked, String> {
    let component = compile(engine, key, Arc::new(snapshot)).await.map_err(|error| describe(&error))?;
    try_out(engine, settings, terms, manifest, &component).await.map_err(|errors| {
        engine.forget(&key);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    })
}

/// Links a component that has init behind it, and makes one instance of it.
async fn try_out(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    manifest: Option<&Manifest>,
    component: &Component,
) -> Result<Linked, Vec<LoadError>> {
    let linked = link(engine, settings, manifest, component)?;
    instantiate(engine, settings, terms, &linked).await?;
    Ok(linked)
}

/// A component that fits the contract, with everything found that calls need.
struct Linked {
    hooks: contract::Hooks,
    lifecycle: Option<lifecycle::GuestIndices>,
    code: Arc<Code>,
}

fn link(
    engine: &Engine,
    settings: &PluginSettings,
    manifest: Option<&Manifest>,
    component: &Component,
) -> Result<Linked, Vec<LoadError>> {
    let hooks = contract::check(engine, settings, manifest, component)?;
    let mismatch = |error: wasmtime::Error| {
        shape::explain(engine, settings, component, LoadError::mismatch(settings, describe(&error)))
    };
    let instantiable = engine.linker().instantiate_pre(component).map_err(mismatch)?;
    let lifecycle = hooks.has_lifecycle.then(|| lifecycle::GuestIndices::new(&instantiable)).transpose();
    let lifecycle = lifecycle.map_err(mismatch)?;
    let code = Code::of(&hooks.in_use, instantiable).map_err(mismatch)?;
    Ok(Linked { hooks, lifecycle, code })
}

fn check_limits(engine: &Engine, settings: &PluginSettings) -> Result<(), Vec<LoadError>> {
    let max = engine.settings();
    let pairs = [
        ("memory_octets", settings.limits.memory_octets, max.memory_octets_max),
        ("table_elements", settings.limits.table_elements, max.table_elements_max),
    ];
    let over = |(limit, value, max): (&'static str, usize, usize)| {
        (value > max).then(|| LoadError::Limit { plugin: settings.name.clone(), limit, value, max })
    };
    let errors: Vec<LoadError> = pairs.into_iter().filter_map(over).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn read_http_grants(settings: &PluginSettings, in_force: &Grants) -> Result<Vec<HttpGrant>, Vec<LoadError>> {
    let bad = |grant: &String, reason: String| LoadError::HttpGrant {
        plugin: settings.name.clone(),
        grant: sanitize(grant, 200),
        reason,
    };
    let (mut grants, mut errors) = (Vec::new(), Vec::new());
    for grant in &in_force.http {
        match HttpGrant::parse(grant) {
            Ok(read) => grants.push(read),
            Err(reason) => errors.push(bad(grant, reason)),
        }
    }
    if errors.is_empty() { Ok(grants) } else { Err(errors) }
}

/// Reads the secrets on a thread that may block.
async fn read_secrets(settings: &PluginSettings, artefact: &Artefact) -> Result<Secrets, Vec<LoadError>> {
    if settings.secrets.is_empty() {
        return Ok(Secrets::new());
    }
    let asked = artefact.asked(settings);
    let granted = grants::in_force(&settings.grants, &asked.grants).secrets;
    let sources = settings.secrets.clone();
    let reading = tokio::task::spawn_blocking(move || secrets::read(&sources, &granted)).await;
    let read = reading.map_err(|error| vec![LoadError::Interrupted { detail: error.to_string() }])?;
    let unreadable =
        |(name, reason): (String, String)| LoadError::Secret { plugin: settings.name.clone(), name, reason };
    read.map_err(|troubles| troubles.into_iter().map(unreadable).collect())
}

/// Compiles on a thread that may block; remembers the result under that key.
async fn compile(engine: &Engine, key: Digest, wasm: Arc<Vec<u8>>) -> wasmtime::Result<Component> {
    let engine = engine.clone();
    let joined = tokio::task::spawn_blocking(move || engine.compile(&key, &wasm)).await;
    joined.unwrap_or_else(|error| Err(wasmtime::Error::msg(error.to_string())))
}

/// Makes one instance and checks the types of all hooks.
async fn instantiate(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    linked: &Linked,
) -> Result<(Store<State>, Instance), Vec<LoadError>> {
    let mut state = State::new(Arc::clone(terms), None, terms.nobody.call(), Instant::now());
    state.budget.ticks = INIT_CPU_MS;
    let mut store = state.into_store(engine);
    let made = linked.code.component.instantiate_async(&mut store).await;
    let instance = made
        .map_err(|error| vec![LoadError::init(settings, &classify(&error, store.data().memory.refused))])?;
    for hook in &linked.hooks.in_use {
        let checked = linked.code.exports.check(*hook, &mut store, &instance);
        checked.map_err(|error| {
            let linker = LoadError::hook_mismatch(settings, *hook, describe(&error));
            shape::explain(engine, settings, linked.code.component.component(), linker)
        })?;
    }
    Ok((store, instance))
}

/// Makes one instance and lets the plugin check its settings.
async fn initialise(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    linked: &Linked,
) -> Result<(Store<State>, Instance), Vec<LoadError>> {
    let _running = engine.ticker().enter();
    let (mut store, instance) = instantiate(engine, settings, terms, linked).await?;
    let failed = |failure: Failure| Err(vec![LoadError::init(settings, &failure)]);
    let problems = match tokio::time::timeout(INIT_WALL, init(&linked.lifecycle, &mut store, &instance)).await
    {
        Ok(Ok(problems)) => problems,
        Ok(Err(error)) => return failed(classify(&error, store.data().memory.refused)),
        Err(_elapsed) => return failed(Failure::new(FailureKind::WallTime, "it did not return in time")),
    };
    let shown = problems
        .iter()
        .take(PROBLEMS_MAX)
        .map(|problem| LoadError::config(settings, &problem.path, &problem.message));
    if problems.is_empty() { Ok((store, instance)) } else { Err(shown.collect()) }
}

async fn init(
    indices: &Option<lifecycle::GuestIndices>,
    store: &mut Store<State>,
    instance: &Instance,
) -> wasmtime::Result<Vec<lifecycle::Problem>> {
    let Some(indices) = indices else { return Ok(Vec::new()) };
    let guest = indices.load(&mut *store, instance)?;
    Ok(guest.call_init(store).await?.err().unwrap_or_default())
}
