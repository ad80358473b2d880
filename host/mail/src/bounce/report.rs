//! The part for programs (RFC 3464): groups of fields, one for each recipient.

use super::recipients::mailbox;
use super::{COPIES_MAX, Message, PART_CHARS_MAX};
use crate::status::STATUS_TEXT_OCTETS_MAX;
use crate::text::sanitize;
use crate::{EnhancedCode, Mailbox};

/// What became of a copy (RFC 3464 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Given up.
    Failed,
    /// Not delivered yet.
    Delayed,
    /// Delivered.
    Delivered,
    /// Sent on to a host that reports nothing.
    Relayed,
    /// Delivered to a list of others.
    Expanded,
}

/// What one group of fields says.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) recipient: Option<Mailbox>,
    pub(super) original: Option<Mailbox>,
    pub(super) action: Option<Action>,
    pub(super) status: Option<EnhancedCode>,
    /// The words behind the type of Diagnostic-Code.
    pub(super) diagnostic: String,
    pub(super) remote: Option<String>,
    /// What stands behind the code of Status, in parentheses.
    pub(super) comment: String,
}

impl Group {
    /// The code that counts. Postfix makes a refusal of its connection a temporary one, to try the other hosts; when it gave
    /// up, the code that the remote host said tells why.
    pub(super) fn stated(&self) -> Option<EnhancedCode> {
        let is_softened = self.action == Some(Action::Failed) && self.status.is_some_and(|code| code.0 == 4);
        let mut words = self.diagnostic.split_whitespace();
        let is_permanent = words.next().is_some_and(|code| code.len() == 3 && code.starts_with('5'));
        let said = words.next().and_then(|code| code.parse::<EnhancedCode>().ok()).filter(|code| code.0 == 5);
        said.filter(|_| is_softened && is_permanent).or(self.status)
    }
}

/// The groups of all parts for programs. A report without such a part has none.
pub(super) fn read(message: &Message<'_>) -> Vec<Group> {
    let kinds = ["message/delivery-status", "message/global-delivery-status", "message/delivery-report"];
    let mut groups = Vec::new();
    for part in message.parts_of(|kind| kinds.contains(&kind)) {
        // A part of this type has no charset of its own.
        let text = String::from_utf8_lossy(&part.decoded()).into_owned();
        groups.extend(read_groups(&text));
    }
    groups.truncate(COPIES_MAX);
    groups
}

/// Groups in a text that has no part for programs: only whole ones.
pub(super) fn in_text(text: &str) -> Vec<Group> {
    let mut groups = read_groups(text);
    groups.retain(|group| group.recipient.is_some() && group.status.is_some() && group.action.is_some());
    groups.truncate(COPIES_MAX);
    groups
}

/// Groups of fields in a text. That of the whole message is passed over: it names no recipient.
pub(super) fn read_groups(text: &str) -> Vec<Group> {
    let text: String = text.chars().take(PART_CHARS_MAX).collect();
    let mut groups = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        let line = line.trim_end();
        if line.trim().is_empty() {
            groups.extend(group(&std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            // Who forgets the empty line between two recipients begins with the same field again.
            let name = name.trim().to_ascii_lowercase();
            let is_next = name == "final-recipient" && fields.iter().any(|(known, _)| *known == name);
            if is_next {
                groups.extend(group(&std::mem::take(&mut fields)));
            }
            fields.push((name, value.trim().to_owned()));
        }
    }
    groups
}

fn group(fields: &[(String, String)]) -> Option<Group> {
    let value = |wanted: &str| {
        fields
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
            .filter(|it| !it.is_empty())
    };
    let address = |name: &str| value(name).and_then(|text| mailbox(&behind_type(text)));
    let recipient = address("final-recipient").or_else(|| address("x-actual-recipient"));
    let original = address("original-recipient");
    let status = value("status").and_then(read_status);
    let action = value("action").and_then(read_action);
    if recipient.is_none() && original.is_none() && (status.is_none() || action.is_none()) {
        return None;
    }
    let diagnostic = value("diagnostic-code").map(behind_type).unwrap_or_default();
    Some(Group {
        recipient,
        original,
        action,
        status,
        diagnostic: sanitize(&diagnostic, STATUS_TEXT_OCTETS_MAX),
        remote: value("remote-mta").map(behind_type).map(|host| sanitize(&host, 255)),
        comment: value("status")
            .and_then(comment)
            .map(|text| sanitize(text, STATUS_TEXT_OCTETS_MAX))
            .unwrap_or_default(),
    })
}

/// The value behind its type; that stands before a semicolon, but for those who forget it.
pub(super) fn behind_type(text: &str) -> String {
    text.split_once(';').map_or(text, |(_, rest)| rest).trim().to_owned()
}

fn comment(status: &str) -> Option<&str> {
    let (_, behind) = status.split_once('(')?;
    behind.rsplit_once(')').map(|(comment, _)| comment)
}

/// `5.1.1`, and what some write behind it.
pub(super) fn read_status(text: &str) -> Option<EnhancedCode> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    text.get(..end)?.trim_end_matches('.').parse().ok()
}

pub(super) fn read_action(text: &str) -> Option<Action> {
    let word = text.split(|letter: char| !letter.is_ascii_alphabetic()).find(|word| !word.is_empty())?;
    match word.to_ascii_lowercase().as_str() {
        "failed" | "failure" | "fail" => Some(Action::Failed),
        "delayed" => Some(Action::Delayed),
        "delivered" | "deliverable" => Some(Action::Delivered),
        "relayed" => Some(Action::Relayed),
        "expanded" => Some(Action::Expanded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipient_has_its_group() {
        let text = "Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1 (no)\n\
                    Diagnostic-Code: smtp; 550 5.1.1 <a@b.example>...\n  User unknown\n\nFinal-Recipient: c@d.example\n\
                    Action: delayed (still trying)\nStatus: 4.4.7\nFinal-Recipient: RFC822;<e@f.example>\nAction: failed\n";
        let groups = read_groups(text);
        let told: Vec<_> = groups
            .iter()
            .map(|group| (group.recipient.as_ref().unwrap().to_string(), group.action, group.status))
            .collect();
        assert_eq!(
            told,
            [
                ("a@b.example".to_owned(), Some(Action::Failed), Some(EnhancedCode(5, 1, 1))),
                ("c@d.example".to_owned(), Some(Action::Delayed), Some(EnhancedCode(4, 4, 7))),
                ("e@f.example".to_owned(), Some(Action::Failed), None),
            ]
        );
        assert_eq!(groups[0].diagnostic, "550 5.1.1 <a@b.example>... User unknown");
    }
}
