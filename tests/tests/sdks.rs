//! The plugin that all SDKs have in common, in each language: `baton plugin build` and `baton plugin test` run one file of
//! cases against all of them, in the real plugin host.
//!
//! `.ci/examples` compiles those of other languages than Rust, by their own tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use baton_tests::program;

/// Cases that the file has at least.
const CASES_MIN: usize = 9;

#[test]
fn rust() -> Result<()> {
    run("rust", &program::plugin("attachment-guard")?)
}

#[test]
fn javascript() -> Result<()> {
    run("js", &compiled("js")?)
}

#[test]
fn python() -> Result<()> {
    run("python", &compiled("python")?)
}

#[test]
fn c() -> Result<()> {
    run("c", &compiled("c")?)
}

#[test]
fn go() -> Result<()> {
    run("go", &compiled("go")?)
}

/// Makes the project of an example anew around what its tools compiled, and has the relay's own commands do the rest.
fn run(sdk: &str, compiled: &Path) -> Result<()> {
    let repository = program::repository();
    let manifest = repository.join("sdk").join(sdk).join("example/plugin.toml");
    let text = std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let mut project: toml::Table = toml::from_str(&text)?;
    let cases = repository.join("tests/plugins/vectors/cases.toml");
    project.insert("cases".to_owned(), cases.display().to_string().into());
    let build = project.entry("build").or_insert_with(|| toml::Table::new().into());
    let build = build.as_table_mut().context("[build] is a table")?;
    build.insert("command".to_owned(), format!("cp '{}' plugin.wasm", compiled.display()).into());
    build.insert("output".to_owned(), "plugin.wasm".into());
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("plugin.toml"), toml::to_string(&project)?)?;
    baton(folder.path(), "build")?;
    let report = baton(folder.path(), "test")?;
    let passed = report.lines().filter(|line| line.trim_start().starts_with("ok ")).count();
    ensure!(passed >= CASES_MIN, "too few cases:\n{report}");
    Ok(())
}

fn baton(folder: &Path, command: &str) -> Result<String> {
    let output = Command::new(program::relay()?).args(["plugin", command]).current_dir(folder).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "baton plugin {command}:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// What `.ci/examples` left.
fn compiled(language: &str) -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let cache = cache.context("neither XDG_CACHE_HOME nor HOME is set")?;
    let path = cache.join(format!("baton/examples/{language}.wasm"));
    ensure!(path.is_file(), "{} is missing; make it: .ci/examples", path.display());
    Ok(path)
}
