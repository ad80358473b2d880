//! Compiling in a process of its own. Time and memory of a compiler grow with what it is given, and some files are made
//! to exhaust it: there they exhaust a process that is ended, and mail goes on.
//!
//! The process hands back the functions that it compiled; the relay's own compiler takes them as it finds them, so the
//! work is done once. What it says is trusted as much as the compiler: it is this program.

mod inside;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::EngineSettings;
use crate::functions::Handed;

pub use inside::compile_for_relay;

/// Between two looks at what the process uses.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What is read of an error.
const ERROR_OCTETS_MAX: u64 = 16 << 10;

/// How such a process is started.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// This program.
    pub program: PathBuf,
    /// Words that make it call [`compile_for_relay`].
    pub arguments: Vec<String>,
}

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// The compiler refuses it.
    #[error("{0}")]
    Invalid(String),
    /// It took too much memory.
    #[error(
        "compiling it takes more than {octets_max} octets of memory; if it is what it should be, raise engine.compile_octets_max"
    )]
    Memory { octets_max: u64 },
    /// It took too long.
    #[error("compiling it takes longer than {ms} ms; if it is what it should be, raise engine.compile_ms")]
    Time { ms: u32 },
    /// The process did not do its work.
    #[error("the process that compiles it {0}")]
    Process(String),
}

/// What the process is told before the component.
#[derive(Serialize, Deserialize)]
struct Order {
    settings: EngineSettings,
    is_pooling: bool,
    component_octets: usize,
}

impl Workshop {
    /// Compiles a component within the bounds of the settings, and answers the functions in it. Blocks meanwhile.
    pub(crate) fn compile(
        &self,
        settings: &EngineSettings,
        is_pooling: bool,
        wasm: &[u8],
    ) -> Result<Handed, CompileError> {
        let failed = |error: std::io::Error| CompileError::Process(format!("does not run: {error}"));
        let order = Order { settings: *settings, is_pooling, component_octets: wasm.len() };
        let order = serde_json::to_vec(&order).map_err(|error| failed(error.into()))?;
        let mut child = self.start().map_err(failed)?;
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            // It may be ended before it has read everything; how it ended says why.
            scope.spawn(move || input.map(|input| tell(input, &order, wasm)));
            let octets_max = settings.compile_octets_max;
            let output = thread::spawn(move || read(output, octets_max));
            let errors = thread::spawn(move || read(errors, ERROR_OCTETS_MAX));
            let ended = wait(&mut child, settings);
            let (output, errors) = (joined(output), joined(errors));
            if !ended? {
                let said = String::from_utf8_lossy(&errors);
                return Err(CompileError::Invalid(said.trim().to_owned()));
            }
            postcard::from_bytes(&output)
                .map_err(|error| CompileError::Process(format!("answers what can not be read: {error}")))
        })
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }
}

fn tell(mut input: ChildStdin, order: &[u8], wasm: &[u8]) -> std::io::Result<()> {
    input.write_all(order)?;
    input.write_all(b"\n")?;
    input.write_all(wasm)
}

fn read(from: Option<impl Read>, octets_max: u64) -> Vec<u8> {
    let mut octets = Vec::new();
    if let Some(from) = from {
        // A pipe that breaks leaves what was read, which then can not be understood.
        let _ = from.take(octets_max).read_to_end(&mut octets);
    }
    octets
}

fn joined(reading: JoinHandle<Vec<u8>>) -> Vec<u8> {
    reading.join().unwrap_or_default()
}

/// Waits until the process ended, and whether it did its work; ends it when it goes beyond its bounds.
fn wait(child: &mut Child, settings: &EngineSettings) -> Result<bool, CompileError> {
    let deadline = Instant::now() + Duration::from_millis(settings.compile_ms.into());
    let outcome = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.code().is_some() => return Ok(status.success()),
            Ok(Some(status)) => {
                return Err(CompileError::Process(format!("was ended by the system: {status}")));
            }
            Err(error) => break CompileError::Process(format!("can not be waited for: {error}")),
            Ok(None) if Instant::now() >= deadline => break CompileError::Time { ms: settings.compile_ms },
            Ok(None) if memory_of(child.id()) > settings.compile_octets_max => {
                break CompileError::Memory { octets_max: settings.compile_octets_max };
            }
            Ok(None) => thread::sleep(LOOK_EVERY),
        }
    };
    // One that ended by itself meanwhile can not be ended, and is waited for all the same.
    let _ = child.kill();
    let _ = child.wait();
    Err(outcome)
}

/// Memory that a process has in use, in octets; none when it has just ended.
fn memory_of(process: u32) -> u64 {
    let told = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages: Option<u64> = told.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
