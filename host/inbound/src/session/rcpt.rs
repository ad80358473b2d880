//! RCPT: the relay rules, and the plugins that narrow or widen them.

use baton_hooks::{Hook, Parameter, RcptAnswer};
use baton_mail::event::{Decision, Event, What};
use baton_mail::requests::RecipientRequests;
use baton_mail::{Mailbox, Recipient, Reply};
use baton_smtp::server::{Answer, RcptPath};

use super::draft::Draft;
use super::{RULES, Session, Slow};
use crate::admission::{Admission, Client, admit};
use crate::log;
use crate::replies::{self, Refusal};

/// A recipient that waits for its verdict.
pub(super) struct Candidate {
    pub(super) recipient: Mailbox,
    requests: RecipientRequests,
    parameters: Vec<Parameter>,
    pub(super) admission: Admission,
}

fn recipient_of(mailbox: Mailbox, requests: RecipientRequests) -> Recipient {
    let requests = (!requests.is_empty()).then(|| Box::new(requests));
    Recipient { requests, ..mailbox.into() }
}

/// What becomes of a candidate.
pub(super) enum Verdict {
    Accept,
    /// Told 250, and dropped; by whom.
    Discard(String),
    /// Refused; by whom.
    Refuse(Reply, String),
    /// Refused, and the session ends; by whom.
    Disconnect(Reply, String),
}

impl Session {
    /// Takes a recipient at once when no plugin is to be asked and the rules allow it.
    pub(super) fn rcpt_at_once(
        &mut self,
        path: RcptPath,
        requests: RecipientRequests,
        parameters: Vec<Parameter>,
    ) -> Result<Answer, Slow> {
        if let Err(refusal) = self.take_recipient() {
            // Told to nobody else: a flood must not fill the history.
            let reply = refusal.reply();
            self.count_rejection("rcpt", &reply);
            return Ok(Answer::Refuse(reply));
        }
        let candidate = self.check_rcpt(path, requests, parameters);
        let policy = self.listener.deps.policy.load();
        let domain = candidate.recipient.domain();
        let is_plain = candidate.admission.is_allowed()
            && !Session::must_look_at_recipient(&policy, candidate.admission, domain)
            && !self.may_be_suppressed(&policy, candidate.admission, &candidate.recipient)
            && !self.generation.has(Hook::Rcpt)
            && !self.has_recipient_quota();
        match &mut self.draft {
            Some(draft) if is_plain => {
                let recipient = recipient_of(candidate.recipient, candidate.requests);
                draft.add_recipient(recipient, candidate.parameters);
                draft.recipients_told += 1;
                Ok(Answer::Proceed)
            }
            _ => Err(Slow::Rcpt(candidate)),
        }
    }

    /// What the relay's own rules say.
    pub(super) fn check_rcpt(
        &self,
        path: RcptPath,
        requests: RecipientRequests,
        parameters: Vec<Parameter>,
    ) -> Candidate {
        let policy = self.listener.deps.policy.load();
        match path {
            // RFC 5321 4.5.1: everybody may write to the postmaster.
            RcptPath::Postmaster => {
                let recipient = policy.postmaster.clone().unwrap_or_else(|| self.own_postmaster());
                Candidate { recipient, requests, parameters, admission: Admission::Local }
            }
            RcptPath::Mailbox(recipient) => {
                let client = Client { address: self.client, account: self.facts.account.as_deref() };
                let admission = admit(&policy, client, &recipient);
                Candidate { recipient, requests, parameters, admission }
            }
        }
    }

    fn own_postmaster(&self) -> Mailbox {
        Mailbox::new("postmaster", self.listener.hostname.clone()).expect("the local part is a plain word")
    }

    /// Asks the plugins where there are any, and tells the history of a refusal.
    pub(super) async fn answer_rcpt(&mut self, candidate: Candidate) -> Answer {
        // The draft is taken out while plugins work on it: an answer that is given up leaves no half-made one behind.
        let Some(mut draft) = self.draft.take() else { return Answer::Refuse(Refusal::Internal.reply()) };
        let known = draft.call.envelope.recipients.len();
        let Candidate { recipient, requests, parameters, admission } = candidate;
        draft.add_recipient(recipient_of(recipient.clone(), requests), parameters);
        let (verdict, decisions) = self.ask_rcpt(&mut draft, &recipient, admission).await;
        draft.add_decisions(&decisions);
        if !matches!(verdict, Verdict::Accept) {
            // What plugins made of the recipient before one refused it goes with it.
            draft.truncate_recipients(known);
        }
        let answer = self.proceed_rcpt(&mut draft, recipient, verdict, decisions).await;
        self.draft = Some(draft);
        answer
    }

    /// What only the store or the DNS can say.
    async fn check_rules(
        &self,
        draft: &Draft,
        recipient: &Mailbox,
        admission: Admission,
    ) -> Result<(), Refusal> {
        self.check_recipient_quota(draft.recipients_told).await?;
        self.check_recipient_takes_mail(admission, recipient.domain()).await?;
        self.check_suppressed(draft, admission, recipient).await
    }

