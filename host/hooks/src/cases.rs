//! Self-test cases: a plugin's decisions in made-up worlds, written in TOML, run against the real component in the real
//! engine. The same file serves `baton plugin test`, the self-tests at load and the vectors that all SDKs share.
//!
//! Invariant: a case sees nothing of another one. Each has a world and a plugin of its own, made from the case alone.

mod compare;
mod decided;
mod format;
mod measure;
mod read;
mod scene;
mod session;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use baton_mail::UnixMs;
use serde_json::Value;

pub use format::Expect;
pub use measure::{Measured, measure};
pub use read::{CaseProblem, InvalidCases, inline_messages, read_file, read_value};

use crate::engine::Engine;
use crate::load::{Artefact, Start};
use crate::witness::Cost;
use crate::worlds::World;
use crate::{Generation, Grants, Hook, LoadError, PluginSettings, SessionNotes};
use compare::{Aftermath, bucket_of, compare, compare_problems};
use scene::Scene;

/// Time that a call of a case may use at least: the machine that runs tests may be loaded.
const CPU_MS_MIN: u32 = 1_000;
const WALL_MS_MIN: u32 = 20_000;

/// A case: calls in one world, one after the other.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, unique in its file.
    pub name: String,
    steps: Vec<Step>,
}

/// One call of a case.
#[derive(Clone, Debug)]
struct Step {
    /// None is init.
    hook: Option<Hook>,
    config: Value,
    /// None: all that the plugin asks for.
    grants: Option<Grants>,
    advance_ms: u64,
    scene: Scene,
    expect: Expect,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// The case.
    pub name: String,
    /// What came of its calls. The last one may be missing something; later ones were not made then.
    pub steps: Vec<StepReport>,
}

/// What came of one call.
#[derive(Clone, Debug, Default)]
pub struct StepReport {
    /// The hook, or `init`.
    pub hook: &'static str,
    /// The decision, as the decision log has it.
    pub decision: String,
    /// The changes that were applied, in short form.
    pub edits: Vec<String>,
    /// What the call used; none for init.
    pub cost: Option<Cost>,
    /// The lines that it logged.
    pub lines: Vec<String>,
    /// What is not as expected.
    pub mismatches: Vec<Mismatch>,
}

/// An expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The key below `expect`.
    pub key: String,
    /// What was expected.
    pub expected: String,
    /// What there was.
    pub got: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: expected {}, got {}", self.key, self.expected, self.got)
    }
}

impl CaseReport {
    /// Everything is as expected.
    pub fn passed(&self) -> bool {
        self.steps.iter().all(|step| step.mismatches.is_empty())
    }

    /// Each mismatch in a line, with the call that it is about.
    pub fn mismatches(&self) -> Vec<String> {
        let of = |(index, step): (usize, &StepReport)| {
            let at = if index == 0 { String::new() } else { format!("step[{}].", index - 1) };
            step.mismatches.iter().map(|mismatch| format!("{at}expect.{mismatch}")).collect::<Vec<_>>()
        };
        self.steps.iter().enumerate().flat_map(of).collect()
    }
}

/// Runs cases against a plugin. Its name, file and limits are those of `settings`; its own settings come from the cases,
/// and its grants too where they name any.
pub async fn run(engine: &Engine, settings: &PluginSettings, cases: &[Case]) -> Vec<CaseReport> {
    let mut reports = Vec::with_capacity(cases.len());
    for case in cases {
        reports.push(Stage::new(engine, settings, case).play(case).await);
    }
    reports
}

/// A plugin whose file was read before, and how its calls start.
pub(crate) struct Subject {
    pub(crate) settings: PluginSettings,
    pub(crate) artefact: Artefact,
    pub(crate) start: Start,
}

/// Runs one case against such a plugin.
pub(crate) async fn run_one(engine: &Engine, subject: &Subject, case: &Case) -> CaseReport {
    let mut stage = Stage::new(engine, &subject.settings, case);
    stage.subject = Some(subject);
    stage.play(case).await
}

/// The cases that have these settings, of their first call to their last; where there is none, those of the settings
/// that the most have.
pub(crate) fn of_one_config(cases: &[Case], preferred: &Value) -> Vec<Case> {
    let has = |case: &Case, config: &Value| {
        case.steps.iter().all(|step| step.hook.is_some() && step.config == *config)
    };
    let of =
        |config: &Value| -> Vec<Case> { cases.iter().filter(|case| has(case, config)).cloned().collect() };
    let configs = cases.iter().filter_map(|case| case.steps.first()).map(|step| &step.config);
    let preferred = of(preferred);
    if preferred.is_empty() { configs.map(of).max_by_key(Vec::len).unwrap_or_default() } else { preferred }
}

/// A case on its way.
struct Stage<'a> {
    engine: &'a Engine,
    settings: PluginSettings,
    /// None: the file of the settings is read, and started as the engine starts plugins.
    subject: Option<&'a Subject>,
    world: World,
    notes: SessionNotes,
    /// The plugin for the config and grants of the step before.
    loaded: Option<(Value, Option<Grants>, Generation)>,
}

