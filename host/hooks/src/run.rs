//! One call of one plugin: a fresh instance, all bounds in force, edits applied only when it answered.

use baton_mail::text::sanitize;
use tokio::time::Instant;
use wasmtime::{Store, Trap};
use wasmtime_wasi::ResourceTableError;

use crate::Call;
use crate::answer::Answer;
use crate::ask::Ask;
use crate::engine::Engine;
use crate::plugin::Plugin;
use crate::policy::{Failure, FailureKind};
use crate::state::{State, Stop, wall};
use crate::witness::Cost;

/// What came out of a call.
pub(crate) struct Outcome<A> {
    pub(crate) result: Result<A, Failure>,
    /// The edits that were applied, in short form.
    pub(crate) edits: Vec<String>,
    /// Wall time, in microseconds.
    pub(crate) micros: u32,
}

/// Asks one plugin. The call comes back with its edits when it answered, and as it was when it failed.
pub(crate) async fn run<Q: Ask>(
    engine: &Engine,
    plugin: &Plugin,
    question: &Q,
    call: &mut Call,
) -> Outcome<Q::Answer> {
    let started = Instant::now();
    let (result, edits, used) = attempt(engine, plugin, question, call, started).await;
    let took = started.elapsed();
    plugin.terms.meters.of(Q::HOOK).observe(took, result.as_ref().err().map(|failure| failure.kind));
    if let Some(witness) = &plugin.terms.meters.witness {
        witness.add_cost(Cost {
            micros: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
            failure: result.as_ref().err().cloned(),
            ..used
        });
    }
    Outcome { result, edits, micros: u32::try_from(took.as_micros()).unwrap_or(u32::MAX) }
}

async fn attempt<Q: Ask>(
    engine: &Engine,
    plugin: &Plugin,
    question: &Q,
    call: &mut Call,
    started: Instant,
) -> (Result<Q::Answer, Failure>, Vec<String>, Cost) {
    let limits = &plugin.terms.limits;
    let Some(_slot) = engine.slot(wall(limits)).await else {
        return (Err(Failure::new(FailureKind::Busy, "all slots were taken")), Vec::new(), Cost::of(Q::HOOK));
    };
    let _running = engine.ticker().enter();
    let state = State::new(plugin.terms.clone(), Some(Q::HOOK), call.take(), started);
    let mut store = state.into_store(engine);
    let deadline = store.data().budget.deadline;
    let answered = tokio::time::timeout_at(deadline, ask(plugin, question, &mut store)).await;
    let fuel = store.get_fuel().ok().map(|left| u64::MAX - left);
    let mut state = store.into_data();
    let used = Cost { fuel, ..state.cost(Q::HOOK) };
    *call = state.call;
    plugin.terms.meters.observe_memory(state.memory.peak_octets());
    match answered {
        Ok(Ok(answer)) => {
            let edits = std::mem::take(&mut state.staged).apply(call, answer.refuses());
            (Ok(answer), edits, used)
        }
        Ok(Err(error)) => (Err(classify(&error, state.memory.refused)), Vec::new(), used),
        Err(_elapsed) => (
            Err(Failure::new(FailureKind::WallTime, format!("no answer within {} ms", limits.wall_ms))),
            Vec::new(),
            used,
        ),
    }
}

async fn ask<Q: Ask>(plugin: &Plugin, question: &Q, store: &mut Store<State>) -> wasmtime::Result<Q::Answer> {
    let instance =
        plugin.component.instantiate_async(&mut *store).await.map_err(|error| error.context(NoInstance))?;
    question.ask(&plugin.exports, store, &instance).await
}

/// Marks errors from before the plugin ran.
#[derive(Debug, thiserror::Error)]
#[error("no instance could be made")]
pub(crate) struct NoInstance;

/// What kind of failure an error is.
pub(crate) fn classify(error: &wasmtime::Error, memory_was_refused: bool) -> Failure {
    let kind = match error.downcast_ref::<Stop>() {
        Some(Stop::CpuBudget) => FailureKind::CpuBudget,
        Some(Stop::HostCalls) => FailureKind::HostCalls,
        Some(Stop::Handles) => FailureKind::Handles,
        Some(Stop::BadVerdict(_)) => FailureKind::BadVerdict,
        None if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) => {
            FailureKind::Handles
        }
        None if error.chain().any(|cause| cause.to_string().contains(HOST_CALL_OCTETS)) => {
            FailureKind::HostCalls
        }
        None if memory_was_refused => FailureKind::Memory,
        None if error.downcast_ref::<Trap>().is_some() => FailureKind::Trap,
        None if error.downcast_ref::<NoInstance>().is_some() => FailureKind::Instantiate,
        None => FailureKind::Trap,
    };
    Failure::new(kind, describe(error))
}

/// How wasmtime says that a guest handed over more than [`crate::Limits::host_call_octets_max`]; it has no type for it.
const HOST_CALL_OCTETS: &str = "fuel allocated for hostcalls";

/// The chain of causes in one line, the innermost (what really happened) first, the backtrace last.
pub(crate) fn describe(error: &wasmtime::Error) -> String {
    let mut causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.reverse();
    sanitize(&causes.join("; "), 4_096)
}
