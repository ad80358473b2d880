//! One message of a program, taken through the same steps as those of a client of SMTP: MAIL, each RCPT, the content.

use std::sync::Arc;

use baton_mail::account::SenderRule;
use baton_mail::requests::{MessageRequests, RecipientRequests};
use baton_mail::submission::{self, Fault, Submission, Submitted, Submitter};
use baton_mail::{Account, Mailbox, Reply, ReversePath};
use baton_smtp::server::{Answer, RcptPath};
use bytes::Bytes;
use tokio::time::Instant;

use super::Session;
use super::auth::User;
use super::data::Ending;
use super::mail::{MailCommand, Times};
use crate::gate::Beside;
use crate::listener::{Listener, Place};
use crate::replies::Refusal;

/// Takes a message of a program. `place` is its part of the limits of sessions.
pub(crate) async fn submit(
    listener: Arc<Listener>,
    place: Place,
    submission: Submission,
    beside: Beside,
) -> Submitted {
    let Submission { by, sender, recipients, content, .. } = &submission;
    let mut session = Session::new(listener, by.client, Instant::now(), place);
    session.is_program(by);
    if submission.trial {
        session.rejections_recorded = u32::MAX;
    }
    let command = mail_command(sender.clone(), content, &submission);
    let answer = match session.mail_at_once(command) {
        Ok(answer) => answer,
        // Boxed here and below, so that what is handed on to whoever waits stays small: it is moved more than once.
        Err(slow) => Box::pin(session.answer_slowly(slow)).await,
    };
    if !session.begin(&submission) {
        let ending = submission::Ending::Refused(reply_of(answer));
        return Submitted { refused: Vec::new(), ending, fault: session.fault };
    }
    let mut refused = Vec::new();
    for recipient in recipients {
        if let Some(reply) = session.name_recipient(recipient).await {
            refused.push((recipient.clone(), reply));
        }
    }
    let ending = session.end(content.clone(), &refused, beside).await;
    Submitted { refused, ending, fault: session.fault }
}

impl Session {
    /// The client is a program that showed a token.
    fn is_program(&mut self, by: &Submitter) {
        let facts = Arc::make_mut(&mut self.facts);
        facts.account = Some(by.name.to_string());
        facts.tls.clone_from(&by.tls);
        let deps = &self.listener.deps;
        let account = Account {
            tenant: by.tenant.clone(),
            stream: by.stream.clone(),
            senders: vec![SenderRule::Any],
            ..Account::new(by.name.clone(), deps.clock.now())
        };
        let revision = deps.authenticator.accounts().revision();
        self.user = Some(User { account: Arc::new(account), revision, is_kept: false, is_program: true });
    }

    /// Notes what the program wants of the transaction that MAIL began; false when it did not.
    fn begin(&mut self, submission: &Submission) -> bool {
        let Some(draft) = &mut self.draft else { return false };
        draft.is_trial = submission.trial;
        draft.expires_at = submission.expires_at;
        let envelope = &mut draft.call.envelope;
        envelope.id = submission.id;
        envelope.requests.hold_until = submission.not_before.filter(|at| *at > envelope.received_at);
        envelope.tags.clone_from(&submission.tags);
        true
    }

    /// Names a recipient; a reply is a refusal.
    async fn name_recipient(&mut self, recipient: &Mailbox) -> Option<Reply> {
        if self.draft.is_none() {
            return Some(Refusal::Internal.reply());
        }
        let path = RcptPath::Mailbox(recipient.clone());
        let answer = match self.rcpt_at_once(path, RecipientRequests::default(), Vec::new()) {
            Ok(answer) => answer,
            Err(slow) => Box::pin(self.answer_slowly(slow)).await,
        };
        match answer {
            Answer::Proceed | Answer::ProceedSaying(_) => None,
            other => Some(reply_of(other)),
        }
    }

    /// Hands the content in, when somebody is left to get it.
    async fn end(
        &mut self,
        content: Bytes,
        refused: &[(Mailbox, Reply)],
        beside: Beside,
    ) -> submission::Ending {
        let is_empty = self.draft.as_ref().is_none_or(|draft| draft.recipients_told == 0);
        if let Some((_, first)) = refused.first().filter(|_| is_empty) {
            // What may pass is tried again: one such refusal is enough for that.
            let transient = refused.iter().map(|(_, reply)| reply).find(|reply| !reply.is_permanent());
            return submission::Ending::Refused(transient.unwrap_or(first).clone());
        }
        // What a recipient was refused for is not what the message may be refused for.
        self.fault = Fault::default();
        match self.answer_data() {
            Answer::Proceed => {}
            other => return submission::Ending::Refused(reply_of(other)),
        }
        if let Some(draft) = &mut self.draft {
            draft.records = beside(refused);
        }
        match Box::pin(self.end_message(content)).await {
            Ending::Queued { hold, .. } => submission::Ending::Queued(hold),
            Ending::Discarded { .. } => submission::Ending::Discarded,
            Ending::Refused(reply) | Ending::Disconnected(reply) => submission::Ending::Refused(reply),
            Ending::Tried { hold } => submission::Ending::Tried(hold),
        }
    }
}

fn mail_command(sender: ReversePath, content: &Bytes, submission: &Submission) -> MailCommand {
    let is_beyond_ascii = |mailbox: &Mailbox| mailbox.needs_smtputf8();
    MailCommand {
        smtputf8: sender.mailbox().is_some_and(is_beyond_ascii)
            || submission.recipients.iter().any(is_beyond_ascii),
        sender,
        size: content.len() as u64,
        eight_bit: !content.is_ascii(),
        binary: false,
        requests: MessageRequests { priority: submission.priority, ..MessageRequests::default() },
        times: Times { hold: None, by: None },
        parameters: Vec::new(),
    }
}

/// The reply in an answer that is a refusal.
fn reply_of(answer: Answer) -> Reply {
    match answer {
        Answer::Refuse(reply) | Answer::Disconnect(reply) => reply,
        _ => Refusal::Internal.reply(),
    }
}
