//! The folder of policies: a file in it is a plugin.

use std::path::{Path, PathBuf};

use baton_hooks::is_script;

use super::Checker;
use crate::settings::raw::{Raw, RawPlugin};

impl Checker<'_> {
    /// The plugins of the settings, and after them the scripts of the folder that they do not name.
    pub(super) fn with_policies(&mut self, raw: &Raw) -> Vec<(String, RawPlugin)> {
        let mut plugins = raw.plugins.0.clone();
        let Some(folder) = &raw.policies.folder else { return plugins };
        let scripts = match scripts(&self.folder.join(folder)) {
            Ok(scripts) => scripts,
            Err(reason) => {
                let shown = Some(folder.display().to_string());
                let remedy = "name a folder that can be read";
                self.problems.push("policies.folder", shown, reason, remedy);
                return plugins;
            }
        };
        for (index, (name, path)) in scripts.iter().enumerate() {
            if scripts.iter().take(index).any(|(earlier, _)| earlier == name) {
                let reason = format!("there are two scripts named `{name}`");
                self.problems.push(
                    "policies.folder",
                    Some(path.display().to_string()),
                    reason,
                    "rename one of them",
                );
                continue;
            }
            let path = &folder.join(path);
            match plugins.iter_mut().find(|(known, _)| known == name) {
                Some((_, plugin)) if plugin.source.as_os_str().is_empty() => plugin.source = path.clone(),
                Some(_) => {
                    let reason = format!("a script of the folder has the name of the plugin `{name}`");
                    let remedy = format!("rename {}, or take `source` out of plugins.{name}", path.display());
                    self.problems.push("policies.folder", None, reason, remedy);
                }
                None => plugins.push((name.clone(), policy(raw, path))),
            }
        }
        plugins
    }

    /// What tells that the folder changed: its scripts, and itself. The types in it need not be there; to ask for them
    /// is to ask for news of the folder, which may be empty.
    pub(super) fn watched_policies(&self, raw: &Raw) -> Vec<PathBuf> {
        let Some(folder) = &raw.policies.folder else { return Vec::new() };
        let folder = self.folder.join(folder);
        let mut files = vec![folder.join("baton.d.ts"), folder.clone()];
        files.extend(scripts(&folder).unwrap_or_default().into_iter().map(|(_, file)| folder.join(file)));
        files
    }
}

/// True for a script of the folder.
pub(super) fn is_policy(raw: &Raw, source: &Path) -> bool {
    raw.policies.folder.as_deref().is_some_and(|folder| source.parent() == Some(folder))
}

/// A script by the common settings.
fn policy(raw: &Raw, path: &Path) -> RawPlugin {
    RawPlugin {
        source: path.to_owned(),
        on_failure: raw.policies.on_failure.clone(),
        limits: raw.policies.limits.clone(),
        grants: raw.policies.grants.clone(),
        ..RawPlugin::default()
    }
}

/// Name and file name of each script in a folder, by name. Types for editors (`.d.ts`) and hidden files, which editors leave
/// while they write, are none.
fn scripts(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let (Some(name), Some(stem)) = (path.file_name(), path.file_stem()) else { continue };
        let (name, stem) = (name.to_string_lossy(), stem.to_string_lossy());
        if is_script(&path) && path.is_file() && !name.starts_with('.') && !stem.ends_with(".d") {
            scripts.push((stem.into_owned(), PathBuf::from(name.as_ref())));
        }
    }
    scripts.sort();
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.ts", "a.js", "baton.d.ts", ".c.js", "notes.md", "d.js~"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<String> = scripts(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
