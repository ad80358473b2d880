//! `baton plugin check`: does a component fit this relay?

use std::collections::HashMap;

use baton_hooks::worlds::World;
use baton_hooks::{Engine, Generation, Hook, LoadError, PluginInfo};
use serde_json::json;

use super::artefact::{Artefact, engine_settings};
use super::refuse;
use crate::cli::plugin::ComponentOptions;
use crate::commands::write_out;

/// What the relay would make of it.
pub(super) enum Fit {
    /// It can be loaded.
    Loaded(Box<PluginInfo>),
    /// It can be loaded once it has settings: what it says of none.
    WantsSettings(Vec<String>),
    /// It can not be loaded.
    Refused(Vec<String>),
}

pub(crate) async fn run(options: ComponentOptions) -> anyhow::Result<()> {
    let artefact = Artefact::find(options.component.as_deref())?;
    let fit = fit(&artefact).await?;
    write_out(&if options.json { as_json(&fit) } else { as_text(&artefact, &fit) })?;
    refuse(&artefact, &fit)
}

/// Loads it as the relay would, with all that it asks for and without settings of its own.
pub(super) async fn fit(artefact: &Artefact) -> anyhow::Result<Fit> {
    let engine = Engine::for_cases(&engine_settings())?;
    let settings = artefact.settings(&[]);
    let capabilities = World::default().capabilities();
    let errors = match Generation::load(&engine, 1, &[settings], &HashMap::new(), &capabilities).await {
        Ok(generation) => {
            let info = generation.plugins().into_iter().next().map(Box::new);
            return Ok(info.map_or(Fit::Refused(Vec::new()), Fit::Loaded));
        }
        Err(errors) => errors,
    };
    let words = errors.iter().map(ToString::to_string).collect();
    let about_settings = errors.iter().all(|error| matches!(error, LoadError::Config { .. }));
    Ok(if about_settings { Fit::WantsSettings(words) } else { Fit::Refused(words) })
}

pub(super) fn as_text(artefact: &Artefact, fit: &Fit) -> String {
    let mut text = String::new();
    let file = artefact.path.display();
    match fit {
        Fit::Loaded(info) => {
            text += &format!("{file} fits this relay.\n");
            text += &format!("hooks     {}\n", names(&info.hooks));
            text += &format!("asks for  {}\n", or_nothing(info.grants.in_words().join(", ")));
            // Without a manifest the tools grant everything; how that differs from the imports says nothing.
            if artefact.manifest.is_some() {
                text.extend(info.advice.iter().map(|advice| format!("note: {advice}\n")));
            }
        }
        Fit::WantsSettings(problems) => {
            text += &format!("{file} fits this relay, and needs settings:\n");
            text.extend(problems.iter().map(|problem| format!("  {problem}\n")));
        }
        Fit::Refused(problems) => text.extend(problems.iter().map(|problem| format!("  {problem}\n"))),
    }
    if artefact.manifest.is_none() && !matches!(fit, Fit::Refused(_)) {
        text += "note: it carries no manifest, so it counts as asking for all that it imports; embed one: \
                 `baton plugin pack`\n";
    }
    text
}

fn names(hooks: &[Hook]) -> String {
    hooks.iter().map(|hook| hook.as_str()).collect::<Vec<_>>().join(", ")
}

pub(super) fn or_nothing(text: String) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text }
}

fn as_json(fit: &Fit) -> String {
    let value = match fit {
        Fit::Loaded(info) => json!({
            "fits": true,
            "hooks": info.hooks,
            "grants": info.grants.in_words(),
            "advice": info.advice.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Fit::WantsSettings(problems) => json!({ "fits": true, "problems": problems }),
        Fit::Refused(problems) => json!({ "fits": false, "problems": problems }),
    };
    value.to_string() + "\n"
}
