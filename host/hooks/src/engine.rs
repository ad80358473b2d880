//! The one engine of the process: compiler, instance pool, linker, epoch thread.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sha2::Digest as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::EngineSettings;
use crate::cache::{Authentic, Cache};
use crate::contract::Version;
use crate::functions::Functions;
use crate::script::{self, Scripts};
use crate::state::State;
use crate::ticker::Ticker;
use crate::wasi;
use crate::workshop::{CompileError, Workshop};

/// Core instances, tables and memories that one component may consist of. A component of one language has one memory
/// and three or four core instances. QuickJS and CPython as their tools link them are several modules, each library one,
/// with three memories.
const CORE_INSTANCES_PER_CALL: u32 = 48;
const TABLES_PER_CALL: u32 = 16;
const MEMORIES_PER_CALL: u32 = 4;
/// Native stack of a guest, and of the fiber that it runs on together with the host functions that it calls.
const WASM_STACK_OCTETS: usize = 256 << 10;
const ASYNC_STACK_OCTETS: usize = 512 << 10;
/// Memory that a slot keeps between two calls. With a page scan only touched pages are reset, so much is cheap;
/// without, all of it would be written anew each time.
const KEEP_OCTETS_WITH_SCAN: usize = 1 << 20;
const KEEP_OCTETS_WITHOUT_SCAN: usize = 64 << 10;
const TABLE_KEEP_OCTETS: usize = 64 << 10;
const WARM_SLOTS_MAX: u32 = 64;
const BACKTRACE_FRAMES_MAX: usize = 20;
/// Compiled components that are remembered, so that loads which fail again and again do not pile them up.
const COMPILED_MAX: usize = 64;
/// Files that are remembered in memory as tested, or as vetted.
const TESTED_MAX: usize = 1_000;

/// The engine that runs plugins. One per process; clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasmtime: wasmtime::Engine,
    linker: Linker<State>,
    ticker: Ticker,
    slots: Semaphore,
    /// Instances that rest, or rested and are at work again.
    kept: AtomicU32,
    /// Components of the last load, so that a reload works only on what changed. Pruned by each load.
    compiled: Mutex<HashMap<Digest, Component>>,
    scripts: Scripts,
    compilations: AtomicU64,
    /// Where files that were never compiled are compiled first.
    workshop: Option<Workshop>,
    vetted: Mutex<HashSet<Digest>>,
    functions: Option<Arc<Functions>>,
    /// Files whose self-tests passed, each with the reason why it gets no snapshot.
    tested: Mutex<HashMap<Digest, String>>,
    /// What earlier runs compiled.
    cache: Option<Cache>,
    settings: EngineSettings,
    is_pooling: bool,
    purpose: Purpose,
}

/// What an engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Mail.
    Relay,
    /// Self-test cases: instructions are counted, which costs two to three times the speed, and no snapshots are taken,
    /// as each case has settings of its own.
    Cases,
}

/// SHA-256: of a component's file, or of all that a compiled component was made from.
pub(crate) type Digest = [u8; 32];

/// The engine could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Neither the pool nor the plain allocator works here.
    #[error("the plugin engine does not start on this machine: {0}")]
    Unsupported(String),
    /// The epoch thread could not be started.
    #[error("the thread that limits the run time of plugins does not start: {0}")]
    Thread(#[from] std::io::Error),
}

impl Engine {
    /// Sets up compiler and pool. The pool reserves address space (no memory): about 4 GiB for each concurrent call.
    /// Where that is refused, for example by `ulimit -v`, instances are made on demand, which costs about 30 µs a call.
    pub fn new(settings: &EngineSettings) -> Result<Engine, EngineError> {
        Engine::with(settings, None, None, Purpose::Relay)
    }

    /// As [`Engine::new`], with a folder that keeps compiled plugins from run to run, and with processes of their own for
    /// compiling.
    pub fn with_cache(
        settings: &EngineSettings,
        cache: Option<Cache>,
        workshop: Option<Workshop>,
    ) -> Result<Engine, EngineError> {
        Engine::with(settings, cache, workshop, Purpose::Relay)
    }

