//! `baton reload`: the running relay reads its settings again.

use baton_api::wire::ReloadReport;

use super::{notes, print};
use crate::admin::Admin;
use crate::cli::Target;

pub(crate) async fn run(target: Target) -> anyhow::Result<()> {
    let report: ReloadReport = Admin::of(&target)?.post("/v1/reload", &serde_json::json!({})).await?;
    print(&report, target.json, show)
}

fn show(report: &ReloadReport) -> String {
    let plugins = if report.plugins.is_empty() { "none".to_owned() } else { report.plugins.join(", ") };
    let changed = if report.applied.is_empty() { "nothing".to_owned() } else { report.applied.join(", ") };
    let mut text = format!(
        "reloaded: generation {} serves; changed: {changed}; plugins: {plugins}\n",
        report.generation
    );
    if !report.restart_needed.is_empty() {
        text.push_str(&format!("these wait for a restart: {}\n", report.restart_needed.join(", ")));
    }
    text + &notes(&report.advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_need_a_restart_are_named() {
        let report = ReloadReport {
            generation: 2,
            plugins: vec!["guard@3fa9".to_owned()],
            applied: vec!["session".to_owned()],
            restart_needed: vec!["listeners.smtp".to_owned()],
            advice: vec!["plugins.guard.grants.dns: is granted".to_owned()],
        };
        let text = show(&report);
        assert!(
            text.contains("generation 2") && text.contains("wait for a restart: listeners.smtp"),
            "{text}"
        );
        assert!(text.ends_with("note: plugins.guard.grants.dns: is granted\n"), "{text}");
    }
}
