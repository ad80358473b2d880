//! Secrets of plugins: read from where the settings say, at each load, and shown to nobody but the plugin.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use crate::SecretSource;

/// Octets of one secret.
const SECRET_OCTETS_MAX: usize = 64 << 10;

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

/// Secrets by name.
pub(crate) type Secrets = HashMap<String, Secret>;

impl Secret {
    /// The text, for the plugin.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

/// Reads all secrets that are granted; or the names of those which can not be read, each with the reason. May wait for
/// the disk.
pub(crate) fn read(
    sources: &BTreeMap<String, SecretSource>,
    granted: &[String],
) -> Result<Secrets, Vec<(String, String)>> {
    let (mut secrets, mut troubles) = (Secrets::new(), Vec::new());
    for (name, source) in sources.iter().filter(|(name, _)| granted.contains(name)) {
        match read_one(source) {
            Ok(text) => drop(secrets.insert(name.clone(), Secret(text))),
            Err(trouble) => troubles.push((name.clone(), trouble)),
        }
    }
    if troubles.is_empty() { Ok(secrets) } else { Err(troubles) }
}

fn read_one(source: &SecretSource) -> Result<String, String> {
    let mut text = match source {
        SecretSource::File(path) => read_file(path)?,
        SecretSource::Environment(name) => {
            std::env::var(name).map_err(|error| format!("variable {name}: {error}"))?
        }
        SecretSource::MadeUp(text) => text.clone(),
    };
    if text.len() > SECRET_OCTETS_MAX {
        return Err(format!("it has more than {SECRET_OCTETS_MAX} octets"));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text) }
}

fn read_file(path: &Path) -> Result<String, String> {
    let trouble = |error: std::io::Error| format!("{}: {error}", path.display());
    let octets = std::fs::metadata(path).map_err(trouble)?.len();
    if octets > SECRET_OCTETS_MAX as u64 {
        return Err(format!("{} has more than {SECRET_OCTETS_MAX} octets", path.display()));
    }
    std::fs::read_to_string(path).map_err(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_from_files_by_grant_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hunter2\n").unwrap();
        let sources = BTreeMap::from([
            ("token".to_owned(), SecretSource::File(path)),
            ("other".to_owned(), SecretSource::File(folder.path().join("missing"))),
        ]);
        let secrets = read(&sources, &["token".to_owned()]).unwrap();
        assert_eq!(secrets.get("token").unwrap().reveal(), "hunter2");
        assert_eq!(secrets.len(), 1);
        assert!(!format!("{secrets:?}").contains("hunter2"));
        let troubles = read(&sources, &["other".to_owned(), "token".to_owned()]).unwrap_err();
        assert!(troubles.len() == 1 && troubles[0].0 == "other", "{troubles:?}");
    }
}
