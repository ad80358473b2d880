//! The end of data: checks, the `data` hook, trace fields, the queue, and the only way to a 250.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_hooks::{DataAnswer, Hook, MessageContent};
use baton_identity::reports::outgoing::DmarcSeen;
use baton_identity::{ArcOutcome, Wish};
use baton_mail::body::Content;
use baton_mail::event::{Event, What};
use baton_mail::header::{LINE_OCTETS_MAX, TooComplex};
use baton_mail::lines::has_stray;
use baton_mail::mime::{MimeLimits, Shape, check_shape};
use baton_mail::{Body, Envelope, Mailbox, MessageId, Recipient, Reply};
use baton_smtp::server::Answer;
use baton_store::{Accepted, NewMessage};
use bytes::Bytes;
use tokio::time::Instant;

use super::draft::{Draft, drop_repeated, jobs};
use super::{RULES, Session};
use crate::log::AcceptedSummary;
use crate::policy::TooComplexPolicy;
use crate::replies::{self, Refusal};
use crate::trace::{Missing, Received, Seen};
use crate::{ListenerKind, log};

/// What becomes of a message, and who decided it.
struct Judgement {
    fate: Fate,
    by: String,
}

/// How it ended.
pub(super) enum Ending {
    /// It is in the queue. With a reason, it waits for an operator.
    Queued { accepted: Accepted, hold: Option<String>, told: usize },
    /// It was taken and dropped.
    Discarded { id: MessageId, told: usize },
    /// It was refused.
    Refused(Reply),
    /// It was refused, and the session ends.
    Disconnected(Reply),
    /// It would have been queued. With a reason, to wait for an operator.
    Tried { hold: Option<String> },
}

enum Fate {
    Queue,
    /// Queued for an operator; why.
    Hold(String),
    /// Told 250, and dropped; why.
    Discard(String),
    Refuse(Reply),
    /// Refused, and the session ends.
    Disconnect(Reply),
}

impl Fate {
    /// What it comes to in the words of DMARC.
    fn as_wish(&self, draft: &Draft) -> Wish {
        match self {
            Fate::Hold(_) => Wish::Quarantine,
            Fate::Queue if draft.call.quarantine.is_some() => Wish::Quarantine,
            Fate::Queue => Wish::None,
            Fate::Discard(_) | Fate::Refuse(_) | Fate::Disconnect(_) => Wish::Reject,
        }
    }
}

impl Session {
    /// Answers the end of data.
    pub(super) async fn answer_message(&mut self, content: Bytes) -> Answer {
        match self.end_message(content).await {
            Ending::Queued { accepted, told, .. } => self.done(&accepted.reply(), told),
            Ending::Discarded { id, told } => self.done(&replies::discarded(id), told),
            Ending::Refused(reply) => Answer::Refuse(reply),
            Ending::Disconnected(reply) => Answer::Disconnect(reply),
            // No client of SMTP asks for a trial.
            Ending::Tried { .. } => Answer::Refuse(Refusal::Internal.reply()),
        }
    }

    /// What becomes of the message at hand, now that its content is there.
    pub(super) async fn end_message(&mut self, content: Bytes) -> Ending {
        let begun = Instant::now();
        let Some(mut draft) = self.draft.take() else { return Ending::Refused(Refusal::Internal.reply()) };
        let content = Content::split(content);
        let seen = Seen::scan(&content.header);
        let ending = match self.check_message(&mut draft, &content, seen).await {
            Ok(()) => {
                let content = self.add_results(&mut draft, content).await;
                let (judgement, content) = self.ask_data(&mut draft, content).await;
                let (told, done) = (draft.seen.take(), judgement.fate.as_wish(&draft));
                let ending = self.proceed_message(draft, content, seen, judgement).await;
                self.count_for_report(told, done, &ending);
                ending
            }
            Err(refusal) => self.refuse_by_rules(*draft, &refusal).await,
        };
        self.listener.deps.metrics.data_seconds.observe(begun.elapsed().as_secs_f64());
        ending
    }

