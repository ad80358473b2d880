//! The tools of those who write plugins, as they are typed.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use baton_tests::{program, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What a program said, and whether it was content.
struct Said {
    text: String,
    is_success: bool,
}

fn baton(folder: &Path, words: &[&str]) -> Result<Said> {
    let Output { status, stdout, stderr } =
        // What cargo builds in a test is what it fetched for this workspace.
        Command::new(program::relay()?)
            .args(words)
            .env("CARGO_NET_OFFLINE", "true")
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()?;
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    Ok(Said { text, is_success: status.success() })
}

impl Said {
    /// It went well, and said all of that.
    fn well(self, expected: &[&str]) -> Result<()> {
        ensure!(self.is_success, "failed:\n{}", self.text);
        self.all_of(expected)
    }

    /// It failed, and said all of that.
    fn badly(self, expected: &[&str]) -> Result<()> {
        ensure!(!self.is_success, "went well:\n{}", self.text);
        self.all_of(expected)
    }

    fn all_of(self, expected: &[&str]) -> Result<()> {
        for expected in expected {
            ensure!(self.text.contains(expected), "`{expected}` was not said:\n{}", self.text);
        }
        Ok(())
    }
}

fn zoo() -> Result<String> {
    Ok(program::plugin("baton-plugin-zoo")?.display().to_string())
}

const CASES: &str = r#"
[[case]]
name = "rcpt is refused"
hook = "rcpt"
config = { rcpt = "reject" }
expect = { decision = "reject", code = 550, text = "the zoo is closed" }

[[case]]
name = "data is tagged"
hook = "data"
config = { data = "edit" }
expect = { decision = "next", tags = { zoo = "was here" } }
"#;

#[test]
fn cases_pass_and_fail_by_the_exit_status() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let zoo = zoo()?;
    std::fs::write(folder.path().join("cases.toml"), CASES)?;
    let words = ["plugin", "test", &zoo, "--cases", "cases.toml"];
    baton(folder.path(), &words)?.well(&[
        "ok    rcpt is refused",
        "rcpt: reject 550 5.7.1 the zoo is closed",
        "2 of 2 cases passed",
    ])?;

    std::fs::write(folder.path().join("cases.toml"), CASES.replace("code = 550", "code = 551"))?;
    let expected = ["FAIL  rcpt is refused", "expect.code: expected 551, got 550", "1 of 2 cases failed"];
    baton(folder.path(), &words)?.badly(&expected)?;

    std::fs::write(folder.path().join("cases.toml"), CASES.replace("hook = \"rcpt\"", "hook = \"helo\""))?;
    baton(folder.path(), &words)?.badly(&[
        "cases.toml",
        "case \"rcpt is refused\"",
        "hook: `helo` is no hook",
    ])
}

#[test]
fn a_component_is_measured_over_its_cases() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let zoo = zoo()?;
    std::fs::write(folder.path().join("cases.toml"), CASES)?;
    let words = ["plugin", "bench", &zoo, "--cases", "cases.toml", "--calls", "20", "--json"];
    let said = baton(folder.path(), &words)?;
    ensure!(said.is_success, "{}", said.text);
    let json = said.text.lines().find(|line| line.starts_with('[')).context("no JSON was printed")?;
    let rows: Vec<Value> = serde_json::from_str(json)?;
    ensure!(rows.len() == 2, "{rows:?}");
    for row in rows {
        let above_zero = |key: &str| row.get(key).and_then(Value::as_f64).is_some_and(|value| value > 0.0);
        for key in
            ["fresh_median_us", "fresh_p99_us", "warm_median_us", "host_calls", "memory_octets", "fuel"]
        {
            ensure!(above_zero(key), "{key} is missing: {row}");
        }
    }
    Ok(())
}

#[test]
fn a_component_is_checked_and_inspected() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let zoo = zoo()?;
    baton(folder.path(), &["plugin", "check", &zoo])?
        .well(&["fits this relay", "connect, auth, rcpt, data, route, bounce"])?;
    let inspected = baton(folder.path(), &["plugin", "inspect", &zoo])?;
    inspected.well(&["sha256 ", "baton:relay/rcpt-hook@0.1.0", "baton:host/kv@0.1.0"])?;

    std::fs::write(folder.path().join("core.wasm"), b"\0asm\x01\0\0\0")?;
    let checked = baton(folder.path(), &["plugin", "check", "core.wasm"])?;
    checked.badly(&["not a component but a core module", "build for wasm32-wasip2"])?;
    std::fs::write(folder.path().join("text.wasm"), b"#!/bin/sh")?;
    baton(folder.path(), &["plugin", "check", "text.wasm"])?.badly(&["is not a WebAssembly component"])?;
    baton(folder.path(), &["plugin", "check"])?.badly(&["name its file"])
}

#[test]
fn a_manifest_is_packed_and_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::copy(zoo()?, folder.path().join("zoo.wasm"))?;
    std::fs::write(folder.path().join("cases.toml"), CASES)?;
    let manifest = "name = \"zoo\"\nversion = \"1.2.3\"\ndescription = \"Animals.\"\nlicense = \"Apache-2.0\"\n\
                    cases = \"cases.toml\"\n[requests]\nedit = [\"headers\"]\nkv = [\"zoo\"]\n";
    std::fs::write(folder.path().join("plugin.toml"), manifest)?;
    baton(folder.path(), &["plugin", "pack", "zoo.wasm"])?
        .well(&["fits this relay", "edit headers, kv zoo"])?;
    baton(folder.path(), &["plugin", "inspect", "zoo.wasm"])?.well(&[
        "zoo 1.2.3, Apache-2.0",
        "with self-test cases",
        "edit headers: adds, replaces and removes header fields",
        "kv zoo: keeps data of its own",
    ])?;
    // The component carries its cases: no file is needed.
    std::fs::remove_file(folder.path().join("plugin.toml"))?;
    baton(folder.path(), &["plugin", "test", "zoo.wasm"])?.well(&["2 of 2 cases passed"])?;

    std::fs::write(folder.path().join("plugin.toml"), manifest.replace("kv = ", "files = "))?;
    baton(folder.path(), &["plugin", "pack", "zoo.wasm"])?.badly(&["plugin.toml", "unknown field `files`"])
}

