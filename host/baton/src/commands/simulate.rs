//! `baton simulate`: what would these settings do to that traffic?

use std::time::Duration;

use anyhow::{Context, anyhow};
use baton_outbound::simulate::{Report, Scenario, simulate};

use super::print;
use crate::cli::simulate::SimulateOptions;
use crate::render::queue::table;
use crate::render::words::span;
use crate::settings;

pub(crate) fn run(options: &SimulateOptions) -> anyhow::Result<()> {
    let checked = settings::load(options.file.settings.as_deref());
    let checked = checked.map_err(|problems| anyhow!("{}:\n{problems}", problems.count()))?;
    let path = options.scenario.display();
    let text = std::fs::read_to_string(&options.scenario).with_context(|| path.to_string())?;
    let scenario = Scenario::parse(&text).with_context(|| path.to_string())?;
    let lifetime = Duration::from_secs(checked.policy.lifetime_s);
    print(&simulate(&checked.outbound, &scenario, lifetime, options.seed), options.json, show)
}

fn show(report: &Report) -> String {
    let mut days = table(&[
        "day",
        "provider",
        "offered",
        "delivered",
        "deferred",
        "failed",
        "queued",
        "p50",
        "p99",
        "most in 10 min",
        "by source",
        "rules",
    ]);
    let seconds = |count: u64| span(Duration::from_secs(count));
    let counts = |counts: &std::collections::BTreeMap<String, u64>| {
        let shown =
            counts.iter().filter(|(name, _)| !name.is_empty()).map(|(name, count)| format!("{name} {count}"));
        shown.collect::<Vec<_>>().join(", ")
    };
    for day in &report.days {
        days.add_row(vec![
            day.day.to_string(),
            day.provider.clone(),
            day.offered.to_string(),
            day.delivered.to_string(),
            day.deferred.to_string(),
            day.failed.to_string(),
            day.queued.to_string(),
            seconds(day.p50_s),
            seconds(day.p99_s),
            day.busiest_10m.to_string(),
            counts(&day.sources),
            counts(&day.rules),
        ]);
    }
    let mut kinds = table(&["traffic", "offered", "delivered", "failed", "p50", "p99"]);
    for kind in &report.kinds {
        kinds.add_row(vec![
            kind.name.clone(),
            kind.offered.to_string(),
            kind.delivered.to_string(),
            kind.failed.to_string(),
            seconds(kind.p50_s),
            seconds(kind.p99_s),
        ]);
    }
    let Report { offered, delivered, failed, queued, .. } = report;
    format!(
        "{}\n\n{}\n\n{offered} offered, {delivered} delivered, {failed} given up, {queued} still in the queue\n",
        days.trim_fmt(),
        kinds.trim_fmt()
    )
}
