//! `baton check`: are the settings and plugins fit to run?

use std::sync::Arc;

use anyhow::anyhow;
use baton_dns::Resolver;
use baton_hooks::host::Capabilities;
use baton_hooks::worlds::World;
use baton_hooks::{Engine, Generation};
use baton_mail::SystemClock;
use serde_json::json;

use super::{notes, write_out};
use crate::cli::CheckOptions;
use crate::compiling;
use crate::relay::load_generation;
use crate::settings::check::Checked;
use crate::settings::problem::Problems;
use crate::settings::{self, reference};
use crate::wiring::PluginDns;

pub(crate) async fn run(options: CheckOptions) -> anyhow::Result<()> {
    if options.reference {
        return write_out(&reference::reference());
    }
    let checked = match settings::load(options.file.settings.as_deref()) {
        Ok(checked) => checked,
        Err(problems) if options.json => return fail_as_json(&problems),
        Err(problems) => return Err(anyhow!("{}:\n{problems}", problems.count())),
    };
    let (generation, tags) = load(&checked).await?;
    let loaded = generation.plugins();
    let plugins: Vec<_> = loaded.iter().map(|plugin| format!("{}@{}", plugin.name, plugin.digest)).collect();
    let advice = loaded.iter().flat_map(|plugin| &plugin.advice).map(ToString::to_string);
    let advice: Vec<_> = tags.into_iter().chain(advice).collect();
    if options.json {
        let all = json!({"problems": [], "plugins": plugins, "advice": advice});
        return write_out(&(all.to_string() + "\n"));
    }
    let plugins = if plugins.is_empty() { "none".to_owned() } else { plugins.join(", ") };
    write_out(&format!("The settings are valid. Plugins: {plugins}.\n{}", notes(&advice)))
}

fn fail_as_json(problems: &Problems) -> anyhow::Result<()> {
    let problem = |problem: &settings::problem::Problem| {
        json!({
            "key": problem.key,
            "line": problem.line,
            "value": problem.value,
            "reason": problem.reason,
            "remedy": problem.remedy,
        })
    };
    let all: Vec<_> = problems.iter().map(problem).collect();
    write_out(&(json!({"problems": all}).to_string() + "\n"))?;
    Err(anyhow!("{}", problems.count()))
}

/// Loads the plugins as `serve` does, but for the store, which a running relay may hold. Answers what tags stand for, too.
pub(crate) async fn load(checked: &Checked) -> anyhow::Result<(Generation, Vec<String>)> {
    let engine = Engine::with_cache(&checked.engine, None, Some(compiling::workshop()))?;
    let capabilities = Capabilities {
        dns: Arc::new(PluginDns(Resolver::new(&checked.dns)?)),
        clock: Arc::new(SystemClock),
        ..World::default().capabilities()
    };
    load_generation(&engine, checked, &capabilities).await
}
