//! `baton plugin bench`: what the calls of the cases cost.

use std::time::Duration;

use anyhow::anyhow;
use baton_hooks::cases::{self, CaseReport, Measured};
use baton_hooks::{Cost, Engine, Instances};
use serde_json::json;

use super::artefact::{Artefact, engine_settings};
use super::test;
use crate::cli::plugin::BenchOptions;
use crate::commands::write_out;
use crate::render::{queue::table, words::octets};

/// One case: its times in fresh instances and in one that is kept, and what one call of it used.
struct Row {
    fresh: Measured,
    warm: Measured,
    cost: Option<Cost>,
}

pub(crate) async fn run(options: BenchOptions) -> anyhow::Result<()> {
    let artefact = Artefact::find(options.test.component.component.as_deref())?;
    let cases = artefact.cases(options.test.cases.as_deref())?;
    let reports = test::play(&artefact, options.test.cases.as_deref()).await?;
    let engine = Engine::new(&engine_settings())?;
    let mut settings = artefact.settings(&cases);
    let mut times = Vec::new();
    for instances in [Instances::Fresh, Instances::Pool] {
        settings.run.instances = instances;
        let measured = cases::measure(&engine, &settings, &cases, options.calls.max(1)).await;
        times.push(measured.map_err(|errors| {
            anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?);
    }
    let warm = times.pop().unwrap_or_default();
    let rows = times.pop().unwrap_or_default().into_iter().zip(warm);
    let rows: Vec<Row> =
        rows.map(|(fresh, warm)| Row { cost: cost_of(&reports, &fresh.case), fresh, warm }).collect();
    write_out(&if options.test.component.json {
        as_json(&rows)
    } else {
        as_text(&artefact, options.calls, &rows)
    })
}

fn cost_of(reports: &[CaseReport], case: &str) -> Option<Cost> {
    reports.iter().find(|report| report.name == case)?.steps.first()?.cost.clone()
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

fn as_text(artefact: &Artefact, calls: u32, rows: &[Row]) -> String {
    let mut rendered = table(&[
        "hook",
        "case",
        "fresh µs",
        "p99",
        "warm µs",
        "p99",
        "host calls",
        "octets read",
        "memory",
        "instructions",
    ]);
    for Row { fresh, warm, cost } in rows {
        let of_cost = |show: fn(&Cost) -> String| cost.as_ref().map(show).unwrap_or_default();
        rendered.add_row(vec![
            fresh.hook.as_str().to_owned(),
            fresh.case.clone(),
            format!("{:.1}", micros(fresh.percentile(50))),
            format!("{:.1}", micros(fresh.percentile(99))),
            format!("{:.1}", micros(warm.percentile(50))),
            format!("{:.1}", micros(warm.percentile(99))),
            of_cost(|cost| cost.host_calls.to_string()),
            of_cost(|cost| cost.read_octets.to_string()),
            of_cost(|cost| octets(cost.memory_octets as u64)),
            of_cost(|cost| cost.fuel.map(|fuel| fuel.to_string()).unwrap_or_default()),
        ]);
    }
    let size = octets(artefact.octets.len() as u64);
    format!(
        "{} ({}, {size}): {calls} calls of each case, each in a fresh instance, and in one that is kept; medians\n{}\n",
        artefact.name(),
        artefact.path.display(),
        rendered.trim_fmt()
    )
}

fn as_json(rows: &[Row]) -> String {
    let row = |row: &Row| {
        json!({
            "case": row.fresh.case,
            "hook": row.fresh.hook,
            "calls": row.fresh.times.len(),
            "fresh_median_us": micros(row.fresh.percentile(50)),
            "fresh_p99_us": micros(row.fresh.percentile(99)),
            "warm_median_us": micros(row.warm.percentile(50)),
            "warm_p99_us": micros(row.warm.percentile(99)),
            "host_calls": row.cost.as_ref().map(|cost| cost.host_calls),
            "read_octets": row.cost.as_ref().map(|cost| cost.read_octets),
            "memory_octets": row.cost.as_ref().map(|cost| cost.memory_octets),
            "fuel": row.cost.as_ref().and_then(|cost| cost.fuel),
        })
    };
    serde_json::Value::from(rows.iter().map(row).collect::<Vec<_>>()).to_string() + "\n"
}
