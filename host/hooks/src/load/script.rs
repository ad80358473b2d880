//! A plain text file as a plugin: checked and served at once by the interpreter, then from a snapshot of its own.
//!
//! Both tiers run each call in a fresh instance. The first evaluates the script in each call, for the second or two that
//! snapshot and compilation take in the background.

use std::path::Path;
use std::sync::{Arc, Weak};

use serde_json::{Value, json};
use sha2::Digest as _;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre};

use super::artefact::Artefact;
use super::snapshot;
use super::{INIT_CPU_MS, INIT_WALL, LoadError, Made, compile};
use crate::contract::Version;
use crate::engine::{Digest, Engine};
use crate::host::Capabilities;
use crate::log_gate::LogGate;
use crate::plugin::{Code, Faster, Nobody, Terms};
use crate::policy::{Failure, FailureKind};
use crate::run::{classify, describe};
use crate::script::{self, INTERPRETER, Problem};
use crate::secrets::Secrets;
use crate::state::State;
use crate::worlds::World;
use crate::{Grants, Hook, Limits, PluginSettings};

/// Endings of files that are scripts, and whether types are to be removed.
const ENDINGS: [(&str, bool); 4] = [("js", false), ("mjs", false), ("ts", true), ("mts", true)];
/// Octets of a script. What is larger is a program, and better off as a component.
const SCRIPT_OCTETS_MAX: u64 = 1 << 20;
/// The key of the interpreter's config that holds the script.
const SCRIPT_KEY: &str = "baton:script";

/// True for a file that is a script by its name.
pub fn is_script(path: &Path) -> bool {
    ending(path).is_some()
}

fn ending(path: &Path) -> Option<bool> {
    let ending = path.extension()?.to_str()?;
    ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, is_typescript)| *is_typescript)
}

/// Checks size and encoding.
pub(super) fn check_text(settings: &PluginSettings, text: &[u8]) -> Result<(), LoadError> {
    if text.len() as u64 > SCRIPT_OCTETS_MAX {
        return Err(LoadError::too_large(settings, text.len() as u64, SCRIPT_OCTETS_MAX));
    }
    let Err(error) = std::str::from_utf8(text) else { return Ok(()) };
    let before = text.get(..error.valid_up_to()).unwrap_or_default();
    let line = before.iter().filter(|octet| **octet == b'\n').count() as u32 + 1;
    let problem = Problem { line, column: 1, message: "is not UTF-8".to_owned(), setting: None };
    Err(LoadError::script(settings, &problem))
}

/// The settings that the interpreter gets: the script as JavaScript, and the operator's own under it.
pub(super) async fn config(
    engine: &Engine,
    settings: &PluginSettings,
    artefact: &Artefact,
    capabilities: &Capabilities,
) -> Result<Value, Vec<LoadError>> {
    let mut text = String::from_utf8_lossy(&artefact.wasm).into_owned();
    if ending(&settings.source) == Some(true) {
        text = without_types(engine, settings, &text, capabilities).await?;
    }
    let file = settings.source.display().to_string();
    Ok(json!({ SCRIPT_KEY: { "file": file, "source": text, "config": settings.config } }))
}

/// The text with blanks in the place of its types, every character where it was.
async fn without_types(
    engine: &Engine,
    settings: &PluginSettings,
    text: &str,
    capabilities: &Capabilities,
) -> Result<String, Vec<LoadError>> {
    let stripper = engine.scripts().stripper(engine).await;
    let stripper = stripper.map_err(|error| vec![LoadError::compile(settings, describe(&error))])?;
    let terms = plain_terms(settings, capabilities);
    let (mut store, instance) = start(engine, settings, terms, stripper).await?;
    let _running = engine.ticker().enter();
    let stripped = tokio::time::timeout(INIT_WALL, script::strip(&mut store, &instance, text)).await;
    ended(settings, &store, stripped)
}

