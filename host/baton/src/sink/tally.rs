//! What came: counts, numbered messages seen twice or never, and how long they took.
//!
//! A message made by `baton send` carries `X-Baton-Id` (`X-Mark-Id` when it went by the API) (its number), `X-Baton-Sent` (microseconds since 1970) and
//! `X-Baton-Class`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::measure::{SpanSummary, Spans};

/// The largest message number that is tracked; bounds the map to 16 MiB.
const ID_MAX: u64 = 128 << 20;
/// Classes that are told apart at most.
const CLASSES_MAX: usize = 64;
/// Octets of a message that are searched for the marks: they stand in the header.
const HEADER_OCTETS_MAX: usize = 16 * 1024;

/// Counts of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    connections: u64,
    messages: u64,
    recipients: u64,
    octets: u64,
    refused: u64,
    numbered: Numbers,
    classes: BTreeMap<String, Class>,
    first_us: Option<u64>,
    last_us: Option<u64>,
}

#[derive(Debug, Default)]
struct Class {
    spans: Spans,
    last_us: u64,
    messages_until_last: u64,
}

/// Which numbers came, one bit each.
#[derive(Debug, Default)]
struct Numbers {
    seen: Vec<u64>,
    distinct: u64,
    repeated: u64,
}

/// The summary that a sink prints.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// Connections.
    pub(crate) connections: u64,
    /// Messages answered 250.
    pub(crate) messages: u64,
    /// Their recipients.
    pub(crate) recipients: u64,
    /// Their octets.
    pub(crate) octets: u64,
    /// Recipients and messages refused by a rule.
    pub(crate) refused: u64,
    /// Different numbers among numbered messages.
    pub(crate) distinct: u64,
    /// Numbered messages that came again.
    pub(crate) duplicates: u64,
    /// Numbers below the largest that never came.
    pub(crate) missing: u64,
    /// When the first message came, in microseconds since 1970.
    pub(crate) first_us: Option<u64>,
    /// When the last message came, in microseconds since 1970.
    pub(crate) last_us: Option<u64>,
    /// By class: how long messages took from sender to sink, and when the last one came.
    pub(crate) classes: BTreeMap<String, ClassSummary>,
}

/// One class.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ClassSummary {
    #[serde(flatten)]
    pub(crate) spans: SpanSummary,
    /// When its last message came, in microseconds since 1970.
    pub(crate) last_us: u64,
    /// Messages of all classes until then.
    pub(crate) messages_until_last: u64,
}

impl Tally {
    /// Counts a connection.
    pub(crate) fn connected(&self) {
        self.lock().connections += 1;
    }

    /// Counts a refusal by a rule.
    pub(crate) fn refused(&self) {
        self.lock().refused += 1;
    }

    /// Counts a message; returns how many there are now.
    pub(crate) fn message(&self, recipients: usize, content: &[u8], now_us: u64) -> u64 {
        let marks = Marks::read(content);
        let mut counts = self.lock();
        counts.messages += 1;
        counts.recipients += recipients as u64;
        counts.octets += content.len() as u64;
        counts.first_us.get_or_insert(now_us);
        counts.last_us = Some(now_us);
        if let Some(id) = marks.id {
            counts.numbered.note(id);
        }
        if let Some(sent_us) = marks.sent_us {
            counts.class(marks.class, now_us, now_us.saturating_sub(sent_us));
        }
        counts.messages
    }

    /// The figures so far.
    pub(crate) fn summary(&self) -> Summary {
        let counts = self.lock();
        let class = |(name, class): (&String, &Class)| {
            let Class { spans, last_us, messages_until_last } = class;
            let (last_us, messages_until_last) = (*last_us, *messages_until_last);
            (name.clone(), ClassSummary { spans: spans.summary(), last_us, messages_until_last })
        };
        Summary {
            connections: counts.connections,
            messages: counts.messages,
            recipients: counts.recipients,
            octets: counts.octets,
            refused: counts.refused,
            distinct: counts.numbered.distinct,
            duplicates: counts.numbered.repeated,
            missing: counts.numbered.missing(),
            first_us: counts.first_us,
            last_us: counts.last_us,
            classes: counts.classes.iter().map(class).collect(),
        }
    }

