//! Endpoints and reports in words.

use baton_api::followers::{FollowerPage, FollowerRow};
use baton_api::webhooks::EndpointList;
use baton_events::report::{Report, ReportRow};
use baton_events::webhook::{EndpointStatus, EndpointView};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::words::moment;

/// All endpoints, a few lines each.
pub(crate) fn list(list: &EndpointList) -> String {
    if list.webhooks.is_empty() {
        return "There are no webhooks.\n".to_owned();
    }
    list.webhooks.iter().map(full).collect()
}

/// One endpoint.
pub(crate) fn full(view: &EndpointView) -> String {
    let whose = view.tenant.as_deref().map_or_else(|| "all".to_owned(), |tenant| format!("tenant {tenant}"));
    let kinds: Vec<&str> = view.kinds.iter().map(|kind| kind.as_str()).collect();
    let kinds = if kinds.is_empty() { "all for senders".to_owned() } else { kinds.join(", ") };
    let streams = if view.streams.is_empty() { "all".to_owned() } else { view.streams.join(", ") };
    let about = if view.about.is_empty() { String::new() } else { format!("  {}\n", view.about) };
    let secret = view.secret.as_deref().map(|secret| format!("  secret, shown this once: {secret}\n"));
    let until: Vec<String> = view.secrets_until.iter().flatten().map(|until| moment(*until)).collect();
    let older = if until.is_empty() {
        String::new()
    } else {
        format!("  older secrets count until {}\n", until.join(", "))
    };
    format!(
        "{}  {}  ({whose})\n{about}  events: {kinds}; streams: {streams}\n  {}\n{}{older}",
        view.name,
        view.url,
        state(view),
        secret.unwrap_or_default()
    )
}

fn state(view: &EndpointView) -> String {
    match &view.paused {
        Some(why) => format!("paused: {why}"),
        None => going(&view.status, view.behind),
    }
}

/// How it goes.
fn going(status: &EndpointStatus, behind: u64) -> String {
    let expired = if status.expired > 0 { format!(", {} expired", status.expired) } else { String::new() };
    let missed = if status.missed > 0 { format!(", {} missed", status.missed) } else { String::new() };
    let taken = format!("{} taken since the start, {behind} records behind{expired}{missed}", status.posted);
    match (&status.failing_since, &status.last_error) {
        (Some(since), Some(error)) => {
            let next = status.next_try_at.map(|at| format!(", again at {}", moment(at))).unwrap_or_default();
            let times = match status.failures {
                0 => "not tried since the start, before".to_owned(),
                times => format!("{times} times"),
            };
            format!("FAILING since {}, {times}: {error}{next}; {taken}", moment(*since))
        }
        _ => format!("well; {taken}"),
    }
}

/// Who follows what happens, a line each.
pub(crate) fn followers(page: &FollowerPage) -> String {
    let row = |row: &FollowerRow| {
        let how = match (&row.paused, &row.status) {
            _ if !row.configured => {
                format!(
                    "not in the settings, {} records behind; to forget it: baton followers --forget {}",
                    row.behind, row.name
                )
            }
            (Some(why), _) => format!("paused: {why}; {} records behind", row.behind),
            (None, Some(status)) => going(status, row.behind),
            (None, None) => format!("{} records behind", row.behind),
        };
        format!("{}  {how}\n", row.name)
    };
    page.followers.iter().map(row).collect()
}

/// A report as a table.
pub(crate) fn report(report: &Report) -> String {
    let mut text = format!("{} to {}\n", report.since, report.until);
    if report.rows.is_empty() {
        text.push_str("Nothing was counted.\n");
    } else {
        text.push_str(&table(&report.rows));
    }
    if report.left_out > 0 {
        text.push_str(&format!("and {} smaller rows\n", report.left_out));
    }
    if report.behind > 0 {
        text.push_str(&format!("{} events are not counted yet.\n", report.behind));
    }
    text
}

/// The counts that a table has room for.
const SHOWN: [&str; 8] =
    ["accepted", "delivered", "deferred", "bounced", "expired", "suppressed", "complained", "opened"];

fn table(rows: &[ReportRow]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let has_time = rows.iter().any(|row| row.time.is_some());
    let groups: Vec<&String> = rows.first().map(|row| row.groups.keys().collect()).unwrap_or_default();
    let mut head: Vec<String> = has_time.then(|| "time".to_owned()).into_iter().collect();
    head.extend(groups.iter().map(|group| (*group).clone()));
    let texts = head.len();
    head.extend(SHOWN.iter().map(|name| (*name).to_owned()));
    head.extend(["rate", "p50 ms", "p95 ms", "p99 ms"].map(str::to_owned));
    let columns = head.len();
    table.set_header(head);
    for row in rows {
        let mut cells: Vec<String> =
            has_time.then(|| row.time.clone().unwrap_or_default()).into_iter().collect();
        // Mail of no stream or tag has a row of its own.
        let value = |group: &&String| row.groups.get(*group).filter(|value| !value.is_empty()).cloned();
        cells.extend(groups.iter().map(|group| value(group).unwrap_or_else(|| "-".to_owned())));
        cells.extend(SHOWN.iter().map(|name| row.counts.get(*name).copied().unwrap_or(0).to_string()));
        cells.push(
            row.rates.delivered.map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0)),
        );
        let latency = [row.latency.p50_ms, row.latency.p95_ms, row.latency.p99_ms];
        cells.extend(latency.map(|ms| ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string())));
        table.add_row(cells);
    }
    for column in texts..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n")
}