    /// An engine for the cases of authors, beside no relay: it counts the instructions of plugins.
    pub fn for_cases(settings: &EngineSettings) -> Result<Engine, EngineError> {
        Engine::with(settings, None, None, Purpose::Cases)
    }

    fn with(
        settings: &EngineSettings,
        cache: Option<Cache>,
        workshop: Option<Workshop>,
        purpose: Purpose,
    ) -> Result<Engine, EngineError> {
        let unsupported = |error: wasmtime::Error| EngineError::Unsupported(format!("{error:#}"));
        let functions = Functions::of(settings);
        let make = |pool| {
            let config = config(purpose, functions.as_ref(), pool)?;
            wasmtime::Engine::new(&config)
        };
        let (wasmtime, is_pooling) = match make(Some(pool(settings))) {
            Ok(engine) => (engine, true),
            Err(error) => {
                tracing::warn!(target: "hooks", error = %format!("{error:#}"), "no instance pool: instances are made on demand");
                (make(None).map_err(unsupported)?, false)
            }
        };
        let mut linker = Linker::new(&wasmtime);
        wasi::add_to_linker(&mut linker).map_err(unsupported)?;
        for version in Version::ALL {
            version.add_to_linker(&mut linker).map_err(unsupported)?;
        }
        script::add_to_linker(&mut linker).map_err(unsupported)?;
        Ok(Engine(Arc::new(Inner {
            ticker: Ticker::start(wasmtime.weak())?,
            slots: Semaphore::new(settings.concurrent_calls_max as usize),
            kept: AtomicU32::new(0),
            wasmtime,
            linker,
            compiled: Mutex::default(),
            scripts: Scripts::new(),
            compilations: AtomicU64::new(0),
            workshop,
            vetted: Mutex::default(),
            functions,
            tested: Mutex::default(),
            cache,
            settings: *settings,
            is_pooling,
            purpose,
        })))
    }

    /// True when instances come out of the pool.
    pub fn is_pooling(&self) -> bool {
        self.0.is_pooling
    }

    /// True when plugins start from a snapshot taken after init.
    pub(crate) fn takes_snapshots(&self) -> bool {
        self.0.purpose == Purpose::Relay
    }

    /// Lets a store count instructions, where this engine counts them.
    pub(crate) fn fill_fuel(&self, store: &mut Store<State>) {
        if self.0.purpose == Purpose::Cases {
            store.set_fuel(u64::MAX).expect("an engine for cases counts instructions");
        }
    }

    /// What is known of the self-tests of that file, from this run or an earlier one: they passed, and this is why it
    /// gets no snapshot (empty when it may have one). Blocks while it is read.
    pub(crate) fn tested(&self, file: &Digest) -> Option<String> {
        if let Some(known) = self.0.tested.lock().get(file) {
            return Some(known.clone());
        }
        let kept = self.0.cache.as_ref()?.load(&self.cache_name(&tested_key(file)))?;
        let reason = String::from_utf8(kept.octets().to_vec()).ok()?;
        self.0.tested.lock().insert(*file, reason.clone());
        Some(reason)
    }

    /// Remembers that the self-tests of that file passed, and why it gets no snapshot. Blocks while it is written.
    pub(crate) fn note_tested(&self, file: Digest, no_snapshot: String) {
        if let Some(cache) = &self.0.cache {
            cache.store(&self.cache_name(&tested_key(&file)), no_snapshot.as_bytes());
        }
        let mut tested = self.0.tested.lock();
        if tested.len() >= TESTED_MAX {
            tested.clear();
        }
        tested.insert(file, no_snapshot);
    }

    /// How often a component was compiled.
    pub fn compilations(&self) -> u64 {
        self.0.compilations.load(Ordering::Relaxed)
    }

