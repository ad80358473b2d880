//! Whose plugins may be loaded.

use std::collections::HashSet;
use std::sync::Arc;

use baton_hooks::trust::{Trust, TrustedKey};

use super::Checker;
use crate::settings::raw::RawTrust;

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
    pub(super) fn of(&self, source: &str) -> Trust {
        let required = match self.require {
            Require::None => false,
            Require::Oci => is_remote(source),
            Require::All => true,
        };
        Trust { keys: Arc::clone(&self.keys), required }
    }
}

/// True for a source that is fetched from a registry.
pub(crate) fn is_remote(source: &str) -> bool {
    source.starts_with("oci://")
}

impl Checker<'_> {
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
