//! Suites that others wrote: how many of their cases passed is printed at the end of `make test`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// Tells how many cases passed: on the standard output, and in a file of the folder that BATON_SUITES names.
///
/// # Errors
/// When a case failed, with all that did.
pub fn conclude(suite: &str, passed: usize, failed: &[String]) -> Result<()> {
    let line = format!("{suite}: {passed} of {} passed", passed + failed.len());
    println!("{line}");
    if let Some(folder) = std::env::var_os("BATON_SUITES").map(PathBuf::from) {
        std::fs::create_dir_all(&folder)?;
        let name: String = suite.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        std::fs::write(folder.join(&name), format!("  {line}\n"))
            .with_context(|| format!("{folder:?}: {name}"))?;
    }
    ensure!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    Ok(())
}