    /// The settings it was made with.
    pub(crate) fn settings(&self) -> &EngineSettings {
        &self.0.settings
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn linker(&self) -> &Linker<State> {
        &self.0.linker
    }

    pub(crate) fn scripts(&self) -> &Scripts {
        &self.0.scripts
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    /// A slot for one call; none when all stay taken for that long.
    pub(crate) async fn slot(&self, wait_max: Duration) -> Option<SemaphorePermit<'_>> {
        match self.0.slots.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => tokio::time::timeout(wait_max, self.0.slots.acquire()).await.ok()?.ok(),
        }
    }

    /// Room for one more instance that rests between calls; none when there are enough of them.
    pub(crate) fn room(&self) -> Option<Room> {
        let max = self.0.settings.kept_instances_max;
        let more = |kept: u32| (kept < max).then_some(kept + 1);
        self.0.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Room(self.clone()))
    }

    /// Instances that were kept from one call for the next, over all plugins.
    pub fn kept_instances(&self) -> u32 {
        self.0.kept.load(Ordering::Relaxed)
    }

    /// What was compiled under that key.
    pub(crate) fn compiled(&self, key: &Digest) -> Option<Component> {
        self.0.compiled.lock().get(key).cloned()
    }

    /// Sees that a file can be compiled within the bounds of the settings, in a process of its own, where there is a
    /// workshop; what that process compiled is kept for the compilations here. Blocks for as long as it takes.
    pub(crate) fn vet(&self, file: &Digest, wasm: &[u8]) -> Result<(), CompileError> {
        let Some(workshop) = &self.0.workshop else { return Ok(()) };
        if self.0.vetted.lock().contains(file) {
            return Ok(());
        }
        let made = workshop.compile(&self.0.settings, self.0.is_pooling, wasm)?;
        if let Some(functions) = &self.0.functions {
            functions.take_over(made);
        }
        let mut vetted = self.0.vetted.lock();
        if vetted.len() >= TESTED_MAX {
            vetted.clear();
        }
        vetted.insert(*file);
        Ok(())
    }

    /// Compiles a component, or takes what was compiled under that key; blocks for as long as compiling takes.
    pub(crate) fn compile(&self, key: &Digest, wasm: &[u8]) -> wasmtime::Result<Component> {
        if let Some(component) = self.compiled(key) {
            return Ok(component);
        }
        let component = Component::new(&self.0.wasmtime, wasm)?;
        self.0.compilations.fetch_add(1, Ordering::Relaxed);
        self.remember(key, &component);
        Ok(component)
    }

    fn remember(&self, key: &Digest, component: &Component) {
        let mut compiled = self.0.compiled.lock();
        if compiled.len() >= COMPILED_MAX {
            compiled.clear();
        }
        compiled.insert(*key, component.clone());
    }

    /// What an earlier run kept under that key; blocks while it is read.
    pub(crate) fn revive(&self, key: &Digest) -> Option<Component> {
        let (cache, name) = (self.0.cache.as_ref()?, self.cache_name(key));
        match self.deserialize(&cache.load(&name)?) {
            Ok(component) => {
                self.remember(key, &component);
                Some(component)
            }
            Err(error) => {
                tracing::warn!(target: "hooks", error = %format!("{error:#}"), "a compiled plugin of the cache does not fit this relay; it is compiled anew");
                cache.forget(&name);
                None
            }
        }
    }

    /// Keeps a compiled component for later runs under that key; blocks while it is written.
    pub(crate) fn keep(&self, key: &Digest, component: &Component) {
        let Some(cache) = &self.0.cache else { return };
        match component.serialize() {
            Ok(compiled) => cache.store(&self.cache_name(key), &compiled),
            Err(error) => {
                tracing::warn!(target: "hooks", error = %format!("{error:#}"), "a compiled plugin can not be kept in the cache");
            }
        }
    }

    /// The file's name holds all that compiled code depends on: the key, this relay and its contracts, the compiler with
    /// its settings and the processor.
    fn cache_name(&self, key: &Digest) -> Digest {
        let mut compiler = DefaultHasher::new();
        self.0.wasmtime.precompile_compatibility_hash().hash(&mut compiler);
        let compiler = compiler.finish().to_be_bytes();
        let relay = env!("CARGO_PKG_VERSION").as_bytes();
        let contracts =
            Version::ALL.iter().flat_map(|version| version.texts()).map(|(_, text)| text.as_bytes());
        let parts: Vec<&[u8]> = [key, compiler.as_slice(), relay].into_iter().chain(contracts).collect();
        sha2::Sha256::digest(parts.concat()).into()
    }

    /// Native code from the cache as a component.
    #[allow(
        unsafe_code,
        reason = "loading native code trusts it; here is the one place that does, and why it may"
    )]
    fn deserialize(&self, compiled: &Authentic) -> wasmtime::Result<Component> {
        // SAFETY: the octets are what `Component::serialize` of this relay gave: under the name of a component only
        // `keep` stores anything. Only `Cache::load` makes an `Authentic`, after it checked their code, which covers
        // the name, under a key that this user alone can read; and they are in memory, where nobody changes them
        // between that check and this call. Whether they fit this compiler, wasmtime checks.
        unsafe { Component::deserialize(&self.0.wasmtime, compiled.octets()) }
    }

    /// Forgets what was compiled under that key.
    pub(crate) fn forget(&self, key: &Digest) {
        self.0.compiled.lock().remove(key);
        if let Some(cache) = &self.0.cache {
            cache.forget(&self.cache_name(key));
        }
    }

    /// Forgets every compiled component but these.
    pub(crate) fn retain(&self, digests: &[Digest]) {
        self.0.compiled.lock().retain(|digest, _| digests.contains(digest));
    }
}

