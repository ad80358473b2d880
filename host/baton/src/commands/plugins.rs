//! `baton plugins`: what is loaded.

use baton_api::wire::PluginsView;

use super::print;
use crate::admin::Admin;
use crate::cli::Target;
use crate::render;

pub(crate) async fn run(target: Target) -> anyhow::Result<()> {
    let view: PluginsView = Admin::of(&target)?.get("/v1/plugins").await?;
    print(&view, target.json, render::queue::plugins)
}