    pub(super) async fn ask_rcpt(
        &mut self,
        draft: &mut Draft,
        recipient: &Mailbox,
        admission: Admission,
    ) -> (Verdict, Vec<Decision>) {
        if let Err(refusal) = self.check_rules(draft, recipient, admission).await {
            self.fault = refusal.fault();
            return (Verdict::Refuse(refusal.reply(), RULES.to_owned()), Vec::new());
        }
        if !self.generation.has(Hook::Rcpt) {
            return (judge(admission, false, RcptAnswer::Next, None), Vec::new());
        }
        let parameters = draft.call.recipient_parameters.last().cloned().unwrap_or_default();
        let verdict = self.generation.rcpt(&mut draft.call, recipient, &parameters).await;
        let granted = draft.call.relay_granted;
        (judge(admission, granted, verdict.answer, verdict.by), verdict.decisions)
    }

    async fn proceed_rcpt(
        &mut self,
        draft: &mut Draft,
        recipient: Mailbox,
        verdict: Verdict,
        decisions: Vec<Decision>,
    ) -> Answer {
        match verdict {
            Verdict::Accept => {
                draft.recipients_told += 1;
                Answer::Proceed
            }
            Verdict::Discard(by) => {
                draft.recipients_told += 1;
                draft.discarded.push((recipient, by));
                Answer::Proceed
            }
            Verdict::Refuse(reply, by) => {
                let reply = self.refuse_rcpt(draft, recipient, reply, &by, decisions).await;
                if self.note_refused_recipient(&reply) {
                    return Answer::Disconnect(Refusal::TooManyRefused.reply());
                }
                Answer::Refuse(reply)
            }
            Verdict::Disconnect(reply, by) => {
                let reply = self.refuse_rcpt(draft, recipient, reply, &by, decisions).await;
                Answer::Disconnect(replies::closing(&reply))
            }
        }
    }

    /// Logs, counts and records a refused recipient; the reply it gets names the message.
    async fn refuse_rcpt(
        &mut self,
        draft: &Draft,
        recipient: Mailbox,
        reply: Reply,
        by: &str,
        decisions: Vec<Decision>,
    ) -> Reply {
        let id = draft.id();
        self.count_rejection("rcpt", &reply);
        log::recipient_refused(self.id, id, &recipient, by, &reply);
        let deps = &self.listener.deps;
        if draft.is_trial || self.rejections_recorded >= deps.policy.load().rejections_recorded_max {
            return reply;
        }
        self.rejections_recorded += 1;
        let reply = replies::named(&reply, id);
        let what = What::Rejected {
            origin: draft.call.envelope.origin.clone(),
            sender: draft.call.envelope.sender.clone(),
            recipient: Some(recipient),
            reply: reply.clone(),
            decisions: self.decisions.iter().cloned().chain(decisions).collect(),
        };
        let event = Event { message: id, at: deps.clock.now(), what };
        deps.store.record_of(&draft.call.envelope, vec![event]).await;
        reply
    }
}

/// The one place where the relay rules and the plugins' answer become a verdict.
fn judge(admission: Admission, granted: bool, answer: RcptAnswer, by: Option<String>) -> Verdict {
    let by = by.unwrap_or_else(|| RULES.to_owned());
    match answer {
        RcptAnswer::Next | RcptAnswer::Accept => match admission {
            _ if granted => Verdict::Accept,
            Admission::Account | Admission::Network | Admission::Local => Verdict::Accept,
            Admission::Denied => Verdict::Refuse(Refusal::RelayDenied.reply(), RULES.to_owned()),
            Admission::DeniedRoute => Verdict::Refuse(Refusal::RouteDenied.reply(), RULES.to_owned()),
        },
        RcptAnswer::Reject(reply) | RcptAnswer::Tempfail(reply) => Verdict::Refuse(reply, by),
        RcptAnswer::Discard => Verdict::Discard(by),
        RcptAnswer::Disconnect(reply) => Verdict::Disconnect(reply, by),
    }
}

#[cfg(test)]
mod tests {
    use baton_mail::EnhancedCode;

    use super::*;

    /// What the client is told; 250 is a recipient of the message, 251 stands for a discarded one.
    fn told(admission: Admission, granted: bool, answer: RcptAnswer) -> (u16, String) {
        match judge(admission, granted, answer, Some("plugin".to_owned())) {
            Verdict::Accept => (250, String::new()),
            Verdict::Discard(by) => (251, by),
            Verdict::Refuse(reply, by) | Verdict::Disconnect(reply, by) => (reply.code(), by),
        }
    }

    #[test]
    fn only_a_grant_opens_what_the_rules_close() {
        for denied in [Admission::Denied, Admission::DeniedRoute] {
            assert_eq!(told(denied, false, RcptAnswer::Next), (550, RULES.to_owned()));
            assert_eq!(told(denied, false, RcptAnswer::Accept), (550, RULES.to_owned()));
            assert_eq!(told(denied, true, RcptAnswer::Accept).0, 250);
        }
    }

    #[test]
    fn plugins_narrow_what_the_rules_open() {
        let reply = Reply::new(550, EnhancedCode(5, 1, 1), "no such user");
        for open in [Admission::Local, Admission::Network, Admission::Account] {
            assert_eq!(told(open, false, RcptAnswer::Next).0, 250);
            assert_eq!(told(open, false, RcptAnswer::Reject(reply.clone())), (550, "plugin".to_owned()));
            assert_eq!(told(open, false, RcptAnswer::Disconnect(reply.clone())), (550, "plugin".to_owned()));
            assert_eq!(told(open, false, RcptAnswer::Discard), (251, "plugin".to_owned()));
        }
    }
}
