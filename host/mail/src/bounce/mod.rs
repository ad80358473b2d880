//! What comes back: reports that a copy was not delivered (RFC 3464, and the forms of those who do not follow it), feedback
//! of recipients (RFC 5965), and answers that no person wrote (RFC 3834).
//!
//! Invariant: nothing is believed here. What is read are claims of whoever wrote the message; whether it is about a message of
//! ours, the history tells.
//!
//! Invariant: what is read of a message is bounded in octets, lines, recipients and clues, after its structure was.

mod clues;
mod feedback;
mod kind;
mod notification;
mod recipients;
mod report;
mod words;

use std::borrow::Cow;
use std::sync::Arc;

use crate::body::Content;
use crate::classify::Classes;
use crate::header::{HeaderIndex, TooComplex};
use crate::mime::{MimeLimits, Part, read_tree};
use crate::status::Status;
use crate::{Mailbox, ReversePath};

pub use clues::Clues;
pub use feedback::Feedback;
pub use report::Action;

use notification::Notification;

/// Copies that one report is about at most.
pub const COPIES_MAX: usize = 100;
/// Octets of a message that are read in all; what stands behind them is the message that came back.
const READ_OCTETS_MAX: usize = 1 << 20;
/// Characters of one part that are read.
const PART_CHARS_MAX: usize = 64 * 1024;
/// Parts that are looked at.
const PARTS_MAX: usize = 32;

/// What a message is that came to an address for bounces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Some copies were not delivered, or are late.
    Bounce(Bounce),
    /// A recipient does not want a message.
    Feedback(Feedback),
    /// Nobody wrote it: an absence, a confirmation; what shows it.
    AutoReply(String),
    /// Somebody wrote it, or nobody knows what it is.
    Other,
}

/// A report about copies of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounce {
    /// The copies.
    pub copies: Vec<ReturnedCopy>,
    /// Which message it may be about.
    pub clues: Clues,
}

/// What became of a copy, by the word of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnedCopy {
    /// For whom; none when the report does not say.
    pub recipient: Option<Mailbox>,
    /// For whom it was before it was forwarded.
    pub original: Option<Mailbox>,
    /// What became of it.
    pub action: Action,
    /// Why, with its class.
    pub status: Status,
}

impl Incoming {
    /// The word for it, in metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Incoming::Bounce(_) => "bounce",
            Incoming::Feedback(_) => "feedback",
            Incoming::AutoReply(_) => "auto-reply",
            Incoming::Other => "other",
        }
    }
}

/// Reads what came back to us, with the return path that it came with. It may take a while: not for the threads that serve
/// sessions.
///
/// # Errors
/// When its structure exceeds the bounds.
pub fn read(
    content: &Content,
    sender: &ReversePath,
    limits: &MimeLimits,
    classes: &Classes,
) -> Result<Incoming, TooComplex> {
    let header = HeaderIndex::scan(&content.header, &limits.header)?;
    let tree = Arc::new(read_tree(content, limits)?);
    let parts: Vec<Part> =
        (0..tree.len().min(PARTS_MAX)).filter_map(|index| tree.part(index, content)).collect();
    let message = Message { header, parts, content };
    if let Some(feedback) = feedback::read(&message) {
        return Ok(Incoming::Feedback(feedback));
    }
    if let Some(notification) = notification::read(&message) {
        return Ok(notified(&notification, &message, classes));
    }
    let explanation = message.explanation();
    let reported = match report::read(&message) {
        // Its structure may be wrong.
        none if none.is_empty() => report::in_text(&message.raw()),
        found => found,
    };
    if reported.is_empty()
        && let Some(sign) = kind::auto_reply(&message, &explanation)
    {
        return Ok(Incoming::AutoReply(sign));
    }
    if reported.is_empty() && !kind::seems_bounce(&message, sender) {
        return Ok(Incoming::Other);
    }
    let copies = words::told(&message, reported, &explanation, classes);
    match copies.is_empty() {
        true => Ok(Incoming::Other),
        false => Ok(Incoming::Bounce(Bounce { copies, clues: clues::find(content) })),
    }
}

fn notified(notification: &Notification, message: &Message<'_>, classes: &Classes) -> Incoming {
    if let Some(feedback) = notification.feedback(message) {
        return Incoming::Feedback(feedback);
    }
    let copies = words::by_groups(&notification.groups(), classes);
    match copies.is_empty() {
        true => Incoming::Other,
        false => Incoming::Bounce(Bounce { copies, clues: notification.clues(message) }),
    }
}

/// A message that is read.
struct Message<'a> {
    header: HeaderIndex,
    parts: Vec<Part>,
    content: &'a Content,
}

impl Message<'_> {
    /// A field of its own header, decoded.
    fn field(&self, name: &str) -> Option<String> {
        self.header.first(name).map(|value| crate::header::decode(&value))
    }

    /// The parts of a type that are no part of the message that came back.
    fn parts_of(&self, is_wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| is_wanted(part.content_type()) && !is_returned(part))
    }

    /// What is said to people, up to the message that came back.
    fn explanation(&self) -> String {
        let mut text = String::new();
        for wanted in ["text/plain", "text/html"] {
            for part in self.parts_of(|kind| kind == wanted || (wanted == "text/plain" && is_odd(kind))) {
                text.push_str(words::until_returned(&part.text(PART_CHARS_MAX, true)));
                text.push('\n');
            }
            if !text.trim().is_empty() {
                break;
            }
        }
        if text.trim().is_empty() { self.raw() } else { text }
    }

    /// What stands behind its header up to the message that came back, whatever its structure.
    fn raw(&self) -> String {
        words::until_returned(&self.whole()).to_owned()
    }

    /// What stands behind its header.
    fn whole(&self) -> Cow<'_, str> {
        let octets = self.content.rest.get(..PART_CHARS_MAX).unwrap_or(&self.content.rest);
        String::from_utf8_lossy(octets)
    }
}

/// A type that no reader knows is read as text.
fn is_odd(content_type: &str) -> bool {
    !["text/", "message/", "image/", "application/", "multipart/", "audio/", "video/"]
        .iter()
        .any(|known| content_type.starts_with(known))
}

/// True for what is within the message that came back.
fn is_returned(part: &Part) -> bool {
    part.within().any(|subtype| subtype == "rfc822")
}

#[cfg(test)]
mod tests;
