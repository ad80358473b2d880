//! `baton plugin verify`: is a plugin what its maker signed?

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use baton_hooks::trust::{Trust, TrustedKey};

use crate::cli::plugin::VerifyOptions;
use crate::commands::write_out;
use crate::settings;

pub(crate) fn run(options: &VerifyOptions) -> anyhow::Result<()> {
    let keys = keys(options)?;
    let trust = Trust { keys, required: true };
    let mut bad = 0;
    for file in &options.files {
        match trust.check_file(file) {
            Ok(signer) => write_out(&format!("{}: signed by {signer}\n", file.display()))?,
            Err(error) => {
                bad += 1;
                write_out(&format!("{}: {error}\n", file.display()))?;
            }
        }
    }
    if bad > 0 {
        bail!("{bad} of {} files are not to be trusted", options.files.len());
    }
    Ok(())
}

/// The key that was given, else those of the settings.
fn keys(options: &VerifyOptions) -> anyhow::Result<Arc<[TrustedKey]>> {
    let Some(key) = &options.key else {
        let checked = settings::load(options.file.settings.as_deref());
        let checked = checked.map_err(|problems| anyhow!("{}:\n{problems}", problems.count()))?;
        if checked.trusted_keys.is_empty() {
            bail!(
                "no key is trusted: name one with --key, or settings with plugin_trust.keys with --settings"
            );
        }
        return Ok(checked.trusted_keys);
    };
    let text = match std::fs::read_to_string(Path::new(key)) {
        Ok(text) => text,
        Err(_) => key.clone(),
    };
    let public =
        text.parse().with_context(|| format!("{key} is neither a public key nor a file with one"))?;
    Ok([TrustedKey { name: key.clone(), public }].into())
}
