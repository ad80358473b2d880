//! Whether a component speaks the contract of this relay, told in words that help its author.

use wasmtime::component::Component;

use super::error::LoadError;
use crate::engine::Engine;
use crate::manifest::Manifest;
use crate::{Hook, PluginSettings, wasi};

/// The version of the packages in `wit/`. Components of another patch version fit as long as they use nothing new.
pub(super) const VERSION: &str = "0.1.0";
const RELAY_PACKAGE: &str = "baton:relay/";
const IMPORTS: [&str; 14] = [
    "baton:host/log",
    "baton:host/config",
    "baton:host/kv",
    "baton:host/dns",
    "baton:host/http",
    "baton:host/metrics",
    "baton:host/clock",
    "baton:relay/types",
    "baton:relay/session",
    "baton:relay/envelope",
    "baton:relay/message",
    "baton:relay/routing",
    "baton:relay/failure",
    "baton:relay/verify",
];

/// What a component exports and the settings want.
pub(super) struct Hooks {
    pub(super) in_use: Vec<Hook>,
    pub(super) has_lifecycle: bool,
}

/// Tells components from core modules and from everything else by the first eight octets.
pub(super) fn check_format(settings: &PluginSettings, wasm: &[u8]) -> Result<(), LoadError> {
    let (plugin, path) = (settings.name.clone(), settings.source.clone());
    match wasm.first_chunk::<8>() {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(LoadError::CoreModule { plugin, path }),
        _ => Err(LoadError::NotWasm { plugin, path }),
    }
}

/// Checks every import and every exported hook by name and version, and picks the hooks that the settings want.
pub(super) fn check(
    engine: &Engine,
    settings: &PluginSettings,
    manifest: Option<&Manifest>,
    component: &Component,
) -> Result<Hooks, Vec<LoadError>> {
    let shape = component.component_type();
    let imports = shape.imports(engine.wasmtime()).filter_map(|(name, _)| check_import(settings, name));
    let mut errors: Vec<LoadError> = imports.collect();
    let mut exported = Vec::new();
    let mut has_lifecycle = false;
    for (name, _) in shape.exports(engine.wasmtime()) {
        let (interface, version) = split(name);
        let Some(interface) = interface.strip_prefix(RELAY_PACKAGE) else { continue };
        match (Hook::from_interface(interface), interface) {
            (None, "lifecycle") => has_lifecycle = true,
            (None, _) => errors.push(unknown_export(settings, name)),
            (Some(hook), _) => exported.push(hook),
        }
        if !is_compatible(version) {
            errors.push(wrong_version(settings, name));
        }
    }
    let in_use =
        pick(settings, manifest, &exported).map_err(|found| errors.extend(found)).unwrap_or_default();
    if errors.is_empty() { Ok(Hooks { in_use, has_lifecycle }) } else { Err(errors) }
}

/// The hooks that are asked. A component may export more than its author means to serve (some languages can only export
/// all): then the manifest says which.
fn pick(
    settings: &PluginSettings,
    manifest: Option<&Manifest>,
    exported: &[Hook],
) -> Result<Vec<Hook>, Vec<LoadError>> {
    if exported.is_empty() {
        return Err(vec![LoadError::NoHook { plugin: settings.name.clone(), path: settings.source.clone() }]);
    }
    let meant = manifest.and_then(|manifest| manifest.hooks.as_deref());
    let served = meant.unwrap_or(exported);
    let absent = |hook: &Hook| LoadError::ManifestHook {
        plugin: settings.name.clone(),
        path: settings.source.clone(),
        hook: *hook,
        interface: hook.interface(),
    };
    let errors: Vec<LoadError> = served.iter().filter(|hook| !exported.contains(hook)).map(absent).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let Some(wanted) = &settings.hooks else {
        return Ok(Hook::EVERY.into_iter().filter(|hook| served.contains(hook)).collect());
    };
    let names: Vec<&str> = served.iter().map(|hook| hook.as_str()).collect();
    let missing = |hook: &Hook| LoadError::MissingHook {
        plugin: settings.name.clone(),
        path: settings.source.clone(),
        hook: *hook,
        interface: hook.interface(),
        exported: names.join(", "),
    };
    let errors: Vec<LoadError> = wanted.iter().filter(|hook| !served.contains(hook)).map(missing).collect();
    let in_use = Hook::EVERY.into_iter().filter(|hook| wanted.contains(hook)).collect();
    if errors.is_empty() { Ok(in_use) } else { Err(errors) }
}

fn check_import(settings: &PluginSettings, name: &str) -> Option<LoadError> {
    let (interface, version) = split(name);
    if wasi::INTERFACES.contains(&interface) {
        return None;
    }
    if !IMPORTS.contains(&interface) {
        return Some(unknown_import(settings, name));
    }
    (!is_compatible(version)).then(|| wrong_version(settings, name))
}

fn unknown_import(settings: &PluginSettings, name: &str) -> LoadError {
    let remedy = if name.starts_with("wasi:sockets") || name.starts_with("wasi:http") {
        "plugins have no network of their own"
    } else if name.starts_with("baton:") {
        "upgrade the relay, or rebuild the plugin with the SDK of this relay"
    } else {
        "build the plugin without it"
    };
    LoadError::UnknownImport {
        plugin: settings.name.clone(),
        path: settings.source.clone(),
        interface: name.to_owned(),
        remedy,
    }
}

fn unknown_export(settings: &PluginSettings, name: &str) -> LoadError {
    LoadError::UnknownExport {
        plugin: settings.name.clone(),
        path: settings.source.clone(),
        interface: name.to_owned(),
    }
}

fn wrong_version(settings: &PluginSettings, name: &str) -> LoadError {
    let (plugin, path) = (settings.name.clone(), settings.source.clone());
    LoadError::Version { plugin, path, interface: name.to_owned(), offered: VERSION }
}

/// Interface and version of a name such as `baton:relay/session@0.1.0`.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

/// Before 1.0 the minor version tells contracts apart, as it does in the linker.
fn is_compatible(version: &str) -> bool {
    let track = |version: &str| version.rsplit_once('.').map(|(track, _)| track.to_owned());
    track(version).is_some() && track(version) == track(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patch_versions_fit_and_others_do_not() {
        assert!(is_compatible("0.1.0") && is_compatible("0.1.7"));
        for other in ["", "0.2.0", "1.0.0", "0.1", "0.10.0"] {
            assert!(!is_compatible(other), "{other}");
        }
    }
}
