//! From settings to a generation: read, check, compile, link, find the hooks, run init, take a snapshot, put the chains
//! in order.

mod contract;
mod error;
mod next;
mod order;
mod snapshot;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::text::sanitize;
use sha2::Digest as _;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre};

use crate::bindings::exports::baton::relay::lifecycle;
use crate::engine::{Digest, Engine};
use crate::host::Capabilities;
use crate::log_gate::LogGate;
use crate::plugin::{Exports, Nobody, Plugin, Running, Terms};
use crate::policy::{Failure, FailureKind};
use crate::run::{classify, describe};
use crate::secrets::{self, Secrets};
use crate::state::State;
use crate::{Generation, Hook, HttpGrant, PluginSettings, Thresholds};

pub use error::LoadError;
use snapshot::Snapshot;

/// Time that init may use: it runs once per load, off the mail path.
const INIT_CPU_MS: u32 = 1_000;
const INIT_WALL: Duration = Duration::from_secs(10);
/// Problems of one plugin's settings that are shown.
const PROBLEMS_MAX: usize = 100;
const NAME_OCTETS_MAX: usize = 64;

impl Generation {
    /// Loads all plugins beside those that run now. Answers every error that was found, so that one round of fixing is
    /// enough; nothing is in force then.
    ///
    /// `order` names the plugins of a hook in the order in which they are asked; a hook that is not in it asks them in
    /// the order of `plugins`. Components that did not change since the last load are not compiled again.
    pub async fn load(
        engine: &Engine,
        number: u64,
        plugins: &[PluginSettings],
        order: &HashMap<Hook, Vec<String>>,
        capabilities: &Capabilities,
    ) -> Result<Generation, Vec<LoadError>> {
        let mut errors = check_names(plugins);
        let (mut loaded, mut digests) = (Vec::new(), Vec::new());
        for settings in plugins {
            match load_versions(engine, number, settings, capabilities).await {
                Ok((plugin, keys)) => {
                    loaded.push(Arc::new(plugin));
                    digests.extend(keys);
                }
                Err(found) => errors.extend(found),
            }
        }
        let everything_loaded = errors.is_empty();
        let chains = order::chains(&loaded, order, everything_loaded).unwrap_or_else(|found| {
            errors.extend(found);
            Default::default()
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        engine.retain(&digests);
        let thresholds = Thresholds::default();
        Ok(Generation { number, engine: Some(engine.clone()), plugins: loaded, chains, thresholds })
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

/// A plugin, and the new version that stands beside it.
async fn load_versions(
    engine: &Engine,
    number: u64,
    settings: &PluginSettings,
    capabilities: &Capabilities,
) -> Result<(Plugin, Vec<Digest>), Vec<LoadError>> {
    let (mut plugin, key) = load_plugin(engine, number, settings, &settings.name, capabilities).await?;
    let Some((wanted, next, meter)) = next::settings_of(settings) else { return Ok((plugin, vec![key])) };
    let loaded = load_plugin(engine, number, &next, &meter, capabilities).await;
    let (next, next_key) = loaded.map_err(|errors| next::name_errors(errors, settings))?;
    plugin.next = Some(next::beside(&plugin, next, wanted)?);
    Ok((plugin, vec![key, next_key]))
}

async fn load_plugin(
    engine: &Engine,
    number: u64,
    settings: &PluginSettings,
    meter: &str,
    capabilities: &Capabilities,
) -> Result<(Plugin, Digest), Vec<LoadError>> {
    check_limits(engine, settings)?;
    let http_grants = read_http_grants(settings)?;
    let secrets = read_secrets(settings).await?;
    let (wasm, digest) = read(engine, settings).await.map_err(|error| vec![error])?;
    let digest_text: String = digest.iter().take(4).map(|octet| format!("{octet:02x}")).collect();
    let terms = Arc::new(Terms {
        name: settings.name.clone(),
        label: format!("{}@{digest_text}#{number}", settings.name),
        limits: settings.limits,
        grants: settings.grants.clone(),
        config: settings.config.clone(),
        config_json: settings.config.to_string(),
        secrets,
        http_grants,
        capabilities: capabilities.clone(),
        log_gate: LogGate::default(),
        meters: capabilities.metrics.meters(meter),
        nobody: Nobody::new(),
    });
    let key = if engine.takes_snapshots() { snapshot::key(&digest, &terms.config_json) } else { digest };
    let linked = make(engine, settings, &terms, &wasm, key).await?;
    let running =
        Running::new(engine, settings, &linked.hooks.in_use, capabilities.metrics.breaker_meters(meter));
    let running = running.map_err(|errors| LoadError::guards(settings, &errors))?;
    let plugin = Plugin {
        terms,
        hooks: linked.hooks.in_use,
        digest: digest_text,
        on_failure: settings.on_failure,
        component: linked.component,
        exports: linked.exports,
        running,
        next: None,
    };
    Ok((plugin, key))
}

/// The component that calls start from: the snapshot of an earlier load, a new one, or what is in the file.
async fn make(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    wasm: &Arc<Vec<u8>>,
    key: Digest,
) -> Result<Linked, Vec<LoadError>> {
    if !engine.takes_snapshots() {
        return make_plainly(engine, settings, terms, wasm, key).await;
    }
    if let Some(component) = engine.compiled(&key) {
        return link(engine, settings, &component);
    }
    let reason = match snapshot::take(engine, settings, terms, wasm).await? {
        Snapshot::Taken(taken) => match use_snapshot(engine, settings, terms, key, taken).await {
            Ok(linked) => return Ok(linked),
            Err(reason) => reason,
        },
        Snapshot::NotPossible(reason) => reason,
    };
    let linked = make_plainly(engine, settings, terms, wasm, key).await?;
    tracing::warn!(target: "hooks", plugin = %terms.label, reason, "no snapshot after init: the plugin reads its settings at each call");
    Ok(linked)
}

/// The component as it is in its file; init has accepted the settings.
async fn make_plainly(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    wasm: &Arc<Vec<u8>>,
    key: Digest,
) -> Result<Linked, Vec<LoadError>> {
    let compiled = compile(engine, key, Arc::clone(wasm)).await;
    let component = compiled.map_err(|error| vec![LoadError::compile(settings, describe(&error))])?;
    let linked = link(engine, settings, &component)?;
    initialise(engine, settings, terms, &linked).await?;
    Ok(linked)
}

/// Compiles a snapshot, and makes one instance of it to see that it can be used.
async fn use_snapshot(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    key: Digest,
    snapshot: Vec<u8>,
) -> Result<Linked, String> {
    let component = compile(engine, key, Arc::new(snapshot)).await.map_err(|error| describe(&error))?;
    let tried = async {
        let linked = link(engine, settings, &component)?;
        instantiate(engine, settings, terms, &linked).await?;
        Ok(linked)
    };
    tried.await.map_err(|errors: Vec<LoadError>| {
        engine.forget(&key);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    })
}

/// A component that fits the contract, with everything found that calls need.
struct Linked {
    hooks: contract::Hooks,
    component: InstancePre<State>,
    exports: Exports,
}

fn link(engine: &Engine, settings: &PluginSettings, component: &Component) -> Result<Linked, Vec<LoadError>> {
    let hooks = contract::check(engine, settings, component)?;
    let mismatch = |error: wasmtime::Error| vec![LoadError::mismatch(settings, describe(&error))];
    let component = engine.linker().instantiate_pre(component).map_err(mismatch)?;
    let exports = find_exports(&hooks, &component).map_err(mismatch)?;
    Ok(Linked { hooks, component, exports })
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

fn read_http_grants(settings: &PluginSettings) -> Result<Vec<HttpGrant>, Vec<LoadError>> {
    let bad = |grant: &String, reason: String| LoadError::HttpGrant {
        plugin: settings.name.clone(),
        grant: sanitize(grant, 200),
        reason,
    };
    let (mut grants, mut errors) = (Vec::new(), Vec::new());
    for grant in &settings.grants.http {
        match HttpGrant::parse(grant) {
            Ok(read) => grants.push(read),
            Err(reason) => errors.push(bad(grant, reason)),
        }
    }
    if errors.is_empty() { Ok(grants) } else { Err(errors) }
}

/// Reads the secrets on a thread that may block.
async fn read_secrets(settings: &PluginSettings) -> Result<Secrets, Vec<LoadError>> {
    if settings.secrets.is_empty() {
        return Ok(Secrets::new());
    }
    let (sources, granted) = (settings.secrets.clone(), settings.grants.secrets.clone());
    let reading = tokio::task::spawn_blocking(move || secrets::read(&sources, &granted)).await;
    let read = reading.map_err(|error| vec![LoadError::Interrupted { detail: error.to_string() }])?;
    let unreadable =
        |(name, reason): (String, String)| LoadError::Secret { plugin: settings.name.clone(), name, reason };
    read.map_err(|troubles| troubles.into_iter().map(unreadable).collect())
}

/// Reads the file on a thread that may block, and checks that it is a component.
async fn read(engine: &Engine, settings: &PluginSettings) -> Result<(Arc<Vec<u8>>, Digest), LoadError> {
    let octets_max = engine.settings().component_octets_max;
    let settings = settings.clone();
    let work = move || {
        let path: &Path = &settings.source;
        let unreadable = |error| LoadError::unreadable(&settings, error);
        let octets = std::fs::metadata(path).map_err(unreadable)?.len();
        if octets > octets_max {
            return Err(LoadError::too_large(&settings, octets, octets_max));
        }
        let wasm = std::fs::read(path).map_err(unreadable)?;
        contract::check_format(&settings, &wasm)?;
        let digest: Digest = sha2::Sha256::digest(&wasm).into();
        Ok((Arc::new(wasm), digest))
    };
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(LoadError::Interrupted { detail: error.to_string() }))
}

/// Compiles on a thread that may block; remembers the result under that key.
async fn compile(engine: &Engine, key: Digest, wasm: Arc<Vec<u8>>) -> wasmtime::Result<Component> {
    let engine = engine.clone();
    let joined = tokio::task::spawn_blocking(move || engine.compile(&key, &wasm)).await;
    joined.unwrap_or_else(|error| Err(wasmtime::Error::msg(error.to_string())))
}

fn find_exports(hooks: &contract::Hooks, component: &InstancePre<State>) -> wasmtime::Result<Exports> {
    let mut exports = Exports::default();
    if hooks.has_lifecycle {
        exports.lifecycle = Some(lifecycle::GuestIndices::new(component)?);
    }
    for hook in &hooks.in_use {
        exports.find(*hook, component)?;
    }
    Ok(exports)
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
    let made = linked.component.instantiate_async(&mut store).await;
    let instance = made
        .map_err(|error| vec![LoadError::init(settings, &classify(&error, store.data().memory.refused))])?;
    for hook in &linked.hooks.in_use {
        let checked = linked.exports.check(*hook, &mut store, &instance);
        checked.map_err(|error| vec![LoadError::hook_mismatch(settings, *hook, describe(&error))])?;
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
    let problems = match tokio::time::timeout(INIT_WALL, init(&linked.exports, &mut store, &instance)).await {
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
    exports: &Exports,
    store: &mut Store<State>,
    instance: &Instance,
) -> wasmtime::Result<Vec<lifecycle::Problem>> {
    let Some(indices) = &exports.lifecycle else { return Ok(Vec::new()) };
    let guest = indices.load(&mut *store, instance)?;
    Ok(guest.call_init(store).await?.err().unwrap_or_default())
}
