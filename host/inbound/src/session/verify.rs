//! VRFY and EXPN (RFC 5321 3.5), where the settings have them answered: what RCPT would be told, within the same bounds.
//!
//! Invariant: nobody learns by them what RCPT would not tell him.

use baton_mail::requests::RecipientRequests;
use baton_mail::{Envelope, Mailbox, MessageId, Reply, ReversePath};
use baton_smtp::server::{Answer, RcptPath, Wish};

use super::Session;
use super::draft::Draft;
use super::rcpt::{Candidate, Verdict};
use crate::VrfyPolicy;
use crate::replies::{self, Refusal};

impl Session {
    /// Asks about the recipient of a message that there is not. What could be different the next time tells nothing.
    pub(super) async fn answer_verify(&mut self, path: RcptPath, wish: Wish) -> Answer {
        if let Err(refusal) = self.may_verify().await {
            return self.refuse_verify(refusal.reply());
        }
        let Candidate { recipient, admission, .. } =
            self.check_rcpt(path, RecipientRequests::default(), Vec::new());
        let mut draft = self.draft_without_message();
        draft.add_recipient(recipient.clone().into(), Vec::new());
        let (verdict, _) = self.ask_rcpt(&mut draft, &recipient, admission).await;
        match (verdict, wish) {
            (Verdict::Accept, Wish::Verify) => self.verified(recipient).await,
            (Verdict::Accept, Wish::Expand) => {
                let members = draft.call.envelope.recipients.into_iter().map(|member| member.address);
                self.expanded(&recipient, members.collect())
            }
            (Verdict::Refuse(reply, _), _) if reply.is_permanent() => self.refuse_verify(reply),
            (Verdict::Disconnect(reply, _), _) => Answer::Disconnect(replies::closing(&reply)),
            (Verdict::Refuse(..) | Verdict::Discard(_), _) => Answer::Proceed,
        }
    }

    /// The rules of MAIL and the rates of RCPT hold here, too.
    async fn may_verify(&mut self) -> Result<(), Refusal> {
        if self.needs_name() {
            self.find_name().await;
        }
        self.check_user().await?;
        self.check_login()?;
        self.take_recipient()
    }

    fn draft_without_message(&self) -> Draft {
        let now = self.listener.deps.clock.now();
        let mut call = self.call();
        let lifetime = std::time::Duration::ZERO;
        let (id, origin) = (MessageId::new(now), self.origin(false));
        call.envelope = Envelope::new(id, now, lifetime, ReversePath::Null, origin);
        Draft::new(call, Vec::new(), 0)
    }

    async fn verified(&mut self, recipient: Mailbox) -> Answer {
        if self.listener.vrfy == VrfyPolicy::NextHop {
            match self.listener.deps.verify.recipient(&recipient).await {
                Ok(answer) if answer.reply.is_positive() => {}
                Ok(answer) if answer.reply.is_permanent() => return self.refuse_verify(answer.reply),
                Ok(_) | Err(_) => return Answer::Proceed,
            }
        }
        Answer::ProceedSaying(replies::mailboxes(&[recipient]))
    }

    /// Those whom plugins put in the place of the mailbox.
    fn expanded(&mut self, list: &Mailbox, members: Vec<Mailbox>) -> Answer {
        if members == [list.clone()] {
            return Answer::Refuse(Refusal::NoList.reply());
        }
        Answer::ProceedSaying(replies::mailboxes(&members))
    }

    fn refuse_verify(&mut self, reply: Reply) -> Answer {
        self.count_rejection("vrfy", &reply);
        if self.note_refused_recipient(&reply) {
            return Answer::Disconnect(Refusal::TooManyRefused.reply());
        }
        Answer::Refuse(reply)
    }
}
