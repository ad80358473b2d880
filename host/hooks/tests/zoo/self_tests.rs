//! The cases that an artefact brings along, run before it may serve.

use std::collections::HashMap;
use std::path::Path;

use baton_hooks::manifest::Manifest;
use baton_hooks::{EngineSettings, Generation, Hook, OnFailure, PluginSettings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::artefacts::{asking, packed};
use crate::reload::with_cache;
use crate::support::{Host, ask, call_at, everywhere, limits, zoo, zoo_path};

/// The zoo with one case of its own, for an operator who wants it to accept everything.
fn testing(folder: &TempDir, case: Value) -> PluginSettings {
    let bare = PluginSettings { grants: Default::default(), ..zoo(everywhere("accept")) };
    packed(folder, &with_cases(json!({ "case": [case] })), bare)
}

fn with_cases(cases: Value) -> Manifest {
    Manifest { cases: Some(cases), ..asking(Default::default()) }
}

fn refusing(decision: &str) -> Value {
    let config = json!({ "rcpt": "reject" });
    json!({ "name": "all are refused", "hook": "rcpt", "config": config, "expect": { "decision": decision } })
}

async fn only_error(host: &Host, plugin: &PluginSettings) -> String {
    let errors = host.errors(std::slice::from_ref(plugin), &HashMap::new()).await;
    let [error] = errors.as_slice() else { panic!("one error expected: {errors:?}") };
    error.clone()
}

#[tokio::test]
async fn one_that_fails_refuses_the_load() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let bad = testing(&folder, refusing("accept"));
    let error = only_error(&host, &bad).await;
    for part in [
        "plugins.zoo.source: ",
        "packed.wasm fails its self-test \"all are refused\"",
        "expect.decision: expected accept, got reject 550 5.7.1 the zoo is closed",
        "set plugins.zoo.self_test = false",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[tokio::test]
async fn ones_that_pass_leave_nothing_of_theirs_behind() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let generation = host.load(&[testing(&folder, refusing("reject"))]).await;
    let answer = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert_eq!(answer, "Accept", "by the settings of the operator");
    let calls = host.metric("baton_hooks_calls_total{plugin=\"zoo\",hook=\"rcpt\"}");
    assert_eq!(calls, 1.0, "those of the cases are not counted");
}

#[tokio::test]
async fn the_operator_can_turn_them_off_and_on_again() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let bad = testing(&folder, refusing("accept"));
    let untested = PluginSettings { self_test: false, ..bad.clone() };
    let running = host.load(&[untested]).await;
    // What was compiled for the load without them does not make up for them.
    let next = running.load_next(&host.engine, 2, &[bad], &HashMap::new(), &host.capabilities).await;
    let errors = next.err().expect("refused");
    assert!(errors[0].to_string().contains("fails its self-test"), "{errors:?}");
    assert_eq!(ask(&running, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await, "Accept", "it goes on");
}

#[tokio::test]
async fn ones_that_can_not_be_read_refuse_the_load() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let unknown = json!({ "name": "of tomorrow", "hook": "helo", "expect": { "decision": "next" } });
    let error = only_error(&host, &testing(&folder, unknown)).await;
    for part in [
        "the self-tests of",
        "packed.wasm can not be read: case \"of tomorrow\": hook: `helo` is no hook",
        "set plugins.zoo.self_test = false",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    let bare = PluginSettings { grants: Default::default(), ..zoo(everywhere("accept")) };
    let error = only_error(&host, &packed(&folder, &with_cases(json!("none")), bare)).await;
    assert!(error.contains("can not be read"), "{error}");
}

/// Decides by what init left in memory, so with a snapshot it does not do what it does without.
fn forgetful(decision: &str) -> Value {
    let config = json!({ "init": "learn", "data": "recall" });
    json!({ "name": "recalls", "hook": "data", "config": config, "expect": { "decision": decision } })
}

#[tokio::test]
async fn a_plugin_that_differs_from_its_snapshot_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "init": "learn", "data": "recall" });
    for run in ["first", "second"] {
        let host = with_cache(&folder);
        let plugin = PluginSettings { config: config.clone(), ..testing(&folder, forgetful("next")) };
        let generation = host.load(std::slice::from_ref(&plugin)).await;
        let answer = ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await;
        assert_eq!(answer, "Next", "as its case says and not as its snapshot would, in the {run} run");
        let untested = PluginSettings { self_test: false, ..plugin };
        let answer = ask(&host.load(&[untested]).await, Hook::Data, &mut call_at(Hook::Data)).await;
        assert_eq!(answer, "Accept", "from the snapshot, in the {run} run");
    }
    let host = Host::new();
    let error = only_error(&host, &testing(&folder, forgetful("accept"))).await;
    assert!(error.contains("expected accept, got next"), "what counts is what the file does: {error}");
}