    /// Counts a message for the report to the domain in From. One that is to come again is counted then.
    fn count_for_report(&self, told: Option<DmarcSeen>, done: Wish, ending: &Ending) {
        let Some(told) = told else { return };
        if matches!(ending, Ending::Refused(reply) if !reply.is_permanent()) {
            return;
        }
        let domain = told.domain.clone();
        self.listener.deps.dmarc.count(&domain, |counts, is_room| counts.add(told, done, is_room));
    }

    /// The relay's own rules: no loop, and no structure beyond the bounds unless the policy takes it unparsed.
    async fn check_message(&self, draft: &mut Draft, content: &Content, seen: Seen) -> Result<(), Refusal> {
        let policy = self.listener.deps.policy.load_full();
        if seen.received > policy.received_max {
            return Err(Refusal::Loop);
        }
        // A header has lines whatever stands behind it (RFC 3030 3).
        let header = &content.header;
        if draft.call.envelope.binary && (has_stray(header) || header.contains(&0)) {
            return Err(Refusal::HeaderNotOfLines);
        }
        self.check_authors(&policy, &content.header)?;
        self.check_author_domain(&policy, &content.header)?;
        let shape = if content.len() <= INLINE_CHECK_OCTETS {
            check_shape(content, &policy.mime)
        } else {
            self.check_on_thread(draft, content.clone(), policy.mime).await
        };
        match shape {
            Ok(shape) => {
                draft.call.envelope.eight_bit |= shape.eight_bit;
                draft.has_long_lines = shape.longest_line_octets > LINE_OCTETS_MAX;
            }
            Err(error) if policy.too_complex == TooComplexPolicy::Refuse => {
                return Err(Refusal::TooComplex(error));
            }
            Err(_) => {
                draft.call.envelope.eight_bit |= !(content.header.is_ascii() && content.rest.is_ascii())
            }
        }
        Ok(())
    }

    /// The check of a large message, off the threads that serve sessions.
    async fn check_on_thread(
        &self,
        draft: &Draft,
        content: Content,
        limits: MimeLimits,
    ) -> Result<Shape, TooComplex> {
        match tokio::task::spawn_blocking(move || check_shape(&content, &limits)).await {
            Ok(shape) => shape,
            Err(error) => {
                log::check_failed(self.id, draft.id(), &error);
                Err(TooComplex { what: "structure", limit: 0 })
            }
        }
    }

    /// Asks the plugins. The content comes back as they left it.
    async fn ask_data(&self, draft: &mut Draft, content: Content) -> (Judgement, Content) {
        if !self.generation.has(Hook::Data) {
            return (Judgement { fate: Fate::Queue, by: RULES.to_owned() }, content);
        }
        draft.call.content = Some(MessageContent::new(content));
        let verdict = self.generation.data(&mut draft.call).await;
        draft.add_decisions(&verdict.decisions);
        let fate = match verdict.answer {
            DataAnswer::Next | DataAnswer::Accept => Fate::Queue,
            DataAnswer::Quarantine(reason) => Fate::Hold(reason),
            DataAnswer::Discard(reason) => Fate::Discard(reason),
            DataAnswer::Reject(reply) | DataAnswer::Tempfail(reply) => Fate::Refuse(reply),
            DataAnswer::Disconnect(reply) => Fate::Disconnect(reply),
        };
        let content = draft.call.content.take().map(MessageContent::into_content).unwrap_or_default();
        (Judgement { fate, by: verdict.by.unwrap_or_else(|| RULES.to_owned()) }, content)
    }

