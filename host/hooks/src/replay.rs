//! Recorded calls, made again with another build of the plugin: the services answer what they answered then.
//!
//! What a plugin takes from neither the call nor a service is not recorded: random numbers, and how fast it runs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use baton_mail::Clock;

use crate::ask::{self, Ask, AskBounce, AskConnect, AskData, AskRcpt, AskRoute};
use crate::engine::Engine;
use crate::plugin::Plugin;
use crate::record::{Record, SECRET};
use crate::run::{run, told};
use crate::tape::{Exchange, Tape, played};
use crate::trust::Trust;
use crate::worlds::World;
use crate::{Call, Generation, Hook, Limits, LoadError, PluginSettings, RunSettings, SecretSource};

/// Time that a replayed call may use at least: the machine that it runs on may be slower than the relay's.
const CPU_MS_MIN: u32 = 1_000;
const WALL_MS_MIN: u32 = 20_000;

/// The build that records are replayed against.
#[derive(Clone, Debug)]
pub struct Build {
    /// Its file.
    pub source: PathBuf,
    /// The terms of the settings; by default those that each call was recorded with.
    pub terms: Option<PluginSettings>,
}

/// What came of one call.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The record's file.
    pub path: PathBuf,
    /// The call as it was.
    pub record: Record,
    /// What the new build says.
    pub answer: String,
    /// What it asks to change, in full.
    pub edits: Vec<String>,
    /// What it asked of the services.
    pub asked: Vec<String>,
    /// How many of these were not asked then. Each was answered as not available.
    pub unknown: usize,
    /// Wall time, in microseconds.
    pub micros: u64,
}

/// What the old build did and the new one does not, and the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `decision`, `edits` or `host calls`.
    pub what: &'static str,
    /// As recorded; only what is not in `is`.
    pub was: Vec<String>,
    /// As replayed; only what is not in `was`.
    pub is: Vec<String>,
}

impl Replayed {
    /// Where the new build does not do what the old one did.
    pub fn differences(&self) -> Vec<Difference> {
        let record = &self.record;
        let asked: Vec<String> = record.exchanges.iter().map(Exchange::told).collect();
        let decisions = (vec![record.answer.clone()], vec![self.answer.clone()]);
        let parts = [
            ("decision", decisions),
            ("edits", (record.edits.clone(), self.edits.clone())),
            ("host calls", (asked, self.asked.clone())),
        ];
        let differs = |(what, (was, is)): (&'static str, (Vec<String>, Vec<String>))| {
            (was != is).then(|| Difference { what, was: without(&was, &is), is: without(&is, &was) })
        };
        parts.into_iter().filter_map(differs).collect()
    }
}

/// What is left of a list when each of the others was taken from it once; all of it when only the order differs.
fn without(list: &[String], others: &[String]) -> Vec<String> {
    let take = |list: &[String], others: &[String]| {
        let mut left = list.to_vec();
        for other in others {
            if let Some(index) = left.iter().position(|one| one == other) {
                left.remove(index);
            }
        }
        left
    };
    let is_reordered = take(list, others).is_empty() && take(others, list).is_empty();
    if is_reordered { list.to_vec() } else { take(list, others) }
}

/// Makes recorded calls against a build, oldest first.
///
/// # Errors
/// The build can not be loaded on the terms of a record.
pub async fn replay(
    engine: &Engine,
    build: &Build,
    records: Vec<(PathBuf, Record)>,
) -> Result<Vec<Replayed>, Vec<LoadError>> {
    let world = World::new(records.first().map_or(World::BEGIN, |(_, record)| record.at));
    let mut loaded: Option<(PluginSettings, Generation)> = None;
    let mut replayed = Vec::with_capacity(records.len());
    for (path, record) in records {
        world.clock.advance(record.at.since(world.clock.now()));
        let settings = settings(build, &record);
        let generation = match loaded.take() {
            Some((known, generation)) if known == settings => generation,
            _ => load(engine, &settings, &world).await?,
        };
        let tape = Arc::new(Tape::of(record.exchanges.clone()));
        let ended = tape.during(ask(engine, &generation, &record)).await;
        let Ended { answer, edits, micros } = ended;
        let (asked, unknown) = (tape.asked(), tape.unknown());
        replayed.push(Replayed { path, record, answer, edits, asked, unknown, micros });
        loaded = Some((settings, generation));
    }
    Ok(replayed)
}

/// The build on the terms of a record, or on those that were given.
fn settings(build: &Build, record: &Record) -> PluginSettings {
    let mut settings = match &build.terms {
        Some(terms) => terms.clone(),
        None => PluginSettings {
            grants: record.grants.clone(),
            config: record.config.clone(),
            ..PluginSettings::new(record.plugin_name(), &build.source)
        },
    };
    settings.source = build.source.clone();
    settings.sha256 = None;
    settings.trust = Trust::default();
    settings.hooks = None;
    settings.self_test = false;
    settings.run = RunSettings::default();
    // It never opens: each call is to be seen.
    settings.run.breaker.failures = 0;
    settings.limits = Limits {
        cpu_ms: settings.limits.cpu_ms.max(CPU_MS_MIN),
        wall_ms: settings.limits.wall_ms.max(WALL_MS_MIN),
        ..settings.limits
    };
    let named = settings.grants.secrets.iter();
    settings.secrets = named.map(|name| (name.clone(), SecretSource::MadeUp(SECRET.to_owned()))).collect();
    settings
}

async fn load(
    engine: &Engine,
    settings: &PluginSettings,
    world: &World,
) -> Result<Generation, Vec<LoadError>> {
    let (order, capabilities) = (HashMap::new(), played(&world.capabilities()));
    let one = std::slice::from_ref(settings);
    let generation = Generation::load(engine, 1, one, &order, &capabilities).await?;
    generation.settled().await;
    Ok(generation)
}

/// What came out of a call.
struct Ended {
    answer: String,
    edits: Vec<String>,
    micros: u64,
}

async fn ask(engine: &Engine, generation: &Generation, record: &Record) -> Ended {
    let absent = || Ended { answer: "(it does not have this hook)".to_owned(), edits: Vec::new(), micros: 0 };
    let plugin = generation.plugins.iter().find(|plugin| plugin.hooks.contains(&record.hook));
    let Some(plugin) = plugin else { return absent() };
    let recipient = record.address();
    match record.hook {
        Hook::Connect => make(engine, plugin, AskConnect, record).await,
        Hook::Rcpt => {
            let parameters = ask::parameters(record.rcpt_parameters());
            make(engine, plugin, AskRcpt { recipient, parameters }, record).await
        }
        Hook::Data => make(engine, plugin, AskData, record).await,
        Hook::Route => make(engine, plugin, AskRoute { recipient }, record).await,
        Hook::Bounce => make(engine, plugin, AskBounce { recipient }, record).await,
        // Never recorded.
        Hook::Auth | Hook::Events => absent(),
    }
}

async fn make<Q: Ask>(engine: &Engine, plugin: &Plugin, question: Q, record: &Record) -> Ended {
    let mut call: Call = record.call();
    let outcome = run(engine, plugin, &question, &mut call).await;
    let (answer, edits) = told(&outcome.result, &outcome.staged);
    Ended { answer, edits, micros: outcome.micros().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(without(&list("a b b c"), &list("b c d")), ["a", "b"]);
        assert_eq!(without(&list("a b"), &list("b a")), ["a", "b"], "the order is the difference");
    }
}
