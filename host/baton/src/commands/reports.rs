//! `baton reports`: what others reported about mail in the names of our domains.

use baton_api::wire::ReportsPage;

use super::print;
use crate::admin::{Admin, escape};
use crate::cli::reports::{ReportFilter, ReportsCommand};
use crate::render;

pub(crate) async fn run(command: ReportsCommand) -> anyhow::Result<()> {
    match command {
        ReportsCommand::Dmarc(filter) => list("dmarc", filter).await,
        ReportsCommand::Tls(filter) => list("tls", filter).await,
    }
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