    /// Carries out what was decided. The draft ends here, whatever it was.
    async fn proceed_message(
        &mut self,
        mut draft: Box<Draft>,
        content: Content,
        seen: Seen,
        judgement: Judgement,
    ) -> Ending {
        let Judgement { fate, by } = match (judgement.fate, draft.call.quarantine.take()) {
            // A plugin that left the verdict to others, or the policy for a failed one, may ask for an operator too.
            (Fate::Queue, Some(reason)) => Judgement { fate: Fate::Hold(reason), by: PLUGINS.to_owned() },
            (fate, _) => Judgement { fate, by: judgement.by },
        };
        drop_repeated(&mut draft.call.envelope.recipients);
        match fate {
            Fate::Queue | Fate::Hold(_) if draft.call.envelope.recipients.len() > RECIPIENTS_MAX => {
                self.refuse_by_rules(*draft, &Refusal::TooManyRecipients).await
            }
            Fate::Queue | Fate::Hold(_) if draft.call.envelope.recipients.is_empty() => {
                self.discard(*draft, &by, "no recipient is left").await
            }
            Fate::Queue => self.queue(draft, content, seen, by).await,
            Fate::Hold(reason) => {
                draft.call.envelope.hold = Some(reason);
                self.queue(draft, content, seen, by).await
            }
            Fate::Discard(reason) => self.discard(*draft, &by, &reason).await,
            Fate::Refuse(reply) => Ending::Refused(self.refuse(*draft, &by, reply).await),
            Fate::Disconnect(reply) => {
                let reply = self.refuse(*draft, &by, reply).await;
                Ending::Disconnected(replies::closing(&reply))
            }
        }
    }

    /// Puts the message into the queue. The reply is the store's, and comes after the sync.
    async fn queue(&mut self, mut draft: Box<Draft>, content: Content, seen: Seen, by: String) -> Ending {
        let deps = &self.listener.deps;
        let now = deps.clock.now();
        let lifetime = Duration::from_secs(deps.policy.load().lifetime_s);
        let told = draft.recipients_told;
        // The envelope was made at MAIL; the message is received now.
        draft.call.envelope.received_at = now;
        // What is held begins to wait when it may leave.
        let due = draft.call.envelope.requests.hold_until.map_or(now, |at| at.max(now));
        let last = due.plus(lifetime);
        draft.call.envelope.expires_at = draft.expires_at.map_or(last, |at| at.min(last));
        match self.take_leaving(&mut draft, &content).await {
            Ok(Some(done)) if draft.call.envelope.recipients.is_empty() => {
                return self.discard(*draft, UNSUBSCRIBED, &done).await;
            }
            Ok(_) => {}
            Err(refusal) => return self.refuse_by_rules(*draft, &refusal).await,
        }
        // Before the stream is asked, as what is put in may be what it asks for.
        let content = match self.track(&mut draft, content).await {
            Ok(content) => content,
            Err(refusal) => return self.refuse_by_rules(*draft, &refusal).await,
        };
        if let Err(refusal) = self.check_stream(&draft, &content).await {
            return self.refuse_by_rules(*draft, &refusal).await;
        }
        if !draft.is_trial
            && let Err(refusal) = self.keep_report(&mut draft, &content).await
        {
            return self.refuse_by_rules(*draft, &refusal).await;
        }
        if !draft.is_trial
            && let Err(refusal) = self.take_returned(&mut draft, &content).await
        {
            return self.refuse_by_rules(*draft, &refusal).await;
        }
        let content = self.before_signing(&mut draft, content).await;
        let chain = draft.chain.take();
        let body = match self.add_trace(&mut draft.call.envelope, content, seen, chain.as_ref()).await {
            Ok(body) => body,
            Err(refusal) => return self.refuse_by_rules(*draft, &refusal).await,
        };
        // Last, so that only the store can still fail what was paid for.
        if let Err(refusal) = self.take_quota(&draft).await {
            return self.refuse_by_rules(*draft, &refusal).await;
        }
        if draft.is_trial {
            return Ending::Tried { hold: draft.call.envelope.hold.take() };
        }
        let events = self.accepted_events(&mut draft, by);
        // The content memory is held until the message is in the queue.
        let Draft { call, reservation, records, .. } = *draft;
        let envelope = call.envelope;
        let summary = AcceptedSummary::of(&envelope);
        let jobs = jobs(&envelope, due);
        let message = NewMessage { envelope, body, jobs, events };
        let accepted = deps.store.accept_with(message, &records).await;
        drop(reservation);
        match accepted {
            Ok(accepted) => {
                self.accepted += 1;
                self.conduct.forgive();
                self.count_accepted(&summary);
                log::message_accepted(self.id, &summary);
                Ending::Queued { accepted, hold: summary.hold, told }
            }
            Err(error) => {
                let reply = error.reply();
                self.count_rejection("data", &reply);
                log::message_refused(self.id, summary.id, "queue", &reply);
                Ending::Refused(reply)
            }
        }
    }
}

