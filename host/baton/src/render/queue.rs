//! The queue, its summary and the plugins as tables.

use baton_api::wire::{CountPage, JobRow, PluginRow, PluginsView, QueuePage, SummaryView, TrialRow};
use comfy_table::{ContentArrangement, Table, presets};

use crate::commands::notes;

use super::words::{mailboxes, moment, octets, relative};

/// A table without borders, as wide as its content.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table
}

/// A page of the queue, one line for each job.
pub(crate) fn page(page: &QueuePage) -> String {
    if page.jobs.is_empty() {
        return "Nothing in the queue matches.\n".to_owned();
    }
    let mut rows = table(&[
        "message",
        "state",
        "due",
        "attempts",
        "queue",
        "size",
        "sender",
        "recipients",
        "last reply or reason",
    ]);
    for job in &page.jobs {
        rows.add_row(vec![
            job.message.to_string(),
            job.state.clone(),
            due(job, page),
            job.attempt.to_string(),
            job.queue.clone(),
            octets(job.size),
            format!("<{}>", job.sender),
            mailboxes(&job.recipients),
            reason(job),
        ]);
    }
    let more = match &page.next {
        Some(next) => format!("There may be more: --after {next}\n"),
        None => String::new(),
    };
    format!("{}\n{more}", rows.trim_fmt())
}

/// Why it is still here: why it is held, what it waits for, or what the last attempt ended with.
fn reason(job: &JobRow) -> String {
    let last = || job.last.as_ref().map(ToString::to_string);
    job.hold.clone().or_else(|| job.waits.clone()).or_else(last).unwrap_or_default()
}

fn due(job: &JobRow, page: &QueuePage) -> String {
    match job.state.as_str() {
        "waiting" => job.due.map_or_else(|| "unknown".to_owned(), |due| relative(due, page.now)),
        "held" => "when released".to_owned(),
        _ => "now".to_owned(),
    }
}

/// Jobs in full, a block each.
pub(crate) fn details(page: &QueuePage) -> String {
    if page.jobs.is_empty() {
        return "Nothing in the queue matches.\n".to_owned();
    }
    page.jobs.iter().map(|job| detail(job, page)).collect()
}

fn detail(job: &JobRow, page: &QueuePage) -> String {
    let last = job
        .last
        .as_ref()
        .map_or_else(|| "none".to_owned(), |status| format!("{} in phase {}", status, status.phase));
    let mut more = String::new();
    let mut line = |what: &str, text: Option<&str>| {
        if let Some(text) = text {
            more.push_str(&format!("  {what}: {text}\n"));
        }
    };
    line("held", job.hold.as_deref());
    line("now", job.waits.as_deref());
    line("tenant", job.tenant.as_deref());
    line("stream", job.stream.as_deref());
    line("priority", Some(job.priority.to_string()).filter(|_| job.priority != 0).as_deref());
    line("sent by", job.route.as_deref());
    line("given up at its next turn", job.give_up.as_deref());
    format!(
        "{}.{}  {}, queue {}\n  from <{}>, {}, accepted {}, given up {}\n  to {}\n  due {}\n  {} attempts, last: {last}\n{more}",
        job.message,
        job.job,
        job.state,
        job.queue,
        job.sender,
        octets(job.size),
        relative(job.received_at, page.now),
        relative(job.expires_at, page.now),
        mailboxes(&job.recipients),
        job.due.map_or_else(|| due(job, page), |at| format!("{} ({})", moment(at), due(job, page))),
        job.attempt,
    )
}

/// How many entries match.
pub(crate) fn count(page: &CountPage) -> String {
    let all = page.ready + page.waiting + page.held + page.claimed;
    let mut text = format!(
        "{all} entries: ready {}, waiting {}, held {}, in delivery {}; {} in all\n",
        page.ready,
        page.waiting,
        page.held,
        page.claimed,
        octets(page.octets)
    );
    if !page.classes.is_empty() {
        let mut rows = table(&["last failure", "entries"]);
        for (class, count) in &page.classes {
            rows.add_row(vec![class.clone(), count.to_string()]);
        }
        text.push_str(&rows.trim_fmt());
        text.push('\n');
    }
    text
}

