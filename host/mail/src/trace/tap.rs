//! The dialogue of one session, while somebody looks.

use std::collections::VecDeque;
use std::sync::Arc;

use super::filter::About;
use super::{Facts, Hub, Line, MASK, Side, TEXT_OCTETS_MAX, Watcher, Who};
use crate::MessageId;
use crate::text::{sanitize, sanitize_octets};

/// Lines of a session that are kept for those who do not know yet whether they want to see them.
const LINES_KEPT_MAX: usize = 100;
/// Recipients of a transaction that are compared.
const RECIPIENTS_MAX: usize = 1_000;
/// Octets of a line of the peer that is not complete yet.
const PARTIAL_OCTETS_MAX: usize = 4 * TEXT_OCTETS_MAX;

/// Shows the dialogue of one session to those who want to see it.
pub struct Tap {
    hub: Arc<Hub>,
    facts: Facts,
    about: About,
    /// Who looks, as of this change of the hub; each with the number of the first line that it was not given.
    watchers: Vec<(Arc<Watcher>, u64)>,
    changes: Option<u64>,
    /// The lines before the first transaction, and those of this one, by number.
    kept: VecDeque<(u64, Line)>,
    number: u64,
    /// The number of the first line of a transaction.
    opening_end: Option<u64>,
    /// The replies that came in part.
    partial: Vec<u8>,
    /// The content that went by since it was last told.
    content: Content,
}

#[derive(Default)]
struct Content {
    octets: u64,
    partial: Vec<u8>,
}

impl Tap {
    /// The tap of a session.
    pub fn new(hub: &Arc<Hub>, facts: Facts) -> Box<Tap> {
        Box::new(Tap {
            hub: Arc::clone(hub),
            facts,
            about: About::default(),
            watchers: Vec::new(),
            changes: None,
            kept: VecDeque::new(),
            number: 0,
            opening_end: None,
            partial: Vec::new(),
            content: Content::default(),
        })
    }

    /// The client said this line.
    pub fn client(&mut self, line: &[u8]) {
        self.end_content();
        let line = line.trim_ascii_end();
        let begins =
            |verb: &[u8]| line.get(..verb.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(verb));
        let text = sanitize_octets(line, TEXT_OCTETS_MAX);
        if begins(b"AUTH ") {
            return self.say(Who::Client, masked(&text), false);
        }
        if begins(b"MAIL FROM:") {
            self.begin_transaction();
            self.about.sender = path(&text);
        } else if begins(b"RCPT TO:") && self.about.recipients.len() < RECIPIENTS_MAX {
            self.about.recipients.extend(path(&text));
        }
        self.say(Who::Client, text, false);
    }

    /// The client said a line that nobody may see, or that may be a part of what nobody may see.
    pub fn secret(&mut self) {
        self.end_content();
        self.say(Who::Client, MASK.to_owned(), false);
    }

    /// The server said this: any number of lines, the last perhaps not to its end.
    pub fn server(&mut self, octets: &[u8]) {
        self.end_content();
        let mut octets = octets;
        while let Some(end) = memchr::memchr(b'\n', octets) {
            let (line, rest) = octets.split_at(end + 1);
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(line);
            let text = sanitize_octets(whole.trim_ascii_end(), TEXT_OCTETS_MAX);
            // What a server asks for in an exchange may be a part of the secret.
            let text = if text.starts_with("334") { format!("334 {MASK}") } else { text };
            self.say(Who::Server, text, false);
            octets = rest;
        }
        if self.partial.len() + octets.len() <= PARTIAL_OCTETS_MAX {
            self.partial.extend_from_slice(octets);
        }
    }

    /// So many octets of a message's content went by; `octets` are they, when somebody wants to see them.
    pub fn content(&mut self, count: usize, octets: Option<&[u8]>) {
        self.content.octets = self.content.octets.saturating_add(count as u64);
        let Some(mut octets) = octets else { return };
        while let Some(end) = memchr::memchr(b'\n', octets) {
            let (line, rest) = octets.split_at(end + 1);
            let mut whole = std::mem::take(&mut self.content.partial);
            whole.extend_from_slice(line);
            self.say(Who::Client, sanitize_octets(whole.trim_ascii_end(), TEXT_OCTETS_MAX), true);
            octets = rest;
        }
        if self.content.partial.len() + octets.len() <= PARTIAL_OCTETS_MAX {
            self.content.partial.extend_from_slice(octets);
        }
    }

