//! Loading the new version that stands beside a plugin.

use super::error::LoadError;
use crate::next::Next;
use crate::plugin::Plugin;
use crate::{NextSettings, PluginSettings};

/// The settings of the new version: those of the plugin, with another file. Its meters have a name of their own.
pub(super) fn settings_of(settings: &PluginSettings) -> Option<(NextSettings, PluginSettings, String)> {
    let wanted = settings.next()?;
    let mut next = settings.clone();
    next.source = wanted.source.clone();
    next.run.next = None;
    // The pin is about the file that serves.
    next.sha256 = None;
    Some((wanted, next, format!("{}.next", settings.name)))
}

/// Errors of the new version, with the key that they are about.
pub(super) fn name_errors(errors: Vec<LoadError>, settings: &PluginSettings) -> Vec<LoadError> {
    let plugin = &settings.name;
    let own = format!("plugins.{plugin}");
    let named = |error: LoadError| {
        let text = error.to_string();
        let rest = text.strip_prefix(&own).unwrap_or(&text).trim_start_matches(['.', ':', ' ']);
        LoadError::Next { plugin: plugin.clone(), rest: rest.to_owned() }
    };
    errors.into_iter().map(named).collect()
}

/// Both versions, when the new one has every hook of the other.
pub(super) fn beside(plugin: &Plugin, next: Plugin, wanted: NextSettings) -> Result<Next, Vec<LoadError>> {
    let missing = plugin.hooks.iter().filter(|hook| !next.hooks.contains(hook));
    let errors: Vec<LoadError> = missing
        .map(|hook| LoadError::NextHook {
            plugin: plugin.terms.name.clone(),
            path: wanted.source.clone(),
            hook: *hook,
        })
        .collect();
    if errors.is_empty() { Ok(Next { plugin: Box::new(next), settings: wanted }) } else { Err(errors) }
}
