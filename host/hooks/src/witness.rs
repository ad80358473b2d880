//! What calls used, did and wrote, kept for tests and measurements.

use parking_lot::Mutex;

use crate::Hook;
use crate::policy::{Failure, FailureKind};

/// What one call used.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The hook.
    pub hook: Hook,
    /// Wall time, in microseconds.
    pub micros: u32,
    /// Calls of host functions.
    pub host_calls: u32,
    /// Octets of messages, buckets and config that the plugin read.
    pub read_octets: u64,
    /// Linear memory at the end, in octets.
    pub memory_octets: usize,
    /// Instructions, where the engine counts them.
    pub fuel: Option<u64>,
    /// Why it failed, when it did.
    pub(crate) failure: Option<Failure>,
}

impl Cost {
    /// Nothing used yet.
    pub(crate) fn of(hook: Hook) -> Cost {
        Cost { hook, micros: 0, host_calls: 0, read_octets: 0, memory_octets: 0, fuel: None, failure: None }
    }

    /// Why the call failed, when it did: kind, detail.
    pub fn failure(&self) -> Option<(FailureKind, &str)> {
        self.failure.as_ref().map(|failure| (failure.kind, failure.detail.as_str()))
    }
}

/// Keeps what the calls of one plugin did until somebody takes it.
#[derive(Debug, Default)]
pub(crate) struct Witness(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    costs: Vec<Cost>,
    lines: Vec<String>,
}

impl Witness {
    pub(crate) fn add_cost(&self, cost: Cost) {
        self.0.lock().costs.push(cost);
    }

    pub(crate) fn add_line(&self, line: String) {
        self.0.lock().lines.push(line);
    }

    /// What happened since this was asked last: costs, lines.
    pub(crate) fn take(&self) -> (Vec<Cost>, Vec<String>) {
        let seen = std::mem::take(&mut *self.0.lock());
        (seen.costs, seen.lines)
    }
}
