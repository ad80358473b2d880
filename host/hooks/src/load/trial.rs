//! What a load tries out before calls rely on a component: that it links, that an instance can be made, and that its
//! init accepts the settings.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Component, Instance};

use super::error::LoadError;
use super::{contract, shape};
use crate::PluginSettings;
use crate::engine::Engine;
use crate::manifest::Manifest;
use crate::plugin::{Code, Terms};
use crate::policy::{Failure, FailureKind};
use crate::run::{classify, describe};
use crate::state::State;

/// Time that init may use: it runs once per load, off the mail path.
pub(super) const INIT_CPU_MS: u32 = 1_000;
pub(super) const INIT_WALL: Duration = Duration::from_secs(10);
/// Problems of one plugin's settings that are shown.
const PROBLEMS_MAX: usize = 100;

/// A component that fits the contract, with everything found that calls need.
pub(super) struct Linked {
    pub(super) hooks: contract::Hooks,
    pub(super) code: Arc<Code>,
}

/// Links a component, and finds its hooks.
pub(super) fn link(
    engine: &Engine,
    settings: &PluginSettings,
    manifest: Option<&Manifest>,
    component: &Component,
) -> Result<Linked, Vec<LoadError>> {
    let hooks = contract::check(engine, settings, manifest, component)?;
    let mismatch = |error: wasmtime::Error| {
        let linker = LoadError::mismatch(settings, describe(&error));
        shape::explain(engine, settings, hooks.version, component, linker)
    };
    let instantiable = engine.linker().instantiate_pre(component).map_err(mismatch)?;
    let code = Code::of(hooks.version, &hooks.in_use, hooks.has_lifecycle, instantiable);
    let code = code.map_err(mismatch)?;
    Ok(Linked { hooks, code })
}

/// Makes one instance and checks the types of all hooks.
pub(super) async fn instantiate(
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
            let component = linked.code.component.component();
            shape::explain(engine, settings, linked.hooks.version, component, linker)
        })?;
    }
    Ok((store, instance))
}

/// Makes one instance and lets the plugin check its settings.
pub(super) async fn initialise(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    linked: &Linked,
) -> Result<(Store<State>, Instance), Vec<LoadError>> {
    let _running = engine.ticker().enter();
    let (mut store, instance) = instantiate(engine, settings, terms, linked).await?;
    let failed = |failure: Failure| Err(vec![LoadError::init(settings, &failure)]);
    let init = linked.code.exports.init(&mut store, &instance);
    let problems = match tokio::time::timeout(INIT_WALL, init).await {
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
