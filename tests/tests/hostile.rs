//! Replays what the fuzzer found, and what it starts from, without the fuzzer: each input to its target.

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use baton_tests::program::repository;

/// What broke a promise once, by the folder of its target.
#[test]
fn nothing_that_was_found_breaks_a_promise_again() -> Result<()> {
    let folder = repository().join("tests/fuzz/regressions");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            replayed += replay(&entry.path())?;
        }
    }
    println!("{replayed} inputs replayed");
    ensure!(replayed > 0, "{} holds no inputs", folder.display());
    Ok(())
}

/// The inputs that the fuzzer starts from reach every target and break nothing.
#[test]
fn what_the_fuzzer_starts_from_breaks_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let script = repository().join("tests/fuzz/seeds.py");
    let status = Command::new("python3").arg(script).arg(folder.path()).status()?;
    ensure!(status.success(), "seeds.py failed");
    for (name, _) in targets::TARGETS {
        let replayed = replay(&folder.path().join(name))?;
        ensure!(replayed > 0, "no seed for {name}");
    }
    Ok(())
}

/// Feeds all files of a folder to the target of its name.
fn replay(folder: &std::path::Path) -> Result<usize> {
    let name = folder.file_name().and_then(|name| name.to_str()).context("a name")?;
    let (_, target) =
        targets::TARGETS.iter().find(|(own, _)| *own == name).with_context(|| format!("no target {name}"))?;
    let mut replayed = 0;
    for file in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = file?.path();
        println!("{}", path.display());
        target(&fs::read(&path)?);
        replayed += 1;
    }
    Ok(replayed)
}