impl<'a> Stage<'a> {
    fn new(engine: &'a Engine, settings: &PluginSettings, case: &Case) -> Stage<'a> {
        let begin = case.steps.iter().find_map(|step| step.scene.now);
        let mut settings = settings.clone();
        // Made-up calls are no calls of production.
        settings.run.record = None;
        settings.limits.cpu_ms = settings.limits.cpu_ms.max(CPU_MS_MIN);
        settings.limits.wall_ms = settings.limits.wall_ms.max(WALL_MS_MIN);
        let world = World::watched(begin.unwrap_or(World::BEGIN));
        Stage { engine, settings, subject: None, world, notes: SessionNotes::default(), loaded: None }
    }

    async fn play(mut self, case: &Case) -> CaseReport {
        let mut steps = Vec::with_capacity(case.steps.len());
        for step in &case.steps {
            let report = self.step(step).await;
            let failed = !report.mismatches.is_empty();
            steps.push(report);
            if failed {
                break;
            }
        }
        CaseReport { name: case.name.clone(), steps }
    }

    async fn step(&mut self, step: &Step) -> StepReport {
        self.world.clock.advance(Duration::from_millis(step.advance_ms));
        if let Some(now) = step.scene.now {
            self.world.clock.advance(now.since(self.now()));
        }
        let plugin = self.settings.name.clone();
        step.scene.furnish(&self.world, |bucket| bucket_of(&plugin, bucket));
        let loaded = self.load(step).await;
        let problems = match (&loaded, step.hook) {
            (Err(errors), _) => problems_of(errors),
            (Ok(()), None) => BTreeMap::new(),
            (Ok(()), Some(hook)) => return self.call(step, hook).await,
        };
        let (hook, decision) = match loaded {
            Ok(()) => ("init", "accepted"),
            Err(_) => ("init", "refused"),
        };
        let mismatches = compare_problems(&step.expect, &problems);
        StepReport { hook, decision: decision.to_owned(), mismatches, ..StepReport::default() }
    }

    async fn call(&mut self, step: &Step, hook: Hook) -> StepReport {
        let mut report = StepReport { hook: hook.as_str(), ..StepReport::default() };
        let Some((.., generation)) = &self.loaded else { return report };
        if !generation.serves(hook) {
            let got = "the plugin does not export it".to_owned();
            report.mismatches.push(Mismatch { key: "hook".to_owned(), expected: hook.to_string(), got });
            return report;
        }
        let mut call = step.scene.call(hook, self.notes.clone(), &self.world);
        let decided = decided::ask(generation, hook, &step.scene, &mut call).await;
        let (mut costs, lines) = self.world.metrics.testimony();
        report.cost = costs.pop();
        report.mismatches = compare(
            &step.expect,
            &Aftermath {
                decided: &decided,
                call: &call,
                cost: report.cost.as_ref(),
                lines: &lines,
                world: &self.world,
                plugin: &self.settings.name,
            },
        );
        StepReport { decision: decided.words, edits: decided.edits, lines, ..report }
    }

    /// Makes the plugin for the settings and grants of a step, unless it is there.
    async fn load(&mut self, step: &Step) -> Result<(), Vec<LoadError>> {
        let is_same = |(config, grants, _): &(Value, Option<Grants>, Generation)| {
            *config == step.config && *grants == step.grants
        };
        if self.loaded.as_ref().is_some_and(is_same) {
            return Ok(());
        }
        let mut settings = self.settings.clone();
        settings.config = step.config.clone();
        settings.hooks = None;
        settings.secrets = step.scene.secrets.clone();
        if let Some(grants) = &step.grants {
            settings.grants = grants.clone();
        }
        let (engine, capabilities) = (self.engine, self.world.capabilities());
        let generation = match self.subject {
            None => Generation::load(engine, 0, &[settings], &HashMap::new(), &capabilities).await?,
            Some(subject) => {
                let (artefact, start) = (subject.artefact.clone(), subject.start.clone());
                Generation::of_one(engine, settings, artefact, start, &capabilities).await?
            }
        };
        self.loaded = Some((step.config.clone(), step.grants.clone(), generation));
        Ok(())
    }

    fn now(&self) -> UnixMs {
        baton_mail::Clock::now(&*self.world.clock)
    }
}

/// What init complained about, by key; other reasons why a plugin can not be loaded have the empty key.
fn problems_of(errors: &[LoadError]) -> BTreeMap<String, String> {
    let problem = |error: &LoadError| match error {
        LoadError::Config { path, message, .. } => (path.trim_start_matches('.').to_owned(), message.clone()),
        other => (String::new(), other.to_string()),
    };
    errors.iter().map(problem).collect()
}

/// The secrets that cases make up, for plugins that do not say themselves which they ask for.
pub fn secrets_of(cases: &[Case]) -> Vec<String> {
    let steps = cases.iter().flat_map(|case| &case.steps);
    let named = steps.flat_map(|step| step.scene.secrets.keys());
    named.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// The buckets that cases name, for plugins that do not say themselves which they ask for.
pub fn buckets_of(cases: &[Case]) -> Vec<String> {
    let steps = cases.iter().flat_map(|case| &case.steps);
    let named = steps.flat_map(|step| step.scene.buckets().chain(step.expect.kv.keys().map(String::as_str)));
    named.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}
