//! `baton shaping`, `baton warmup` and `baton blocklists`: how delivery is paced, and what mail leaves by.

use baton_api::delivery::{Complaints, ListingsView, MeasuresView, SitesView, WarmupsView};
use baton_store::shaping::Measure;

use super::print;
use crate::admin::{Admin, escape};
use crate::cli::Target;
use crate::cli::shaping::{ClearOptions, ComplainOptions, ShapingCommand, WarmupCommand};
use crate::render;

pub(crate) async fn run(command: ShapingCommand) -> anyhow::Result<()> {
    match command {
        ShapingCommand::Ls(target) => list(target).await,
        ShapingCommand::Clear(options) => clear(options).await,
        ShapingCommand::Sites(target) => sites(target).await,
    }
}

pub(crate) async fn run_warmup(command: WarmupCommand) -> anyhow::Result<()> {
    match command {
        WarmupCommand::Show(target) => show_warmup(target).await,
        WarmupCommand::Complain(options) => complain(options).await,
    }
}

async fn list(target: Target) -> anyhow::Result<()> {
    let view: MeasuresView = Admin::of(&target)?.get("/v1/shaping").await?;
    print(&view, target.json, render::shaping::measures)
}

async fn clear(options: ClearOptions) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    for id in &options.ids {
        let lifted: Measure = admin.delete(&format!("/v1/shaping/{}", escape(id))).await?;
        print(&lifted, options.target.json, |one| format!("{}: no longer {}\n", one.scope, one.action))?;
    }
    Ok(())
}

async fn sites(target: Target) -> anyhow::Result<()> {
    let view: SitesView = Admin::of(&target)?.get("/v1/sites").await?;
    print(&view, target.json, render::shaping::sites)
}

pub(crate) async fn show_blocklists(target: Target) -> anyhow::Result<()> {
    let view: ListingsView = Admin::of(&target)?.get("/v1/blocklists").await?;
    print(&view, target.json, render::shaping::listings)
}

async fn show_warmup(target: Target) -> anyhow::Result<()> {
    let view: WarmupsView = Admin::of(&target)?.get("/v1/warmup").await?;
    print(&view, target.json, render::shaping::warmups)
}

async fn complain(options: ComplainOptions) -> anyhow::Result<()> {
    let ComplainOptions { source, provider, count, target } = options;
    let body = serde_json::json!({"source": source, "provider": provider, "count": count});
    let counted: Complaints = Admin::of(&target)?.post("/v1/warmup/complaints", &body).await?;
    print(&counted, target.json, |one| {
        format!("{} complaints about {} at {} counted\n", one.count, one.source, one.provider)
    })
}
