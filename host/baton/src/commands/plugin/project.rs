//! A plugin's project: the folder with `plugin.toml`, what it says of the plugin, and how it is built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use baton_hooks::manifest::Manifest;
use baton_hooks::{Grants, Hook, OnFailure, cases};
use serde::Deserialize;

/// The file that makes a folder a project.
pub(crate) const FILE: &str = "plugin.toml";

/// A project that was read.
#[derive(Debug)]
pub(crate) struct Project {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What goes into the artefact.
    pub(crate) manifest: Manifest,
    /// Its case file, if it has one.
    pub(crate) cases: Option<PathBuf>,
    /// How it is built, if it says so.
    pub(crate) build: Option<Build>,
}

/// How a project is built.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Build {
    /// Run by `sh` in the project's folder.
    pub(crate) command: String,
    /// The file that it makes.
    pub(crate) output: PathBuf,
    /// That file is a core module, from which the component is made.
    #[serde(default)]
    pub(crate) adapter: bool,
}

/// `plugin.toml` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    license: String,
    hooks: Option<Vec<Hook>>,
    on_failure: Option<OnFailure>,
    schema: Option<PathBuf>,
    cases: Option<PathBuf>,
    #[serde(default)]
    requests: Grants,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    build: Option<Build>,
}

impl Project {
    /// Reads the project of a folder, its schema and its cases.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Project> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "{}: not read; run this in a project, or make one: `baton plugin new NAME`",
                path.display()
            )
        })?;
        let raw: Raw = toml::from_str(&text).with_context(|| path.display().to_string())?;
        let schema = raw.schema.map(|schema| read_json(&folder.join(schema))).transpose()?;
        let cases = raw.cases.map(|cases| folder.join(cases));
        let manifest = Manifest {
            name: raw.name,
            version: raw.version,
            description: raw.description,
            license: raw.license,
            hooks: raw.hooks,
            on_failure: raw.on_failure,
            schema,
            cases: cases.as_deref().map(read_cases).transpose()?,
            requests: raw.requests,
            limits: raw.limits,
        };
        Ok(Project { folder: folder.to_owned(), manifest, cases, build: raw.build })
    }

    /// How it is built.
    pub(crate) fn build(&self) -> anyhow::Result<&Build> {
        let missing = || {
            let path = self.folder.join(FILE);
            anyhow!("{}: [build] is missing; write its command and output", path.display())
        };
        self.build.as_ref().ok_or_else(missing)
    }

    /// The artefact that its build makes.
    pub(crate) fn artefact(&self) -> anyhow::Result<PathBuf> {
        Ok(self.folder.join(&self.build()?.output))
    }
}

/// The cases as the artefact carries them: checked, messages inlined.
fn read_cases(path: &Path) -> anyhow::Result<serde_json::Value> {
    cases::read_file(path)?;
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| file.clone())?;
    let mut value: serde_json::Value = toml::from_str(&text).with_context(|| file.clone())?;
    cases::inline_messages(&file, &mut value, path.parent().unwrap_or(Path::new(".")))?;
    Ok(value)
}

fn read_json(path: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let value: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{}: is not JSON", path.display()))?;
    if !value.is_object() {
        bail!("{}: a JSON Schema is an object", path.display());
    }
    Ok(value)
}
