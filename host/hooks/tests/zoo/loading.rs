//! What is wrong with a plugin is told at load, with the name of the plugin and the remedy.

use std::collections::HashMap;
use std::path::PathBuf;

use baton_hooks::{Hook, PluginSettings};
use serde_json::json;

use crate::support::{Host, ask, call_at, everywhere, zoo};

fn from_file(folder: &tempfile::TempDir, octets: &[u8]) -> PluginSettings {
    let path = folder.path().join("plugin.wasm");
    std::fs::write(&path, octets).unwrap();
    PluginSettings { source: path, ..zoo(json!({})) }
}

async fn only_error(host: &Host, plugin: PluginSettings) -> String {
    let errors = host.errors(&[plugin], &HashMap::new()).await;
    let [error] = errors.as_slice() else { panic!("one error expected: {errors:?}") };
    error.clone()
}

#[tokio::test]
async fn files_that_are_no_components() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let missing = PluginSettings { source: PathBuf::from("/nowhere/plugin.wasm"), ..zoo(json!({})) };
    let error = only_error(&host, missing).await;
    assert!(error.contains("plugins.zoo.source: /nowhere/plugin.wasm: No such file"), "{error}");
    let error = only_error(&host, from_file(&folder, b"\0asm\x01\0\0\0")).await;
    assert!(error.contains("is not a component but a core module; build for wasm32-wasip2"), "{error}");
    let error = only_error(&host, from_file(&folder, b"#!/bin/sh")).await;
    assert!(error.contains("is not a WebAssembly component"), "{error}");
    let error = only_error(&host, from_file(&folder, b"\0asm\x0d\0\x01\0garbage")).await;
    assert!(error.contains("does not compile"), "{error}");
    let error = only_error(&host, from_file(&folder, b"\0asm\x0d\0\x01\0")).await;
    assert!(error.contains("exports no hook"), "{error}");
}

