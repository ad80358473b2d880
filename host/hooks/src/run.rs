//! One call of one plugin: admitted by its breaker, in a warm or a fresh instance, all bounds in force.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use baton_mail::text::sanitize;
use tokio::time::Instant;
use wasmtime::Trap;
use wasmtime_wasi::ResourceTableError;

use crate::answer::Answer;
use crate::ask::Ask;
use crate::breaker::Admission;
use crate::edits::Staged;
use crate::engine::Engine;
use crate::instance::{Ended, Instance};
use crate::metrics::Used;
use crate::plugin::Plugin;
use crate::policy::{Failure, FailureKind};
use crate::record::{Mask, Record, Recording};
use crate::shelf::Place;
use crate::state::{Stop, wall};
use crate::{Call, Hook};

/// What came out of a call. Nothing is applied yet.
pub(crate) struct Outcome<A> {
    pub(crate) result: Result<A, Failure>,
    /// The changes that the plugin asked for; none when it failed.
    pub(crate) staged: Staged,
    /// Wall time.
    pub(crate) took: Duration,
}

impl<A> Outcome<A> {
    /// The plugin was not asked.
    pub(crate) fn failed(failure: Failure) -> Outcome<A> {
        Outcome { result: Err(failure), staged: Staged::default(), took: Duration::ZERO }
    }

    /// Wall time in microseconds, as the decision log has it.
    pub(crate) fn micros(&self) -> u32 {
        u32::try_from(self.took.as_micros()).unwrap_or(u32::MAX)
    }
}

/// Asks one plugin. The call comes back as it was; what the plugin wants to change is in the outcome.
pub(crate) async fn run<Q: Ask>(
    engine: &Engine,
    plugin: &Plugin,
    question: &Q,
    call: &mut Call,
) -> Outcome<Q::Answer> {
    let started = Instant::now();
    let meters = plugin.terms.meters.of(Q::HOOK);
    let Admission::Call(pass) = plugin.running.breaker.admit(started) else {
        meters.count_failure(FailureKind::BreakerOpen);
        let failure = Failure::new(FailureKind::BreakerOpen, "it failed too often and is left alone");
        return Outcome::failed(failure);
    };
    let recording = begin_recording(plugin, question, call);
    let Ended { result, staged, used } = match &recording {
        None => attempt(engine, plugin, question, call, started).await,
        // Boxed, so that calls which are not recorded carry nothing of this.
        Some(recording) => {
            Box::pin(recording.tape.during(attempt(engine, plugin, question, call, started))).await
        }
    };
    let now = Instant::now();
    let took = now.saturating_duration_since(started);
    meters.observe(took, used);
    if let (Some(recorder), Some(recording)) = (&plugin.running.recorder, recording) {
        let (answer, edits) = told(&result, &staged);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let ended = |record: Record| record.ended(answer, edits, micros, used.host_calls);
        recorder.finish(recording, Mask::of(&plugin.terms.secrets), ended);
    }
    if let Some(witness) = &plugin.terms.meters.witness {
        witness.add_cost(used.cost(Q::HOOK, took, result.as_ref().err()));
    }
    match result {
        Ok(answer) => {
            pass.succeed();
            tell(plugin, Q::HOOK, call, &answer, &staged, took);
            Outcome { result: Ok(answer), staged, took }
        }
        Err(failure) => {
            meters.count_failure(failure.kind);
            if failure.kind.is_of_the_plugin() && pass.fail(now) {
                tracing::warn!(target: "hooks", plugin = %plugin.terms.label, kind = failure.kind.as_str(), "a plugin fails too often: its failure policy answers for a while");
            }
            Outcome { result: Err(failure), staged: Staged::default(), took }
        }
    }
}

/// Begins to record a call, where the settings say so.
fn begin_recording<Q: Ask>(plugin: &Plugin, question: &Q, call: &Call) -> Option<Recording> {
    let recorder = plugin.running.recorder.as_ref()?;
    let record = || {
        let now = plugin.terms.capabilities.clock.now();
        let terms = (&plugin.settings.grants, &plugin.settings.config);
        Record::of(Q::HOOK, &plugin.terms.label, terms, now, question.recipient(), call)
    };
    recorder.begin(Q::HOOK, record, call)
}

/// What came out of a call, to be compared: the answer in words, and the changes in full.
pub(crate) fn told<A: Answer>(result: &Result<A, Failure>, staged: &Staged) -> (String, Vec<String>) {
    match result {
        Ok(answer) => (answer.words(), staged.in_full(answer.refuses())),
        Err(failure) => (format!("failed ({})", failure.kind), Vec::new()),
    }
}

/// Tells of each answer, a plain `next` included, to those who log at that level: authors at work.
fn tell(plugin: &Plugin, hook: Hook, call: &Call, answer: &impl Answer, staged: &Staged, took: Duration) {
    if !tracing::enabled!(target: "hooks::decision", tracing::Level::DEBUG) {
        return;
    }
    tracing::debug!(
        target: "hooks::decision",
        plugin = %plugin.terms.label,
        hook = hook.as_str(),
        answer = answer.words(),
        edits = staged.summaries(answer.refuses()).join(", "),
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        session = %call.session.id,
    );
}

async fn attempt<Q: Ask>(
    engine: &Engine,
    plugin: &Plugin,
    question: &Q,
    call: &mut Call,
    started: Instant,
) -> Ended<Q::Answer> {
    let refused = |failure| Ended { result: Err(failure), staged: Staged::default(), used: Used::default() };
    let Some(_slot) = engine.slot(wall(&plugin.terms.limits)).await else {
        return refused(Failure::new(FailureKind::Busy, "all slots were taken"));
    };
    let _running = engine.ticker().enter();
    let shelf = &plugin.running.shelf;
    let place = Place { hook: Q::HOOK, session: call.session.id };
    if let Some(mut kept) = shelf.take(place, started) {
        let ended = kept.instance.call(plugin, question, call, started).await;
        if ended.result.is_err() || kept.instance.holds_handles() {
            plugin.terms.meters.spoilt.inc();
        } else if shelf.give_back(kept, place, started).is_some() {
            plugin.terms.meters.worn_out.inc();
        }
        return ended;
    }
    let mut instance = match Instance::make(engine, plugin, started).await {
        Ok(instance) => instance,
        Err(failure) => return refused(failure),
    };
    let ended = instance.call(plugin, question, call, started).await;
    if ended.result.is_ok()
        && !instance.holds_handles()
        && let Some(kept) = shelf.adopt(instance, place, started)
        && shelf.give_back(kept, place, started).is_some()
    {
        plugin.terms.meters.worn_out.inc();
    }
    ended
}

/// Waits until the deadline at most. A timer is set only for work that is not done at the first look: most calls are.
/// The work is pinned by the caller, so that it is not copied on the way here.
pub(crate) async fn within<F: Future>(deadline: Instant, mut work: Pin<&mut F>) -> Option<F::Output> {
    if let Poll::Ready(output) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        return Some(output);
    }
    tokio::time::timeout_at(deadline, work).await.ok()
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
        Some(Stop::Script(..)) if memory_was_refused => FailureKind::Memory,
        Some(Stop::Script(kind, _)) => *kind,
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
