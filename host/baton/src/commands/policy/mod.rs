//! `baton policy`: scripts without a relay.

mod run;

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use baton_hooks::worlds::World;
use baton_hooks::{EditGrant, Engine, EngineSettings, Generation, Grants, Hook, LoadError, PluginSettings};
use serde_json::Value;

use super::write_out;
use crate::cli::policy::{CheckScripts, PolicyCommand};

/// The types that the interpreter's prelude fulfils.
const TYPES: &str = include_str!("../../../../../sdk/script/baton.d.ts");

pub(crate) async fn run(command: PolicyCommand) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Check(options) => check(options).await,
        PolicyCommand::Run(options) => run::run(options).await,
        PolicyCommand::Types => write_out(TYPES),
    }
}

async fn check(options: CheckScripts) -> anyhow::Result<()> {
    let (engine, config) = (engine()?, config(&options.config)?);
    let mut faults = 0_usize;
    for file in &options.files {
        match load(&engine, &settings(file, &config)).await {
            Ok(generation) => write_out(&format!("{}: {}\n", file.display(), hooks(&generation).join(", ")))?,
            Err(errors) => {
                faults += errors.len();
                for error in errors {
                    eprintln!("{}", without_key(&error));
                }
            }
        }
    }
    if faults > 0 { Err(anyhow!("{faults} in {} scripts", options.files.len())) } else { Ok(()) }
}

fn engine() -> anyhow::Result<Engine> {
    Ok(Engine::new(&EngineSettings { concurrent_calls_max: 4, ..EngineSettings::default() })?)
}

async fn load(engine: &Engine, settings: &PluginSettings) -> Result<Generation, Vec<LoadError>> {
    let capabilities = World::default().capabilities();
    Generation::load(engine, 1, std::slice::from_ref(settings), &Default::default(), &capabilities).await
}

/// The names of the hooks that a script is asked at.
fn hooks(generation: &Generation) -> Vec<&'static str> {
    Hook::ALL.into_iter().filter(|hook| generation.has(*hook)).map(Hook::as_str).collect()
}

/// A script that may do everything: what it decides is to be seen, and nothing can come of it.
fn settings(file: &Path, config: &Value) -> PluginSettings {
    PluginSettings {
        grants: Grants {
            edit: vec![EditGrant::Headers, EditGrant::Body, EditGrant::Recipients, EditGrant::Sender],
            relay: true,
            route: vec!["*".to_owned()],
            kv: buckets(&std::fs::read_to_string(file).unwrap_or_default()),
            dns: true,
            ..Grants::default()
        },
        config: config.clone(),
        ..PluginSettings::new("policy", file)
    }
}

/// The buckets that a script names: `kv("rate")`.
fn buckets(text: &str) -> Vec<String> {
    let named = text.split("kv(").skip(1).filter_map(|rest| {
        let quote = rest.chars().next().filter(|first| ['"', '\'', '`'].contains(first))?;
        Some(rest.get(1..)?.split_once(quote)?.0.to_owned())
    });
    let mut buckets: Vec<String> = named.collect();
    buckets.sort();
    buckets.dedup();
    buckets
}

/// Settings as JSON, or as a file of either format.
fn config(given: &str) -> anyhow::Result<Value> {
    if given.trim_start().starts_with('{') {
        return serde_json::from_str(given).context("--config is not JSON");
    }
    let text = std::fs::read_to_string(given).with_context(|| format!("read {given}"))?;
    let value = if given.ends_with(".json") {
        serde_json::from_str(&text).with_context(|| format!("{given} is not JSON"))?
    } else {
        toml::from_str(&text).with_context(|| format!("{given} is not TOML"))?
    };
    if !matches!(value, Value::Object(_)) {
        bail!("{given}: settings are a table");
    }
    Ok(value)
}

/// The error without the key of the settings, which a script outside of them does not have.
fn without_key(error: &LoadError) -> String {
    let text = error.to_string();
    text.strip_prefix("plugins.policy.source: ")
        .map(str::to_owned)
        .unwrap_or(text.replace("plugins.policy.", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_found_in_the_text() {
        assert_eq!(buckets("kv(\"rate\").get(kv('seen')); kv(name); kv(`rate`)"), ["rate", "seen"]);
    }
}
