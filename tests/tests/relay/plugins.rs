//! Every plugin that ships and that the tests of the hooks do not show, in a real relay.

mod bridges;
mod content;
mod recipients;

use anyhow::Result;
use baton_tests::program;
use baton_tests::settings::Settings;

/// A plugin that ships, under the name of its crate, with settings that are written below `[plugins.NAME]`.
fn shipped(settings: Settings, name: &str, text: &str) -> Result<Settings> {
    let settings = settings.plugin(name, &program::plugin(&format!("baton-plugin-{name}"))?);
    Ok(settings.with(&format!("[plugins.{name}]\n{text}")))
}
