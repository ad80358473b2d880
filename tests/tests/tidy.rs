//! What the compiler and clippy do not see of the house rules: file length, who may use whom, names, leftovers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use baton_tests::program::repository;

/// Lines of a source file at most, its unit tests not counted.
const FILE_LINES_MAX: usize = 600;

/// The crates of the host and which of ours each may use.
const EDGES: &[(&str, &[&str])] = &[
    ("mail", &[]),
    ("smtp", &["mail"]),
    ("content", &["mail"]),
    ("dns", &["mail"]),
    ("identity", &["dns", "mail"]),
    ("tls", &["mail"]),
    ("store", &["mail"]),
    ("accounts", &["store", "mail"]),
    ("hooks", &["mail"]),
    ("inbound", &["smtp", "hooks", "store", "accounts", "content", "dns", "identity", "tls", "mail"]),
    ("outbound", &["smtp", "hooks", "store", "dns", "identity", "tls", "mail"]),
    ("events", &["store", "identity", "hooks", "mail"]),
    ("api", &["store", "accounts", "content", "events", "mail", "hooks", "identity", "tls"]),
    (
        "baton",
        &[
            "mail", "smtp", "dns", "store", "accounts", "hooks", "identity", "tls", "inbound", "outbound",
            "api", "content", "events",
        ],
    ),
];

/// Heavy dependencies and the one crate of the host where each lives.
const FENCED: &[(&str, &str)] = &[
    ("wasmtime", "hooks"),
    ("wasmtime-wasi", "hooks"),
    ("rocksdb", "store"),
    ("hickory-resolver", "dns"),
    ("hickory-proto", "dns"),
    ("axum", "api"),
    ("mail-parser", "mail"),
];

/// Crates without sockets, clocks and runtime.
const PURE: &[&str] = &["mail", "smtp", "content"];

/// The words of the stages: each names its tests too.
const STAGES: &[&str] = &["listener", "session", "hooks", "queue", "router", "delivery", "bounce", "store"];

#[test]
fn files_are_short() -> Result<()> {
    let mut long = Vec::new();
    for path in files_ending(&["rs", "py"])? {
        let text = read(&path)?;
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{}: {lines} lines", shown(&path)));
        }
    }
    assert!(long.is_empty(), "longer than {FILE_LINES_MAX} lines: {long:#?}");
    Ok(())
}