#[test]
fn a_project_is_not_made_over_another_one_nor_in_an_unknown_language() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sdk = program::repository().join("sdk").display().to_string();
    let words = ["plugin", "new", "--lang", "rust", "--hooks", "rcpt,data", "--sdk", &sdk, "my-guard"];
    baton(folder.path(), &words)?.well(&["my-guard is a plugin in rust", "baton plugin build"])?;
    let code = std::fs::read_to_string(folder.path().join("my-guard/src/lib.rs"))?;
    ensure!(
        code.contains("impl Rcpt for") && code.contains("impl Data for") && !code.contains("impl Auth for"),
        "{code}"
    );
    baton(folder.path(), &words)?.badly(&["my-guard is there already"])?;
    let unknown = ["plugin", "new", "--lang", "cobol", "--sdk", &sdk, "other"];
    baton(folder.path(), &unknown)?.badly(&["there is no template for `cobol`; there are rust"])
}

#[test]
fn what_a_build_lacks_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let write = |build: &str| {
        let text = format!("name = \"a\"\nversion = \"1\"\n[build]\n{build}\n");
        std::fs::write(folder.path().join("plugin.toml"), text)
    };
    write("command = \"no-such-tool-at-all\"\noutput = \"a.wasm\"")?;
    baton(folder.path(), &["plugin", "build"])?
        .badly(&["`no-such-tool-at-all` or a tool that it needs is not installed"])?;
    write("command = \"true\"\noutput = \"a.wasm\"")?;
    baton(folder.path(), &["plugin", "build"])?
        .badly(&["a.wasm: not made by the command", "[build] output"])?;
    std::fs::write(folder.path().join("a.wasm"), b"\0asm\x01\0\0\0")?;
    baton(folder.path(), &["plugin", "build"])?.badly(&["the build made a core module", "adapter = true"])?;
    std::fs::remove_file(folder.path().join("plugin.toml"))?;
    baton(folder.path(), &["plugin", "build"])?.badly(&["plugin.toml: not read", "baton plugin new NAME"])
}

/// Every plugin that ships carries cases, and passes them.
#[test]
fn the_plugins_that_ship_pass_their_cases() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut failed, mut count) = (Vec::new(), 0);
    for entry in std::fs::read_dir(program::repository().join("plugins"))? {
        let path = entry?.path();
        if !path.join("Cargo.toml").is_file() {
            continue;
        }
        let name = path.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        let component = program::plugin(&format!("baton-plugin-{name}"))?.display().to_string();
        let said = baton(folder.path(), &["plugin", "test", &component])?;
        count += 1;
        if !said.is_success {
            failed.push(said.text);
        }
    }
    ensure!(count >= 20, "only {count} plugins were found");
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

#[test]
fn an_edited_project_is_swapped_into_the_local_relay() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::copy(zoo()?, folder.path().join("zoo.wasm"))?;
    let manifest = "name = \"zoo\"\nversion = \"1\"\n\
                    [build]\ncommand = \"mkdir -p dist && cp zoo.wasm dist/zoo.wasm\"\noutput = \"dist/zoo.wasm\"\n";
    std::fs::write(folder.path().join("plugin.toml"), manifest)?;
    std::fs::write(folder.path().join("settings.toml"), "rcpt = \"reject\"\n")?;
    let log = folder.path().join("dist/said");
    std::fs::create_dir(folder.path().join("dist"))?;
    let words = ["plugin", "dev", "--listen", "127.0.0.1:0", "--config", "settings.toml"];
    let mut child = Command::new(program::relay()?);
    let child = child.args(words).current_dir(folder.path()).stdin(Stdio::null());
    let mut dev = Ended(child.stdout(std::fs::File::create(&log)?).stderr(Stdio::null()).spawn()?);
    let said = |words: &str| {
        let look = || Ok(std::fs::read_to_string(&log)?.contains(words).then_some(()));
        wait::until(&format!("the tool to say `{words}`"), look)
    };
    said("the relay listens on ")?;
    let text = std::fs::read_to_string(&log)?;
    let address = text.split("listens on ").nth(1).and_then(|rest| rest.split(';').next());
    let address = address.context("no address was told")?.to_owned();
    let send = || baton(folder.path(), &["send", "--to", &address, "--rcpt", "ann@us.example"]);
    send()?.badly(&["550 5.7.1 the zoo is closed"])?;
    said("rcpt     reject 550 5.7.1 the zoo is closed")?;
    std::fs::write(folder.path().join("settings.toml"), "rcpt = \"accept\"\n")?;
    said("generation 2 serves: zoo@")?;
    send()?.well(&["1 of 1 messages accepted"])?;
    said("rcpt     accept")?;
    dev.stop()
}

/// A process that ends with the test.
struct Ended(Child);

impl Ended {
    /// Asks it to end, which it must do well.
    fn stop(&mut self) -> Result<()> {
        let id = Pid::from_raw(self.0.id().cast_signed()).context("its number")?;
        kill_process(id, Signal::TERM).context("it ended before")?;
        let status = self.0.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
