//! `baton plugin build`: the command of the project, a component made of what it gave, the manifest in it, the check.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, anyhow, bail};
use baton_hooks::shape::Shape;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use super::artefact::Artefact;
use super::project::{Build, FILE, Project};
use super::{check, pack, refuse};
use crate::cli::plugin::ProjectOptions;
use crate::commands::write_out;

/// How a shell says that a command does not exist (POSIX, Shell Command Language 2.8.2).
const NO_SUCH_COMMAND: i32 = 127;

pub(crate) async fn run(options: ProjectOptions) -> anyhow::Result<()> {
    let project = Project::read(&options.folder)?;
    let path = build(&project)?;
    let artefact = Artefact::at(&path)?;
    let fit = check::fit(&artefact).await?;
    write_out(&check::as_text(&artefact, &fit))?;
    refuse(&artefact, &fit)
}

/// Builds the artefact of a project and says where it is.
pub(super) fn build(project: &Project) -> anyhow::Result<PathBuf> {
    let how = project.build()?;
    eprintln!("==> {}", how.command);
    let mut shell = Command::new("sh");
    let status = shell.args(["-c", &how.command]).current_dir(&project.folder).status();
    let status = status.context("sh can not be run; it runs [build] command")?;
    if !status.success() {
        return Err(failed(project, how, status));
    }
    let path = project.artefact()?;
    let made = std::fs::read(&path).with_context(|| {
        let key = project.folder.join(FILE);
        format!("{}: not made by the command; correct [build] output in {}", path.display(), key.display())
    })?;
    let component = if Shape::read(&made)?.is_component { made } else { componentize(&path, how, &made)? };
    pack::write(project, &component, &path)?;
    Ok(path)
}

fn failed(project: &Project, how: &Build, status: ExitStatus) -> anyhow::Error {
    let readme = project.folder.join("README.md");
    if status.code() == Some(NO_SUCH_COMMAND) {
        let tool = how.command.split_whitespace().next().unwrap_or_default();
        return anyhow!(
            "`{tool}` or a tool that it needs is not installed; {} says which are",
            readme.display()
        );
    }
    anyhow!(
        "the build failed ({status}); what it printed says why, {} which tools it needs",
        readme.display()
    )
}

/// A component out of a core module, which carries the contract that it speaks in its own sections.
fn componentize(path: &std::path::Path, how: &Build, module: &[u8]) -> anyhow::Result<Vec<u8>> {
    if !how.adapter {
        bail!(
            "{}: the build made a core module; build for wasm32-wasip2, or write adapter = true under [build] \
             to have a component made of it",
            path.display()
        );
    }
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(|encoder| {
        encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?.encode()
    });
    let remedy = "was it made with bindings of the contract in `wit`?";
    encoded
        .map_err(|error| anyhow!("{}: no component can be made of it: {error:#}; {remedy}", path.display()))
}
