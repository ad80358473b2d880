//! The next generation: what is carried over, what is made anew, and what a cache on the disk saves.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use baton_hooks::cache::Cache;
use baton_hooks::{Engine, EngineSettings, Generation, Grants, Hook, OnFailure, PluginSettings};
use serde_json::json;

use crate::support::{Host, ask, call_at, everywhere, zoo, zoo_path};

async fn next(host: &Host, generation: &Generation, number: u64, plugins: &[PluginSettings]) -> Generation {
    generation
        .load_next(&host.engine, number, plugins, &HashMap::new(), &host.capabilities)
        .await
        .unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// Who answered at the rcpt hook, with the number of the load that made it.
async fn who(generation: &Generation) -> Vec<String> {
    let mut call = call_at(Hook::Rcpt);
    let rcpt = "ann@us.example".parse().unwrap();
    let verdict = generation.rcpt(&mut call, &rcpt, &[]).await;
    verdict.decisions.into_iter().map(|decision| decision.plugin).collect()
}

#[tokio::test]
async fn an_unchanged_plugin_is_carried_over() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plugin.wasm");
    std::fs::copy(zoo_path(), &file).unwrap();
    let plugin = PluginSettings { source: file.clone(), ..zoo(everywhere("reject")) };
    let first = next(&host, &Generation::empty(), 1, std::slice::from_ref(&plugin)).await;
    let compiled = host.engine.compilations();
    let second = next(&host, &first, 2, std::slice::from_ref(&plugin)).await;
    assert_eq!(host.engine.compilations(), compiled);
    assert!(who(&second).await[0].ends_with("#1"), "{:?}", who(&second).await);
    // Each of these is a change.
    let changed = [
        PluginSettings { config: everywhere("tempfail"), ..plugin.clone() },
        PluginSettings { on_failure: OnFailure::Open, ..plugin.clone() },
        PluginSettings { grants: Grants::default(), ..plugin.clone() },
        PluginSettings { hooks: Some(vec![Hook::Rcpt]), ..plugin.clone() },
    ];
    for other in changed {
        let third = next(&host, &second, 3, &[other]).await;
        assert!(who(&third).await[0].ends_with("#3"), "{:?}", who(&third).await);
    }
    let manifest = baton_hooks::manifest::Manifest { requests: plugin.grants.clone(), ..Default::default() };
    std::fs::write(&file, manifest.embed(&std::fs::read(zoo_path()).unwrap()).unwrap()).unwrap();
    let fourth = next(&host, &second, 4, &[plugin]).await;
    assert!(who(&fourth).await[0].ends_with("#4"), "the file changed: {:?}", who(&fourth).await);
}

#[tokio::test]
async fn a_failed_load_leaves_the_running_generation_as_it_is() {
    let host = Host::new();
    let plugin = zoo(everywhere("reject"));
    let first = next(&host, &Generation::empty(), 1, std::slice::from_ref(&plugin)).await;
    let broken = PluginSettings { name: "broken".to_owned(), ..zoo(json!({ "init": "trap" })) };
    let failed =
        first.load_next(&host.engine, 2, &[plugin, broken], &HashMap::new(), &host.capabilities).await;
    assert_eq!(failed.err().map(|errors| errors.len()), Some(1));
    assert!(ask(&first, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await.contains("the zoo is closed"));
}

pub(crate) fn with_cache(folder: &tempfile::TempDir) -> Host {
    let cache = Cache::open(&folder.path().join("plugins"), 1 << 30).unwrap();
    let settings = EngineSettings { concurrent_calls_max: 16, ..EngineSettings::default() };
    Host { engine: Engine::with_cache(&settings, Some(cache), None).unwrap(), ..Host::new() }
}

fn cached(folder: &tempfile::TempDir) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.path().join("plugins")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "cwasm")).collect()
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = [zoo(json!({ "init": "learn", "data": "recall" }))];
    let first = with_cache(&folder);
    first.load(&plugins).await;
    assert!(first.engine.compilations() > 0);
    let second = with_cache(&folder);
    let generation = second.load(&plugins).await;
    assert_eq!(second.engine.compilations(), 0);
    assert_eq!(
        ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await,
        "Accept",
        "calls start from what init left in the first run"
    );
    // Other settings are another snapshot.
    let generation = second.load(&[zoo(json!({ "data": "recall" }))]).await;
    assert!(second.engine.compilations() > 0);
    assert_eq!(ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await, "Next");
    assert_eq!(cached(&folder).len(), 2);
}

#[tokio::test]
async fn a_file_that_was_tampered_with_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = [zoo(everywhere("accept"))];
    with_cache(&folder).load(&plugins).await;
    let [file] = cached(&folder).try_into().unwrap();
    let mut octets = std::fs::read(&file).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 0xff;
    std::fs::write(&file, &octets).unwrap();
    let host = with_cache(&folder);
    let generation = host.load(&plugins).await;
    assert!(host.engine.compilations() > 0);
    assert_eq!(ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await, "Accept");
    let again = with_cache(&folder);
    again.load(&plugins).await;
    assert_eq!(again.engine.compilations(), 0, "it was written anew");
    let mode = std::fs::metadata(&file).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[tokio::test]
async fn a_plugin_that_fails_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let host = with_cache(&folder);
    assert!(!host.errors(&[zoo(json!({ "init": "problems" }))], &HashMap::new()).await.is_empty());
    assert!(cached(&folder).is_empty());
}
