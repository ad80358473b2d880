//! What is known of a message once and for all. The record of its accept has it; each of its events is told with it.

use std::sync::Arc;

use baton_mail::event::{Event, What};
use baton_mail::{Body, Envelope, MessageId, ReversePath};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::database::{Database, Family};
use crate::format::{after_prefix, decode_history, envelope_key};

/// What is known of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Whose mail it is.
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    pub stream: Option<String>,
    /// Its tags: name, value. What programs call a tag has the name `tag`, their metadata names that begin with `meta.`,
    /// and the template that it was made of the name `template`.
    pub tags: Vec<(String, String)>,
    /// The sender's own name for it, as it stands in the header (RFC 5322 3.6.4).
    pub message_id: Option<String>,
    /// The return path; none when the message was never accepted.
    #[serde(skip)]
    pub sender: Option<ReversePath>,
}

impl Facts {
    /// What the envelope and the header say.
    pub(crate) fn of(envelope: &Envelope, body: &Body) -> Facts {
        let mut room = TAGS_OCTETS_MAX;
        let fits = |(name, value): &&(String, String)| {
            let octets = name.len() + value.len();
            let fits = octets <= room;
            room -= if fits { octets } else { 0 };
            fits
        };
        Facts {
            tenant: envelope.tenant.clone(),
            stream: envelope.stream.clone(),
            tags: envelope.tags.iter().take(TAGS_MAX).filter(fits).cloned().collect(),
            message_id: message_id(body),
            sender: None,
        }
    }

    /// What its envelope says, for a message that was not accepted.
    pub(crate) fn of_envelope(envelope: &Envelope) -> Facts {
        Facts { message_id: None, ..Facts::of(envelope, &Body::default()) }
    }

    /// Takes what one more record of the message tells; its accept knows best.
    pub(crate) fn learn(&mut self, own: Option<Facts>, events: &[Event]) {
        let sender = events.iter().find_map(|event| match &event.what {
            What::Accepted { sender, .. } | What::Rejected { sender, .. } => Some(sender.clone()),
            _ => None,
        });
        let sender = sender.or_else(|| self.sender.take());
        if let Some(own) = own {
            *self = own;
        }
        self.sender = sender;
    }
}

/// The text of `Message-ID`; none when there is none, or none that is fit to be shown.
fn message_id(body: &Body) -> Option<String> {
    let header = body.header();
    let mut begin = 0;
    let lines = memchr::memchr_iter(b'\n', &header).chain([header.len()]).map(|end| {
        let line = header.get(begin..end).unwrap_or_default();
        begin = end + 1;
        line
    });
    let mut lines = lines.skip_while(|line| !is_message_id(line));
    let first = lines.next()?.get(FIELD.len()..)?.trim_ascii();
    // It may stand on a line of its own (RFC 5322 2.2.3).
    let mut folded = || lines.next().filter(|line| line.starts_with(b" ") || line.starts_with(b"\t"));
    let value = if first.is_empty() { folded()?.trim_ascii() } else { first };
    let text = std::str::from_utf8(value).ok()?;
    let is_clean =
        !text.is_empty() && text.len() <= MESSAGE_ID_OCTETS_MAX && !text.chars().any(char::is_control);
    is_clean.then(|| text.to_owned())
}

fn is_message_id(line: &[u8]) -> bool {
    line.get(..FIELD.len()).is_some_and(|name| name.eq_ignore_ascii_case(FIELD))
}

const FIELD: &[u8] = b"Message-ID:";

/// The facts of messages that were asked for not long ago.
pub(super) struct KnownFacts(Cache<MessageId, Arc<Facts>>);

impl Default for KnownFacts {
    fn default() -> KnownFacts {
        KnownFacts(Cache::new(KNOWN_MAX))
    }
}

impl KnownFacts {
    /// The facts of a message of which a record is at hand.
    pub(super) fn of(
        &self,
        db: Option<&Database>,
        message: MessageId,
        own: Option<Facts>,
        events: &[Event],
    ) -> Arc<Facts> {
        if let Some(own) = own {
            let mut facts = Facts::default();
            facts.learn(Some(own), events);
            let facts = Arc::new(facts);
            self.0.insert(message, Arc::clone(&facts));
            return facts;
        }
        if let Some(facts) = self.0.get(&message) {
            return facts;
        }
        let Some(db) = db else { return Arc::default() };
        let facts = Arc::new(load(db, message));
        self.0.insert(message, Arc::clone(&facts));
        facts
    }
}

impl KnownFacts {
    /// Reads them again when they are asked for.
    pub(super) fn forget(&self, message: MessageId) {
        self.0.remove(&message);
    }
}

/// The facts as the history has them: with the accept, before which there are few records.
fn load(db: &Database, message: MessageId) -> Facts {
    let prefix = envelope_key(message);
    let end = after_prefix(&prefix);
    let mut records = db.iterate(Family::History, &prefix, end.as_deref());
    records.seek_to_first();
    let mut facts = Facts::default();
    for _ in 0..RECORDS_MAX {
        let Some(value) = records.value() else { break };
        if let Ok((own, events)) = decode_history(value) {
            facts.learn(own, &events);
            if events.iter().any(|event| matches!(event.what, What::Accepted { .. })) {
                break;
            }
        }
        records.next();
    }
    facts
}

/// Messages whose facts are kept in memory.
const KNOWN_MAX: usize = 16_384;
/// Records of a message in which its facts are looked for.
const RECORDS_MAX: usize = 64;
/// Tags of a message that its events are told with, and octets of them.
const TAGS_MAX: usize = 100;
const TAGS_OCTETS_MAX: usize = 16 << 10;
/// Octets of the sender's own name that are kept (RFC 5322 2.1.1: a line).
const MESSAGE_ID_OCTETS_MAX: usize = 998;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_senders_own_name_is_found_in_the_header_alone() {
        let of = |pieces: &[&'static [u8]]| {
            message_id(&pieces.iter().copied().map(Bytes::from_static).collect::<Body>())
        };
        let id = Some("<a@b>".to_owned());
        assert_eq!(of(&[b"Received: x\r\n", b"Subject: y\r\nmessage-id:  <a@b> \r\n\r\nz"]), id);
        assert_eq!(of(&[b"Message-ID:\r\n\t<a@b>\r\nTo: x\r\n\r\n"]), id);
        assert_eq!(of(&[b"Message-", b"ID: <a@b>\r\n\r\n"]), id);
        assert_eq!(of(&[b"Message-ID: <a@b>"]), id);
        for none in [
            &b"Subject: x\r\n\r\nMessage-ID: <a@b>\r\n"[..],
            b"",
            b"Message-ID:\r\n\r\n",
            b"Message-ID: <\xff>\r\n",
        ] {
            assert_eq!(of(&[none]), None, "{none:?}");
        }
    }

    #[test]
    fn tags_are_bounded() {
        let now = baton_mail::UnixMs(1);
        let mut envelope = Envelope::new(
            MessageId::new(now),
            now,
            std::time::Duration::from_secs(1),
            ReversePath::Null,
            baton_mail::Origin::internal(),
        );
        envelope.tags =
            vec![("big".to_owned(), "x".repeat(TAGS_OCTETS_MAX)), ("a".to_owned(), "b".to_owned())];
        assert_eq!(Facts::of_envelope(&envelope).tags, [("a".to_owned(), "b".to_owned())]);
        envelope.tags = (0..200).map(|number| (format!("{number}"), String::new())).collect();
        assert_eq!(Facts::of_envelope(&envelope).tags.len(), TAGS_MAX);
    }
}