/// Replaces a text in the component by another one of the same length.
fn patched(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut wasm = std::fs::read(zoo(json!({})).source).unwrap();
    let mut found = 0;
    for at in 0..wasm.len() - from.len() {
        if &wasm[at..at + from.len()] == from.as_bytes() {
            wasm[at..at + from.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} does not occur in the component");
    wasm
}

#[tokio::test]
async fn components_of_another_contract() {
    let host = Host::new();
    let folder = tempfile::tempdir().unwrap();
    let error = only_error(
        &host,
        from_file(&folder, &patched("baton:relay/routing@0.1.0", "baton:relay/routing@0.2.0")),
    )
    .await;
    assert!(
        error.contains("was built for baton:relay/routing@0.2.0, this relay offers version 0.1.0; rebuild"),
        "{error}"
    );
    let error = only_error(
        &host,
        from_file(&folder, &patched("baton:relay/routing@0.1.0", "baton:relay/rooting@0.1.0")),
    )
    .await;
    assert!(error.contains("imports baton:relay/rooting@0.1.0"), "{error}");
    let error = only_error(
        &host,
        from_file(&folder, &patched("baton:relay/data-hook@0.1.0", "baton:relay/beta-hook@0.1.0")),
    )
    .await;
    assert!(
        error.contains("exports baton:relay/beta-hook@0.1.0, a hook that this relay does not know"),
        "{error}"
    );
    let error = only_error(&host, from_file(&folder, &patched("use-next-hop", "use-text-hop"))).await;
    assert!(error.contains("routing") && error.contains("use-text-hop"), "{error}");
    let patch = patched("baton:relay/routing@0.1.0", "baton:relay/routing@0.1.7");
    let errors = host.errors(&[from_file(&folder, &patch)], &HashMap::new()).await;
    assert!(errors.is_empty(), "a patch version fits: {errors:?}");
}

#[tokio::test]
async fn settings_that_do_not_fit() {
    let host = Host::new();
    let errors = host.errors(&[zoo(json!({})), zoo(json!({}))], &HashMap::new()).await;
    assert!(errors.iter().any(|error| error.contains("two plugins of that name")), "{errors:?}");
    for name in ["shared", "", "a/b", "Zoo", "1st"] {
        let error = only_error(&host, PluginSettings { name: name.to_owned(), ..zoo(json!({})) }).await;
        assert!(error.contains("a plugin's name"), "{error}");
    }
    let mut large = zoo(json!({}));
    large.limits.memory_octets = usize::MAX;
    let error = only_error(&host, large).await;
    assert!(error.contains("plugins.zoo.limits.memory_octets") && error.contains("lower it"), "{error}");
}

#[tokio::test]
async fn orders_that_do_not_fit() {
    let host = Host::new();
    let mut partial = zoo(json!({}));
    partial.name = "partial".to_owned();
    partial.hooks = Some(vec![Hook::Data]);
    let plugins = [zoo(json!({})), partial];
    let order = HashMap::from([(Hook::Rcpt, ["partial", "absent"].map(str::to_owned).to_vec())]);
    let errors = host.errors(&plugins, &order).await;
    for expected in [
        "\"partial\" is a plugin without this hook",
        "\"absent\" is not a plugin",
        "plugin \"zoo\" has this hook but is not in the list",
    ] {
        assert!(
            errors.iter().any(|error| error.starts_with("order.rcpt") && error.contains(expected)),
            "{expected}: {errors:?}"
        );
    }
    let twice = HashMap::from([(Hook::Rcpt, ["zoo", "zoo"].map(str::to_owned).to_vec())]);
    let errors = host.errors(&plugins, &twice).await;
    assert!(errors.iter().any(|error| error.contains("named twice")), "{errors:?}");
}

#[tokio::test]
async fn init_checks_the_settings() {
    let host = Host::new();
    let error = only_error(&host, zoo(json!({ "init": "problems" }))).await;
    assert_eq!(error, "plugins.zoo.config.init: is \"problems\"");
    let errors = host.errors(&[zoo(json!({ "init": "capabilities" }))], &HashMap::new()).await;
    assert!(errors.is_empty(), "only log and config answer during init: {errors:?}");
    let error = only_error(&host, zoo(json!({ "init": "trap" }))).await;
    assert!(error.contains("plugins.zoo: init failed (trap)"), "{error}");
    let error = only_error(&host, zoo(json!({ "init": "loop" }))).await;
    assert!(error.contains("init failed (cpu-budget)"), "{error}");
}

#[tokio::test]
async fn every_error_is_told_at_once() {
    let host = Host::new();
    let missing =
        PluginSettings { name: "missing".to_owned(), source: PathBuf::from("/nowhere"), ..zoo(json!({})) };
    let broken = PluginSettings { name: "broken".to_owned(), ..zoo(json!({ "init": "trap" })) };
    let order = HashMap::from([(Hook::Data, ["missing", "broken"].map(str::to_owned).to_vec())]);
    let errors = host.errors(&[missing, broken, zoo(everywhere("next"))], &order).await;
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors.iter().any(|error| error.starts_with("order.data: plugin \"zoo\"")), "{errors:?}");
}

#[tokio::test]
async fn calls_start_from_what_init_left() {
    let host = Host::new();
    let generation = host.load(&[zoo(json!({ "init": "learn", "data": "recall" }))]).await;
    for _ in 0..3 {
        assert_eq!(
            ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await,
            "Accept",
            "and from nothing else"
        );
    }
    let again = host.load(&[zoo(json!({ "init": "learn", "data": "recall" }))]).await;
    assert_eq!(
        ask(&again, Hook::Data, &mut call_at(Hook::Data)).await,
        "Accept",
        "a reload keeps the snapshot"
    );
    let other = host.load(&[zoo(json!({ "data": "recall" }))]).await;
    assert_eq!(
        ask(&other, Hook::Data, &mut call_at(Hook::Data)).await,
        "Next",
        "other settings have another one"
    );
}

/// Open handles can not be part of a snapshot; the plugin works without one.
#[tokio::test]
async fn a_plugin_without_a_snapshot_works() {
    let host = Host::new();
    let generation =
        host.load(&[zoo(json!({ "init": "learn-and-print", "data": "recall", "rcpt": "logs" }))]).await;
    assert_eq!(ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await, "Next");
    assert_eq!(ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await, "Next");
}