    /// Something happened to the session.
    pub fn note(&mut self, text: &str) {
        self.end_content();
        self.say(Who::Note, sanitize(text, TEXT_OCTETS_MAX), false);
    }

    /// The transaction is about this message.
    pub fn about(&mut self, message: MessageId) {
        self.about.message = Some(message);
    }

    fn end_content(&mut self) {
        let Content { octets, partial } = std::mem::take(&mut self.content);
        if !partial.is_empty() {
            self.say(Who::Client, sanitize_octets(&partial, TEXT_OCTETS_MAX), true);
        }
        if octets > 0 {
            self.say(Who::Note, format!("{octets} octets of content"), false);
        }
    }

    /// What was said in the transaction before is not kept any longer. What is known of the next one may be known already.
    fn begin_transaction(&mut self) {
        let opening_end = *self.opening_end.get_or_insert(self.number);
        self.kept.retain(|(number, _)| *number < opening_end);
        self.about.recipients.clear();
        if self.facts.side == Side::In {
            // A message that comes in has its name at its end only.
            self.about.message = None;
        }
    }

    fn say(&mut self, who: Who, text: String, content: bool) {
        self.look_who_watches();
        if self.watchers.is_empty() {
            return;
        }
        let Facts { session, side, peer, way, .. } = self.facts.clone();
        let line = Line {
            at: self.hub.clock.now(),
            session,
            side,
            peer,
            way,
            message: self.about.message,
            who,
            text,
            content,
        };
        let about = &self.about;
        if content {
            // Content is not kept: only those see it who know already that they want to.
            let wanted = self
                .watchers
                .iter()
                .filter(|(one, _)| one.filter.content && one.filter.fits_transaction(about));
            return wanted.for_each(|(watcher, _)| (watcher.give)(&line));
        }
        self.kept.push_back((self.number, line));
        self.number += 1;
        if self.kept.len() > LINES_KEPT_MAX {
            self.kept.pop_front();
        }
        for (watcher, next) in self.watchers.iter_mut().filter(|(one, _)| one.filter.fits_transaction(about))
        {
            let fresh = self.kept.iter().filter(|(number, _)| *number >= *next);
            fresh.for_each(|(_, line)| (watcher.give)(line));
            *next = self.number;
        }
    }

