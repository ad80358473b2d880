//! The settings: read from TOML (`raw`), made sense of (`check`), described (`reference`).

pub(crate) mod check;
pub(crate) mod field;
pub(crate) mod problem;
pub(crate) mod raw;
pub(crate) mod reference;
pub(crate) mod tree;

use std::path::{Path, PathBuf};

use check::Checked;
use field::Field;
use problem::{Problem, Problems};
use raw::Raw;

/// Octets of a settings file at most; a bound against reading what is no settings file.
const FILE_OCTETS_MAX: u64 = 16 << 20;

/// Reads and checks a settings file; without one, everything is at its default and paths start at the current folder.
pub(crate) fn load(path: Option<&Path>) -> Result<Checked, Problems> {
    let Some(path) = path else { return check::check(&Raw::default(), Path::new("")) };
    let text = read_file(path)?;
    load_text(&text, folder_of(path))
}

/// Reads and checks settings; relative paths start at `folder`.
pub(crate) fn load_text(text: &str, folder: &Path) -> Result<Checked, Problems> {
    let tree = tree::parse(text)?;
    let mut problems = Problems::default();
    let raw = Raw::read(&tree, "", &mut problems).unwrap_or_default();
    match check::check(&raw, folder) {
        Ok(checked) if problems.is_empty() => Ok(checked),
        Ok(_) => Err(problems.locate(|key| tree.line_of(key))),
        Err(more) => {
            let all: Problems = problems.iter().chain(more.iter()).cloned().collect();
            Err(all.locate(|key| tree.line_of(key)))
        }
    }
}

/// The path of a running relay's admin socket, by its settings. What is wrong with other keys does not matter: the relay may
/// run by what stood there before.
pub(crate) fn admin_socket(path: Option<&Path>) -> Result<PathBuf, Problems> {
    let Some(path) = path else { return Ok(check::admin_socket(&Raw::default(), Path::new(""))) };
    let tree = tree::parse(&read_file(path)?)?;
    let mut problems = Problems::default();
    let raw = Raw::read(&tree, "", &mut problems);
    let is_about_it = |problem: &Problem| SOCKET_KEYS.contains(&problem.key.as_str());
    match raw {
        Some(raw) if !problems.iter().any(is_about_it) => Ok(check::admin_socket(&raw, folder_of(path))),
        _ => Err(problems.locate(|key| tree.line_of(key))),
    }
}

/// The keys that say where the admin socket is.
const SOCKET_KEYS: [&str; 4] = ["store", "store.path", "api", "api.admin_socket"];

/// Where the relative paths of a file start.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(""))
}

/// Reads a file of settings, within a bound.
pub(crate) fn read_file(path: &Path) -> Result<String, Problems> {
    let problem = |reason: String| -> Problems {
        let remedy = "give the path of a settings file, or none to run with the defaults";
        [Problem::new("", Some(path.display().to_string()), reason, remedy)].into_iter().collect()
    };
    let size = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?.len();
    if size > FILE_OCTETS_MAX {
        return Err(problem(format!("it has {size} octets, more than {FILE_OCTETS_MAX}")));
    }
    std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))
}

#[cfg(test)]
mod tests;