/// The terms of the relay's own components: no grants and no settings.
fn plain_terms(settings: &PluginSettings, capabilities: &Capabilities) -> Arc<Terms> {
    Arc::new(Terms {
        name: settings.name.clone(),
        label: settings.name.clone(),
        limits: Limits::default(),
        grants: Grants::default(),
        config: json!({}),
        config_json: "{}".to_owned(),
        secrets: Secrets::default(),
        http_grants: Vec::new(),
        capabilities: capabilities.clone(),
        log_gate: LogGate::default(),
        meters: capabilities.metrics.meters(&settings.name),
        nobody: Nobody::new(),
    })
}

/// Checks a script, finds its hooks, and makes its snapshot in the background.
pub(super) async fn make(
    engine: &Engine,
    settings: &PluginSettings,
    terms: &Arc<Terms>,
) -> Result<Made, Vec<LoadError>> {
    let interpreter = engine.scripts().interpreter(engine).await;
    let interpreter = interpreter.map_err(|error| vec![LoadError::compile(settings, describe(&error))])?;
    let (mut store, instance) = start(engine, settings, Arc::clone(terms), interpreter).await?;
    let running = engine.ticker().enter();
    let defined = tokio::time::timeout(INIT_WALL, script::load(&mut store, &instance)).await;
    let defined = ended(settings, &store, defined)?;
    drop(running);
    let hooks = pick(settings, &defined)?;
    let code = Code::of(Version::V0_1, &hooks, false, interpreter.clone())
        .map_err(|error| vec![LoadError::mismatch(settings, describe(&error))])?;
    let interpreter_digest = sha2::Sha256::digest(INTERPRETER).into();
    let key = snapshot::key(snapshot::Kind::Snapshot, &interpreter_digest, &terms.config_json);
    let faster = Arc::new(Faster::new());
    let follow = Follow { engine: engine.clone(), label: terms.label.clone(), hooks: hooks.clone(), key };
    match follow.known().await {
        Some(code) => drop(faster.set(Some(code))),
        None if !engine.takes_snapshots() => drop(faster.set(None)),
        None => drop(tokio::spawn(follow.run(store, instance, Arc::downgrade(&faster)))),
    }
    Ok(Made { key, hooks, code, faster: Some(faster) })
}

/// Makes the interpreter that the relay is built with out of what the compiler made: with all in its memory that needs
/// no script. Only `make script` needs this.
pub async fn prepare_interpreter(engine: &Engine, built: &[u8]) -> Result<Vec<u8>, String> {
    let settings = PluginSettings::new("interpreter", "script.wasm");
    let terms = plain_terms(&settings, &World::new(World::BEGIN).capabilities());
    let component = script::instrumented(engine, built.to_vec()).await.map_err(|error| describe(&error))?;
    let told = |errors: Vec<LoadError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let (mut store, instance) = start(engine, &settings, terms, &component).await.map_err(told)?;
    let _running = engine.ticker().enter();
    script::prepare(&mut store, &instance).await.map_err(|error| describe(&error))?;
    snapshot::of(store, instance, built).await
}

/// An instance outside of any call.
async fn start(
    engine: &Engine,
    settings: &PluginSettings,
    terms: Arc<Terms>,
    component: &InstancePre<State>,
) -> Result<(Store<State>, Instance), Vec<LoadError>> {
    let call = terms.nobody.call();
    let mut state = State::new(terms, None, call, Instant::now());
    state.budget.ticks = INIT_CPU_MS;
    let mut store = state.into_store(engine);
    store.set_hostcall_fuel(usize::MAX);
    let made = component.instantiate_async(&mut store).await;
    let failed = |error| vec![LoadError::init(settings, &classify(&error, store.data().memory.refused))];
    let instance = made.map_err(failed)?;
    Ok((store, instance))
}

