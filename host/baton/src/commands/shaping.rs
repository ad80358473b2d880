//! `baton shaping`, `baton warmup` and `baton blocklists`: how delivery is paced, and what mail leaves by.

use baton_api::delivery::{Complaints, ListingsView, MeasuresView, SitesView, WarmupsView};
use baton_store::shaping::{Action, Measure};
use serde::Serialize;
use serde_json::{Map, Value};

use super::print;
use super::queue::{operate_all, user};
use crate::admin::{Admin, escape};
use crate::cli::Target;
use crate::cli::shaping::{
    ClearOptions, ComplainOptions, ResumeOptions, ShapingCommand, SuspendOptions, WarmupCommand,
};
use crate::render;

pub(crate) async fn run(command: ShapingCommand) -> anyhow::Result<()> {
    match command {
        ShapingCommand::Ls(target) => list(target).await,
        ShapingCommand::Suspend(options) => suspend(options).await,
        ShapingCommand::Resume(options) => resume(options).await,
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

async fn suspend(options: SuspendOptions) -> anyhow::Result<()> {
    let SuspendOptions { scope, lasts, reason, target } = options;
    let mut body: Map<String, Value> = serde_json::from_value(serde_json::to_value(scope.scope())?)?;
    let more = [
        ("all", scope.all.then_some(Value::Bool(true))),
        ("for", lasts.map(Value::from)),
        ("reason", Some(reason.into())),
        ("by", Some(user().into())),
    ];
    for (name, value) in more {
        body.insert(name.to_owned(), value.into());
    }
    let taken: Measure = Admin::of(&target)?.post("/v1/shaping", &Value::Object(body)).await?;
    print(&taken, target.json, |one| render::shaping::one(one, one.since))
}

async fn resume(options: ResumeOptions) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    let scope = options.scope.scope();
    anyhow::ensure!(
        options.scope.all == scope.is_all(),
        "name the mail as it was suspended, or say --all alone; `baton shaping ls` lists what is suspended"
    );
    let view: MeasuresView = admin.get("/v1/shaping").await?;
    let is_its = |one: &&Measure| one.action == Action::Suspend && one.scope == scope;
    let ids: Vec<&str> = view.measures.iter().filter(is_its).map(|one| one.id.as_str()).collect();
    anyhow::ensure!(
        !ids.is_empty(),
        "no suspension is of exactly this mail ({scope}); `baton shaping ls` lists what is suspended"
    );
    for id in ids {
        lift(&admin, id, options.target.json).await?;
    }
    Ok(())
}

async fn clear(options: ClearOptions) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    for id in &options.ids {
        lift(&admin, id, options.target.json).await?;
    }
    Ok(())
}

/// A measure that was lifted, and how many entries of the queue had waited for its end.
#[derive(Serialize)]
struct Lifted {
    #[serde(flatten)]
    measure: Measure,
    retried: usize,
}

/// Lifts a measure. What was put off until its end need not wait for that any more.
async fn lift(admin: &Admin, id: &str, json: bool) -> anyhow::Result<()> {
    let measure: Measure = admin.delete(&format!("/v1/shaping/{}", escape(id))).await?;
    let waited = [("error", Value::from(format!("({id}): ")))].map(|(name, value)| (name.to_owned(), value));
    let retried = match measure.action {
        Action::Suspend => operate_all(admin, "retry", waited.into_iter().collect()).await?.changed,
        _ => 0,
    };
    print(&Lifted { measure, retried }, json, |Lifted { measure: one, retried }| {
        let also = match retried {
            0 => String::new(),
            1 => "; 1 entry that waited goes at once".to_owned(),
            count => format!("; {count} entries that waited go at once"),
        };
        format!("{}: no longer {}{also}\n", one.scope, one.action)
    })
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
