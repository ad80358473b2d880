//! `baton plugin sign`: detached signatures.

use anyhow::Context;
use baton_hooks::trust::{SecretKey, signature_path};

use crate::cli::plugin::SignOptions;
use crate::commands::write_out;

pub(crate) fn run(options: &SignOptions) -> anyhow::Result<()> {
    let shown = options.key.display();
    let text = std::fs::read_to_string(&options.key).with_context(|| {
        format!("{shown}: the key can not be read; make one with `baton plugin keygen NAME`")
    })?;
    let key = SecretKey::parse(&text).with_context(|| format!("{shown}"))?;
    for file in &options.files {
        let wasm = std::fs::read(file).with_context(|| format!("{}: can not be read", file.display()))?;
        let path = signature_path(file);
        std::fs::write(&path, key.sign(&wasm).to_string())
            .with_context(|| format!("{}: can not be written", path.display()))?;
        write_out(&format!("{} is signed by {}: {}\n", file.display(), key.public(), path.display()))?;
    }
    Ok(())
}
