//! `baton domain`: keys for domains to send from, and what the DNS says about them.
//!
//! The commands write the files of the domains; a running relay is told to read them again.

use std::process::ExitCode;

use anyhow::anyhow;
use baton_api::wire::ReloadReport;
use baton_dns::Resolver;
use baton_identity::domains::{DomainFile, DomainRow, KeyState};
use baton_mail::{Clock, SystemClock};
use serde_json::json;

use super::{print, write_out};
use crate::admin::Admin;
use crate::cli::Target;
use crate::cli::domain::{DomainCommand, OneDomain};
use crate::render;
use crate::settings;
use crate::settings::check::Checked;

pub(crate) async fn run(command: DomainCommand) -> anyhow::Result<ExitCode> {
    match command {
        DomainCommand::Add(one) => add(&one)?,
        DomainCommand::List(target) => list(&target)?,
        DomainCommand::Check(one) => return check(&one).await,
        DomainCommand::Rotate(one) => rotate(&one)?,
        DomainCommand::Remove(one) => remove(&one).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn load(target: &Target) -> anyhow::Result<Checked> {
    let loaded = settings::load(target.file.settings.as_deref());
    loaded.map_err(|problems| anyhow!("{}:\n{problems}", problems.count()))
}

fn add(one: &OneDomain) -> anyhow::Result<()> {
    let added = load(&one.target)?.domains().add(&one.domain, SystemClock.now())?;
    print_new(&one.target, &added, render::domain::added)
}

fn rotate(one: &OneDomain) -> anyhow::Result<()> {
    let rotated = load(&one.target)?.domains().rotate(&one.domain, SystemClock.now())?;
    print_new(&one.target, &rotated, render::domain::rotated)
}

/// Prints the records of the new keys.
fn print_new(target: &Target, file: &DomainFile, show: impl Fn(&DomainFile) -> String) -> anyhow::Result<()> {
    let records = json!({ "domain": file.domain, "publish": file.key_records(KeyState::New) });
    print(&records, target.json, |_| show(file))
}

fn list(target: &Target) -> anyhow::Result<()> {
    let rows: Vec<_> = load(target)?.domains().list()?.into_iter().map(DomainRow::from).collect();
    print(&rows, target.json, |rows| render::domain::list(rows))
}

async fn check(one: &OneDomain) -> anyhow::Result<ExitCode> {
    let checked = load(&one.target)?;
    let inspector = checked.inspector(Resolver::new(&checked.dns)?);
    let inspection = inspector.inspect(&one.domain).await?;
    let told =
        if inspection.new_keys_are_seen && checked.domains().activate(&one.domain, SystemClock.now())? {
            Some(tell(&one.target).await)
        } else {
            None
        };
    let file = checked.domains().get(&one.domain)?;
    let show = |_: &_| render::domain::checked(&file, &inspection.findings, told.as_deref());
    print(&inspection, one.target.json, show)?;
    Ok(if inspection.is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn remove(one: &OneDomain) -> anyhow::Result<()> {
    load(&one.target)?.domains().remove(&one.domain)?;
    let told = tell(&one.target).await;
    write_out(&format!("{} and its keys are forgotten. {told}\n", one.domain))
}

/// Makes a running relay read the keys again; says what came of it.
async fn tell(target: &Target) -> String {
    let admin = match Admin::of(target) {
        Ok(admin) => admin,
        Err(error) => return format!("The relay was not told: {error}"),
    };
    match admin.post::<ReloadReport>("/v1/reload", &json!({})).await {
        Ok(_) => "The running relay has read the keys.".to_owned(),
        Err(error) => format!("A relay reads the keys at its start or by `baton reload` ({error})."),
    }
}