#[test]
fn no_file_has_a_name_that_says_nothing() -> Result<()> {
    let banned = ["utils", "util", "common", "helpers", "helper", "manager", "misc"];
    let found: Vec<_> = files_ending(&["rs", "py", "js", "sh"])?
        .into_iter()
        .filter(|path| {
            stem(path).is_some_and(|stem| banned.contains(&stem))
                || folder(path).is_some_and(|name| banned.contains(&name))
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}

#[test]
fn crates_use_only_what_the_design_allows() -> Result<()> {
    for (name, allowed) in EDGES {
        for used in dependencies(&format!("host/{name}"))? {
            if let Some(ours) = used.strip_prefix("baton-") {
                assert!(allowed.contains(&ours), "host/{name} uses {used}");
            }
        }
    }
    let crates = children("host")?;
    let listed: Vec<_> = EDGES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(
        crates.iter().all(|name| listed.contains(name)),
        "a crate without a place in the design: {crates:?}"
    );
    Ok(())
}

#[test]
fn plugins_and_sdk_know_nothing_of_the_host() -> Result<()> {
    let mut guests: Vec<String> = vec!["sdk/rust".into(), "sdk/rust/macros".into()];
    guests.extend(children("plugins")?.iter().map(|name| format!("plugins/{name}")));
    for guest in guests {
        let foreign: Vec<_> = dependencies(&guest)?
            .into_iter()
            .filter(|used| used.starts_with("baton-") && !used.starts_with("baton-sdk"))
            .collect();
        assert!(foreign.is_empty(), "{guest} uses {foreign:?}");
    }
    Ok(())
}

#[test]
fn heavy_dependencies_have_one_home() -> Result<()> {
    for (name, _) in EDGES {
        for used in dependencies(&format!("host/{name}"))? {
            if let Some((_, home)) = FENCED.iter().find(|(fenced, _)| *fenced == used) {
                assert_eq!(name, home, "host/{name} uses {used}");
            }
        }
    }
    Ok(())
}

#[test]
fn pure_crates_have_no_runtime() -> Result<()> {
    for name in PURE {
        let used = dependencies(&format!("host/{name}"))?;
        assert!(!used.iter().any(|used| used == "tokio" || used == "socket2"), "host/{name} uses {used:?}");
    }
    Ok(())
}

#[test]
fn every_stage_has_its_tests() {
    for stage in STAGES {
        let path = repository().join(format!("tests/tests/relay/{stage}.rs"));
        assert!(path.is_file(), "no end-to-end tests for {stage}");
    }
}

#[test]
fn every_crate_says_its_invariants() -> Result<()> {
    for (name, _) in EDGES {
        let crate_root = repository().join("host").join(name);
        let root = crate_root.join(if *name == "baton" { "src/main.rs" } else { "src/lib.rs" });
        let mut text = read(&root)?;
        if text.contains("include_str!(\"../README.md\")") {
            text += &read(&crate_root.join("README.md"))?;
        }
        assert!(text.contains("Invariant:"), "{} says no invariant", shown(&root));
    }
    Ok(())
}

#[test]
fn tests_ask_for_no_feature_that_the_relay_does_without() -> Result<()> {
    // `make demo` builds without the dependencies that only tests have, `make test` with them. Where these change a
    // feature of a common dependency, all that rests on it is compiled twice: RocksDB alone costs a quarter of an hour.
    let features = |edges: &str| -> Result<BTreeSet<String>> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([
            "tree",
            "--workspace",
            "--offline",
            "--prefix",
            "none",
            "--format",
            "{p} {f}",
            "--edges",
            edges,
        ]);
        let output = cargo.current_dir(repository()).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| line.trim_end_matches(" (*)").to_owned())
            .collect())
    };
    let (without, with) = (features("normal,build")?, features("normal,build,dev")?);
    let differences: Vec<_> = without.symmetric_difference(&with).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    Ok(())
}

#[test]
fn the_interpreter_is_made_from_what_is_here() -> Result<()> {
    let record = "host/hooks/assets/SHA256";
    let mut compare = Command::new("sha256sum");
    compare.args(["--check", "--strict", "--quiet", record]).current_dir(repository());
    let output = compare.output().context("run sha256sum")?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "sdk/script is not what host/hooks/assets was made from; run `make script`:\n{told}"
    );
    Ok(())
}

#[test]
fn nothing_is_left_open_and_no_machine_is_named() -> Result<()> {
    // Put together here, so that this file does not find itself.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["/work", "/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/home", "/"].concat(),
        ["/tmp/br", "ief"].concat(),
    ];
    let mut found = Vec::new();
    for path in files_ending(&["rs", "py", "js", "sh", "md", "toml", "wit", "yml", "conf", "smtp"])? {
        for (number, line) in read(&path)?.lines().enumerate() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}

/// Names of all dependencies of a package, those for tests included.
fn dependencies(package: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = toml::from_str(&read(&repository().join(package).join("Cargo.toml"))?)?;
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let named: BTreeMap<_, _> =
        tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flatten().collect();
    Ok(named.into_keys().cloned().collect())
}

/// Names of the folders in a folder that hold a manifest.
fn children(folder: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(repository().join(folder))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Every file of the checkout with one of these endings; what builds and runs leave behind is skipped.
fn files_ending(endings: &[&str]) -> Result<Vec<PathBuf>> {
    let skipped = [".git", "target", "node_modules", ".venv", "dist", "baton-data", "__pycache__"];
    let mut found = Vec::new();
    let mut folders = vec![repository()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !skipped.contains(&entry.file_name().to_string_lossy().as_ref()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn stem(path: &Path) -> Option<&str> {
    path.file_stem()?.to_str()
}

fn folder(path: &Path) -> Option<&str> {
    path.parent()?.file_name()?.to_str()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}