#[tokio::test]
async fn a_file_that_passed_is_not_tested_again() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = testing(&folder, refusing("reject"));
    let host = with_cache(&folder);
    host.load(std::slice::from_ref(&plugin)).await;
    let compiled = host.engine.compilations();
    let other = PluginSettings { config: everywhere("tempfail"), ..plugin.clone() };
    host.load(&[other]).await;
    assert_eq!(host.engine.compilations(), compiled + 2, "its snapshot, and what it is taken of");
    let later = with_cache(&folder);
    later.load(&[plugin]).await;
    assert_eq!(later.engine.compilations(), 0);
    let failing = testing(&folder, refusing("accept"));
    for _ in 0..2 {
        assert!(only_error(&later, &failing).await.contains("fails its self-test"), "each time");
    }
}

#[tokio::test]
async fn they_end() {
    let settings = EngineSettings { concurrent_calls_max: 4, self_test_ms: 300, ..EngineSettings::default() };
    let host = Host::with(&settings);
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "rcpt": "sleep" });
    let case =
        json!({ "name": "sleeps", "hook": "rcpt", "config": config, "expect": { "decision": "next" } });
    let error = only_error(&host, &testing(&folder, case)).await;
    assert!(error.contains("is at its self-test \"sleeps\" after the 300 ms"), "{error}");
    assert!(error.contains("raise engine.self_test_ms"), "{error}");
}

#[tokio::test]
async fn they_run_on_the_terms_of_the_author() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "rcpt": "trap", "data": "count" });
    let failure = json!({ "name": "a failure is passed over", "hook": "rcpt", "config": config,
        "expect": { "failure": "trap", "decision": "next" } });
    let counting = json!({ "name": "it counts", "hook": "data", "config": config,
        "kv": { "zoo": { "calls": "1" } }, "expect": { "decision": "next", "kv": { "zoo": { "calls": "2" } } } });
    let requests = baton_hooks::Grants { kv: vec!["zoo".to_owned()], ..Default::default() };
    let manifest = Manifest {
        on_failure: Some(OnFailure::Open),
        requests,
        ..with_cases(json!({ "case": [failure, counting] }))
    };
    let strict = PluginSettings {
        grants: Default::default(),
        on_failure: OnFailure::Closed,
        limits: baton_hooks::Limits { host_calls_max: 3, ..limits() },
        ..zoo(everywhere("accept"))
    };
    let generation = host.load(&[packed(&folder, &manifest, strict)]).await;
    assert_eq!(generation.plugins()[0].on_failure, OnFailure::Closed);
}

/// A config that the plugin takes: that of its first case about a hook.
pub(crate) fn own_config(cases: &Value) -> Value {
    let mut config = cases["config"].as_object().cloned().unwrap_or_default();
    let about_hook = cases["case"].as_array().unwrap().iter().find(|case| case["hook"] != "init").unwrap();
    config.extend(about_hook["config"].as_object().cloned().unwrap_or_default());
    config.into()
}

fn shipped() -> Vec<PluginSettings> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let plugin = |name: String| {
        let path = zoo_path().with_file_name(format!("baton_plugin_{}.wasm", name.replace('-', "_")));
        let wasm = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let manifest = Manifest::read(&wasm).unwrap().unwrap_or_else(|| panic!("{name} has no manifest"));
        let cases = manifest.cases.unwrap_or_else(|| panic!("{name} brings no cases along"));
        PluginSettings {
            grants: manifest.requests,
            config: own_config(&cases),
            ..PluginSettings::new(&name, path)
        }
    };
    names.into_iter().map(plugin).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plugins_that_ship_pass_theirs() {
    let host = Host::new();
    let plugins = shipped();
    assert!(plugins.len() >= 20, "{}", plugins.len());
    let generation: Generation = host.load(&plugins).await;
    assert_eq!(generation.plugins().len(), plugins.len());
}
