//! `baton plugin pull` and `baton plugin push`: plugins from and into OCI registries.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use baton_hooks::shape::Shape;
use baton_hooks::trust::signature_path;

use crate::cli::plugin::{PullOptions, PushOptions};
use crate::commands::write_out;
use crate::registry::{Registry, SCHEME, Source};
use crate::settings;

pub(super) async fn pull(options: PullOptions) -> anyhow::Result<()> {
    let source = read(&options.reference)?;
    let registry = registry(options.file.settings.as_deref())?;
    let pulled = registry.pull(&source).await.with_context(|| source.to_string())?;
    if let Some(output) = &options.output {
        copy(&pulled.path, output)?;
    }
    write_out(&format!(
        "{source}\nis {}, kept as {}\nto use it: source = \"{}\"\n",
        pulled.digest,
        pulled.path.display(),
        source.pinned(&pulled.digest),
    ))
}

pub(super) async fn push(options: PushOptions) -> anyhow::Result<()> {
    let source = read(&options.reference)?;
    if source.digest().is_some() {
        bail!("{source}: a digest is the answer to a push; name a tag");
    }
    let path = &options.component;
    let component = std::fs::read(path).with_context(|| format!("{}: not read", path.display()))?;
    let shape = Shape::read(&component).with_context(|| path.display().to_string())?;
    if !shape.is_component {
        bail!("{}: this is not a component but a core module; build for wasm32-wasip2", path.display());
    }
    let beside = signature_path(path);
    let signature = match std::fs::read(&beside) {
        Ok(signature) => Some(signature),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{}: not read", beside.display())),
    };
    let registry = registry(options.file.settings.as_deref())?;
    let pushed = registry.push(&source, &component, signature.as_deref()).await;
    let digest = pushed.with_context(|| source.to_string())?;
    let signed = if signature.is_some() { "with its signature" } else { "without a signature" };
    write_out(&format!(
        "{source}\nis {digest}, {signed}\nto use it: source = \"{}\"\n",
        source.pinned(&digest)
    ))
}

fn read(reference: &str) -> anyhow::Result<Source> {
    let text =
        if reference.starts_with(SCHEME) { reference.to_owned() } else { format!("{SCHEME}{reference}") };
    text.parse().with_context(|| text.clone())
}

/// As the settings say; without any, by the defaults.
fn registry(path: Option<&Path>) -> anyhow::Result<Registry> {
    let checked = settings::load(path);
    let checked = checked.map_err(|problems| anyhow!("{}:\n{problems}", problems.count()))?;
    Ok(Registry::new(checked.registry))
}

/// Copies a component with its signature. An older signature does not stay beside a component that has none.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let explain = || format!("{}: not written", to.display());
    std::fs::copy(from, to).with_context(explain)?;
    let (signature, beside) = (signature_path(from), signature_path(to));
    if signature.exists() {
        std::fs::copy(signature, beside).with_context(explain)?;
    } else if beside.exists() {
        std::fs::remove_file(beside).with_context(explain)?;
    }
    Ok(())
}