    fn look_who_watches(&mut self) {
        let changes = self.hub.changes();
        if self.changes == Some(changes) {
            return;
        }
        self.changes = Some(changes);
        let given =
            |number: u64| self.watchers.iter().find(|(one, _)| one.number == number).map(|(_, next)| *next);
        let watchers = self.hub.watchers_of(&self.facts);
        self.watchers = watchers
            .into_iter()
            .map(|watcher| {
                let next = given(watcher.number).unwrap_or(0);
                (watcher, next)
            })
            .collect();
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tap").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// An AUTH command without what follows its mechanism.
fn masked(text: &str) -> String {
    let mut words = text.split_ascii_whitespace();
    let (verb, mechanism) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match words.next() {
        Some(_) => format!("{verb} {mechanism} {MASK}"),
        None => format!("{verb} {mechanism}"),
    }
}

/// The address in the path of MAIL or RCPT.
fn path(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('<')?;
    rest.split_once('>').map(|(address, _)| address.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::super::Filter;
    use super::*;

    fn facts() -> Facts {
        Facts {
            session: Arc::from("s1"),
            side: Side::In,
            peer: Arc::from("192.0.2.1:40000"),
            way: Arc::from("smtp"),
            ip: Some([192, 0, 2, 1].into()),
            host: None,
            listener: Some("smtp".to_owned()),
            site: None,
        }
    }

    type Seen = Arc<Mutex<Vec<String>>>;

    fn watch(hub: &Arc<Hub>, filter: Filter) -> (super::super::Watching, Seen) {
        let seen: Seen = Arc::default();
        let into = Arc::clone(&seen);
        let give = move |line: &Line| into.lock().push(line.text.clone());
        (hub.watch(filter, Box::new(give)), seen)
    }

    fn transaction(tap: &mut Tap, sender: &str, recipient: &str) {
        tap.client(format!("MAIL FROM:<{sender}>\r\n").as_bytes());
        tap.server(b"250 ok\r\n");
        tap.client(format!("RCPT TO:<{recipient}>\r\n").as_bytes());
        tap.server(b"250 o");
        tap.server(b"k\r\n");
    }

    #[test]
    fn only_the_transactions_that_fit_are_shown_with_how_the_session_began() {
        let hub = Hub::new(Arc::new(crate::SystemClock));
        assert!(!hub.is_watched());
        let (watching, seen) =
            watch(&hub, Filter { recipient: Some("@b.example".to_owned()), ..Filter::default() });
        let (_other, nothing) = watch(&hub, Filter { listener: Some("mx".to_owned()), ..Filter::default() });
        let mut tap = Tap::new(&hub, facts());
        tap.server(b"220 hello\r\n");
        tap.client(b"EHLO x\r\n");
        transaction(&mut tap, "a@a.example", "b@c.example");
        assert!(seen.lock().is_empty());
        transaction(&mut tap, "a@a.example", "b@B.example");
        let expected =
            ["220 hello", "EHLO x", "MAIL FROM:<a@a.example>", "250 ok", "RCPT TO:<b@B.example>", "250 ok"];
        assert_eq!(*seen.lock(), expected);
        transaction(&mut tap, "a@a.example", "b@c.example");
        assert_eq!(seen.lock().len(), expected.len());
        assert!(nothing.lock().is_empty());
        drop(watching);
        assert!(hub.is_watched());
    }

    #[test]
    fn credentials_and_content_are_not_shown() {
        let hub = Hub::new(Arc::new(crate::SystemClock));
        let (_all, seen) = watch(&hub, Filter::default());
        let mut tap = Tap::new(&hub, facts());
        tap.client(b"auth plain AGEAYg==\r\n");
        tap.client(b"AUTH LOGIN\r\n");
        tap.server(b"334 VXNlcm5hbWU6\r\n");
        tap.secret();
        tap.content(12, None);
        tap.content(3, Some(b"x\r\n"));
        tap.server(b"250 ok\r\n");
        let shown = [
            "auth plain (masked)",
            "AUTH LOGIN",
            "334 (masked)",
            "(masked)",
            "15 octets of content",
            "250 ok",
        ];
        assert_eq!(*seen.lock(), shown);
    }

    #[test]
    fn content_is_shown_to_who_asks_for_it() {
        let hub = Hub::new(Arc::new(crate::SystemClock));
        let (_all, seen) = watch(&hub, Filter { content: true, ..Filter::default() });
        assert!(hub.wants_content());
        let mut tap = Tap::new(&hub, facts());
        tap.content(8, Some(b"a: b\r\n\r"));
        tap.content(5, Some(b"\ntext"));
        tap.note("closed");
        assert_eq!(*seen.lock(), ["a: b", "", "text", "13 octets of content", "closed"]);
    }

    #[test]
    fn who_comes_later_sees_what_is_kept_once() {
        let hub = Hub::new(Arc::new(crate::SystemClock));
        let mut tap = Tap::new(&hub, facts());
        let (_first, _) = watch(&hub, Filter::default());
        (0..LINES_KEPT_MAX + 5).for_each(|number| tap.note(&number.to_string()));
        let (_second, seen) = watch(
            &hub,
            Filter { message: Some(MessageId::first_at(crate::UnixMs(1_000))), ..Filter::default() },
        );
        tap.note("last");
        assert!(seen.lock().is_empty());
        tap.about(MessageId::first_at(crate::UnixMs(1_000)));
        tap.note("now");
        let shown = seen.lock().clone();
        assert_eq!((shown.len(), shown.last().map(String::as_str)), (LINES_KEPT_MAX, Some("now")));
        tap.note("more");
        assert_eq!(seen.lock().len(), LINES_KEPT_MAX + 1);
    }
}
