//! From settings to a generation: read, check, compile, link, find the hooks, run init, put the chains in order.
//!
//! Each instance of a plugin is fresh, so what init leaves in memory is gone afterwards: init validates the plugin's
//! settings once, and a call reads what it needs of them again.

mod contract;
mod error;
mod order;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::Digest as _;
use tokio::time::Instant;
use wasmtime::component::{Component, Instance, InstancePre};

use crate::bindings::exports::baton::relay::lifecycle;
use crate::engine::{Digest, Engine};
use crate::host::Capabilities;
use crate::log_gate::LogGate;
use crate::plugin::{Exports, Plugin, Terms};
use crate::policy::{Failure, FailureKind};
use crate::run::{classify, describe};
use crate::state::State;
use crate::{Call, Generation, Hook, PluginSettings, SessionFacts, SessionNotes};

pub use error::LoadError;

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
            match load_plugin(engine, number, settings, capabilities).await {
                Ok((plugin, digest)) => {
                    loaded.push(Arc::new(plugin));
                    digests.push(digest);
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
        Ok(Generation { number, engine: Some(engine.clone()), plugins: loaded, chains })
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

async fn load_plugin(
    engine: &Engine,
    number: u64,
    settings: &PluginSettings,
    capabilities: &Capabilities,
) -> Result<(Plugin, Digest), Vec<LoadError>> {
    check_limits(engine, settings)?;
    let (component, digest) = compile(engine, settings).await.map_err(|error| vec![error])?;
    let hooks = contract::check(engine, settings, &component)?;
    let mismatch = |error: wasmtime::Error| vec![LoadError::mismatch(settings, describe(&error))];
    let component = engine.linker().instantiate_pre(&component).map_err(mismatch)?;
    let exports = find_exports(&hooks, &component).map_err(mismatch)?;
    let digest_text: String = digest.iter().take(4).map(|octet| format!("{octet:02x}")).collect();
    let terms = Terms {
        name: settings.name.clone(),
        label: format!("{}@{digest_text}#{number}", settings.name),
        limits: settings.limits,
        grants: settings.grants.clone(),
        config: settings.config.clone(),
        config_json: settings.config.to_string(),
        capabilities: capabilities.clone(),
        log_gate: LogGate::default(),
        meters: capabilities.metrics.meters(&settings.name),
    };
    let plugin = Plugin {
        terms: Arc::new(terms),
        hooks: hooks.in_use,
        digest: digest_text,
        on_failure: settings.on_failure,
        component,
        exports,
    };
    initialise(engine, settings, &plugin).await?;
    Ok((plugin, digest))
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

/// Reads, checks and compiles on a thread that may block.
async fn compile(engine: &Engine, settings: &PluginSettings) -> Result<(Component, Digest), LoadError> {
    let (engine, settings) = (engine.clone(), settings.clone());
    let work = move || {
        let wasm = read(&engine, &settings)?;
        let digest: Digest = sha2::Sha256::digest(&wasm).into();
        let compiled = engine.compile(&digest, &wasm);
        let component = compiled.map_err(|error| LoadError::compile(&settings, describe(&error)))?;
        Ok((component, digest))
    };
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(LoadError::Interrupted { detail: error.to_string() }))
}

fn read(engine: &Engine, settings: &PluginSettings) -> Result<Vec<u8>, LoadError> {
    let path: &Path = &settings.source;
    let unreadable = |error| LoadError::unreadable(settings, error);
    let octets = std::fs::metadata(path).map_err(unreadable)?.len();
    let octets_max = engine.settings().component_octets_max;
    if octets > octets_max {
        return Err(LoadError::too_large(settings, octets, octets_max));
    }
    let wasm = std::fs::read(path).map_err(unreadable)?;
    contract::check_format(settings, &wasm)?;
    Ok(wasm)
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

/// Makes one instance: checks the types of all hooks, and lets the plugin check its settings.
async fn initialise(
    engine: &Engine,
    settings: &PluginSettings,
    plugin: &Plugin,
) -> Result<(), Vec<LoadError>> {
    let failed = |failure: Failure| vec![LoadError::init(settings, &failure)];
    let session = SessionFacts::of(&baton_mail::Origin::internal());
    let call = Call::new(Arc::new(session), SessionNotes::default());
    let mut state = State::new(Arc::clone(&plugin.terms), None, call, Instant::now());
    state.budget.ticks = INIT_CPU_MS;
    let _running = engine.ticker().enter();
    let mut store = state.into_store(engine);
    let work = async {
        let instance = plugin.component.instantiate_async(&mut store).await.map_err(Trouble::Failed)?;
        for hook in &plugin.hooks {
            plugin
                .exports
                .check(*hook, &mut store, &instance)
                .map_err(|error| Trouble::Mismatch(*hook, error))?;
        }
        init(plugin, &mut store, &instance).await.map_err(Trouble::Failed)
    };
    let problems = match tokio::time::timeout(INIT_WALL, work).await {
        Ok(Ok(problems)) => problems,
        Ok(Err(Trouble::Mismatch(hook, error))) => {
            return Err(vec![LoadError::hook_mismatch(settings, hook, describe(&error))]);
        }
        Ok(Err(Trouble::Failed(error))) => return Err(failed(classify(&error, store.data().memory.refused))),
        Err(_elapsed) => {
            return Err(failed(Failure::new(FailureKind::WallTime, "it did not return in time")));
        }
    };
    let shown = problems
        .iter()
        .take(PROBLEMS_MAX)
        .map(|problem| LoadError::config(settings, &problem.path, &problem.message));
    if problems.is_empty() { Ok(()) } else { Err(shown.collect()) }
}

enum Trouble {
    Mismatch(Hook, wasmtime::Error),
    Failed(wasmtime::Error),
}

async fn init(
    plugin: &Plugin,
    store: &mut wasmtime::Store<State>,
    instance: &Instance,
) -> wasmtime::Result<Vec<lifecycle::Problem>> {
    let Some(indices) = &plugin.exports.lifecycle else { return Ok(Vec::new()) };
    let guest = indices.load(&mut *store, instance)?;
    Ok(guest.call_init(store).await?.err().unwrap_or_default())
}
