//! `baton plugin dev`: a relay of one's own that runs what stands in the project, from one save to the next.

mod tail;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, anyhow};
use baton_api::wire::ReloadReport;
use baton_hooks::cases::CaseReport;
use serde_json::json;
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::artefact::Artefact;
use super::check::{self, Fit};
use super::project::Project;
use super::{build, test};
use crate::admin::Admin;
use crate::children::{spawn, start_sink, stop, wait_for_ports};
use crate::cli::plugin::DevOptions;
use crate::commands::write_out;
use crate::watch::Watch;

/// Folders that builds write into: a change there is no edit.
const BUILT: [&str; 6] = ["target", "dist", "build", "node_modules", "__pycache__", ".git"];
/// Between looks at the relay's log.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn run(options: DevOptions) -> anyhow::Result<()> {
    let folder = options.project.folder.canonicalize().context("the project's folder can not be found")?;
    let mut watch = Watch::default();
    let stage = tempfile::Builder::new().prefix("baton-dev-").tempdir()?;
    let mut relay: Option<Bench> = None;
    let mut stops = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    loop {
        watch.follow(&sources(&folder)?);
        if let Err(error) = turn(&folder, stage.path(), &options, &mut relay).await {
            write_out(&format!("not taken: {error:#}\n"))?;
        }
        if !wait_for_edit(&mut watch, &mut stops, &mut relay).await? {
            break;
        }
    }
    match relay {
        Some(relay) => relay.stop().await,
        None => Ok(()),
    }
}

/// Tells what the relay decides until the project is edited; false when the author wants to stop instead.
async fn wait_for_edit(
    watch: &mut Watch,
    [interrupt, terminate]: &mut [Signal; 2],
    relay: &mut Option<Bench>,
) -> anyhow::Result<bool> {
    let mut edited = pin!(watch.changed());
    loop {
        tokio::select! {
            () = &mut edited => return Ok(true),
            _ = interrupt.recv() => return Ok(false),
            _ = terminate.recv() => return Ok(false),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Some(relay) = relay {
            write_out(&relay.log.news())?;
        }
    }
}

/// The files that an author writes. A new one is followed from the next edit of another on.
fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(inner) = folders.pop() {
        let entries = std::fs::read_dir(&inner).with_context(|| inner.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            match (entry.file_type()?.is_dir(), is_source(folder, &path)) {
                (_, false) => {}
                (true, true) => folders.push(path),
                (false, true) => found.push(path),
            }
        }
    }
    Ok(found)
}

/// False for what builds write.
fn is_source(root: &Path, path: &Path) -> bool {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let is_built = relative.components().any(|part| BUILT.iter().any(|built| part.as_os_str() == *built));
    let made = relative.extension().is_some_and(|ending| ending == "wasm" || ending == "partial");
    !is_built && !made && !relative.ends_with("Cargo.lock") && !relative.ends_with("package-lock.json")
}

/// From an edit to a relay that runs it.
async fn turn(
    folder: &Path,
    stage: &Path,
    options: &DevOptions,
    relay: &mut Option<Bench>,
) -> anyhow::Result<()> {
    let project = Project::read(folder)?;
    let path = {
        let project = Project::read(folder)?;
        tokio::task::spawn_blocking(move || build::build(&project)).await??
    };
    let artefact = Artefact::at(&path)?;
    let fit = check::fit(&artefact).await?;
    if let Fit::Refused(problems) = &fit {
        return Err(anyhow!("{}", problems.join("\n")));
    }
    if artefact.manifest.as_ref().is_some_and(|manifest| manifest.cases.is_some()) {
        let reports = test::play(&artefact, None).await?;
        write_out(&match reports.iter().all(CaseReport::passed) {
            true => format!("{} cases passed\n", reports.len()),
            false => test::as_text(&artefact, &reports, |report| !report.passed()),
        })?;
    }
    put(&artefact.path, &stage.join("plugin.wasm"))?;
    std::fs::write(stage.join("baton.toml"), settings(&project, options))?;
    match relay {
        Some(relay) => relay.swap().await,
        None => {
            *relay = Some(Bench::start(stage, options).await?);
            Ok(())
        }
    }
}

/// Copies in one step: the relay never reads half a file.
fn put(from: &Path, to: &Path) -> anyhow::Result<()> {
    let partial = to.with_extension("partial");
    let copied = std::fs::copy(from, &partial).and_then(|_| std::fs::rename(&partial, to));
    copied.with_context(|| format!("{} can not be copied", from.display()))
}

