//! An event of the history as observers get it: kind, session, message, and fields of text.

use baton_mail::Origin;
use baton_mail::event::{Event, What};
use serde_json::Value;

use crate::bindings::exports::baton::relay::events_hook;

/// Octets of one field that are told.
const FIELD_OCTETS_MAX: usize = 4_096;
/// Fields of one event.
const FIELDS_MAX: usize = 64;

/// An event for observers. What grows in the history grows here by itself.
pub(super) fn told(event: &Event) -> events_hook::Event {
    let what = serde_json::to_value(&event.what).unwrap_or_default();
    let mut fields = Vec::new();
    let kind = match what {
        Value::Object(only) => match only.into_iter().next() {
            Some((kind, members)) => {
                flatten("", members, &mut fields);
                kind
            }
            None => String::new(),
        },
        other => text_of(&other),
    };
    events_hook::Event {
        unix_ms: event.at.0,
        kind,
        session_id: origin(&event.what).and_then(|origin| origin.session).map(|session| session.to_string()),
        message_id: Some(event.message.to_string()),
        fields,
    }
}

fn origin(what: &What) -> Option<&Origin> {
    match what {
        What::Accepted { origin, .. } | What::Rejected { origin, .. } => Some(origin),
        _ => None,
    }
}

/// Members of tables under their path (`status.text`); lists of texts with commas between; all else as JSON.
fn flatten(path: &str, value: Value, fields: &mut Vec<(String, String)>) {
    if fields.len() >= FIELDS_MAX {
        return;
    }
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(&path, member, fields);
            }
        }
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            fields.push((path.to_owned(), cut(texts.join(", "))));
        }
        other => fields.push((path.to_owned(), cut(text_of(&other)))),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn cut(mut text: String) -> String {
    let mut end = text.len().min(FIELD_OCTETS_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use baton_mail::{EnhancedCode, FailureClass, MessageId, Phase, SessionId, Status, UnixMs};

    use super::*;

    fn field<'a>(event: &'a events_hook::Event, name: &str) -> &'a str {
        let found = event.fields.iter().find(|(known, _)| known == name);
        found.map_or_else(|| panic!("no {name} in {:?}", event.fields), |(_, value)| value)
    }

    #[test]
    fn an_event_is_told_in_fields() {
        let message = MessageId::first_at(UnixMs(5));
        let recipients = vec!["a@b.example".parse().unwrap(), "c@d.example".parse().unwrap()];
        let status =
            Status::ours(Phase::Rcpt, FailureClass::BadMailbox, EnhancedCode(5, 1, 1), "no such user");
        let what = What::Failed { recipients, status, attempt: 3, decisions: Vec::new() };
        let event = told(&Event { message, at: UnixMs(7), what });
        assert_eq!((event.kind.as_str(), event.unix_ms), ("failed", 7));
        assert_eq!(event.message_id, Some(message.to_string()));
        assert_eq!(field(&event, "recipients"), "a@b.example, c@d.example");
        assert_eq!((field(&event, "status.text"), field(&event, "attempt")), ("no such user", "3"));
        let mut origin = Origin::internal();
        origin.session = Some(SessionId(255));
        let what = What::Accepted {
            origin,
            sender: baton_mail::ReversePath::Null,
            recipients: Vec::new(),
            size: 9,
            decisions: Vec::new(),
        };
        let event = told(&Event { message, at: UnixMs(7), what });
        assert_eq!(event.session_id.as_deref(), Some("00000000000000ff"));
        assert_eq!((event.kind.as_str(), field(&event, "size")), ("accepted", "9"));
    }
}
