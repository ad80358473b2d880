//! A built plugin: its file, what it says of itself, and the terms under which the tools run it.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use baton_hooks::cases::{self, Case};
use baton_hooks::manifest::Manifest;
use baton_hooks::{EditGrant, EngineSettings, Grants, PluginSettings};

use super::project::{FILE, Project};

/// Calls at once, and so instances that room is made for: the tools make one call after the other.
const CONCURRENT_CALLS_MAX: u32 = 4;

/// A built plugin.
pub(crate) struct Artefact {
    pub(crate) path: PathBuf,
    pub(crate) octets: Vec<u8>,
    pub(crate) manifest: Option<Manifest>,
    /// The project beside it, when there is one.
    project: Option<Project>,
}

impl Artefact {
    /// The file that was named, or what the project in this folder builds.
    pub(crate) fn find(named: Option<&Path>) -> anyhow::Result<Artefact> {
        let here = Path::new(".");
        let project = if here.join(FILE).is_file() { Some(Project::read(here)?) } else { None };
        let path = match (named, &project) {
            (Some(path), _) => path.to_owned(),
            (None, Some(project)) => project.artefact()?,
            (None, None) => {
                return Err(anyhow!("which component? name its file, or run this in a folder with {FILE}"));
            }
        };
        let is_its_own = |project: &Project| {
            let own = project.artefact().ok().and_then(|own| own.canonicalize().ok());
            own.is_some() && own == path.canonicalize().ok()
        };
        let project = project.filter(is_its_own);
        Artefact::read(path, project)
    }

    /// A file.
    pub(crate) fn at(path: &Path) -> anyhow::Result<Artefact> {
        Artefact::read(path.to_owned(), None)
    }

    fn read(path: PathBuf, project: Option<Project>) -> anyhow::Result<Artefact> {
        let octets = std::fs::read(&path).with_context(|| {
            let remedy = if project.is_some() { "; build it first: `baton plugin build`" } else { "" };
            format!("{}: not read{remedy}", path.display())
        })?;
        // A file that is no component at all is for the loader to describe.
        let manifest = Manifest::read(&octets).ok().flatten();
        Ok(Artefact { path, octets, manifest, project })
    }

    /// Its name: as its manifest says, or that of its file.
    pub(crate) fn name(&self) -> String {
        let named = self.manifest.as_ref().map(|manifest| manifest.name.clone());
        named.filter(|name| !name.is_empty()).unwrap_or_else(|| {
            let stem = self.path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
            stem.unwrap_or_default().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
        })
    }

    /// Its cases: those of the file that was named, of its project, or those that it carries.
    pub(crate) fn cases(&self, named: Option<&Path>) -> anyhow::Result<Vec<Case>> {
        let of_project = self.project.as_ref().and_then(|project| project.cases.as_deref());
        if let Some(path) = named.or(of_project) {
            return Ok(cases::read_file(path)?);
        }
        let carried = self.manifest.as_ref().and_then(|manifest| manifest.cases.clone());
        let file = self.path.display().to_string();
        match carried {
            Some(value) => Ok(cases::read_value(&file, value, None)?),
            None => Err(anyhow!("{file} carries no cases; name a file: --cases cases.toml")),
        }
    }

    /// The terms on which the tools run it: all that it asks for, and the limits that its author suggests.
    pub(crate) fn settings(&self, cases: &[Case]) -> PluginSettings {
        let mut settings = PluginSettings::new(&self.name(), &self.path);
        let Some(manifest) = &self.manifest else {
            settings.grants = everything(cases);
            return settings;
        };
        settings.grants = manifest.requests.clone();
        settings.on_failure = manifest.on_failure.unwrap_or_default();
        settings
    }
}

/// What a component without a manifest gets: all there is, with the buckets that the cases name.
fn everything(cases: &[Case]) -> Grants {
    Grants {
        edit: vec![EditGrant::Headers, EditGrant::Body, EditGrant::Recipients, EditGrant::Sender],
        relay: true,
        route: vec!["*".to_owned()],
        kv: cases::buckets_of(cases),
        dns: true,
        http: vec!["*".to_owned()],
        verify: true,
        secrets: cases::secrets_of(cases),
    }
}

/// The size of the engines that the tools make.
pub(crate) fn engine_settings() -> EngineSettings {
    EngineSettings { concurrent_calls_max: CONCURRENT_CALLS_MAX, ..EngineSettings::default() }
}
