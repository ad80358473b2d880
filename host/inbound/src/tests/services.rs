//! A plugin host whose services know nothing: these tests are about what the relay makes of verdicts.

use std::collections::HashMap;
use std::path::PathBuf;

use baton_hooks::worlds::World;
use baton_hooks::{EditGrant, Engine, EngineSettings, Generation, Grants, Limits, PluginSettings};

/// The zoo, a component that does at each hook what its config names; with all grants, or with none.
pub(super) async fn zoo(config: serde_json::Value, granted: bool) -> Generation {
    let grants = Grants {
        edit: vec![EditGrant::Headers, EditGrant::Recipients, EditGrant::Sender],
        relay: true,
        ..Grants::default()
    };
    let plugin = PluginSettings {
        // Far enough for a loaded machine.
        limits: Limits { cpu_ms: 1_000, wall_ms: 20_000, ..Limits::default() },
        grants: if granted { grants } else { Grants::default() },
        config,
        ..PluginSettings::new("zoo", zoo_path())
    };
    let engine =
        Engine::new(&EngineSettings { concurrent_calls_max: 16, ..EngineSettings::default() }).unwrap();
    let capabilities = World::default().capabilities();
    match Generation::load(&engine, 1, &[plugin], &HashMap::new(), &capabilities).await {
        Ok(generation) => generation,
        Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// Fails, and says what to do, when the component was not built.
fn zoo_path() -> PathBuf {
    let folder = std::env::var_os("BATON_PLUGIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"));
        target.join("wasm32-wasip2/plugin")
    });
    let path = folder.join("baton_plugin_zoo.wasm");
    let remedy = "build it: cargo build --profile plugin --target wasm32-wasip2 -p baton-plugin-zoo";
    assert!(path.exists(), "{} is missing; {remedy}", path.display());
    path
}
