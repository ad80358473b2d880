//! TLS: the answer to STARTTLS, the handshake, and what is forgotten with it.

use std::sync::Arc;

use baton_smtp::server::Answer;
use baton_tls::HandshakeFailure;
use tokio::time::Instant;

use super::wire::Wire;
use super::{End, Session};
use crate::log;
use crate::policy::after;
use crate::replies::Refusal;

impl Session {
    /// STARTTLS: a place for the handshake, or "not now" (RFC 3207 4).
    pub(super) fn answer_starttls(&mut self) -> Answer {
        match self.listener.take_handshake() {
            Some(place) => {
                self.handshake = Some(place);
                Answer::Proceed
            }
            None => {
                self.count_handshake("busy");
                Answer::Refuse(Refusal::TlsUnavailable.reply())
            }
        }
    }

    /// The handshake of a listener where TLS begins with the connection (RFC 8314 3.3).
    pub(super) async fn begin_protected(&mut self, wire: &mut Wire) -> Result<(), End> {
        let Some(place) = self.listener.take_handshake() else {
            // Without TLS nothing can be said.
            self.count_handshake("busy");
            return Err(End::NoTls);
        };
        self.handshake = Some(place);
        self.protect(wire).await
    }

    /// The handshake. All that was known of the client by its own words is forgotten (RFC 3207 4.2); what plugins noted
    /// of its address stays.
    pub(super) async fn protect(&mut self, wire: &mut Wire) -> Result<(), End> {
        let listener = Arc::clone(&self.listener);
        let Some(tls) = listener.tls() else { return Err(End::Misused) };
        let seconds = listener.deps.policy.load().deadlines.handshake_s;
        let due = after(Instant::now(), seconds);
        let due = self.drained_at.map_or(due, |drained_at| due.min(drained_at));
        let done = wire.protect(&tls, due).await;
        self.handshake = None;
        let facts = match done {
            Ok(facts) => facts,
            Err(failure) => return Err(self.note_failed_handshake(&failure)),
        };
        self.count_handshake("ok");
        listener.deps.metrics.count_protected(&facts);
        log::protected(self.id, &facts);
        self.show_note(&facts.to_string());
        self.draft = None;
        let known = Arc::make_mut(&mut self.facts);
        (known.helo, known.account, known.tls) = (None, None, Some(Arc::new(facts)));
        (self.user, self.exchange) = (None, None);
        self.channel_binding = wire.channel_binding();
        let is_bindable = self.channel_binding.is_some();
        self.server.protect(listener.server_settings(self.client, &self.generation, true, is_bindable));
        self.request.is_new = true;
        Ok(())
    }

    fn note_failed_handshake(&self, failure: &HandshakeFailure) -> End {
        self.count_handshake(failure.as_str());
        log::handshake_failed(self.id, &self.listener.name, self.peer, failure);
        match failure {
            HandshakeFailure::Late => End::Late,
            _ => End::NoTls,
        }
    }

    fn count_handshake(&self, result: &'static str) {
        self.listener.deps.metrics.count_handshake(&self.listener.name, result);
    }
}
