//! Accounts in words.

use baton_api::accounts::AccountRow;
use baton_mail::account::Quota;

use super::words::moment;

/// After an account was made.
pub(crate) fn added(row: &AccountRow) -> String {
    let note = match (row.senders.is_empty(), row.name.mailbox()) {
        (true, None) => format!(
            "note: `{0}` is no address, so it may send in nobody's name; `baton user set {0} --sender RULE` lets it\n",
            row.name
        ),
        _ => String::new(),
    };
    shown(row) + &note
}

/// One account in full.
pub(crate) fn shown(row: &AccountRow) -> String {
    let mut text = format!("{}\n", row.name);
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<9} {value}\n"));
    line("state", if row.disabled { "disabled".to_owned() } else { "enabled".to_owned() });
    line("password", password(row).to_owned());
    line("sends as", senders(row));
    line("quota", quota(&row.quota));
    line("tenant", row.tenant.clone().unwrap_or_else(|| "-".to_owned()));
    line("stream", row.stream.clone().unwrap_or_else(|| "-".to_owned()));
    line("made", moment(row.created_at));
    line("changed", moment(row.changed_at));
    text.extend(row.advice.iter().map(|advice| format!("note: {advice}\n")));
    text
}

/// All accounts, a line each.
pub(crate) fn list(rows: &[AccountRow]) -> String {
    if rows.is_empty() {
        return "There is no account yet; `baton user add NAME` makes one.\n".to_owned();
    }
    let width = rows.iter().map(|row| row.name.as_str().chars().count()).max().unwrap_or(0);
    let one = |row: &AccountRow| {
        let state = if row.disabled { "disabled, " } else { "" };
        let notes: String = row.advice.iter().map(|advice| format!("  note: {advice}\n")).collect();
        format!(
            "{:<width$}  {state}sends as {}; {}\n{notes}",
            row.name.as_str(),
            senders(row),
            quota(&row.quota)
        )
    };
    rows.iter().map(one).collect()
}

fn password(row: &AccountRow) -> &'static str {
    match (row.password, row.scram) {
        (false, _) => "none",
        (true, true) => "set, with the keys of SCRAM",
        (true, false) => "set, without SCRAM",
    }
}

fn senders(row: &AccountRow) -> String {
    if row.senders.is_empty() {
        return row.name.mailbox().map_or_else(|| "nobody".to_owned(), |own| own.to_string());
    }
    row.senders.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub(crate) fn quota(quota: &Quota) -> String {
    let parts = [
        (quota.messages_per_hour, "messages an hour"),
        (quota.messages_per_day, "messages a day"),
        (quota.recipients_per_hour, "recipients an hour"),
        (quota.recipients_per_day, "recipients a day"),
    ];
    let words: Vec<_> =
        parts.iter().filter_map(|(count, what)| Some(format!("{} {what}", (*count)?))).collect();
    if words.is_empty() { "no bound".to_owned() } else { words.join(", ") }
}
