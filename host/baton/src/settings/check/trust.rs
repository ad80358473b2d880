//! Whose plugins may be loaded.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use baton_hooks::trust::{Trust, TrustedKey};

use super::Checker;
use crate::registry::{RegistrySettings, SCHEME, Source};
use crate::settings::raw::{Raw, RawRegistry, RawTrust};

/// Which plugins need a signature of a trusted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Require {
    /// None.
    None,
    /// Those that come from a registry.
    Oci,
    /// All.
    All,
}

/// The trusted keys, and who needs one.
pub(super) struct Trusted {
    pub(super) keys: Arc<[TrustedKey]>,
    require: Require,
}

impl Trusted {
    /// What holds for a plugin of that source.
    pub(super) fn of(&self, sources: &[&Path]) -> Trust {
        let required = match self.require {
            Require::None => false,
            Require::Oci => sources.iter().any(|source| is_remote(source)),
            Require::All => true,
        };
        Trust { keys: Arc::clone(&self.keys), required }
    }
}

/// True for a source that is fetched from a registry.
pub(super) fn is_remote(source: &Path) -> bool {
    source.to_string_lossy().starts_with(SCHEME)
}

impl Checker<'_> {
    /// Where a plugin comes from: a file, or a reference to a registry as it stands.
    pub(super) fn source(&mut self, key: &str, source: &Path) -> PathBuf {
        if !is_remote(source) {
            return self.folder.join(source);
        }
        let text = source.to_string_lossy();
        let remedy = "write it like \"oci://registry.example/team/guard:1.2\", or with @sha256:… at its end";
        if self.parse::<Source>(key, &text, remedy).is_none() {
            return PathBuf::new();
        }
        source.to_owned()
    }

    pub(super) fn registry(&mut self, raw: &Raw, state_path: &Path) -> RegistrySettings {
        let RawRegistry { plain_http, ca_file, credentials_file, connect_ms, pull_ms, cache_octets_max } =
            &raw.registry;
        RegistrySettings {
            plain_http: plain_http.clone(),
            ca_file: ca_file.as_ref().map(|path| self.folder.join(path)),
            credentials_file: credentials_file.as_ref().map(|path| self.folder.join(path)),
            connect_ms: self.bound("registry.connect_ms", *connect_ms, 1, 600_000),
            pull_ms: self.bound("registry.pull_ms", *pull_ms, 1, 3_600_000),
            component_octets_max: raw.engine.component_octets_max,
            folder: state_path.join("artefacts"),
            folder_octets_max: *cache_octets_max,
        }
    }

    pub(super) fn trust(&mut self, raw: &RawTrust) -> Trusted {
        let choices = [("none", Require::None), ("oci", Require::Oci), ("all", Require::All)];
        let require = self.choose("plugin_trust.require", &raw.require, &choices);
        let mut names = HashSet::new();
        let mut keys = Vec::new();
        for (index, key) in raw.keys.iter().enumerate() {
            let at = |field: &str| format!("plugin_trust.keys[{index}].{field}");
            if key.name.is_empty() || !names.insert(key.name.as_str()) {
                let remedy = "give each key a name of its own, such as \"release-2026\"";
                self.problems.push(&at("name"), Some(key.name.clone()), "is empty or used twice", remedy);
            }
            let remedy = "write what `baton plugin keygen` printed";
            if let Some(public) = self.parse(&at("public"), &key.public, remedy) {
                keys.push(TrustedKey { name: key.name.clone(), public });
            }
        }
        Trusted { keys: keys.into(), require: require.unwrap_or(Require::Oci) }
    }
}
