//! Feedback of recipients about mail that they do not want (RFC 5965), and how some providers write it.

use super::recipients::mailbox;
use super::{Clues, Message, PART_CHARS_MAX, clues};
use crate::Mailbox;
use crate::text::sanitize;

/// Recipients that one report names at most.
pub(super) const RECIPIENTS_MAX: usize = 16;
/// Octets of the kind.
pub(super) const KIND_OCTETS_MAX: usize = 40;
/// Octets of what wrote it.
pub(super) const BY_OCTETS_MAX: usize = 200;

/// A report that a recipient does not want a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// The kind: `abuse`, `fraud`, `opt-out`, `not-spam` ... (RFC 5965 7.3).
    pub kind: String,
    /// What wrote it, by its own word.
    pub by: String,
    /// Who complains, where the report does not hide it.
    pub recipients: Vec<Mailbox>,
    /// Which message it may be about.
    pub clues: Clues,
}

impl Feedback {
    /// False when it says that mail was wanted, or tells of something else than unwanted mail.
    pub fn is_complaint(&self) -> bool {
        !matches!(self.kind.as_str(), "not-spam" | "auth-failure" | "dmarc" | "virus")
    }
}

/// The feedback that a message is; none when it is something else.
pub(super) fn read(message: &Message<'_>) -> Option<Feedback> {
    let part = message.parts_of(|kind| kind == "message/feedback-report").next();
    let text: String = match part {
        Some(part) => String::from_utf8_lossy(&part.decoded()).chars().take(PART_CHARS_MAX).collect(),
        None => without_part(message)?.to_owned(),
    };
    let fields = fields(&text);
    let value =
        |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    // Those that Hotmail and others leave in the header of the message that came back.
    let returned = message.parts.iter().filter(|part| super::is_returned(part));
    let hidden = returned.filter_map(|part| {
        part.header("X-HmXmrOriginalRecipient").or_else(|| part.header("X-Apparently-To"))
    });
    let named = fields
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "original-rcpt-to" | "removal-recipient"))
        .map(|(_, value)| value.clone());
    let mut recipients: Vec<Mailbox> = Vec::new();
    for recipient in named.chain(hidden).filter_map(|text| mailbox(&text)).take(RECIPIENTS_MAX) {
        if !recipients.contains(&recipient) {
            recipients.push(recipient);
        }
    }
    let kind = value("feedback-type").unwrap_or("abuse").to_ascii_lowercase();
    let by = value("user-agent").map(str::to_owned).or_else(|| message.field("From")).unwrap_or_default();
    Some(Feedback {
        kind: sanitize(kind.split_whitespace().next().unwrap_or("abuse"), KIND_OCTETS_MAX),
        by: sanitize(&by, BY_OCTETS_MAX),
        recipients,
        clues: clues::find(message.content),
    })
}

/// Feedback of those who leave out the part for programs: Hotmail gives back the message with a field of its own, and Apple's
/// mail program asks to be unsubscribed.
fn without_part(message: &Message<'_>) -> Option<&'static str> {
    let is_unsubscribe = message.field("X-Apple-Unsubscribe").is_some();
    let is_hotmail = || {
        let mut returned = message.parts.iter().filter(|part| super::is_returned(part));
        returned.any(|part| part.header("X-HmXmrOriginalRecipient").is_some())
    };
    match is_unsubscribe {
        true => Some("Feedback-Type: opt-out\n"),
        false => is_hotmail().then_some("Feedback-Type: abuse\n"),
    }
}

/// Fields of the report: names in lower case, values unfolded.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    fields
}
