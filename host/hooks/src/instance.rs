//! One instance of a plugin, with the store that it lives in. A call begins and ends in it; between calls it rests.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::Instance as Component;

use crate::Call;
use crate::ask::Ask;
use crate::contract::Guests;
use crate::edits::Staged;
use crate::engine::Engine;
use crate::metrics::Used;
use crate::plugin::{Code, Plugin};
use crate::policy::{Failure, FailureKind};
use crate::run::{NoInstance, classify, within};
use crate::state::State;

/// An instance.
pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) component: Component,
    /// What it was made of.
    code: Arc<Code>,
    /// The functions that were called before, so that a warm call looks nothing up.
    pub(crate) guests: Guests,
}

/// What came of a call in an instance.
pub(crate) struct Ended<A> {
    pub(crate) result: Result<A, Failure>,
    /// The changes that it asked for.
    pub(crate) staged: Staged,
    pub(crate) used: Used,
}

impl Instance {
    /// Makes one, in the state that the plugin was in after init.
    pub(crate) async fn make(engine: &Engine, plugin: &Plugin, now: Instant) -> Result<Instance, Failure> {
        let terms = &plugin.terms;
        let mut store = State::new(terms.clone(), None, terms.nobody.call(), now).into_store(engine);
        terms.meters.made.inc();
        let code = Arc::clone(plugin.code());
        match code.component.instantiate_async(&mut store).await {
            Ok(component) => Ok(Instance { store, component, code, guests: Guests::default() }),
            Err(error) => Err(classify(&error.context(NoInstance), store.data().memory.refused)),
        }
    }

    /// One call, within all bounds. What the call is about is with the plugin while it runs, and back when this returns.
    pub(crate) async fn call<Q: Ask>(
        &mut self,
        plugin: &Plugin,
        question: &Q,
        call: &mut Call,
        started: Instant,
    ) -> Ended<Q::Answer> {
        let fuel = self.fuel(plugin);
        self.store.data_mut().begin(Q::HOOK, call, started);
        self.store.set_epoch_deadline(1);
        let deadline = self.store.data().budget.deadline;
        let code = Arc::clone(&self.code);
        let answered = within(deadline, pin!(question.ask(&code.exports, self))).await;
        let fuel = fuel.and_then(|full| Some(full - self.fuel(plugin)?));
        let state = self.store.data_mut();
        let staged = state.end(call);
        let result = match answered {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(classify(&error, state.memory.refused)),
            None => Err(Failure::new(
                FailureKind::WallTime,
                format!("no answer within {} ms", plugin.terms.limits.wall_ms),
            )),
        };
        Ended { result, staged, used: Used { fuel, ..state.used() } }
    }

    /// Instructions that are left, where somebody counts them.
    fn fuel(&self, plugin: &Plugin) -> Option<u64> {
        plugin.terms.meters.witness.as_ref().and_then(|_| self.store.get_fuel().ok())
    }

    /// True when the last call left a handle open: what it stands for belongs to that call.
    pub(crate) fn holds_handles(&self) -> bool {
        !self.store.data().table.is_empty()
    }
}
