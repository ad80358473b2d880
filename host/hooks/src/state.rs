//! What belongs to one call of one plugin: the data of its store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use crate::edits::Staged;
use crate::engine::Engine;
use crate::metrics::Used;
use crate::plugin::Terms;
use crate::policy::FailureKind;
use crate::ticker::TICK;
use crate::{Call, Hook, Limits};

/// The data of a store. It lives as long as the instance; what is about one call changes with each.
pub(crate) struct State {
    pub(crate) terms: Arc<Terms>,
    /// None during init.
    pub(crate) hook: Option<Hook>,
    pub(crate) call: Call,
    pub(crate) staged: Staged,
    pub(crate) budget: Budget,
    pub(crate) memory: MemoryBound,
    pub(crate) table: ResourceTable,
    /// Made when the plugin first uses WASI; most calls never do.
    pub(crate) wasi: Option<WasiCtx>,
}

/// What is left of the call's limits.
pub(crate) struct Budget {
    pub(crate) ticks: u32,
    pub(crate) host_calls: u32,
    pub(crate) read_octets: u64,
    pub(crate) work_octets: u64,
    pub(crate) body_octets: u64,
    pub(crate) dns_queries: u32,
    pub(crate) http_requests: u32,
    pub(crate) verify_questions: u32,
    pub(crate) deadline: Instant,
}

impl Budget {
    fn full(limits: &Limits, started: Instant) -> Budget {
        Budget {
            ticks: ticks(limits),
            host_calls: limits.host_calls_max,
            read_octets: limits.read_octets_max,
            work_octets: limits.work_octets_max,
            body_octets: limits.body_octets_max,
            dns_queries: limits.dns_queries_max,
            http_requests: limits.http_requests_max,
            verify_questions: limits.verify_questions_max,
            deadline: started + wall(limits),
        }
    }
}

/// Why the host ends a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("used up its processor time")]
    CpuBudget,
    #[error("called the host too often or read too much")]
    HostCalls,
    #[error("keeps too many handles open")]
    Handles,
    #[error("{0}")]
    BadVerdict(String),
    /// A script has no decision, in the words of the interpreter.
    #[error("{1}")]
    Script(FailureKind, String),
}

impl State {
    pub(crate) fn new(terms: Arc<Terms>, hook: Option<Hook>, call: Call, started: Instant) -> State {
        let limits = &terms.limits;
        let budget = Budget::full(limits, started);
        let memory = MemoryBound::new(limits);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles_max);
        State { terms, hook, call, staged: Staged::default(), budget, memory, table, wasi: None }
    }

    /// A store with all bounds in force.
    pub(crate) fn into_store(self, engine: &Engine) -> Store<State> {
        let (octets, handles) = (self.terms.limits.host_call_octets_max, self.terms.limits.handles_max);
        let mut store = Store::new(engine.wasmtime(), self);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(count_tick);
        // Holds for each host call by itself, so that nothing is left over from one call to the next.
        store.set_hostcall_fuel(octets);
        store.set_max_component_handles(handles);
        engine.fill_fuel(&mut store);
        store
    }

    /// Begins a call: what it is about moves in, and every bound is as it was at first.
    pub(crate) fn begin(&mut self, hook: Hook, call: &mut Call, started: Instant) {
        self.hook = Some(hook);
        std::mem::swap(&mut self.call, call);
        self.budget = Budget::full(&self.terms.limits, started);
        self.memory.refused = false;
    }

    /// Ends it: what it was about moves out, with the changes that were asked for.
    pub(crate) fn end(&mut self, call: &mut Call) -> Staged {
        self.hook = None;
        std::mem::swap(&mut self.call, call);
        // Its standard streams write in the name of this call.
        self.wasi = None;
        std::mem::take(&mut self.staged)
    }

    /// What the call used so far.
    pub(crate) fn used(&self) -> Used {
        let limits = &self.terms.limits;
        Used {
            memory_octets: self.memory.peak_octets(),
            host_calls: limits.host_calls_max.saturating_sub(self.budget.host_calls),
            read_octets: limits.read_octets_max.saturating_sub(self.budget.read_octets),
            cpu_ms: ticks(limits).saturating_sub(self.budget.ticks),
            fuel: None,
        }
    }

    /// Counts one call of a host function.
    pub(crate) fn charge(&mut self) -> wasmtime::Result<()> {
        self.budget.host_calls = self.budget.host_calls.checked_sub(1).ok_or(Stop::HostCalls)?;
        Ok(())
    }

    /// Counts octets that go to the plugin.
    pub(crate) fn charge_read(&mut self, octets: usize) -> wasmtime::Result<()> {
        self.budget.read_octets =
            self.budget.read_octets.checked_sub(octets as u64).ok_or(Stop::HostCalls)?;
        Ok(())
    }
}

fn ticks(limits: &Limits) -> u32 {
    limits.cpu_ms.div_ceil(TICK.as_millis() as u32)
}

/// The wall time of a call.
pub(crate) fn wall(limits: &Limits) -> Duration {
    Duration::from_millis(u64::from(limits.wall_ms))
}

/// Runs once per tick while the guest is on the processor: lets others run, and ends the guest when its budget is gone.
fn count_tick(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let budget = &mut store.data_mut().budget;
    budget.ticks = budget.ticks.checked_sub(1).ok_or(Stop::CpuBudget)?;
    Ok(UpdateDeadline::Yield(1))
}

/// The bound on memories and tables, over all instances of a component.
pub(crate) struct MemoryBound {
    memory_octets_max: usize,
    table_elements_max: usize,
    memory_octets: usize,
    table_elements: usize,
    /// Something was refused: a trap after that is about memory.
    pub(crate) refused: bool,
}

impl MemoryBound {
    fn new(limits: &Limits) -> MemoryBound {
        MemoryBound {
            memory_octets_max: limits.memory_octets,
            table_elements_max: limits.table_elements,
            memory_octets: 0,
            table_elements: 0,
            refused: false,
        }
    }

    /// Memory at its peak, in octets: linear memory never shrinks.
    pub(crate) fn peak_octets(&self) -> usize {
        self.memory_octets
    }

    fn admit(used: &mut usize, current: usize, desired: usize, max: usize) -> bool {
        let wanted = used.saturating_add(desired.saturating_sub(current));
        let fits = wanted <= max;
        if fits {
            *used = wanted;
        }
        fits
    }
}

impl ResourceLimiter for MemoryBound {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = MemoryBound::admit(&mut self.memory_octets, current, desired, self.memory_octets_max);
        self.refused |= !fits;
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = MemoryBound::admit(&mut self.table_elements, current, desired, self.table_elements_max);
        self.refused |= !fits;
        Ok(fits)
    }
}