impl Session {
    /// Trace fields on top of the content, and signatures or a seal; a submission also gets the fields that it lacks (RFC 6409 8).
    async fn add_trace(
        &self,
        envelope: &mut Envelope,
        content: Content,
        seen: Seen,
        chain: Option<&ArcOutcome>,
    ) -> Result<Body, Refusal> {
        let is_submission =
            self.listener.kind == ListenerKind::Submission || envelope.origin.account.is_some();
        let recipient = match envelope.recipients.as_slice() {
            [only] => Some(&only.address).filter(|address| envelope.smtputf8 || !address.needs_smtputf8()),
            _ => None,
        };
        let received = Received {
            helo: envelope.origin.helo.as_deref(),
            client: self.client,
            client_name: self.facts.remote_name.as_deref(),
            hostname: &self.listener.hostname,
            protocol: &envelope.origin.protocol,
            id: envelope.id,
            recipient,
            at: envelope.received_at,
        };
        let trace = received.encode(if is_submission { seen.missing() } else { Missing::default() });
        let trace = self.sign(envelope, trace, &content).await?;
        let trace = self.seal(envelope, trace, &content, chain).await?;
        let body = content.into_body(trace);
        envelope.size = body.len();
        Ok(body)
    }

    /// The beginning of the message's story.
    fn accepted_events(&self, draft: &mut Draft, by: String) -> Vec<Event> {
        let decisions = draft.take_decisions();
        let discarded = std::mem::take(&mut draft.discarded);
        let (converted, tracked) = (draft.converted.take(), draft.tracked.take());
        let envelope = &draft.call.envelope;
        let event = |what| Event { message: envelope.id, at: envelope.received_at, what };
        let mut events = vec![event(What::Accepted {
            origin: envelope.origin.clone(),
            sender: envelope.sender.clone(),
            recipients: envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
            size: envelope.size,
            decisions,
        })];
        events.extend(asked(envelope).map(event));
        if let Some(parts) = converted {
            let detail = format!("to 7 bit ({parts}), so that its signature outlives hops without 8BITMIME");
            events.push(event(What::Converted { recipients: Vec::new(), detail }));
        }
        events.extend(tracked.map(|detail| event(What::Converted { recipients: Vec::new(), detail })));
        events.extend(discarded_recipients(discarded).map(event));
        if let Some(reason) = envelope.hold.clone() {
            events.push(event(What::Held { reason, by }));
        }
        events
    }

    /// Throws the message away, because somebody decided so; the history keeps who and why.
    async fn discard(&mut self, mut draft: Draft, by: &str, reason: &str) -> Ending {
        let id = draft.id();
        let deps = &self.listener.deps;
        let now = deps.clock.now();
        let recipients =
            draft.call.envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        let discarded = discarded_recipients(std::mem::take(&mut draft.discarded));
        let whole = What::Discarded { by: by.to_owned(), reason: reason.to_owned(), recipients };
        let events = discarded.chain([whole]).map(|what| Event { message: id, at: now, what }).collect();
        deps.metrics.messages_discarded.inc();
        log::message_discarded(self.id, id, by, reason);
        if !draft.is_trial {
            deps.store.record_of(&draft.call.envelope, events).await;
        }
        Ending::Discarded { id, told: draft.recipients_told }
    }

