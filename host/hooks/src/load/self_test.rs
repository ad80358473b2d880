//! Self-tests: the cases that an artefact brings along are run before it may serve, with calls that start plainly and
//! with calls that start from a snapshot. They have settings and a world of their own, so nothing but the file decides
//! whether they pass, and one that was tested is not tested again.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use wasmtime::component::Component;

use super::artefact::Artefact;
use super::{LoadError, Start, blocking, compile, snapshot, vet};
use crate::cases::{self, Case, CaseReport, Subject};
use crate::engine::Engine;
use crate::manifest::Manifest;
use crate::run::describe;
use crate::{Limits, PluginSettings};

/// What came of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tested {
    /// Nothing speaks against it.
    Fit,
    /// It decides otherwise when its calls start from a snapshot: why it gets none.
    WithoutSnapshot(String),
}

/// Runs the cases of the artefact, unless they are turned off, or came to an end before.
pub(super) async fn run(
    engine: &Engine,
    settings: &PluginSettings,
    artefact: &Artefact,
) -> Result<Tested, Vec<LoadError>> {
    let Some(manifest) = artefact.manifest.as_ref().filter(|_| settings.self_test) else {
        return Ok(Tested::Fit);
    };
    let Some(cases) = manifest.cases.clone() else { return Ok(Tested::Fit) };
    let digest = artefact.digest;
    if let Some(before) = blocking(engine, move |engine| engine.tested(&digest)).await.flatten() {
        return Ok(Tested::from(before));
    }
    let cases = cases::read_value(&super::grants::file_name(&settings.source), cases, None);
    let cases = cases.map_err(|error| vec![LoadError::self_tests(settings, &error)])?;
    let tested = Trial::new(engine, settings, artefact, manifest).run(&cases).await?;
    let kept: String = tested.clone().into();
    blocking(engine, move |engine| engine.note_tested(digest, kept)).await;
    Ok(tested)
}

/// As the engine keeps it: the reason why there is no snapshot, empty when there may be one.
impl From<String> for Tested {
    fn from(reason: String) -> Tested {
        if reason.is_empty() { Tested::Fit } else { Tested::WithoutSnapshot(reason) }
    }
}

impl From<Tested> for String {
    fn from(tested: Tested) -> String {
        match tested {
            Tested::Fit => String::new(),
            Tested::WithoutSnapshot(reason) => reason,
        }
    }
}

/// The self-tests of one file.
struct Trial<'a> {
    engine: &'a Engine,
    settings: &'a PluginSettings,
    artefact: &'a Artefact,
    subject: PluginSettings,
    deadline: Instant,
}

impl<'a> Trial<'a> {
    fn new(
        engine: &'a Engine,
        settings: &'a PluginSettings,
        artefact: &'a Artefact,
        manifest: &Manifest,
    ) -> Trial<'a> {
        let deadline = Instant::now() + Duration::from_millis(engine.settings().self_test_ms.into());
        Trial { engine, settings, artefact, subject: subject(engine, settings, manifest), deadline }
    }

    async fn run(&self, cases: &[Case]) -> Result<Tested, Vec<LoadError>> {
        let component = self.compiled().await?;
        let plain = self.play(cases, Start::Plain(component.clone())).await?;
        let failed = plain.iter().filter(|report| !report.passed());
        let errors: Vec<_> = failed.map(|report| LoadError::self_test(self.settings, report)).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        // Each config is a snapshot of its own; the cases of one config show whether the plugin bears it.
        let again = cases::of_one_config(cases, &self.settings.config);
        let again = self.play(&again, Start::Snapshot(component)).await?;
        Ok(difference(&plain, &again).map_or(Tested::Fit, Tested::WithoutSnapshot))
    }

    /// The form of the component that a snapshot is taken of is compiled anyway; it serves for the plain calls too.
    async fn compiled(&self) -> Result<Component, Vec<LoadError>> {
        vet(self.engine, self.settings, self.artefact).await?;
        if let Some(component) = snapshot::instrumented(self.engine, self.artefact).await {
            return Ok(component);
        }
        let compiled = compile(self.engine, self.artefact.digest, self.artefact.wasm.clone()).await;
        compiled.map_err(|error| vec![LoadError::compile(self.settings, describe(&error))])
    }

    /// Boxed, because running a case loads a plugin.
    fn play<'b>(
        &'b self,
        cases: &'b [Case],
        start: Start,
    ) -> BoxFuture<'b, Result<Vec<CaseReport>, Vec<LoadError>>> {
        let artefact = Artefact { manifest: without_cases(self.artefact), ..self.artefact.clone() };
        let subject = Subject { settings: self.subject.clone(), artefact, start };
        Box::pin(async move {
            let mut reports = Vec::with_capacity(cases.len());
            for case in cases {
                let playing = cases::run_one(self.engine, &subject, case);
                let report = tokio::time::timeout_at(self.deadline, playing).await;
                let time_max = self.engine.settings().self_test_ms;
                reports.push(
                    report
                        .map_err(|_| vec![LoadError::self_test_time(self.settings, &case.name, time_max)])?,
                );
            }
            Ok(reports)
        })
    }
}

/// The plugin as its author means it: all that it asks for is granted, and nothing of the operator's is in it.
fn subject(engine: &Engine, settings: &PluginSettings, manifest: &Manifest) -> PluginSettings {
    let max = engine.settings();
    let limits = Limits::default();
    PluginSettings {
        limits: Limits {
            memory_octets: limits.memory_octets.min(max.memory_octets_max),
            table_elements: limits.table_elements.min(max.table_elements_max),
            ..limits
        },
        grants: manifest.requests.clone(),
        on_failure: manifest.on_failure.unwrap_or_default(),
        self_test: false,
        ..PluginSettings::new(&settings.name, &settings.source)
    }
}

/// The manifest for the loads of the cases, which need none of its long parts.
fn without_cases(artefact: &Artefact) -> Option<Manifest> {
    let manifest = artefact.manifest.as_ref()?;
    Some(Manifest {
        name: manifest.name.clone(),
        hooks: manifest.hooks.clone(),
        requests: manifest.requests.clone(),
        ..Manifest::default()
    })
}

/// The first case that was decided in another way.
fn difference(plain: &[CaseReport], again: &[CaseReport]) -> Option<String> {
    let decisions = |report: &CaseReport| -> Vec<(String, Vec<String>)> {
        report.steps.iter().map(|step| (step.decision.clone(), step.edits.clone())).collect()
    };
    again.iter().find_map(|report| {
        let before = plain.iter().find(|other| other.name == report.name)?;
        let differs = !report.passed() || decisions(before) != decisions(report);
        differs.then(|| {
            let (with, without) = (decisions(report), decisions(before));
            let told = report.mismatches().join("; ");
            let reason = format!(
                "its self-test \"{}\" ends otherwise with one: {with:?}, without: {without:?} {told}",
                report.name
            );
            baton_mail::text::sanitize(reason.trim(), super::error::DETAIL_OCTETS_MAX)
        })
    })
}
