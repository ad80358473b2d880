//! Keys by which content is sealed on the disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use baton_store::BodyKeys;

use super::Checker;

/// Octets of a file of keys.
const FILE_OCTETS_MAX: u64 = 64 << 10;

impl Checker<'_> {
    /// Reads the file now: a relay without its keys must not start.
    pub(super) fn body_keys(&mut self, path: Option<&Path>) -> BodyKeys {
        let Some(path) = path.map(|path| self.folder.join(path)) else { return BodyKeys::default() };
        read(&path).unwrap_or_else(|problem| {
            let remedy = "write lines `NUMBER BASE64` with keys of 32 octets into a file that its owner alone can read";
            let value = Some(path.display().to_string());
            self.problems.push("store.body_keys_file", value, problem, remedy);
            BodyKeys::default()
        })
    }
}

fn read(path: &Path) -> Result<BodyKeys, String> {
    let data = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if data.mode() & 0o077 != 0 {
        return Err(format!("others can read it (mode {:o})", data.mode() & 0o777));
    }
    if data.len() > FILE_OCTETS_MAX {
        return Err(format!("is larger than {FILE_OCTETS_MAX} octets"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    BodyKeys::parse(&text).map_err(|error| error.to_string())
}