    /// Content that the machine itself refused, such as for its size or a lone line feed: the history wants to know.
    pub(super) async fn note_refused(&mut self, reply: Reply) -> Answer {
        if let Some(draft) = self.draft.take() {
            self.refuse(*draft, RULES, reply).await;
        }
        Answer::Proceed
    }

    /// A refusal of the relay itself; a program is told what it is about.
    async fn refuse_by_rules(&mut self, draft: Draft, refusal: &Refusal) -> Ending {
        self.fault = refusal.fault();
        Ending::Refused(self.refuse(draft, RULES, refusal.reply()).await)
    }

    /// Logs, counts and records a refused message; the reply it gets names the message.
    async fn refuse(&mut self, mut draft: Draft, by: &str, reply: Reply) -> Reply {
        let deps = &self.listener.deps;
        let id = draft.id();
        self.count_rejection("data", &reply);
        log::message_refused(self.id, id, by, &reply);
        if draft.is_trial {
            return reply;
        }
        let reply = replies::named(&reply, id);
        let decisions = draft.take_decisions();
        let envelope = &draft.call.envelope;
        let (origin, sender) = (envelope.origin.clone(), envelope.sender.clone());
        let what = What::Rejected { origin, sender, recipient: None, reply: reply.clone(), decisions };
        deps.store.record_of(envelope, vec![Event { message: id, at: deps.clock.now(), what }]).await;
        reply
    }

    /// One reply, or for LMTP one for each recipient that was told yes: a message is taken as a whole (RFC 2033 4.2).
    fn done(&self, reply: &Reply, told: usize) -> Answer {
        let count = if self.listener.kind == ListenerKind::Lmtp { told } else { 1 };
        Answer::Done(std::iter::repeat_n(reply, count).cloned().collect())
    }

    fn count_accepted(&self, accepted: &AcceptedSummary) {
        let metrics = &self.listener.deps.metrics;
        metrics.messages_accepted.inc();
        metrics.accepted_octets.inc_by(accepted.size);
        metrics.recipients_accepted.inc_by(accepted.recipients as u64);
        if accepted.hold.is_some() {
            metrics.messages_quarantined.inc();
        }
    }
}

/// What the sender asked for, when that was anything.
fn asked(envelope: &Envelope) -> Option<What> {
    let of_recipient = |recipient: &Recipient| {
        let words = recipient.requests.as_ref()?.words();
        Some(format!("{} for {}", words.join(" "), recipient.address))
    };
    let of_recipients = envelope.recipients.iter().filter_map(of_recipient).take(REQUESTS_MAX);
    let requests: Vec<String> = envelope.requests.words().into_iter().chain(of_recipients).collect();
    (!requests.is_empty()).then_some(What::Asked { requests })
}

/// One event for each plugin that discarded recipients.
fn discarded_recipients(discarded: Vec<(Mailbox, String)>) -> impl Iterator<Item = What> {
    let mut groups: BTreeMap<String, Vec<Mailbox>> = BTreeMap::new();
    for (recipient, by) in discarded {
        groups.entry(by).or_default().push(recipient);
    }
    let reason = "recipient discarded";
    groups.into_iter().map(move |(by, recipients)| What::Discarded {
        by,
        reason: reason.to_owned(),
        recipients,
    })
}

/// Who ended mail to the address for unsubscribing, in the history.
const UNSUBSCRIBED: &str = "unsubscribed";
/// Recipients whose requests a message's story tells at most.
const REQUESTS_MAX: usize = 64;
/// Who decided, when it was one of several plugins; the decisions of the story tell which.
const PLUGINS: &str = "plugins";
/// Recipients of one message after all edits; the queue counts them in 16 bits.
const RECIPIENTS_MAX: usize = 50_000;
/// Below this size the structure is checked in place: a thread would cost more than the check.
pub(super) const INLINE_CHECK_OCTETS: u64 = 256 << 10;
