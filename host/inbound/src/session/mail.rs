//! MAIL: may a transaction begin now?

use std::time::Duration;

use baton_hooks::Parameter;
use baton_mail::{Envelope, MessageId, Reply, ReversePath};
use baton_smtp::server::Answer;
use tokio::time::Instant;

use super::draft::Draft;
use super::{RULES, Session};
use crate::limits::{RESERVE_STEP_OCTETS, Reservation};
use crate::replies::Refusal;
use crate::{ListenerKind, log};

/// A MAIL command whose form the machine checked.
pub(super) struct MailCommand {
    /// The return path.
    pub(super) sender: ReversePath,
    /// The announced size in octets; 0 when there is none (RFC 1870).
    pub(super) size: u64,
    /// BODY=8BITMIME.
    pub(super) eight_bit: bool,
    /// SMTPUTF8.
    pub(super) smtputf8: bool,
    /// All parameters as they were given, for plugins.
    pub(super) parameters: Vec<Parameter>,
}

impl Session {
    /// Begins a transaction, or says why not.
    pub(super) fn answer_mail(&mut self, command: MailCommand) -> Answer {
        if self.drained_at.is_some() {
            return Answer::Disconnect(Refusal::Stopping.reply());
        }
        if let Err(reply) = self.check_mail(&command) {
            self.count_rejection("mail", &reply);
            log::mail_refused(self.id, &reply);
            return Answer::Refuse(reply);
        }
        self.proceed_mail(command);
        Answer::Proceed
    }

    fn check_mail(&self, command: &MailCommand) -> Result<(), Reply> {
        let deps = &self.listener.deps;
        // RFC 6409 4.3: a submission server takes nothing from strangers.
        if self.listener.kind == ListenerKind::Submission && self.facts.account.is_none() {
            return Err(Refusal::AuthenticationRequired.reply());
        }
        deps.store.check_space().map_err(|refusal| refusal.reply())?;
        let octets = command.size.max(RESERVE_STEP_OCTETS);
        if !self.listener.memory.has_room(octets, deps.policy.load().memory_octets_max) {
            return Err(Refusal::Memory.reply());
        }
        Ok(())
    }

    fn proceed_mail(&mut self, command: MailCommand) {
        let deps = &self.listener.deps;
        let policy = deps.policy.load();
        let keep = Duration::from_secs(policy.deadlines.generation_s);
        let moment = Instant::now();
        if moment.duration_since(self.generation_at) >= keep {
            self.generation = deps.hooks.load_full();
            self.generation_at = moment;
        }
        let now = deps.clock.now();
        let lifetime = Duration::from_secs(policy.lifetime_s);
        let origin = self.origin(command.smtputf8);
        let mut envelope = Envelope::new(MessageId::new(now), now, lifetime, command.sender, origin);
        envelope.eight_bit = command.eight_bit;
        envelope.smtputf8 = command.smtputf8;
        let mut call = self.call();
        call.envelope = envelope;
        call.sender_parameters = command.parameters;
        self.draft = Some(Box::new(Draft::new(call, self.decisions.clone(), command.size)));
    }

    /// DATA or the first BDAT: reserves memory for the content. A refusal ends the transaction.
    pub(super) fn answer_data(&mut self) -> Answer {
        let max = self.listener.deps.policy.load().memory_octets_max;
        let Some(mut draft) = self.draft.take() else { return Answer::Refuse(Refusal::Internal.reply()) };
        let octets = draft.announced_octets.max(RESERVE_STEP_OCTETS);
        let Some(reservation) = Reservation::take(&self.listener.memory, octets, max) else {
            let reply = Refusal::Memory.reply();
            self.count_rejection("data", &reply);
            log::message_refused(self.id, draft.id(), RULES, &reply);
            return Answer::Refuse(reply);
        };
        draft.reservation = Some(reservation);
        self.draft = Some(draft);
        Answer::Proceed
    }

    /// Keeps the reservation as large as what the machine holds; without room the content is dropped while it comes.
    pub(super) fn account_content(&mut self) {
        let held = self.server.content_octets() as u64;
        let Some(draft) = &mut self.draft else { return };
        let Some(reservation) = &mut draft.reservation else { return };
        if held > 0 && !reservation.grow_to(held, self.listener.deps.policy.load().memory_octets_max) {
            self.server.refuse_content(Refusal::Memory.reply());
            draft.reservation = None;
        }
    }
}
