//! Whether a component speaks the contract of this relay, told in words that help its author.

use wasmtime::component::Component;

use super::error::LoadError;
use crate::contract::{Version, offered};
use crate::engine::Engine;
use crate::manifest::Manifest;
use crate::{Hook, PluginSettings, wasi};

const RELAY_PACKAGE: &str = "baton:relay/";
const PACKAGES: [&str; 2] = ["baton:host/", RELAY_PACKAGE];

/// What a component exports and the settings want.
pub(super) struct Hooks {
    /// The version of the contract that it speaks.
    pub(super) version: Version,
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

/// Finds the version of the contract, checks every import and every exported hook by name, and picks the hooks that the
/// settings want.
pub(super) fn check(
    engine: &Engine,
    settings: &PluginSettings,
    manifest: Option<&Manifest>,
    component: &Component,
) -> Result<Hooks, Vec<LoadError>> {
    let shape = component.component_type();
    let imports: Vec<&str> = shape.imports(engine.wasmtime()).map(|(name, _)| name).collect();
    let exports: Vec<&str> = shape.exports(engine.wasmtime()).map(|(name, _)| name).collect();
    let (version, mut errors) = version(settings, &exports, &imports);
    errors.extend(imports.iter().filter_map(|name| check_import(settings, version, name)));
    let mut exported = Vec::new();
    let mut has_lifecycle = false;
    for name in exports {
        let Some(interface) = split(name).0.strip_prefix(RELAY_PACKAGE) else { continue };
        match (Hook::from_interface(interface), interface) {
            (None, "lifecycle") => has_lifecycle = true,
            (None, _) => errors.push(unknown_export(settings, name)),
            (Some(hook), _) => exported.push(hook),
        }
    }
    let in_use =
        pick(settings, manifest, &exported).map_err(|found| errors.extend(found)).unwrap_or_default();
    if errors.is_empty() { Ok(Hooks { version, in_use, has_lifecycle }) } else { Err(errors) }
}

/// The version that a component speaks: that of the first name that is of one. All others must be of the same.
fn version(settings: &PluginSettings, exports: &[&str], imports: &[&str]) -> (Version, Vec<LoadError>) {
    let is_ours = |name: &&&str| PACKAGES.iter().any(|package| name.starts_with(package));
    let mut first: Option<(&str, Version)> = None;
    let mut errors = Vec::new();
    for name in exports.iter().chain(imports).filter(is_ours) {
        match (Version::of(split(name).1), first) {
            (None, _) => errors.push(wrong_version(settings, name)),
            (Some(version), None) => first = Some((*name, version)),
            (Some(version), Some((other, spoken))) if version != spoken => {
                errors.push(mixed(settings, name, other));
            }
            (Some(_), Some(_)) => {}
        }
    }
    (first.map_or(Version::V0_1, |(_, version)| version), errors)
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

fn check_import(settings: &PluginSettings, version: Version, name: &str) -> Option<LoadError> {
    let (interface, _) = split(name);
    let is_known = wasi::INTERFACES.contains(&interface) || version.interfaces().contains(&interface);
    (!is_known).then(|| unknown_import(settings, name))
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
    LoadError::Version { plugin, path, interface: name.to_owned(), offered: offered() }
}

fn mixed(settings: &PluginSettings, name: &str, other: &str) -> LoadError {
    let (plugin, path) = (settings.name.clone(), settings.source.clone());
    LoadError::Mixed { plugin, path, interface: name.to_owned(), other: other.to_owned() }
}

/// Interface and version of a name such as `baton:relay/session@0.1.0`.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}
