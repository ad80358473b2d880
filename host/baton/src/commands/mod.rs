//! The commands that are not the relay itself.

pub(crate) mod check;
pub(crate) mod domain;
pub(crate) mod explain;
pub(crate) mod operator;
pub(crate) mod person;
pub(crate) mod plugin;
pub(crate) mod plugins;
pub(crate) mod policy;
pub(crate) mod queue;
pub(crate) mod reload;
pub(crate) mod reports;
pub(crate) mod search;
pub(crate) mod shaping;
pub(crate) mod simulate;
pub(crate) mod suppression;
pub(crate) mod template;
pub(crate) mod tenants;
pub(crate) mod trace;
pub(crate) mod tracking;
pub(crate) mod user;
pub(crate) mod webhook;

use std::io::Write;

use serde::Serialize;

/// Prints an answer: as JSON when that was asked for, else as `show` says it.
pub(crate) fn print<T: Serialize>(
    answer: &T,
    json: bool,
    show: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(answer)? + "\n" } else { show(answer) };
    write_out(&text)
}

/// What an operator should know, a line each.
pub(crate) fn notes(advice: &[String]) -> String {
    advice.iter().map(|advice| format!("note: {advice}\n")).collect()
}

/// Writes to the standard output. A reader that went away (`| head`) is no error.
pub(crate) fn write_out(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
