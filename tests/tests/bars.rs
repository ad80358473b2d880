//! The bars in their short form, which `make bars` runs in full, and the bank's example with less mail.
//!
//! Each script starts the relay by itself, prints every figure beside its bound, and fails when one is not kept or
//! when its control run does not fail.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use baton_tests::program;
use baton_tests::relay::output_within;

/// How long a short bar may take before it is ended.
const BOUND: Duration = Duration::from_secs(400);

fn bar(script: &str, options: &[&str]) -> Result<()> {
    let relay = program::relay()?;
    let plugins = program::plugin("baton-plugin-header-rules")?;
    let mut command = Command::new("python3");
    command.arg(program::repository().join("tests").join(script)).args(options);
    command.env("BATON_BIN", relay).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(folder) = plugins.parent() {
        command.env("BATON_PLUGIN_DIR", folder);
    }
    if let Some(parser) = option_env!("CARGO_BIN_EXE_bare-parser") {
        command.env("BATON_BARE_PARSER", parser);
    }
    let output = output_within(command, BOUND)?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    ensure!(output.status.success(), "{script} {options:?}: {said}");
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() -> Result<()> {
    bar("bars/kill9.py", &["--kills", "5", "--seconds-between", "1.0"])
}

#[test]
fn a_relay_that_ran_out_of_inodes_goes_on_by_itself() -> Result<()> {
    bar("bars/disk_full.py", &["--short"])
}

#[test]
fn no_split_smuggles_a_message() -> Result<()> {
    bar("bars/smuggling.py", &["--short"])
}

#[test]
fn bombs_do_no_harm() -> Result<()> {
    bar("bars/bombs.py", &["--short"])
}

#[test]
fn hostile_plugins_hurt_nobody_else() -> Result<()> {
    bar("bars/hostile.py", &["--short"])
}

#[test]
fn a_bank_is_told_the_same_by_all() -> Result<()> {
    bar("examples/bank.py", &["--codes", "50", "--confirmations", "500"])
}