    /// The counts stay usable after a panic of another session: each change is complete in itself.
    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn class(&mut self, name: &str, now_us: u64, span_us: u64) {
        if !self.classes.contains_key(name) {
            if self.classes.len() >= CLASSES_MAX {
                return;
            }
            self.classes.insert(name.to_owned(), Class::default());
        }
        if let Some(class) = self.classes.get_mut(name) {
            class.spans.record(span_us);
            class.last_us = now_us;
            class.messages_until_last = self.messages;
        }
    }
}

impl Numbers {
    fn note(&mut self, id: u64) {
        if id > ID_MAX {
            return;
        }
        let (word, bit) = ((id / 64) as usize, 1_u64 << (id % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let Some(word) = self.seen.get_mut(word) else { return };
        if *word & bit == 0 {
            *word |= bit;
            self.distinct += 1;
        } else {
            self.repeated += 1;
        }
    }

    fn missing(&self) -> u64 {
        let last = self.seen.iter().rposition(|word| *word != 0);
        let Some((at, word)) = last.and_then(|at| Some((at, self.seen.get(at)?))) else { return 0 };
        let largest = at as u64 * 64 + u64::from(63 - word.leading_zeros());
        largest + 1 - self.distinct
    }
}

/// The marks of a message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Marks<'a> {
    id: Option<u64>,
    sent_us: Option<u64>,
    class: &'a str,
}

impl<'a> Marks<'a> {
    fn read(content: &'a [u8]) -> Marks<'a> {
        let head = content.get(..HEADER_OCTETS_MAX).unwrap_or(content);
        let head = memchr::memmem::find(head, b"\r\n\r\n").and_then(|end| head.get(..end)).unwrap_or(head);
        let mut marks = Marks { class: "all", ..Marks::default() };
        let starts = |prefix: &'static [u8]| {
            memchr::memmem::find_iter(head, prefix).map(|at| at + prefix.len()).collect::<Vec<_>>()
        };
        // What came by the API has marks of another name, as these are not a sender's to set there.
        for start in starts(b"X-Baton-").into_iter().chain(starts(b"X-Mark-")) {
            let line = head.get(start..).unwrap_or_default();
            let line = memchr::memchr(b'\r', line).and_then(|end| line.get(..end)).unwrap_or(line);
            let Some((name, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(": "))
            else {
                continue;
            };
            match name {
                "Id" => marks.id = value.parse().ok(),
                "Sent" => marks.sent_us = value.parse().ok(),
                "Class" => marks.class = value,
                _ => {}
            }
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u64, class: &str) -> Vec<u8> {
        format!("Received: x\r\nX-Baton-Id: {id}\r\nX-Baton-Sent: 1000\r\nX-Baton-Class: {class}\r\n\r\nX-Baton-Id: 99\r\n")
            .into_bytes()
    }

    #[test]
    fn repeated_and_missing_numbers_are_counted() {
        let tally = Tally::default();
        for id in [0, 1, 3, 200, 3] {
            tally.message(2, &message(id, "code"), 5_000);
        }
        tally.message(1, b"no marks", 9_000);
        let summary = tally.summary();
        assert_eq!((summary.messages, summary.recipients, summary.distinct), (6, 11, 4));
        assert_eq!((summary.duplicates, summary.missing), (1, 197));
        let code = &summary.classes["code"];
        assert_eq!((code.spans.count, code.last_us, code.messages_until_last), (5, 5_000, 5));
        assert!((code.spans.p50_ms - 4.0).abs() < 0.01, "{}", code.spans.p50_ms);
        assert_eq!((summary.first_us, summary.last_us), (Some(5_000), Some(9_000)));
    }

    #[test]
    fn marks_stand_in_the_header_only() {
        assert_eq!(Marks::read(b"A: b\r\n\r\nX-Baton-Id: 7\r\n"), Marks { class: "all", ..Marks::default() });
    }

    #[test]
    fn absurd_numbers_take_no_memory() {
        let tally = Tally::default();
        tally.message(1, &message(u64::MAX, "a"), 1);
        assert_eq!(tally.summary().distinct, 0);
    }
}
