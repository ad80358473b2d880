//! The two components of the relay's own that serve scripted policies: the interpreter, and the one that removes types.
//!
//! Both are compiled at most once in a process, when the first script is loaded. The interpreter is kept in the form
//! that a snapshot can be taken from, which serves calls as well: one compilation for both.

use sha2::Digest as _;
use tokio::sync::{OnceCell, Semaphore};
use wasmtime::component::{ComponentType, InstancePre, Lift, Linker};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wizer::Wizer;

use crate::engine::{Digest, Engine};
use crate::policy::FailureKind;
use crate::state::{State, Stop};

/// Built from `sdk/script` by `make script`.
pub(crate) static INTERPRETER: &[u8] = include_bytes!("../assets/script.wasm");
static STRIPPER: &[u8] = include_bytes!("../assets/strip.wasm");

const SCRIPT: &str = "baton:policy/script@0.1.0";
const FAILURE: &str = "baton:policy/failure@0.1.0";
const TYPESCRIPT: &str = "baton:policy/typescript@0.1.0";

/// What an engine keeps for scripts.
pub(crate) struct Scripts {
    interpreter: OnceCell<InstancePre<State>>,
    stripper: OnceCell<InstancePre<State>>,
    /// Snapshots are compiled one after the other: mail goes on meanwhile.
    pub(crate) compiling: Semaphore,
}

impl Scripts {
    pub(crate) fn new() -> Scripts {
        Scripts { interpreter: OnceCell::new(), stripper: OnceCell::new(), compiling: Semaphore::new(1) }
    }

    /// The interpreter, instrumented for snapshots.
    pub(crate) async fn interpreter(&self, engine: &Engine) -> wasmtime::Result<&InstancePre<State>> {
        self.interpreter.get_or_try_init(|| instrumented(engine, INTERPRETER.to_vec())).await
    }

    /// The component that removes types.
    pub(crate) async fn stripper(&self, engine: &Engine) -> wasmtime::Result<&InstancePre<State>> {
        self.stripper.get_or_try_init(|| compiled(engine, || Ok(STRIPPER.to_vec()))).await
    }
}

/// A component in the form that a snapshot can be taken from.
pub(crate) async fn instrumented(engine: &Engine, wasm: Vec<u8>) -> wasmtime::Result<InstancePre<State>> {
    compiled(engine, move || Wizer::new().instrument_component(&wasm).map(|(_, instrumented)| instrumented))
        .await
}

/// Compiles on a thread that may block.
async fn compiled(
    engine: &Engine,
    wasm: impl FnOnce() -> wasmtime::Result<Vec<u8>> + Send + 'static,
) -> wasmtime::Result<InstancePre<State>> {
    let engine = engine.clone();
    let work = move || {
        let wasm = wasm()?;
        let key: Digest = sha2::Sha256::digest(&wasm).into();
        let component = engine.compile(&key, &wasm)?;
        engine.linker().instantiate_pre(&component)
    };
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(wasmtime::Error::msg(error.to_string())))
}

/// What is wrong with a script, and where; line 0 where it stands nowhere.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Problem {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: String,
    /// The setting that the script does not like, when that is what it says.
    pub(crate) setting: Option<String>,
}

/// How the interpreter ends a call.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "only read from the component")]
enum Kind {
    #[component(name = "exception")]
    Exception,
    #[component(name = "bad-decision")]
    BadDecision,
}

/// Links what only the interpreter imports.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let raise = |_: StoreContextMut<'_, State>, (kind, words): (Kind, String)| -> wasmtime::Result<()> {
        let kind = match kind {
            Kind::Exception => FailureKind::Trap,
            Kind::BadDecision => FailureKind::BadVerdict,
        };
        Err(Stop::Script(kind, words).into())
    };
    linker.instance(FAILURE)?.func_wrap("raise", raise)
}

/// Lets an instance of the interpreter do all that needs no script.
pub(crate) async fn prepare(
    store: &mut Store<State>,
    instance: &wasmtime::component::Instance,
) -> wasmtime::Result<()> {
    let function = function(store, instance, SCRIPT, "prepare")?;
    instance.get_typed_func::<(), ()>(&mut *store, function)?.call_async(store, ()).await
}

/// Lets an instance of the interpreter evaluate its script. Answers the names of the hooks that it defines.
pub(crate) async fn load(
    store: &mut Store<State>,
    instance: &wasmtime::component::Instance,
) -> wasmtime::Result<Result<Vec<String>, Problem>> {
    let function = function(store, instance, SCRIPT, "load")?;
    let function = instance.get_typed_func::<(), (Result<Vec<String>, Problem>,)>(&mut *store, function)?;
    Ok(function.call_async(store, ()).await?.0)
}

/// Lets an instance of the stripper remove the types of a text.
pub(crate) async fn strip(
    store: &mut Store<State>,
    instance: &wasmtime::component::Instance,
    text: &str,
) -> wasmtime::Result<Result<String, Problem>> {
    let function = function(store, instance, TYPESCRIPT, "strip")?;
    let function = instance.get_typed_func::<(&str,), (Result<String, Problem>,)>(&mut *store, function)?;
    Ok(function.call_async(store, (text,)).await?.0)
}

fn function(
    store: &mut Store<State>,
    instance: &wasmtime::component::Instance,
    interface: &str,
    name: &str,
) -> wasmtime::Result<wasmtime::component::ComponentExportIndex> {
    let missing = || wasmtime::Error::msg(format!("the relay's own component lacks {interface}"));
    let (_, interface) = instance.get_export(&mut *store, None, interface).ok_or_else(missing)?;
    instance.get_export(&mut *store, Some(&interface), name).map(|(_, function)| function).ok_or_else(missing)
}
