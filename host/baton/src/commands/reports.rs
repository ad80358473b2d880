//! `baton reports`: what others reported about mail in the names of our domains.

use baton_api::wire::{ReportsPage, ReportsSent};

use super::print;
use crate::admin::{Admin, escape};
use crate::cli::reports::{ReportFilter, ReportsCommand, SendOptions};
use crate::render;

pub(crate) async fn run(command: ReportsCommand) -> anyhow::Result<()> {
    match command {
        ReportsCommand::Dmarc(filter) => list("dmarc", filter).await,
        ReportsCommand::Tls(filter) => list("tls", filter).await,
        ReportsCommand::Send(options) => send(&options).await,
    }
}

async fn send(options: &SendOptions) -> anyhow::Result<()> {
    let sent: ReportsSent =
        Admin::of(&options.target)?.post("/v1/reports/send", &serde_json::Value::Null).await?;
    print(&sent, options.target.json, |sent| match sent.reports.as_slice() {
        [] => "There is no report that anybody wants.\n".to_owned(),
        reports => reports.join("\n") + "\n",
    })
}

async fn list(kind: &str, filter: ReportFilter) -> anyhow::Result<()> {
    let mut query = format!("limit={}", filter.limit);
    if let Some(domain) = &filter.domain {
        query.push_str(&format!("&domain={}", escape(domain.as_str())));
    }
    if let Some(after) = &filter.after {
        query.push_str(&format!("&after={}", escape(after)));
    }
    let path = format!("/v1/reports/{kind}?{query}");
    let page: ReportsPage = Admin::of(&filter.target)?.get(&path).await?;
    print(&page, filter.target.json, render::reports::page)
}
