//! Whom nothing is sent to, in words.

use baton_api::suppressions::{Imported, SuppressionPage, SuppressionRow, SuppressionsOf};

use super::words::moment;

/// A page of the lists.
pub(crate) fn page(page: &SuppressionPage) -> String {
    let mut text: String = page.entries.iter().map(row).collect();
    match &page.next {
        Some(next) => text.push_str(&format!("There are more: --after {next}\n")),
        None if text.is_empty() => text.push_str("No entries.\n"),
        None => {}
    }
    text
}

/// All that is kept of one address.
pub(crate) fn of_address(found: &SuppressionsOf) -> String {
    if found.entries.is_empty() {
        return format!("{} is on no list.\n", found.address);
    }
    let rows: String = found.entries.iter().map(row).collect();
    format!("{} ({})\n{rows}", found.address, found.hash)
}

/// An entry: a line, and one more with what led to it.
pub(crate) fn row(row: &SuppressionRow) -> String {
    let address = row.address.as_ref().map_or_else(|| format!("erased {}", row.hash), String::clone);
    let list = match (&row.tenant, &row.stream) {
        (None, None) => "global".to_owned(),
        (Some(tenant), None) => format!("tenant {tenant}"),
        (Some(tenant), Some(stream)) => format!("stream {tenant}/{stream}"),
        (None, Some(stream)) => format!("stream {stream}"),
    };
    let until = match row.until {
        Some(until) if row.holds => format!("until {}", moment(until)),
        Some(until) => format!("ended {}", moment(until)),
        None => "for ever".to_owned(),
    };
    let mut text =
        format!("{address:<40} {list:<24} {:<12} since {}, {until}\n", row.reason, moment(row.since));
    let message = row.message.map(|message| format!("message {message}"));
    let details = [
        Some(&row.by).filter(|by| !by.is_empty()).cloned(),
        message,
        Some(&row.note).filter(|note| !note.is_empty()).cloned(),
    ];
    let details: Vec<String> = details.into_iter().flatten().collect();
    if !details.is_empty() {
        text.push_str(&format!("    {}\n", details.join("; ")));
    }
    text
}

/// What came of an import.
pub(crate) fn imported(done: &Imported) -> String {
    let mut text = format!("{} entries made.\n", done.added);
    if done.erased > 0 {
        text.push_str(&format!("{} lines without an address left out.\n", done.erased));
    }
    for error in &done.errors {
        text.push_str(&format!("line {}: {}\n", error.line, error.message));
    }
    text
}