/// A relay with the plugin, which has all that it asks for; mail goes into a sink.
fn settings(project: &Project, options: &DevOptions) -> String {
    let name = &project.manifest.name;
    let mut grants = serde_json::to_value(&project.manifest.requests).unwrap_or_default();
    if let Some(grants) = grants.as_object_mut() {
        // Secrets are granted by binding them, and there is none here; nor are there other next hops.
        grants.remove("secrets");
        let is_general = |target: &serde_json::Value| {
            target.as_str().is_some_and(|target| ["*", "mx"].contains(&target) || target.starts_with("host:"))
        };
        if let Some(targets) = grants.get_mut("route").and_then(|route| route.as_array_mut()) {
            targets.retain(is_general);
        }
    }
    let grants = toml::to_string(&json!({ "plugins": { name: { "grants": grants } } })).unwrap_or_default();
    let config = options.config.as_ref().and_then(|path| path.canonicalize().ok());
    let config = config.map(|path| format!("config_file = {:?}\n", path.display().to_string()));
    format!(
        "hostname = \"dev.example\"\nlocal_domains = [\"local.example\"]\n\
         [store]\npath = \"spool\"\n\
         [log]\nformat = \"json\"\nfilter = \"error,hooks=debug\"\n\
         [listeners.smtp]\naddress = \"{}\"\n\
         [next_hops.sink]\nhosts = [\"@SINK@\"]\n[[routes]]\ndomain = \"*\"\nnext_hop = \"sink\"\n\
         [plugins.{name}]\nsource = \"plugin.wasm\"\n{}{grants}",
        options.listen,
        config.unwrap_or_default(),
    )
}

/// The local relay and its sink.
struct Bench {
    folder: PathBuf,
    relay: Child,
    sink: Child,
    log: tail::Tail,
    sink_address: std::net::SocketAddr,
}

impl Bench {
    async fn start(folder: &Path, options: &DevOptions) -> anyhow::Result<Bench> {
        let (sink, sink_address) = start_sink(folder, "sink", &[]).await?;
        name_sink(folder, sink_address)?;
        let words = ["serve", "--settings", "baton.toml", "--ports-file", "relay.ports"];
        let mut relay = spawn(folder, "relay", &words)?;
        let ports = wait_for_ports(folder, "relay", &mut relay).await?;
        let address = ports.first().map_or(options.listen, |(_, address)| *address);
        write_out(&format!(
            "the relay listens on {address}; try:\n  swaks --server {address} --from a@example.org --to b@example.net\n\
             what it delivers is in {}; Ctrl-C ends it\n",
            folder.join("sink").display()
        ))?;
        Ok(Bench {
            folder: folder.to_owned(),
            relay,
            sink,
            log: tail::Tail::of(&folder.join("relay.log")),
            sink_address,
        })
    }

    /// Lets the relay take what is in the folder now.
    async fn swap(&mut self) -> anyhow::Result<()> {
        name_sink(&self.folder, self.sink_address)?;
        let admin = Admin::at(&self.folder.join("spool/admin.sock"));
        let report: ReloadReport = admin.post("/v1/reload", &json!({})).await?;
        write_out(&format!("generation {} serves: {}\n", report.generation, report.plugins.join(", ")))
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        stop("relay", &mut self.relay).await?;
        stop("sink", &mut self.sink).await
    }
}

/// Writes the sink's address into the settings.
fn name_sink(folder: &Path, address: std::net::SocketAddr) -> anyhow::Result<()> {
    let path = folder.join("baton.toml");
    let text = std::fs::read_to_string(&path)?.replace("@SINK@", &address.to_string());
    Ok(std::fs::write(path, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_write_is_no_edit() {
        let root = Path::new("/p");
        for source in ["/p/src/lib.rs", "/p/plugin.toml", "/p/cases.toml"] {
            assert!(is_source(root, Path::new(source)), "{source}");
        }
        for built in [
            "/p/target/x.rs",
            "/p/dist/plugin.wasm",
            "/p/plugin.wasm",
            "/p/node_modules/a/b.js",
            "/p/Cargo.lock",
        ] {
            assert!(!is_source(root, Path::new(built)), "{built}");
        }
    }
}
