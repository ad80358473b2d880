//! The async runtime and what the process asks of the system.

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

/// A runtime with so many threads; none is one for each processor.
pub(crate) fn threads(count: Option<usize>) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(count) = count {
        builder.worker_threads(count.max(1));
    }
    builder.enable_all().build().context("the runtime can not be started")
}

/// A runtime on this thread alone, for commands that ask one question.
pub(crate) fn single() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("the runtime can not be started")
}

/// Allows as many open files as the system lets this user have: every session and every delivery is one.
pub(crate) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Refused: the limit stays as it was, and running into it is told where it happens.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Lets a thread of the allocator give back what was freed, however idle the others are. Not before the relay is what it
/// will be: a process with threads can not give root up.
pub(crate) fn give_back_freed_memory() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::warn!(target: "relay", %error, "freed memory is given back late");
    }
}

/// A runtime for making or taking load: on one thread there is no work to hand from thread to thread.
pub(crate) fn for_load(count: usize) -> anyhow::Result<Runtime> {
    raise_file_limit();
    if count <= 1 { single() } else { threads(Some(count)) }
}
