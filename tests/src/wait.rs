//! Waiting for what happens in other processes.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

/// How long a test waits for what must come. Only a failing test waits so long.
pub const LONG: Duration = Duration::from_secs(60);
/// How long a test looks before it believes that nothing more comes.
pub const QUIET: Duration = Duration::from_millis(400);

/// Asks again and again until there is an answer; fails with `what` when none comes.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    const PAUSE_MS: u64 = 20;
    let rounds = LONG.as_millis() / u128::from(PAUSE_MS);
    for _ in 0..rounds {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        thread::sleep(Duration::from_millis(PAUSE_MS));
    }
    bail!("waited in vain for {what}")
}

/// Gives what should not happen the time to happen.
pub fn quiet() {
    thread::sleep(QUIET);
}
