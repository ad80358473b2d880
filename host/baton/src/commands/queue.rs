//! `baton queue`: look at the queue and operate on it.

mod transfer;

use baton_api::wire::{Changed, CountPage, QueuePage, SummaryView};
use serde_json::{Map, Value};

use super::print;
use crate::admin::{Admin, escape};
use crate::cli::Target;
use crate::cli::queue::{
    BounceOptions, CountOptions, ListOptions, OperateOptions, QueueCommand, ReassignOptions, RerouteOptions,
};
use crate::render;

pub(crate) async fn run(command: QueueCommand) -> anyhow::Result<()> {
    match command {
        QueueCommand::Ls(options) => list(options, render::queue::page).await,
        QueueCommand::Show(options) => list(options, render::queue::details).await,
        QueueCommand::Summary(target) => summary(target).await,
        QueueCommand::Count(options) => count(options).await,
        QueueCommand::Retry(options) => operate("retry", options, &[]).await,
        QueueCommand::Hold(options) => operate("hold", options, &[]).await,
        QueueCommand::Release(options) => operate("release", options, &[]).await,
        QueueCommand::Remove(options) => operate("remove", options, &[]).await,
        QueueCommand::Bounce(options) => bounce(options).await,
        QueueCommand::Reroute(options) => reroute(options).await,
        QueueCommand::Move(options) => transfer::give(options).await,
        QueueCommand::Take(target) => transfer::take(target).await,
        QueueCommand::Reassign(options) => reassign(options).await,
    }
}

/// Pages are asked for until there are as many entries as wanted: the relay looks for a short while at a time.
async fn list(options: ListOptions, show: impl FnOnce(&QueuePage) -> String) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    let mut page = QueuePage { next: options.after, ..QueuePage::default() };
    loop {
        let limit = (options.limit - page.jobs.len()).to_string();
        let paging = [("after", page.next.as_deref()), ("limit", Some(limit.as_str()))];
        let query = query(options.filter.conditions().into_iter().chain(paging));
        let more: QueuePage = admin.get(&format!("/v1/queue?{query}")).await?;
        page.jobs.extend(more.jobs);
        (page.now, page.next) = (more.now, more.next);
        if page.next.is_none() || page.jobs.len() >= options.limit {
            return print(&page, options.target.json, show);
        }
    }
}

async fn count(options: CountOptions) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    let mut sum = CountPage::default();
    loop {
        let fields = options.filter.conditions().into_iter().chain([("after", sum.next.as_deref())]);
        let page: CountPage = admin.get(&format!("/v1/queue/count?{}", query(fields))).await?;
        sum.ready += page.ready;
        sum.waiting += page.waiting;
        sum.held += page.held;
        sum.claimed += page.claimed;
        sum.octets += page.octets;
        for (class, count) in page.classes {
            *sum.classes.entry(class).or_default() += count;
        }
        sum.next = page.next;
        if sum.next.is_none() {
            return print(&sum, options.target.json, render::queue::count);
        }
    }
}

pub(super) fn query<'a>(fields: impl Iterator<Item = (&'static str, Option<&'a str>)>) -> String {
    let pairs: Vec<_> =
        fields.filter_map(|(name, value)| value.map(|value| format!("{name}={}", escape(value)))).collect();
    pairs.join("&")
}

async fn summary(target: Target) -> anyhow::Result<()> {
    let summary: SummaryView = Admin::of(&target)?.get("/v1/queue/summary").await?;
    print(&summary, target.json, render::queue::summary)
}

async fn bounce(options: BounceOptions) -> anyhow::Result<()> {
    operate("bounce", options.operate, &[("reason", options.reason.map(Value::from))]).await
}

async fn reroute(options: RerouteOptions) -> anyhow::Result<()> {
    operate("reroute", options.operate, &[("next_hop", Some(options.to.into()))]).await
}

async fn reassign(options: ReassignOptions) -> anyhow::Result<()> {
    let fields = [
        ("to_tenant", options.to_tenant.map(Value::from)),
        ("to_stream", options.to_stream.map(Value::from)),
        ("to_priority", options.to_priority.map(Value::from)),
    ];
    operate("reassign", options.operate, &fields).await
}

async fn operate(
    operation: &str,
    options: OperateOptions,
    more: &[(&str, Option<Value>)],
) -> anyhow::Result<()> {
    let admin = Admin::of(&options.target)?;
    let conditions = options.filter.conditions().into_iter();
    let mut body: Map<String, Value> =
        conditions.filter_map(|(name, value)| value.map(|value| (name.to_owned(), value.into()))).collect();
    body.extend(more.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))));
    if options.all {
        body.insert("all".to_owned(), true.into());
    }
    let sum = operate_all(&admin, operation, body).await?;
    print(&sum, options.target.json, |sum| show_changed(operation, sum.changed))
}

/// Asks again until all of the queue was gone through: the relay changes what it can in a while at a time.
pub(super) async fn operate_all(
    admin: &Admin,
    operation: &str,
    mut body: Map<String, Value>,
) -> anyhow::Result<Changed> {
    body.insert("by".to_owned(), user().into());
    let mut sum = Changed::default();
    loop {
        let done: Changed = admin.post(&format!("/v1/queue/{operation}"), &body.clone().into()).await?;
        sum.changed += done.changed;
        match done.next {
            Some(next) => body.insert("after".to_owned(), next.into()),
            None => return Ok(sum),
        };
    }
}

fn show_changed(operation: &str, changed: usize) -> String {
    let done = match operation {
        "retry" => "to be tried at once",
        "hold" => "held",
        "release" => "released",
        "bounce" => "given up; their senders are told",
        "reroute" => "sent another way",
        "reassign" => "reassigned",
        _ => "removed",
    };
    match changed {
        0 => "no entry matches, or needs it\n".to_owned(),
        1 => format!("1 entry {done}\n"),
        count => format!("{count} entries {done}\n"),
    }
}

/// Who operates, for the history.
pub(super) fn user() -> String {
    std::env::var("SUDO_USER")
        .or_else(|_| std::env::var("USER"))
        .map_or_else(|_| "operator".to_owned(), |user| format!("operator {user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_in_words() {
        assert_eq!(show_changed("hold", 0), "no entry matches, or needs it\n");
        assert_eq!(show_changed("release", 1), "1 entry released\n");
        assert_eq!(show_changed("remove", 7), "7 entries removed\n");
    }
}
