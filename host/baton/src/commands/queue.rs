//! `baton queue`: look at the queue and operate on it.

use baton_api::wire::{Changed, QueuePage, SummaryView};
use serde_json::{Map, Value};

use super::print;
use crate::admin::{Admin, escape};
use crate::cli::{FilterOptions, ListOptions, OperateOptions, QueueCommand, Target};
use crate::render;

pub(crate) async fn run(command: QueueCommand) -> anyhow::Result<()> {
    match command {
        QueueCommand::Ls(options) => list(options, render::queue::page).await,
        QueueCommand::Show(options) => list(options, render::queue::details).await,
        QueueCommand::Summary(target) => summary(target).await,
        QueueCommand::Retry(options) => operate("retry", options).await,
        QueueCommand::Hold(options) => operate("hold", options).await,
        QueueCommand::Release(options) => operate("release", options).await,
        QueueCommand::Remove(options) => operate("remove", options).await,
    }
}

async fn list(options: ListOptions, show: impl FnOnce(&QueuePage) -> String) -> anyhow::Result<()> {
    let limit = options.limit.to_string();
    let paging = [("after", options.after.as_deref()), ("limit", Some(limit.as_str()))];
    let fields = conditions(&options.filter).into_iter().chain(paging);
    let query: Vec<_> =
        fields.filter_map(|(name, value)| value.map(|value| format!("{name}={}", escape(value)))).collect();
    let page: QueuePage = Admin::of(&options.target)?.get(&format!("/v1/queue?{}", query.join("&"))).await?;
    print(&page, options.target.json, show)
}

async fn summary(target: Target) -> anyhow::Result<()> {
    let summary: SummaryView = Admin::of(&target)?.get("/v1/queue/summary").await?;
    print(&summary, target.json, render::queue::summary)
}

async fn operate(operation: &str, options: OperateOptions) -> anyhow::Result<()> {
    let mut body: Map<String, Value> = conditions(&options.filter)
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value.into())))
        .collect();
    if options.all {
        body.insert("all".to_owned(), true.into());
    }
    body.insert("by".to_owned(), user().into());
    let changed: Changed =
        Admin::of(&options.target)?.post(&format!("/v1/queue/{operation}"), &body.into()).await?;
    print(&changed, options.target.json, |changed| show_changed(operation, changed.changed))
}

fn show_changed(operation: &str, changed: usize) -> String {
    let done = match operation {
        "retry" => "to be tried at once",
        "hold" => "held",
        "release" => "released",
        _ => "removed",
    };
    match changed {
        0 => "no entry matches\n".to_owned(),
        1 => format!("1 entry {done}\n"),
        count => format!("{count} entries {done}\n"),
    }
}

fn conditions(filter: &FilterOptions) -> [(&'static str, Option<&str>); 5] {
    [
        ("message", filter.message.as_deref()),
        ("domain", filter.domain.as_deref()),
        ("sender", filter.sender.as_deref()),
        ("recipient", filter.recipient.as_deref()),
        ("state", filter.state.as_deref()),
    ]
}

/// Who operates, for the history.
fn user() -> String {
    std::env::var("SUDO_USER")
        .or_else(|_| std::env::var("USER"))
        .map_or_else(|_| "operator".to_owned(), |user| format!("operator {user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_in_words() {
        assert_eq!(show_changed("hold", 0), "no entry matches\n");
        assert_eq!(show_changed("release", 1), "1 entry released\n");
        assert_eq!(show_changed("remove", 7), "7 entries removed\n");
    }
}
