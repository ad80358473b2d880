//! `clock`: wall time, and how much of it the call has left.

use tokio::time::Instant;

use crate::bindings::baton::host::clock::Host;
use crate::state::State;

impl Host for State {
    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        self.charge()?;
        Ok(self.terms.capabilities.clock.now().0)
    }

    fn remaining_ms(&mut self) -> wasmtime::Result<u32> {
        self.charge()?;
        let left = self.budget.deadline.saturating_duration_since(Instant::now());
        Ok(u32::try_from(left.as_millis()).unwrap_or(u32::MAX))
    }
}
