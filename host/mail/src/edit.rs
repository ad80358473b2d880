//! Changes that a plugin may ask for. They are staged while a hook runs and applied only when it returned.

use bytes::Bytes;

use crate::header::HeaderName;
use crate::{FailureClass, Mailbox, ReversePath, UnixMs, lines};

/// One change to the transaction in progress. Every text in it was checked when it was made.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// A change to the header or the content.
    Message(MessageEdit),
    /// A change to the envelope.
    Envelope(EnvelopeEdit),
    /// A change to where this recipient's copy goes (`route` hook).
    Route(RouteEdit),
    /// The class of the failure at hand (`bounce` hook).
    Class(FailureClass),
}

/// A change to header or content.
#[derive(Clone, Debug, PartialEq)]
pub enum MessageEdit {
    /// Adds a field at the end of the header.
    Add(HeaderName, String),
    /// Inserts a field before the field of that index (0 is the top).
    Insert(u32, HeaderName, String),
    /// Replaces the first field of that name and removes the others; adds it when there is none.
    Set(HeaderName, String),
    /// Removes all fields of that name.
    Remove(HeaderName),
    /// Replaces all that follows the header.
    Body(NewBody),
}

/// What takes the place of a body: whole lines that end with CRLF, and nothing that stands alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBody(Bytes);

impl NewBody {
    /// Joins `pieces`. A lone CR or LF becomes a line end, and the last line is ended.
    pub fn new<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> NewBody {
        let mut joined = EMPTY_LINE.to_vec();
        pieces.into_iter().for_each(|piece| joined.extend_from_slice(piece));
        if joined.len() > EMPTY_LINE.len() && !joined.ends_with(b"\r\n") {
            joined.extend_from_slice(b"\r\n");
        }
        if !lines::has_stray(&joined) {
            return NewBody(joined.into());
        }
        let mut repaired = Vec::with_capacity(joined.len() + 64);
        lines::repair_into(&joined, &mut repaired);
        NewBody(repaired.into())
    }

    /// Octets, the empty line before it not counted.
    pub fn len(&self) -> usize {
        self.0.len().saturating_sub(EMPTY_LINE.len())
    }

    /// The lines.
    pub fn octets(&self) -> &[u8] {
        self.0.get(EMPTY_LINE.len()..).unwrap_or_default()
    }

    /// True when nothing follows the header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The empty line and the lines: what stands behind the header.
    pub(crate) fn rest(&self) -> Bytes {
        self.0.clone()
    }
}

/// What separates header and body (RFC 5322 2.1).
const EMPTY_LINE: &[u8] = b"\r\n";

/// A change to the envelope.
#[derive(Clone, Debug, PartialEq)]
pub enum EnvelopeEdit {
    /// The return path.
    Sender(ReversePath),
    /// One more recipient.
    AddRecipient(Mailbox),
    /// One recipient less, by index.
    RemoveRecipient(u32),
    /// Other mailboxes in the place of this recipient (alias, list).
    Redirect(u32, Vec<Mailbox>),
    /// The stream.
    Stream(String),
    /// The priority, -9 to 9.
    Priority(i8),
    /// Hold the message for an operator.
    Quarantine(String),
    /// A tag.
    Tag(String, String),
    /// Points under a symbol.
    Score(String, f64),
    /// A note for later hooks; `None` removes it. The key carries the plugin's prefix.
    Note(String, Option<Vec<u8>>),
}

/// A change to the route of one recipient. Later ones win; fallbacks add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteEdit {
    /// Deliver to the MX of this domain instead of the recipient's.
    MxOf(crate::Domain),
    /// Deliver by SMTP to this host.
    Host(String, u16),
    /// Deliver by LMTP: `host:port` or `unix:/path`.
    Lmtp(String),
    /// One more host to try when the others do not answer.
    Fallback(String, u16),
    /// Deliver to a next hop that the settings name (host list, file sink, discard ...).
    Named(String),
    /// The ready queue's name.
    Queue(String),
    /// No attempt before this moment.
    NotBefore(UnixMs),
    /// Give up this long after acceptance, in milliseconds.
    ExpireAfterMs(u64),
}

impl Edit {
    /// A short form for the decision log, such as `header+X-Spam` or `rcpt+a@b.example`.
    pub fn summary(&self) -> String {
        match self {
            Edit::Message(edit) => match edit {
                MessageEdit::Add(name, _) => format!("header+{name}"),
                MessageEdit::Insert(index, name, _) => format!("header+{name}@{index}"),
                MessageEdit::Set(name, _) => format!("header={name}"),
                MessageEdit::Remove(name) => format!("header-{name}"),
                MessageEdit::Body(body) => format!("body replaced, {} octets", body.len()),
            },
            Edit::Envelope(edit) => match edit {
                EnvelopeEdit::Sender(sender) => format!("sender=<{sender}>"),
                EnvelopeEdit::AddRecipient(mailbox) => format!("rcpt+{mailbox}"),
                EnvelopeEdit::RemoveRecipient(index) => format!("rcpt-#{index}"),
                EnvelopeEdit::Redirect(index, to) => format!("rcpt#{index}={}", join(to)),
                EnvelopeEdit::Stream(stream) => format!("stream={stream}"),
                EnvelopeEdit::Priority(priority) => format!("priority={priority}"),
                EnvelopeEdit::Quarantine(reason) => format!("quarantine: {reason}"),
                EnvelopeEdit::Tag(name, value) => format!("tag {name}={value}"),
                EnvelopeEdit::Score(symbol, points) => format!("score {symbol}{points:+}"),
                EnvelopeEdit::Note(key, _) => format!("note {key}"),
            },
            Edit::Route(edit) => match edit {
                RouteEdit::MxOf(domain) => format!("route=mx of {domain}"),
                RouteEdit::Host(host, port) => format!("route={host}:{port}"),
                RouteEdit::Lmtp(target) => format!("route=lmtp {target}"),
                RouteEdit::Fallback(host, port) => format!("fallback+{host}:{port}"),
                RouteEdit::Named(name) => format!("route={name}"),
                RouteEdit::Queue(name) => format!("queue={name}"),
                RouteEdit::NotBefore(at) => format!("not-before={}", at.0),
                RouteEdit::ExpireAfterMs(ms) => format!("expire-after={ms} ms"),
            },
            Edit::Class(class) => format!("class={class}"),
        }
    }
}

fn join(mailboxes: &[Mailbox]) -> String {
    mailboxes.iter().map(Mailbox::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(pieces: &[&[u8]]) -> Vec<u8> {
        NewBody::new(pieces.iter().copied()).rest().to_vec()
    }

    #[test]
    fn a_new_body_has_whole_lines_however_it_was_cut() {
        assert_eq!(rest(&[b"a\r", b"\nb"]), b"\r\na\r\nb\r\n");
        assert_eq!(rest(&[b"a\nb\rc\r\n"]), b"\r\na\r\nb\r\nc\r\n");
        assert_eq!(rest(&[]), b"\r\n");
        assert_eq!(NewBody::new([&b"abc"[..]]).len(), 5);
    }
}
