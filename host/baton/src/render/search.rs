//! Messages that were found, in words.

use baton_api::happened::MessagesPage;
use baton_events::{Copy, MessageRow};

/// A page of them.
pub(crate) fn page(page: &MessagesPage) -> String {
    let mut text: String = page.messages.iter().map(one).collect();
    if page.messages.is_empty() {
        text.push_str(if page.next.is_some() { "Nothing so far.\n" } else { "No such message is known.\n" });
    }
    if let Some(next) = &page.next {
        text.push_str(&format!("Older ones: --after {next}\n"));
    }
    if page.behind > 0 {
        text.push_str(&format!("{} events are not indexed yet.\n", page.behind));
    }
    text
}

fn one(row: &MessageRow) -> String {
    let sender = row.sender.as_deref().unwrap_or("?");
    let whose = match (&row.tenant, &row.stream) {
        (Some(tenant), Some(stream)) => format!("  {tenant}/{stream}"),
        (Some(tenant), None) => format!("  {tenant}"),
        _ => String::new(),
    };
    let tags = if row.tags.is_empty() { String::new() } else { format!("  [{}]", row.tags.join(" ")) };
    let copies: String = row.copies.iter().map(copy).collect();
    format!("{}  {}  <{sender}>{whose}{tags}\n{copies}", row.time, row.message)
}

fn copy(copy: &Copy) -> String {
    let then: Vec<&str> = copy.then.iter().map(|kind| kind.as_str()).collect();
    let then = if then.is_empty() { String::new() } else { format!(", {}", then.join(", ")) };
    let said = copy.said.as_deref().map(|said| format!(": {said}")).unwrap_or_default();
    format!("    {}  {}{then}{said}\n", copy.recipient, copy.state)
}
