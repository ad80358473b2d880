//! `baton plugin replay`: does a new build decide what the old one decided?

use std::path::Path;

use anyhow::{anyhow, bail};
use baton_hooks::record::Record;
use baton_hooks::replay::{Build, Replayed, replay};
use baton_hooks::{Engine, PluginSettings};
use serde_json::json;

use super::artefact::{Artefact, engine_settings};
use crate::cli::plugin::ReplayOptions;
use crate::commands::write_out;
use crate::settings;

pub(crate) async fn run(options: ReplayOptions) -> anyhow::Result<()> {
    let mut records = Record::read_all(&options.records)?;
    let name = choose(&records, options.name.as_deref())?;
    records.retain(|(_, record)| record.plugin_name() == name);
    // What can not be read is said here, before the loader is asked.
    let source = Artefact::at(&options.plugin)?.path;
    let terms = options.settings.as_deref().map(|path| terms(path, &name)).transpose()?;
    let engine = Engine::new(&engine_settings())?;
    let replayed = replay(&engine, &Build { source, terms }, records).await;
    let replayed = replayed
        .map_err(|errors| anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    write_out(&if options.json { as_json(&replayed) } else { as_text(&replayed) })?;
    match replayed.iter().filter(|replayed| !replayed.differences().is_empty()).count() {
        0 => Ok(()),
        count => bail!("{count} of {} calls differ", replayed.len()),
    }
}

/// The plugin whose records are meant.
fn choose<P>(records: &[(P, Record)], named: Option<&str>) -> anyhow::Result<String> {
    let mut names: Vec<&str> = records.iter().map(|(_, record)| record.plugin_name()).collect();
    names.sort_unstable();
    names.dedup();
    match (named, names.as_slice()) {
        (Some(named), names) if names.contains(&named) => Ok(named.to_owned()),
        (None, [one]) => Ok((*one).to_owned()),
        (_, []) => {
            Err(anyhow!("there is no record; set [plugins.NAME.record] folder, reload, wait for mail"))
        }
        (_, names) => Err(anyhow!("the records are of {}; choose one: --name NAME", names.join(", "))),
    }
}

/// The plugin's terms in the settings.
fn terms(path: &Path, name: &str) -> anyhow::Result<PluginSettings> {
    let checked = settings::load(Some(path));
    let checked = checked.map_err(|problems| anyhow!("{}:\n{problems}", problems.count()))?;
    let found = checked.plugins.into_iter().find(|plugin| plugin.name == name);
    found.ok_or_else(|| anyhow!("{}: there is no [plugins.{name}]", path.display()))
}

fn as_text(replayed: &[Replayed]) -> String {
    let mut text = String::new();
    let mut same = 0;
    for replayed in replayed {
        let differences = replayed.differences();
        if differences.is_empty() {
            same += 1;
            continue;
        }
        let record = &replayed.record;
        let about = record.recipient().map(|recipient| format!(" {recipient}")).unwrap_or_default();
        text += &format!("{}: {}{about}\n", replayed.path.display(), record.hook);
        for difference in differences {
            for (verb, lines) in [("was", &difference.was), ("is", &difference.is)] {
                for line in lines {
                    text += &format!("  {:10} {verb:3} {line}\n", difference.what);
                }
            }
        }
        if replayed.unknown > 0 {
            let count = replayed.unknown;
            text += &format!("  {count} host calls have no recorded answer, and got an error\n");
        }
    }
    let median = |micros: fn(&Replayed) -> u64| {
        let mut all: Vec<u64> = replayed.iter().map(micros).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let (then, now) = (median(|replayed| replayed.record.micros), median(|replayed| replayed.micros));
    let count = replayed.len();
    text + &format!("{same} of {count} calls are as before; median {then} µs in the relay, {now} µs here\n")
}

fn as_json(replayed: &[Replayed]) -> String {
    let row = |replayed: &Replayed| {
        let differences: Vec<_> = replayed
            .differences()
            .iter()
            .map(|difference| json!({ "what": difference.what, "was": difference.was, "is": difference.is }))
            .collect();
        json!({
            "record": replayed.path,
            "plugin": replayed.record.plugin,
            "hook": replayed.record.hook,
            "recipient": replayed.record.recipient(),
            "at": replayed.record.at,
            "decision": replayed.answer,
            "edits": replayed.edits,
            "host_calls": replayed.asked,
            "unanswered": replayed.unknown,
            "micros": { "was": replayed.record.micros, "is": replayed.micros },
            "differences": differences,
        })
    };
    serde_json::Value::from(replayed.iter().map(row).collect::<Vec<_>>()).to_string() + "\n"
}