/// The queue in figures.
pub(crate) fn summary(summary: &SummaryView) -> String {
    let mut text = format!(
        "ready {}, waiting {}, held {}, in delivery {}; {} in all\n",
        summary.ready,
        summary.waiting,
        summary.held,
        summary.claimed,
        octets(summary.octets)
    );
    if !summary.queues.is_empty() {
        let mut rows = table(&["queue", "jobs", "size"]);
        for row in &summary.queues {
            let name = if row.queue.is_empty() { "(others)" } else { &row.queue };
            rows.add_row(vec![name.to_owned(), row.jobs.to_string(), octets(row.octets)]);
        }
        text.push_str(&rows.trim_fmt());
        text.push('\n');
    }
    if summary.truncated {
        text.push_str("The queue is longer than what was counted.\n");
    }
    text
}

/// The plugins and the order of each hook.
pub(crate) fn plugins(view: &PluginsView) -> String {
    if view.plugins.is_empty() {
        return "No plugin is loaded.\n".to_owned();
    }
    let mut rows =
        table(&["plugin", "digest", "hooks", "on failure", "mode", "instances", "breaker", "next", "grants"]);
    for plugin in &view.plugins {
        rows.add_row(vec![
            plugin.name.clone(),
            plugin.digest.clone(),
            plugin.hooks.join(" "),
            plugin.on_failure.clone(),
            mode(plugin),
            plugin.instances.clone(),
            plugin.breaker.clone(),
            next(plugin).unwrap_or_else(|| "-".to_owned()),
            plugin.grants.join(", "),
        ]);
    }
    let advice: Vec<String> = view.plugins.iter().flat_map(|plugin| plugin.advice.clone()).collect();
    let advice = if advice.is_empty() { String::new() } else { format!("\n{}", notes(&advice)) };
    format!("generation {}\n{}\n\n{}{advice}", view.generation, rows.trim_fmt(), order(&view.order))
}

/// Whether its answers count, and what the new version beside it is for.
pub(crate) fn how_it_runs(plugin: &PluginRow) -> String {
    [Some(mode(plugin)), next(plugin)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn mode(plugin: &PluginRow) -> String {
    match plugin.switch.as_ref().filter(|switch| switch.mode.is_some()) {
        Some(switch) => format!("{} (by {}; settings: {})", plugin.mode, switch.by, plugin.set_mode),
        None => plugin.mode.clone(),
    }
}

fn next(plugin: &PluginRow) -> Option<String> {
    let now = plugin.next.as_ref()?.to_string();
    let switch = plugin.switch.as_ref().filter(|switch| switch.next.is_some());
    let Some((switch, set)) = switch.zip(plugin.set_next.as_ref().map(TrialRow::to_string)) else {
        return Some(now);
    };
    Some(format!("{now} (by {}; settings: {set})", switch.by))
}

/// Who is asked at which hook.
pub(crate) fn order(order: &[(String, Vec<String>)]) -> String {
    let mut orders = table(&["hook", "asks in this order"]);
    for (hook, names) in order.iter().filter(|(_, names)| !names.is_empty()) {
        orders.add_row(vec![hook.clone(), names.join(", ")]);
    }
    if orders.is_empty() { "No plugin is asked at any hook.\n".to_owned() } else { orders.trim_fmt() + "\n" }
}

#[cfg(test)]
mod tests {
    use baton_mail::{MessageId, ReversePath, UnixMs};

    use super::*;

    #[test]
    fn a_page_shows_each_job_and_how_to_go_on() {
        let job = JobRow {
            message: MessageId::first_at(UnixMs(1_000)),
            job: 2,
            queue: "example.org".to_owned(),
            state: "held".to_owned(),
            due: None,
            attempt: 4,
            recipients: vec!["b@example.org".parse().unwrap()],
            sender: ReversePath::Null,
            size: 2_048,
            received_at: UnixMs(1_000),
            expires_at: UnixMs(90_000),
            last: None,
            waits: None,
            hold: Some("looks odd".to_owned()),
            tenant: Some("acme".to_owned()),
            stream: None,
            priority: 0,
            route: None,
            give_up: None,
        };
        let view = QueuePage { now: UnixMs(2_000), jobs: vec![job], next: Some("X.2".to_owned()) };
        let text = page(&view);
        assert!(
            text.contains("held") && text.contains("when released") && text.contains("looks odd"),
            "{text}"
        );
        assert!(text.contains("--after X.2"));
        assert!(details(&view).contains("accepted 1.0 s ago, given up in 1 min 28 s"), "{}", details(&view));
    }

    #[test]
    fn empty_views_say_so() {
        let empty = QueuePage { now: UnixMs(0), jobs: Vec::new(), next: None };
        assert_eq!(page(&empty), "Nothing in the queue matches.\n");
        assert_eq!(
            plugins(&PluginsView { generation: 1, plugins: Vec::new(), order: Vec::new() }),
            "No plugin is loaded.\n"
        );
    }
}
