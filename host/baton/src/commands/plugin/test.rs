//! `baton plugin test`: the self-test cases, run and told.

use anyhow::bail;
use baton_hooks::Engine;
use baton_hooks::cases::{self, CaseReport, StepReport};
use serde_json::json;

use super::artefact::{Artefact, engine_settings};
use crate::cli::plugin::TestOptions;
use crate::commands::write_out;

pub(crate) async fn run(options: TestOptions) -> anyhow::Result<()> {
    let artefact = Artefact::find(options.component.component.as_deref())?;
    let reports = play(&artefact, options.cases.as_deref()).await?;
    let text =
        if options.component.json { as_json(&reports) } else { as_text(&artefact, &reports, |_| true) };
    write_out(&text)?;
    let failed = reports.iter().filter(|report| !report.passed()).count();
    if failed > 0 {
        bail!("{failed} of {} cases failed", reports.len());
    }
    Ok(())
}

/// Runs all cases of an artefact.
pub(super) async fn play(
    artefact: &Artefact,
    named: Option<&std::path::Path>,
) -> anyhow::Result<Vec<CaseReport>> {
    let cases = artefact.cases(named)?;
    let engine = Engine::for_cases(&engine_settings())?;
    Ok(cases::run(&engine, &artefact.settings(&cases), &cases).await)
}

/// A line for each case that is wanted, and what is not as expected below it.
pub(super) fn as_text(
    artefact: &Artefact,
    reports: &[CaseReport],
    is_wanted: impl Fn(&CaseReport) -> bool,
) -> String {
    let mut text = format!("{} ({})\n", artefact.name(), artefact.path.display());
    let width = reports.iter().map(|report| report.name.chars().count()).max().unwrap_or_default();
    for report in reports.iter().filter(|report| is_wanted(report)) {
        let mark = if report.passed() { "ok  " } else { "FAIL" };
        let steps: Vec<_> = report.steps.iter().map(outcome).collect();
        text += &format!("  {mark}  {:width$}  {}\n", report.name, steps.join("; "));
        for mismatch in report.mismatches() {
            text += &format!("        {mismatch}\n");
        }
        let failed = report.steps.last().filter(|_| !report.passed());
        for line in failed.iter().flat_map(|step| &step.lines) {
            text += &format!("        log: {line}\n");
        }
    }
    let passed = reports.iter().filter(|report| report.passed()).count();
    text + &format!("{passed} of {} cases passed\n", reports.len())
}

/// What came of a call, and what it used.
fn outcome(step: &StepReport) -> String {
    let Some(cost) = &step.cost else { return format!("{}: {}", step.hook, step.decision) };
    let fuel = cost.fuel.map(|fuel| format!(", {fuel} instructions")).unwrap_or_default();
    let edits = if step.edits.is_empty() { String::new() } else { format!(" [{}]", step.edits.join(", ")) };
    format!("{}: {}{edits} ({} host calls{fuel})", step.hook, step.decision, cost.host_calls)
}

fn as_json(reports: &[CaseReport]) -> String {
    let step = |step: &StepReport| {
        json!({
            "hook": step.hook,
            "decision": step.decision,
            "edits": step.edits,
            "host_calls": step.cost.as_ref().map(|cost| cost.host_calls),
            "read_octets": step.cost.as_ref().map(|cost| cost.read_octets),
            "memory_octets": step.cost.as_ref().map(|cost| cost.memory_octets),
            "fuel": step.cost.as_ref().and_then(|cost| cost.fuel),
            "log": step.lines,
        })
    };
    let report = |report: &CaseReport| {
        json!({
            "case": report.name,
            "passed": report.passed(),
            "mismatches": report.mismatches(),
            "steps": report.steps.iter().map(step).collect::<Vec<_>>(),
        })
    };
    let all: Vec<_> = reports.iter().map(report).collect();
    serde_json::Value::from(all).to_string() + "\n"
}