/// Room for one instance that rests between calls.
pub(crate) struct Room(Engine);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.0.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Under what it is remembered that the self-tests of a file passed.
fn tested_key(file: &Digest) -> Digest {
    sha2::Sha256::digest([b"self-tests".as_slice(), file].concat()).into()
}

/// The compiler of a relay with these settings, for the process that compiles beside it: what one compiles fits the
/// other.
pub(crate) fn compiler_of_relay(
    settings: &EngineSettings,
    is_pooling: bool,
    functions: Option<&Arc<Functions>>,
) -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(&config(Purpose::Relay, functions, is_pooling.then(|| pool(settings)))?)
}

fn config(
    purpose: Purpose,
    functions: Option<&Arc<Functions>>,
    pool: Option<PoolingAllocationConfig>,
) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    if let Some(functions) = functions {
        let functions: Arc<Functions> = Arc::clone(functions);
        config.enable_incremental_compilation(functions)?;
    }
    config.consume_fuel(purpose == Purpose::Cases);
    config.epoch_interruption(true);
    config.concurrency_support(false);
    config.max_wasm_stack(WASM_STACK_OCTETS);
    config.async_stack_size(ASYNC_STACK_OCTETS);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    if let Some(pool) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Ok(config)
}

fn pool(settings: &EngineSettings) -> PoolingAllocationConfig {
    let calls = settings.concurrent_calls_max.saturating_add(settings.kept_instances_max);
    let keep = if PoolingAllocationConfig::is_pagemap_scan_available() {
        KEEP_OCTETS_WITH_SCAN
    } else {
        KEEP_OCTETS_WITHOUT_SCAN
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls);
    pool.total_core_instances(calls.saturating_mul(CORE_INSTANCES_PER_CALL));
    pool.total_memories(calls.saturating_mul(MEMORIES_PER_CALL));
    pool.total_tables(calls.saturating_mul(TABLES_PER_CALL));
    pool.total_stacks(calls.saturating_add(1));
    pool.max_core_instances_per_component(CORE_INSTANCES_PER_CALL);
    pool.max_memories_per_component(MEMORIES_PER_CALL);
    pool.max_tables_per_component(TABLES_PER_CALL);
    pool.max_memory_size(settings.memory_octets_max);
    pool.table_elements(settings.table_elements_max);
    pool.linear_memory_keep_resident(keep);
    pool.table_keep_resident(TABLE_KEEP_OCTETS);
    pool.pagemap_scan(Enabled::Auto);
    pool.max_unused_warm_slots(WARM_SLOTS_MAX);
    pool
}
