//! What `baton plugin new` makes, in each language: built, tested and deployed into a running relay by the commands of its
//! own README.
//!
//! The tools are those that `.ci/examples` fetched; npm gets what it fetched then from its cache.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::program;
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;

/// How long one command may take: some compile a language's whole runtime. Only a failing test waits so long.
const COMMAND_MAX: Duration = Duration::from_secs(540);
/// The address that READMEs name for the relay.
const RELAY: &str = "127.0.0.1:2525";

#[test]
fn rust() -> Result<()> {
    Project::new("rust")?.follow(&["cargo test", "plugin build", "plugin test"])
}

#[test]
fn javascript() -> Result<()> {
    Project::new("js")?.follow(&["npm install", "npm test", "plugin build", "plugin test"])
}

#[test]
fn typescript() -> Result<()> {
    Project::new("ts")?.follow(&["npm install", "npm run check", "npm test", "plugin build", "plugin test"])
}

#[test]
fn python() -> Result<()> {
    Project::new("python")?.follow(&["unittest", "plugin build", "plugin test"])
}

#[test]
fn c() -> Result<()> {
    Project::new("c")?.follow(&["./test_plugin", "plugin build", "plugin test"])
}

#[test]
fn go() -> Result<()> {
    Project::new("go")?.follow(&["go test", "plugin build", "plugin test"])
}

/// A project `guard`, beside a relay's folder that is called `relay` there.
struct Project {
    relay: Relay,
    folder: PathBuf,
}

impl Project {
    fn new(language: &str) -> Result<Project> {
        let relay = Relay::prepare(settings())?;
        let work = relay.folder().join("work");
        fs::create_dir(&work)?;
        std::os::unix::fs::symlink(relay.folder(), work.join("relay"))?;
        let project = Project { folder: work.join("guard"), relay };
        let sdk = program::repository().join("sdk").display().to_string();
        let new = ["plugin", "new", "--lang", language, "--hooks", "rcpt,data", "--sdk", &sdk, "guard"];
        let mut command = Command::new(program::relay()?);
        let output = output_within(reset(command.args(new).current_dir(&work)), COMMAND_MAX)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for path in fs::read_dir(&project.folder)?.map(|entry| entry.map(|entry| entry.path())) {
            let text = fs::read_to_string(path?).unwrap_or_default();
            let is_left =
                ["hook: ", "{{name}}", "{{hooks}}", "{{sdk}}"].iter().any(|mark| text.contains(mark));
            ensure!(!is_left, "marks were left:\n{text}");
        }
        Ok(project)
    }

    /// Does what its README says. Its commands are those that are expected, and two that deploy it.
    fn follow(mut self, expected: &[&str]) -> Result<()> {
        let readme = fs::read_to_string(self.folder.join("README.md"))?;
        let blocks = |kind: &str| -> Vec<String> {
            let mark = format!("```{kind}\n");
            readme
                .split(&mark)
                .skip(1)
                .filter_map(|rest| Some(rest.split("```").next()?.to_owned()))
                .collect()
        };
        let [make, copy, deploy] = &blocks("sh")[..] else { panic!("three blocks of commands:\n{readme}") };
        let [toml] = &blocks("toml")[..] else { panic!("one block of settings:\n{readme}") };
        // `dev` goes on until it is told to stop.
        let lines: Vec<&str> = make.lines().filter(|line| !line.starts_with("baton plugin dev")).collect();
        ensure!(lines.len() == expected.len(), "{expected:?} are expected:\n{make}");
        for (line, expected) in lines.iter().zip(expected) {
            ensure!(line.contains(expected), "`{expected}` is expected:\n{make}");
            self.run(line)?;
        }
        self.relay.start_again()?;
        let send = deploy.lines().last().context("a line")?.replace(RELAY, &self.relay.smtp()?.to_string());
        self.run(&send)?;
        self.run(copy.trim())?;
        self.relay.write_settings(settings().with(toml))?;
        for line in deploy.lines().filter(|line| line.contains("reload")) {
            self.run(line)?;
        }
        let refused = self.run(&send).err().context("the plugin decides nothing")?.to_string();
        ensure!(refused.contains("550 5.7.1 we do not serve that domain"), "{refused}");
        let other = send.replace("bad.example", "good.example");
        self.run(&other).map(drop)
    }

    /// Runs a line in the project's folder, as it is typed; it must go well.
    fn run(&self, line: &str) -> Result<String> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(&self.folder);
        let output = output_within(reset(&mut command), COMMAND_MAX)?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "`{line}` failed:\n{said}");
        Ok(said)
    }
}

/// A relay that takes mail for anybody from here, and delivers none. Compiled and tested plugins of every language may take
/// their time on a busy machine.
fn settings() -> Settings {
    Settings::new()
        .set("next_hops.nowhere.discard", true)
        .set("engine.compile_ms", 600_000)
        .set("engine.self_test_ms", 600_000)
        .route("*", "nowhere")
}

/// The command with the tools in its path, and without a network.
fn reset(command: &mut Command) -> Command {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let tools = cache.unwrap_or_else(|| home.join(".cache")).join("baton/tools");
    let baton =
        program::relay().ok().and_then(|program| program.parent().map(Path::to_owned)).unwrap_or_default();
    let mut path = OsString::from(baton);
    for more in [tools.join("python/bin").into_os_string(), std::env::var_os("PATH").unwrap_or_default()] {
        path.push(":");
        path.push(more);
    }
    let mut reset = Command::new(command.get_program());
    reset
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap_or(Path::new(".")))
        .env("PATH", path)
        // A project of its own is built beside itself, from what cargo fetched for this workspace.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_MANIFEST_DIR")
        .env("CARGO_NET_OFFLINE", "true")
        .env("GOPROXY", "off")
        .env("npm_config_cache", tools.join("npm-cache"))
        .env("npm_config_offline", "true");
    reset
}
