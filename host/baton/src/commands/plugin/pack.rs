//! `baton plugin pack`: the manifest of a project, put into its component.

use std::path::Path;

use anyhow::Context;

use super::artefact::Artefact;
use super::project::Project;
use super::{check, refuse};
use crate::cli::plugin::PackOptions;
use crate::commands::write_out;

pub(crate) async fn run(options: PackOptions) -> anyhow::Result<()> {
    let project = Project::read(&options.project)?;
    let output = options.output.as_deref().unwrap_or(&options.component);
    let component = std::fs::read(&options.component)
        .with_context(|| format!("{}: not read", options.component.display()))?;
    write(&project, &component, output)?;
    let artefact = Artefact::at(output)?;
    let fit = check::fit(&artefact).await?;
    write_out(&check::as_text(&artefact, &fit))?;
    refuse(&artefact, &fit)
}

/// Writes a component with the manifest of a project in it.
pub(super) fn write(project: &Project, component: &[u8], output: &Path) -> anyhow::Result<()> {
    let packed = project
        .manifest
        .embed(component)
        .with_context(|| format!("the manifest can not be embedded into {}", output.display()))?;
    // A relay or a watcher that reads the file at this moment must not see half of it.
    let partial = output.with_extension("wasm.partial");
    std::fs::write(&partial, packed).with_context(|| partial.display().to_string())?;
    std::fs::rename(&partial, output).with_context(|| output.display().to_string())
}
