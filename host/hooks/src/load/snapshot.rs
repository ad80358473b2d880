//! The plugin as it stands after init: its memory becomes part of the component, so that a fresh instance starts with
//! its settings parsed and its tables built.
//!
//! Where that is not possible the plugin works all the same, and reads its settings at each call.

use std::sync::Arc;

use sha2::Digest as _;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, WasmList};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::artefact::Artefact;
use super::image::join_segments;
use super::{LoadError, initialise, link};
use crate::PluginSettings;
use crate::engine::{Digest, Engine};
use crate::plugin::Terms;
use crate::run::describe;
use crate::state::State;

/// What came of the attempt.
pub(super) enum Snapshot {
    /// The component with its memory as init left it.
    Taken(Vec<u8>),
    /// Why there is none. Not an error: the component as it is in its file takes its place.
    NotPossible(String),
}

/// What a component that init has accepted settings for starts from.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Snapshot,
    Plain,
}

/// What such a component is remembered by: the file, and all that init could read.
pub(super) fn key(kind: Kind, digest: &Digest, config_json: &str) -> Digest {
    let kind: &[u8] = match kind {
        Kind::Snapshot => b"snapshot, joined",
        Kind::Plain => b"plain",
    };
    sha2::Sha256::digest([kind, digest, config_json.as_bytes()].concat()).into()
}

/// The component with what it takes to read its memory, compiled. It decides as the one in the file does. None where
/// there can be no snapshot.
pub(super) async fn instrumented(engine: &Engine, artefact: &Artefact) -> Option<Component> {
    let wasm = Arc::clone(&artefact.wasm);
    let instrument = move |_: &Engine| {
        let (_, made) = Wizer::new().instrument_component(&wasm).ok()?;
        Some((Digest::from(sha2::Sha256::digest(&made)), made))
    };
    let (digest, instrumented) = super::blocking(engine, instrument).await.flatten()?;
    super::compile(engine, digest, Arc::new(instrumented)).await.ok()
}

/// Runs init in an instrumented copy of the component, and reads what it left in memory.
///
/// The tool that takes the snapshot panics on components beyond its bounds, so it runs in a task of its own.
pub(super) async fn take(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    artefact: &Artefact,
) -> Result<Snapshot, Vec<LoadError>> {
    let (engine, settings, terms, artefact) =
        (engine.clone(), settings.clone(), Arc::clone(terms), artefact.clone());
    let task = tokio::spawn(async move { attempt(&engine, &settings, &terms, &artefact).await });
    task.await.unwrap_or_else(|_| Ok(Snapshot::NotPossible("its form is not supported".to_owned())))
}

async fn attempt(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
    artefact: &Artefact,
) -> Result<Snapshot, Vec<LoadError>> {
    let not_possible = |error: wasmtime::Error| Ok(Snapshot::NotPossible(describe(&error)));
    let wizer = Wizer::new();
    let (context, instrumented) = match wizer.instrument_component(&artefact.wasm) {
        Ok(instrumented) => instrumented,
        Err(error) => return not_possible(error),
    };
    let digest: Digest = sha2::Sha256::digest(&instrumented).into();
    let component = match super::compile(engine, digest, Arc::new(instrumented)).await {
        Ok(component) => component,
        Err(error) => return not_possible(error),
    };
    let linked = link(engine, settings, artefact.manifest.as_ref(), &component)?;
    let (mut store, instance) = initialise(engine, settings, terms, &linked).await?;
    Ok(read(&wizer, &context, &mut store, instance).await.map_or_else(Snapshot::NotPossible, Snapshot::Taken))
}

/// A snapshot of an instance of the instrumented component, after its init.
pub(super) async fn of(mut store: Store<State>, instance: Instance, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let wizer = Wizer::new();
    let (context, _) = wizer.instrument_component(wasm).map_err(|error| describe(&error))?;
    read(&wizer, &context, &mut store, instance).await
}

async fn read(
    wizer: &Wizer,
    context: &ComponentContext<'_>,
    store: &mut Store<State>,
    instance: Instance,
) -> Result<Vec<u8>, String> {
    if !store.data().table.is_empty() {
        return Err("init left handles open (a bucket, or standard output)".to_owned());
    }
    store.set_hostcall_fuel(usize::MAX);
    let mut memory = Memory { store, instance, trouble: None };
    let taken = wizer.snapshot_component(context, &mut memory).await;
    match (taken, memory.trouble) {
        (Ok(taken), None) => join_segments(&taken).map_err(|error| error.to_string()),
        (Err(error), _) | (_, Some(error)) => Err(describe(&error)),
    }
}

/// Reads memories and globals of the instrumented instance.
struct Memory<'a> {
    store: &'a mut Store<State>,
    instance: Instance,
    /// The first failure; what was read after it is not used.
    trouble: Option<wasmtime::Error>,
}

impl Memory<'_> {
    async fn read<R: Send + Sync + 'static>(&mut self, instance: &str, function: &str) -> Option<R>
    where
        (R,): ComponentNamedList + Lift,
    {
        let read = call(&mut *self.store, self.instance, instance, function).await;
        read.map_err(|error| self.trouble.get_or_insert(error)).ok()
    }
}

async fn call<R: Send + Sync + 'static>(
    store: &mut Store<State>,
    within: Instance,
    instance: &str,
    function: &str,
) -> wasmtime::Result<R>
where
    (R,): ComponentNamedList + Lift,
{
    let missing = || wasmtime::Error::msg("the instrumented component lacks an accessor");
    let (_, instance) = within.get_export(&mut *store, None, instance).ok_or_else(missing)?;
    let (_, function) = within.get_export(&mut *store, Some(&instance), function).ok_or_else(missing)?;
    let function = within.get_typed_func::<(), (R,)>(&mut *store, function)?;
    let (result,) = function.call_async(store, ()).await?;
    Ok(result)
}

impl ComponentInstanceState for Memory<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        let list: Option<WasmList<u8>> = self.read(instance, func).await;
        match &list {
            Some(list) => contents(list.as_le_slice(&*self.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.read(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.read(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.read(instance, func).await.map(f32::to_bits).unwrap_or_default()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.read(instance, func).await.map(f64::to_bits).unwrap_or_default()
    }
}
