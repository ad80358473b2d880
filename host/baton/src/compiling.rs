//! Compiling plugins beside the relay: this program, started once more, for one component.

use std::io;
use std::process::ExitCode;

use baton_hooks::{Workshop, compile_for_relay};

/// The command that such a process runs.
pub(crate) const COMMAND: &str = "compile-for-relay";
/// The program that runs, also when a newer one has taken its place on the disk.
const PROGRAM: &str = "/proc/self/exe";

/// How the relay starts such a process.
pub(crate) fn workshop() -> Workshop {
    Workshop { program: PROGRAM.into(), arguments: vec![COMMAND.to_owned()] }
}

/// The work of such a process. What it says of a failure is what the relay tells of it.
pub(crate) fn run() -> ExitCode {
    match compile_for_relay(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{error}");
            ExitCode::FAILURE
        }
    }
}
