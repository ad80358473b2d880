//! Components and scripts of the past (`tests/plugins/corpus`): each still loads, and answers as it did.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use baton_hooks::cases::{self, Case};
use baton_hooks::manifest::Manifest;
use baton_hooks::{Engine, EngineSettings, Grants, PluginSettings};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::self_tests::own_config;
use crate::support::Host;

/// `record.toml` of one version of the contract.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    component: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    file: String,
    sha256: String,
    /// Of the repository: a folder.
    source: String,
    commit: String,
    made_with: String,
    date: String,
    /// Beside the component, when it does not carry them.
    cases: Option<String>,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/plugins/corpus")
}

/// The folders, one for each version.
fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    assert!(!folders.is_empty());
    folders
}

fn record(folder: &Path) -> Record {
    let text = std::fs::read_to_string(folder.join("record.toml")).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

#[test]
fn the_record_is_complete_and_nothing_was_built_anew() {
    for folder in versions() {
        let record = record(&folder);
        for component in &record.component {
            let Component { file, sha256, source, commit, made_with, date, .. } = component;
            let octets = std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let found: String = Sha256::digest(&octets).iter().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!(&found, sha256, "{file} is not what was recorded: take back the change");
            for (key, text) in
                [("source", source), ("commit", commit), ("made_with", made_with), ("date", date)]
            {
                assert!(!text.is_empty(), "{file}: {key} is empty");
            }
        }
        let recorded: BTreeSet<&str> = record.component.iter().map(|one| one.file.as_str()).collect();
        let is_plugin =
            |name: &String| name.ends_with(".wasm") || name.ends_with(".js") || name.ends_with(".ts");
        let there = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let unrecorded: Vec<String> =
            there.filter(is_plugin).filter(|name| !recorded.contains(name.as_str())).collect();
        assert!(unrecorded.is_empty(), "without a record: {unrecorded:?}");
    }
}

/// The cases of a component, and the settings that it is loaded with.
fn furnished(folder: &Path, component: &Component) -> (Vec<Case>, PluginSettings) {
    let path = folder.join(&component.file);
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let wasm = std::fs::read(&path).unwrap();
    let manifest = Manifest::read(&wasm).ok().flatten();
    let carried = manifest.as_ref().and_then(|manifest| manifest.cases.clone());
    let mut settings = PluginSettings::new(&name, &path);
    let cases = match (&component.cases, carried) {
        (Some(file), _) => {
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            settings.config = own_config(&toml::from_str(&text).unwrap());
            cases::read_file(&path)
        }
        (None, Some(carried)) => {
            settings.config = own_config(&carried);
            cases::read_value(&component.file, carried, None)
        }
        (None, None) => panic!("{} has no cases", component.file),
    };
    let cases = cases.unwrap_or_else(|error| panic!("{error}"));
    settings.grants = match manifest {
        Some(manifest) => manifest.requests,
        None => Grants {
            kv: cases::buckets_of(&cases),
            edit: vec![baton_hooks::EditGrant::Headers],
            ..Grants::default()
        },
    };
    (cases, settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_still_answers_as_its_cases_say() {
    let settings = EngineSettings { concurrent_calls_max: 4, ..EngineSettings::default() };
    let (counting, host) = (Engine::for_cases(&settings).unwrap(), Host::with(&settings));
    for folder in versions() {
        for component in record(&folder).component {
            let (cases, plugin) = furnished(&folder, &component);
            for report in cases::run(&counting, &plugin, &cases).await {
                assert!(report.passed(), "{}: {}: {:#?}", component.file, report.name, report.mismatches());
            }
            // As the relay serves it: tested, and from a snapshot.
            assert_eq!(host.load(&[plugin]).await.plugins().len(), 1, "{}", component.file);
        }
    }
}
