//! The beginning of a session: the `connect` hook, the greeting, the client's name.

use baton_hooks::{ConnectAnswer, Hook};
use baton_mail::Reply;

use super::wire::Wire;
use super::{RULES, Session};
use crate::replies::{self, Refusal};
use crate::{ListenerKind, log};

impl Session {
    /// Greets, after the plugins were asked whether to.
    pub(super) async fn greet(&mut self, wire: &mut Wire) {
        if let Some(refusal) = self.check_client() {
            let reply = refusal.reply();
            self.count_rejection("connect", &reply);
            log::connection_refused(self.id, self.peer, RULES, &reply);
            self.server.refuse(&reply, &mut wire.output);
            return;
        }
        self.begin_name_search();
        let standing = self.standing();
        self.server.refuse_early_commands(!standing.is_exempt && standing.limits.refuse_early_commands);
        if self.talks_early(wire).await {
            let reply = self.refuse_early_talker();
            self.server.end(&reply, &mut wire.output);
            return;
        }
        if !self.generation.has(Hook::Connect) {
            self.server.greet(&mut wire.output);
            return;
        }
        let refusal = match wire.bound(self.answer_due(), Box::pin(self.ask_connect())).await {
            Some(refusal) => refusal,
            None => Some(Refusal::Late.reply()),
        };
        match refusal {
            None => self.server.greet(&mut wire.output),
            Some(reply) => {
                self.count_rejection("connect", &reply);
                self.server.refuse(&reply, &mut wire.output);
            }
        }
    }

    /// What the relay's own rules say of this client.
    fn check_client(&self) -> Option<Refusal> {
        let is_stranger = || !self.listener.deps.policy.load().is_relay_network(self.client);
        (self.listener.kind == ListenerKind::Relay && is_stranger()).then_some(Refusal::NotForStrangers)
    }

    /// Asks the plugins; a reply is a refusal.
    async fn ask_connect(&mut self) -> Option<Reply> {
        if self.needs_name() {
            self.find_name().await;
        }
        let mut call = self.call();
        let verdict = self.generation.connect(&mut call).await;
        let refusal = match verdict.answer {
            ConnectAnswer::Next | ConnectAnswer::Accept => None,
            ConnectAnswer::Reject(reply) | ConnectAnswer::Tempfail(reply) => Some(replies::greeting(&reply)),
        };
        if let Some(reply) = &refusal {
            log::connection_refused(self.id, self.peer, verdict.by.as_deref().unwrap_or("plugins"), reply);
        }
        self.decisions.extend(verdict.decisions);
        refusal
    }
}
