//! The dialogue of a session, shown to operators who look on.

use std::sync::Arc;

use baton_mail::trace::{Facts, Side, Tap};
use baton_smtp::server::{Heard, Step};

use super::wire::Wire;
use super::{End, Session};

/// What shows a session, and how far.
pub(super) struct Overheard {
    tap: Box<Tap>,
    /// Octets of the output that were shown already.
    shown: usize,
}

impl Session {
    /// Lets the machine work. Who looks on sees what the client said.
    pub(super) fn handle(&mut self, wire: &mut Wire) -> Step {
        if !self.is_overheard(wire) {
            return self.server.handle(&mut wire.input, &mut wire.output);
        }
        self.show_replies(wire);
        let step = self.server.handle(&mut wire.input, &mut wire.output);
        let heard = self.server.take_heard();
        let Some(overheard) = &mut self.overheard else { return step };
        for one in heard {
            match one {
                Heard::Line(line) => overheard.tap.client(&line),
                Heard::Secret => overheard.tap.secret(),
                Heard::Content(count, octets) => overheard.tap.content(count, octets.as_deref()),
            }
        }
        step
    }

    /// Whether somebody looks on. Where nobody does, that is one look at a number.
    fn is_overheard(&mut self, wire: &Wire) -> bool {
        let hub = &self.listener.deps.trace;
        if !hub.is_watched() {
            if self.overheard.take().is_some() {
                self.server.listen(false, false);
            }
            return false;
        }
        self.server.listen(true, hub.wants_content());
        if self.overheard.is_none() {
            let facts = Facts {
                session: Arc::from(self.id.to_string()),
                side: Side::In,
                peer: Arc::from(self.peer.to_string()),
                way: Arc::from(self.listener.name.as_str()),
                ip: Some(self.client),
                host: self.facts.remote_name.clone(),
                listener: Some(self.listener.name.clone()),
                site: None,
            };
            // Replies that wait to be written belong to what nobody saw, but for the greeting.
            let shown = if self.server.helo().is_none() { 0 } else { wire.output.len() };
            self.overheard = Some(Box::new(Overheard { tap: Tap::new(hub, facts), shown }));
        }
        true
    }

    /// Shows the replies that were not shown yet.
    pub(super) fn show_replies(&mut self, wire: &Wire) {
        let Some(overheard) = &mut self.overheard else { return };
        if let Some(draft) = &self.draft {
            overheard.tap.about(draft.id());
        }
        let fresh = wire.output.get(overheard.shown..).unwrap_or_default();
        overheard.tap.server(fresh);
        overheard.shown = wire.output.len();
    }

    /// All replies are on their way.
    pub(super) fn note_written(&mut self, wire: &Wire) {
        self.show_replies(wire);
        if let Some(overheard) = &mut self.overheard {
            overheard.shown = 0;
        }
    }

    /// Shows what happened to the session.
    pub(super) fn show_note(&mut self, text: &str) {
        if let Some(overheard) = &mut self.overheard {
            overheard.tap.note(text);
        }
    }

    /// Shows the end of the session.
    pub(super) fn show_end(&mut self, end: End) {
        self.show_note(end.as_str());
    }
}
