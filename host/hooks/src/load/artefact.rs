//! The file of a plugin, before anything is compiled: its octets, digest, manifest and imports.

use std::path::Path;
use std::sync::Arc;

use sha2::Digest as _;
use wasmparser::{Parser, Payload};

use super::grants::Asked;
use super::{LoadError, contract};
use crate::PluginSettings;
use crate::engine::{Digest, Engine};
use crate::manifest::{Manifest, ManifestError};

/// What was read of a file.
#[derive(Clone)]
pub(crate) struct Artefact {
    pub(crate) wasm: Arc<Vec<u8>>,
    /// SHA-256 of the file.
    pub(crate) digest: Digest,
    pub(crate) manifest: Option<Manifest>,
    /// The name of the trusted key that signed it.
    pub(crate) signer: Option<String>,
    /// The interfaces that it imports, without versions.
    pub(crate) imports: Vec<String>,
}

impl Artefact {
    /// What it asks for. A script says so nowhere: what it is granted is what it has.
    pub(super) fn asked(&self, settings: &PluginSettings) -> Asked {
        if super::is_script(&settings.source) {
            return Asked { grants: settings.grants.clone(), by_manifest: true };
        }
        Asked::of(self.manifest.as_ref(), &self.imports)
    }
}

/// Reads the file on a thread that may block, and checks its size, its form and its pin.
pub(super) async fn read(engine: &Engine, settings: &PluginSettings) -> Result<Artefact, LoadError> {
    let octets_max = engine.settings().component_octets_max;
    let settings = settings.clone();
    let joined = tokio::task::spawn_blocking(move || read_now(&settings, octets_max)).await;
    joined.unwrap_or_else(|error| Err(LoadError::Interrupted { detail: error.to_string() }))
}

fn read_now(settings: &PluginSettings, octets_max: u64) -> Result<Artefact, LoadError> {
    let path: &Path = &settings.source;
    let unreadable = |error| LoadError::unreadable(settings, error);
    let octets = std::fs::metadata(path).map_err(unreadable)?.len();
    if octets > octets_max {
        return Err(LoadError::too_large(settings, octets, octets_max));
    }
    let wasm = std::fs::read(path).map_err(unreadable)?;
    let digest: Digest = sha2::Sha256::digest(&wasm).into();
    check_pin(settings, &digest)?;
    let signer = settings.trust.check(path, &digest).map_err(|source| LoadError::Trust {
        plugin: settings.name.clone(),
        path: path.to_owned(),
        source,
    })?;
    if super::is_script(path) {
        super::script::check_text(settings, &wasm)?;
        let (manifest, imports) = (None, Vec::new());
        return Ok(Artefact { wasm: Arc::new(wasm), digest, manifest, signer, imports });
    }
    contract::check_format(settings, &wasm)?;
    // A file that can not be walked through has no manifest; what is wrong with it is for the compiler to say.
    let (manifest, imports) = match (Manifest::read(&wasm), imports(&wasm)) {
        (Ok(manifest), Ok(imports)) => (manifest, imports),
        (Err(ManifestError::Damaged(detail)), _) | (_, Err(detail)) => {
            return Err(LoadError::compile(settings, detail));
        }
        (Err(source), _) => return Err(LoadError::manifest(settings, source)),
    };
    Ok(Artefact { wasm: Arc::new(wasm), digest, manifest, signer, imports })
}

fn check_pin(settings: &PluginSettings, digest: &Digest) -> Result<(), LoadError> {
    match settings.sha256 {
        Some(pinned) if pinned != *digest => Err(LoadError::Pin {
            plugin: settings.name.clone(),
            path: settings.source.clone(),
            pinned: hex(&pinned),
            found: hex(digest),
        }),
        _ => Ok(()),
    }
}

/// The names of the imported interfaces, without versions.
fn imports(wasm: &[u8]) -> Result<Vec<String>, String> {
    let (mut depth, mut names) = (0_usize, Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| error.to_string())?;
                    let (interface, _) = contract::split(import.name.name);
                    names.push(interface.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// A digest in lower-case hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}
