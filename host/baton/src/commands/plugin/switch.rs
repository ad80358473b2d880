//! `baton plugin switch` and `clear`: how a plugin runs, while the relay does.

use anyhow::Context;
use baton_api::v1::SwitchChange;
use baton_api::wire::{PluginRow, PluginsView};
use serde_json::json;

use crate::admin::{Admin, escape};
use crate::cli::plugin::{ClearOptions, SwitchOptions};
use crate::commands::print;
use crate::render::queue::how_it_runs;

pub(crate) async fn run(options: &SwitchOptions) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    let view: PluginsView = admin.get("/v1/plugins").await?;
    let before = view.plugins.into_iter().find(|plugin| plugin.name == options.name);
    let before = before.with_context(|| format!("no plugin `{}` is loaded", options.name))?.switch;
    // What is not named stays as it was switched before.
    let (mode, next) = before.map_or((None, None), |kept| (kept.mode, kept.next));
    let mode = options.mode.as_ref().map_or_else(|| json!(mode), |mode| json!(mode));
    let next = options.next.as_ref().map_or_else(
        || json!(next),
        |mode| json!({"mode": mode, "percent": options.percent.unwrap_or(0), "tenant": options.tenant}),
    );
    let row: PluginRow = admin.put(&path(&options.name), &json!({"mode": mode, "next": next})).await?;
    print(&row, options.target.json, |row| format!("{}: {}\n", row.name, how_it_runs(row)))
}

pub(crate) async fn clear(options: &ClearOptions) -> anyhow::Result<()> {
    let was: SwitchChange = Admin::of(&options.target)?.delete(&path(&options.name)).await?;
    print(&was, options.target.json, |_| format!("{} runs as the settings say\n", options.name))
}

fn path(name: &str) -> String {
    format!("/v1/plugins/{}/switch", escape(name))
}
