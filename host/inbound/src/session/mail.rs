//! MAIL: may a transaction begin now?

use std::time::Duration;

use baton_hooks::Parameter;
use baton_mail::event::{Event, What};
use baton_mail::requests::MessageRequests;
use baton_mail::requests::timing::{By, Hold};
use baton_mail::{Envelope, MessageId, Reply, ReversePath};
use baton_smtp::server::Answer;
use tokio::time::Instant;

use super::draft::Draft;
use super::{RULES, Session, Slow};
use crate::limits::{RESERVE_STEP_OCTETS, Reservation};
use crate::policy::{Policy, PriorityFrom};
use crate::pressure::Strain;
use crate::replies::{self, Refusal};
use crate::{ListenerKind, log};

/// A MAIL command whose form the machine checked.
pub(super) struct MailCommand {
    /// The return path.
    pub(super) sender: ReversePath,
    /// The announced size in octets; 0 when there is none (RFC 1870).
    pub(super) size: u64,
    /// BODY=8BITMIME.
    pub(super) eight_bit: bool,
    /// BODY=BINARYMIME.
    pub(super) binary: bool,
    /// SMTPUTF8.
    pub(super) smtputf8: bool,
    /// What the sender asks of the delivery.
    pub(super) requests: MessageRequests,
    /// What the sender asks about time.
    pub(super) times: Times,
    /// All parameters as they were given, for plugins.
    pub(super) parameters: Vec<Parameter>,
}

/// When a message may leave, and by when it is to be there, from the moment of the command on.
pub(super) struct Times {
    pub(super) hold: Option<Hold>,
    pub(super) by: Option<By>,
}

/// Why no transaction may begin.
pub(super) enum Refused {
    /// The rules of this relay.
    ByRules(Refusal),
    /// The disk. It has no room for history either.
    ByStore(Reply),
}

impl Session {
    /// Begins a transaction at once when nobody must be waited for, which is the rule.
    pub(super) fn mail_at_once(&mut self, command: MailCommand) -> Result<Answer, Slow> {
        if self.drained_at.is_some() {
            return Ok(Answer::Disconnect(Refusal::Stopping.reply()));
        }
        let must_look = self.must_look_at_sender(&self.listener.deps.policy.load(), &command.sender);
        if self.needs_name() || self.must_look_at_user() || must_look {
            return Err(Slow::Mail(command));
        }
        match self.check_mail(&command) {
            Ok(()) => Ok(self.proceed_mail(command)),
            Err(refused) => Err(Slow::MailRefused(command, refused)),
        }
    }

    /// Begins a transaction, or says why not and tells the history of it.
    pub(super) async fn answer_mail(&mut self, command: MailCommand) -> Answer {
        if self.needs_name() {
            self.find_name().await;
        }
        let user = self.check_user().await.map_err(Refused::ByRules);
        let answered = match user {
            Ok(()) => {
                let answered = self.check_sender_takes_mail(&command.sender).await;
                answered.map_err(Refused::ByRules)
            }
            refused => refused,
        };
        match answered.and_then(|()| self.check_mail(&command)) {
            Ok(()) => self.proceed_mail(command),
            Err(refused) => self.refuse_mail(command, refused).await,
        }
    }

    /// RFC 6409 4.3: a submission server takes nothing from strangers.
    pub(super) fn check_login(&self) -> Result<(), Refusal> {
        let is_stranger = self.listener.kind == ListenerKind::Submission && self.facts.account.is_none();
        if is_stranger { Err(Refusal::AuthenticationRequired) } else { Ok(()) }
    }

    fn check_mail(&self, command: &MailCommand) -> Result<(), Refused> {
        let deps = &self.listener.deps;
        self.check_login().and_then(|()| self.check_tenant()).map_err(Refused::ByRules)?;
        let policy = deps.policy.load();
        self.check_sender(&command.sender)
            .and_then(|()| self.check_sender_domain(&policy, &command.sender))
            .map_err(Refused::ByRules)?;
        if let Some(hold) = command.times.hold {
            let latest = Duration::from_secs(self.listener.hold_s_max.into());
            let now = deps.clock.now();
            if hold.moment(now) > now.plus(latest) {
                return Err(Refused::ByRules(Refusal::HeldTooLong));
            }
        }
        let shared = &self.listener.shared;
        if let Some(strain) = shared.pressure.find(policy.pressure, &deps.store, deps.clock.now()) {
            deps.metrics.count_pressed(strain.as_str());
            return Err(match strain {
                Strain::Memory => Refused::ByRules(Refusal::Memory),
                Strain::Queue => Refused::ByRules(Refusal::QueueFull),
                Strain::Disk(refusal) => Refused::ByStore(refusal.reply()),
            });
        }
        let octets = command.size.max(RESERVE_STEP_OCTETS);
        if !shared.memory.has_room(octets, policy.memory_octets_max) {
            deps.metrics.count_pressed("content");
            return Err(Refused::ByRules(Refusal::Memory));
        }
        // The last, so that what is refused anyway is not counted.
        self.take_message().map_err(Refused::ByRules)
    }