/// What a function of the relay's own components answered, or why it did not.
fn ended<T>(
    settings: &PluginSettings,
    store: &Store<State>,
    answered: Result<wasmtime::Result<Result<T, Problem>>, tokio::time::error::Elapsed>,
) -> Result<T, Vec<LoadError>> {
    let error = match answered {
        Ok(Ok(Ok(answer))) => return Ok(answer),
        Ok(Ok(Err(problem))) => LoadError::script(settings, &problem),
        Ok(Err(error)) => LoadError::init(settings, &classify(&error, store.data().memory.refused)),
        Err(_elapsed) => {
            LoadError::init(settings, &Failure::new(FailureKind::WallTime, "it did not return in time"))
        }
    };
    Err(vec![error])
}

/// The hooks that are asked: those that the settings name, or all that the script defines.
fn pick(settings: &PluginSettings, defined: &[String]) -> Result<Vec<Hook>, Vec<LoadError>> {
    let is_defined = |hook: &Hook| defined.iter().any(|name| name == hook.as_str());
    let Some(wanted) = &settings.hooks else {
        return Ok(Hook::ALL.into_iter().filter(is_defined).collect());
    };
    let missing = |hook: &Hook| LoadError::undefined(settings, *hook, defined);
    let errors: Vec<LoadError> = wanted.iter().filter(|hook| !is_defined(hook)).map(missing).collect();
    let in_use = Hook::ALL.into_iter().filter(|hook| wanted.contains(hook)).collect();
    if errors.is_empty() { Ok(in_use) } else { Err(errors) }
}

/// The work behind the first tier.
struct Follow {
    engine: Engine,
    label: String,
    hooks: Vec<Hook>,
    key: Digest,
}

impl Follow {
    /// Takes the snapshot, compiles it, and puts it in force. A script that was edited or removed meanwhile is left.
    async fn run(self, store: Store<State>, instance: Instance, faster: Weak<Faster>) {
        let made = self.make(store, instance, &faster).await;
        match (made, faster.upgrade()) {
            (Ok(Some(code)), Some(faster)) => {
                drop(faster.set(Some(code)));
                tracing::debug!(target: "hooks", plugin = %self.label, "the script's snapshot is in force");
            }
            (Err(reason), Some(faster)) => {
                drop(faster.set(None));
                tracing::warn!(target: "hooks", plugin = %self.label, reason, "no snapshot: the script is evaluated at each call");
            }
            _ => {}
        }
    }

    async fn make(
        &self,
        mut store: Store<State>,
        instance: Instance,
        faster: &Weak<Faster>,
    ) -> Result<Option<Arc<Code>>, String> {
        let compiling = self.engine.scripts().compiling.acquire().await;
        let _compiling = compiling.map_err(|error| error.to_string())?;
        if faster.strong_count() == 0 {
            return Ok(None);
        }
        store.data_mut().budget.ticks = u32::MAX;
        let running = self.engine.ticker().enter();
        let snapshot = snapshot::of(store, instance, INTERPRETER).await?;
        drop(running);
        let compiled = compile(&self.engine, self.key, Arc::new(snapshot)).await;
        let component = compiled.map_err(|error| describe(&error))?;
        let (key, kept) = (self.key, component.clone());
        super::blocking(&self.engine, move |engine| engine.keep(&key, &kept)).await;
        self.link(&component).map(Some).map_err(|error| describe(&error))
    }

    /// The snapshot of an earlier load, or of an earlier run.
    async fn known(&self) -> Option<Arc<Code>> {
        if !self.engine.takes_snapshots() {
            return None;
        }
        let key = self.key;
        let component = match self.engine.compiled(&key) {
            Some(component) => component,
            None => super::blocking(&self.engine, move |engine| engine.revive(&key)).await.flatten()?,
        };
        self.link(&component).ok()
    }

    fn link(&self, component: &Component) -> wasmtime::Result<Arc<Code>> {
        Code::of(Version::V0_1, &self.hooks, false, self.engine.linker().instantiate_pre(component)?)
    }
}
