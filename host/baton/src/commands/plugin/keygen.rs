//! `baton plugin keygen`: a key that signs plugins.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use baton_hooks::trust::SecretKey;

use crate::cli::plugin::KeygenOptions;
use crate::commands::write_out;

pub(crate) fn run(options: &KeygenOptions) -> anyhow::Result<()> {
    let key = SecretKey::generate()?;
    let (secret, public) = (with_ending(&options.name, "key"), with_ending(&options.name, "pub"));
    write_new(&secret, &key.to_text(), 0o600)?;
    write_new(&public, &format!("{}\n", key.public()), 0o644)?;
    let name = options.name.file_name().unwrap_or_default().to_string_lossy();
    write_out(&format!(
        "{} signs; keep it secret. Relays that trust it have in their settings:\n\n[plugin_trust]\nkeys = [{{ name = \"{name}\", public = \"{}\" }}]\n",
        secret.display(),
        key.public()
    ))
}

fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut path = name.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    PathBuf::from(path)
}

/// Never over a file that is there: it may be the only copy of a key.
fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let explain = || format!("{}: can not be made; choose another name or folder", path.display());
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).with_context(explain)?;
    file.write_all(text.as_bytes()).with_context(explain)
}