    /// Logs, counts and records a refused transaction; the reply it gets then names it.
    pub(super) async fn refuse_mail(&mut self, command: MailCommand, refused: Refused) -> Answer {
        let (reply, is_by_rules) = match refused {
            Refused::ByRules(refusal) => {
                self.fault = refusal.fault();
                (refusal.reply(), true)
            }
            Refused::ByStore(reply) => (reply, false),
        };
        self.count_rejection("mail", &reply);
        log::mail_refused(self.id, &reply);
        let deps = &self.listener.deps;
        let is_told = is_by_rules && self.rejections_recorded < deps.policy.load().rejections_recorded_max;
        if !is_told {
            return Answer::Refuse(reply);
        }
        self.rejections_recorded += 1;
        let now = deps.clock.now();
        let id = MessageId::new(now);
        let reply = replies::named(&reply, id);
        let what = What::Rejected {
            origin: self.origin(command.smtputf8),
            sender: command.sender,
            recipient: None,
            reply: reply.clone(),
            decisions: self.decisions.clone(),
        };
        deps.store.record(vec![Event { message: id, at: now, what }]).await;
        Answer::Refuse(reply)
    }

    fn proceed_mail(&mut self, command: MailCommand) -> Answer {
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
        let checks = self.begin_checks(&policy, &command.sender);
        let mut envelope = Envelope::new(MessageId::new(now), now, lifetime, command.sender, origin);
        envelope.eight_bit = command.eight_bit;
        envelope.binary = command.binary;
        envelope.smtputf8 = command.smtputf8;
        envelope.requests = command.requests;
        envelope.requests.hold_until = command.times.hold.map(|hold| hold.moment(now)).filter(|at| *at > now);
        envelope.requests.deliver_by = command.times.by.map(|by| by.moment(now));
        let asked = envelope.requests.priority;
        envelope.priority = match asked {
            Some(asked) => self.granted_priority(&policy, asked),
            None => self.stream().map_or(0, |row| row.value.priority),
        };
        let is_changed = asked.is_some_and(|asked| envelope.priority != asked);
        (envelope.tenant, envelope.stream) = self.tenant_and_stream();
        let mut call = self.call();
        call.envelope = envelope;
        call.sender_parameters = command.parameters;
        let mut draft = Draft::new(call, self.decisions.clone(), command.size);
        draft.checks = checks;
        self.draft = Some(Box::new(draft));
        if is_changed { Answer::ProceedSaying(replies::priority_changed()) } else { Answer::Proceed }
    }

    /// To be late is everybody's right; who may go before others, the settings say (RFC 6710 4.1).
    fn granted_priority(&self, policy: &Policy, asked: i8) -> i8 {
        let is_trusted = self.facts.account.is_some() || policy.is_relay_network(self.client);
        match policy.priority_from {
            PriorityFrom::All => asked,
            PriorityFrom::Trusted if is_trusted => asked,
            PriorityFrom::Trusted | PriorityFrom::Nobody => asked.min(0),
        }
    }

    /// DATA or the first BDAT: reserves memory for the content. A refusal ends the transaction.
    pub(super) fn answer_data(&mut self) -> Answer {
        let max = self.listener.deps.policy.load().memory_octets_max;
        let Some(mut draft) = self.draft.take() else { return Answer::Refuse(Refusal::Internal.reply()) };
        let octets = draft.announced_octets.max(RESERVE_STEP_OCTETS);
        let Some(reservation) = Reservation::take(&self.listener.shared.memory, octets, max) else {
            self.listener.deps.metrics.count_pressed("content");
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
            self.listener.deps.metrics.count_pressed("content");
            self.server.refuse_content(Refusal::Memory.reply());
            draft.reservation = None;
        }
    }
}
