//! `baton tracking`: the keys of links.

use anyhow::anyhow;
use baton_api::wire::ReloadReport;
use serde_json::json;

use super::print;
use crate::admin::Admin;
use crate::cli::Target;
use crate::cli::tracking::TrackingCommand;
use crate::settings;
use crate::wiring::rotate_link_keys;

pub(crate) async fn run(command: TrackingCommand) -> anyhow::Result<()> {
    match command {
        TrackingCommand::Rotate(target) => rotate(&target).await,
    }
}

async fn rotate(target: &Target) -> anyhow::Result<()> {
    let loaded = settings::load(target.file.settings.as_deref());
    let checked = loaded.map_err(|problems| anyhow!("{}:\n{problems}", problems.count()))?;
    let path = &checked.tracking.keys_file;
    let id = rotate_link_keys(path)?;
    let told = match Admin::of(target)?.post::<ReloadReport>("/v1/reload", &json!({})).await {
        Ok(_) => "The running relay seals by it.".to_owned(),
        Err(error) => format!("A relay reads it at its start or by `baton reload` ({error})."),
    };
    let shown = path.display();
    print(&json!({ "key": id, "file": path }), target.json, |_| {
        format!("key {id} is the first in {shown}. {told}\n")
    })
}
