//! What the relay itself is short of: it says so to clients before it collapses.

use std::sync::atomic::{AtomicU64, Ordering};

use baton_mail::UnixMs;
use baton_store::{Refusal as StoreRefusal, Store};

/// How much the relay may take before it refuses mail. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PressureLimits {
    /// Octets of memory that the process uses for itself.
    pub process_octets_max: u64,
    /// Jobs in the queue.
    pub queue_jobs_max: u64,
}

impl Default for PressureLimits {
    /// What this machine allows.
    fn default() -> PressureLimits {
        PressureLimits { process_octets_max: process_octets_allowed(), queue_jobs_max: QUEUE_JOBS_MAX }
    }
}

/// What there is too little of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strain {
    /// Memory.
    Memory,
    /// Room for more mail in the queue.
    Queue,
    /// The disk is full, slow or broken.
    Disk(StoreRefusal),
}

impl Strain {
    /// The name in metrics.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Strain::Memory => "memory",
            Strain::Queue => "queue",
            Strain::Disk(_) => "disk",
        }
    }
}

/// The process's memory, as it was seen last.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    /// When it was looked at; 0 is never.
    looked_at: AtomicU64,
    process_octets: AtomicU64,
}

impl Pressure {
    /// What there is too little of for more mail.
    pub(crate) fn find(&self, limits: PressureLimits, store: &Store, now: UnixMs) -> Option<Strain> {
        if self.is_short_of_memory(limits, now) {
            return Some(Strain::Memory);
        }
        if limits.queue_jobs_max > 0 && store.jobs() >= limits.queue_jobs_max {
            return Some(Strain::Queue);
        }
        store.check_space().err().map(Strain::Disk)
    }

    /// True when the process uses too much memory. Looks once a second at most.
    pub(crate) fn is_short_of_memory(&self, limits: PressureLimits, now: UnixMs) -> bool {
        if limits.process_octets_max == 0 {
            return false;
        }
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        let is_old = looked_at == 0 || now.0 < looked_at || now.0 - looked_at >= LOOK_MS;
        let is_ours = || {
            let next = now.0.max(1);
            self.looked_at.compare_exchange(looked_at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if is_old && is_ours() {
            self.process_octets.store(own_octets().unwrap_or(0), Ordering::Relaxed);
        }
        self.process_octets.load(Ordering::Relaxed) >= limits.process_octets_max
    }
}

/// Octets of memory that nobody but this process uses (proc_pid_statm(5)); none where the system does not tell.
fn own_octets() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split(' ').skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some(resident.saturating_sub(shared).saturating_mul(rustix::param::page_size() as u64))
}

/// The share of the memory that the control group allows at which mail is refused: three quarters, as the rest is needed
/// for what was accepted.
pub fn process_octets_allowed() -> u64 {
    group_octets_max().map_or(0, |octets| octets / 4 * 3)
}

/// The memory that the control group of this process allows (cgroups(7), version 2); none without a bound.
fn group_octets_max() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut folder = std::path::PathBuf::from("/sys/fs/cgroup").join(own.trim_start_matches('/'));
    let mut least = None;
    // A group is bound by all those above it too.
    while folder.starts_with("/sys/fs/cgroup") {
        let text = std::fs::read_to_string(folder.join("memory.max")).unwrap_or_default();
        if let Ok(octets) = text.trim().parse::<u64>() {
            least = Some(least.map_or(octets, |known: u64| known.min(octets)));
        }
        if !folder.pop() {
            break;
        }
    }
    least
}

/// Ten times what was ever measured.
const QUEUE_JOBS_MAX: u64 = 10_000_000;
/// How long a look at the process is good for.
const LOOK_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_sees_its_own_memory() {
        let before = own_octets().unwrap();
        assert!(before > 100_000, "{before}");
        let held = vec![1_u8; 64 << 20];
        let after = own_octets().unwrap();
        assert!(after >= before + (60 << 20), "{before} {after} {}", held.len());
    }

    #[test]
    fn memory_is_looked_at_once_a_second() {
        let pressure = Pressure::default();
        let limits = PressureLimits { process_octets_max: 1, queue_jobs_max: 0 };
        assert!(pressure.is_short_of_memory(limits, UnixMs(5)));
        pressure.process_octets.store(0, Ordering::Relaxed);
        assert!(!pressure.is_short_of_memory(limits, UnixMs(1_004)));
        assert!(pressure.is_short_of_memory(limits, UnixMs(1_005)));
        let none = PressureLimits { process_octets_max: 0, ..limits };
        assert!(!pressure.is_short_of_memory(none, UnixMs(9_000)));
    }
}
