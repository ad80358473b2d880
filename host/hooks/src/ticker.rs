//! The thread that ends runaway plugins: it moves the engine's epoch once a millisecond while a call runs.
//!
//! A timer of the async runtime would not do: the guest that it should stop can hold up the runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::EngineWeak;

/// Time between two epochs: the unit of processor budgets.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Quiet ticks after which the thread sleeps until the next call. Long enough that a loaded relay never wakes it.
const QUIET_TICKS_MAX: u32 = 50;

/// Owner of the thread; the thread ends with it.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    begun: AtomicU64,
    ended: AtomicU64,
    parked: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engine: EngineWeak) -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("hooks-epoch".to_owned())
            .spawn(move || drive_epochs(&theirs, &engine))?;
        Ok(Ticker { shared, thread: thread.thread().clone() })
    }

    /// Keeps the epoch moving for as long as the answer lives. Two atomic additions; a system call only after a pause.
    pub(crate) fn enter(&self) -> Running<'_> {
        self.shared.begun.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A call is running.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

fn drive_epochs(shared: &Shared, engine: &EngineWeak) {
    let (mut seen, mut quiet_ticks) = (0, 0);
    while !shared.stop.load(Ordering::SeqCst) {
        let begun = shared.begun.load(Ordering::SeqCst);
        let is_idle = begun == shared.ended.load(Ordering::SeqCst) && begun == seen;
        seen = begun;
        quiet_ticks = if is_idle { quiet_ticks + 1 } else { 0 };
        if quiet_ticks > QUIET_TICKS_MAX {
            park_until_called(shared, begun);
            quiet_ticks = 0;
        }
        std::thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

/// Announces the sleep before it looks once more, so that a call which begins meanwhile is seen by one side or the other.
fn park_until_called(shared: &Shared, begun: u64) {
    shared.parked.store(true, Ordering::SeqCst);
    while shared.begun.load(Ordering::SeqCst) == begun && !shared.stop.load(Ordering::SeqCst) {
        std::thread::park();
    }
    shared.parked.store(false, Ordering::SeqCst);
}
