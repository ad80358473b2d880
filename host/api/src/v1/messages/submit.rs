//! From parts to octets, and through the gate.

use baton_mail::submission::{Ending, Fault, Subject, Submission, Submitter};
use baton_mail::{Mailbox, MessageId, Reply, ReversePath};
use bytes::Bytes;

use super::super::Face;
use super::super::caller::Caller;
use super::compose::{Draft, compose};
use super::idempotency::Note;
use super::parts::{Owner, Parts, Times};
use super::wire::{RefusedRecipient, Sent, SentStatus};
use crate::{FieldError, Problem};

/// What is composed in place; more is composed on a thread of its own.
const INLINE_OCTETS: usize = 256 << 10;

/// A message that is ready to be handed in.
pub(super) struct Ready {
    pub(super) id: MessageId,
    pub(super) owner: Owner,
    pub(super) sender: ReversePath,
    pub(super) recipients: Vec<Mailbox>,
    pub(super) content: Bytes,
    pub(super) tags: Vec<(String, String)>,
    pub(super) priority: Option<i8>,
    pub(super) times: Times,
    pub(super) is_trial: bool,
    /// A program made it whole; it was not composed here.
    pub(super) is_whole: bool,
}

impl Ready {
    /// Makes the message of its parts.
    pub(super) async fn compose(face: &Face, parts: Parts) -> Result<Ready, Problem> {
        let now = face.clock.now();
        let id = MessageId::new(now);
        let files: usize = parts.attachments.iter().map(|file| file.content.len()).sum();
        let texts = parts.text.as_ref().map_or(0, String::len) + parts.html.as_ref().map_or(0, String::len);
        let make = move || {
            let made = match (&parts.text, &parts.html) {
                (None, Some(html)) => Some(baton_content::html::to_text(html)),
                _ => None,
            };
            let made = match made.transpose() {
                Ok(made) => made,
                Err(wrong) => {
                    return (Err(("html".to_owned(), format!("{wrong}; give `text` beside it"))), parts);
                }
            };
            let draft = Draft {
                id,
                date: now,
                from: &parts.from,
                reply_to: &parts.reply_to,
                to: &parts.to,
                cc: &parts.cc,
                subject: parts.subject.as_deref().unwrap_or_default(),
                text: parts.text.as_deref().or(made.as_deref()),
                html: parts.html.as_deref(),
                wish: parts.wish,
                fields: &parts.fields,
                attachments: &parts.attachments,
            };
            let content = compose(&draft).map(Bytes::from);
            (content, parts)
        };
        let (content, parts) = if files + texts <= INLINE_OCTETS {
            make()
        } else {
            let made = tokio::task::spawn_blocking(make).await;
            made.map_err(|_| Problem::unavailable("the message could not be composed"))?
        };
        let content = content.map_err(|(field, wrong)| Problem::unfit(&field, wrong))?;
        let Parts { owner, sender, recipients, tags, priority, times, is_trial, .. } = parts;
        Ok(Ready { id, owner, sender, recipients, content, tags, priority, times, is_trial, is_whole: false })
    }
}

/// Hands a message in.
pub(super) async fn submit(
    face: &Face,
    caller: &Caller,
    ready: Ready,
    note: Option<Note>,
) -> Result<Sent, Problem> {
    let most = face.settings().message_octets_max;
    if most > 0 && ready.content.len() as u64 > most {
        return Err(Problem::unfit("body", format!("the message would have more than {most} octets")));
    }
    let (id, times, is_trial, is_whole) = (ready.id, ready.times, ready.is_trial, ready.is_whole);
    let status = if times.not_before.is_some() { SentStatus::Scheduled } else { SentStatus::Queued };
    let submission = Submission {
        id,
        by: Submitter {
            name: caller.account(ready.owner.tenant()),
            tenant: ready.owner.tenant.map(Into::into),
            stream: ready.owner.stream.map(Into::into),
            client: caller.client,
            tls: caller.tls.clone(),
        },
        sender: ready.sender,
        recipients: ready.recipients,
        content: ready.content,
        priority: ready.priority,
        not_before: times.not_before,
        expires_at: times.expires_at,
        tags: ready.tags,
        trial: is_trial,
    };
    let beside = move |refused: &[(Mailbox, Reply)]| {
        let refused = refused.iter().map(RefusedRecipient::of).collect();
        // An answer that can not be written down is not told again: the message goes out all the same.
        note.and_then(|note| note.record(Sent { id, status, refused }).ok()).into_iter().collect()
    };
    let submitted = {
        let _place = face.0.places.acquire().await.map_err(|_| Problem::unavailable("the relay stops"))?;
        (face.submit)(submission, Box::new(beside)).await
    };
    let refused: Vec<_> = submitted.refused.iter().map(RefusedRecipient::of).collect();
    match submitted.ending {
        Ending::Queued(_) => Ok(Sent { id, status, refused }),
        Ending::Discarded => Ok(Sent { id, status: SentStatus::Discarded, refused }),
        Ending::Tried(_) => Ok(Sent { id, status: SentStatus::DryRun, refused }),
        Ending::Refused(reply) => Err(refusal(&reply, &submitted.refused, submitted.fault, is_whole)),
    }
}

/// What the refusal of a message means to a program.
fn refusal(reply: &Reply, recipients: &[(Mailbox, Reply)], fault: Fault, is_whole: bool) -> Problem {
    let text = match reply.enhanced() {
        Some(code) => format!("{} {code} {}", reply.code(), reply.text()),
        None => format!("{} {}", reply.code(), reply.text()),
    };
    let told = |(recipient, reply): &(Mailbox, Reply)| FieldError {
        field: "to".to_owned(),
        message: format!("{recipient}: {} {}", reply.code(), reply.text()),
    };
    let field = fault.subject.map(|subject| field_of(subject, is_whole));
    let errors: Vec<_> = if recipients.is_empty() {
        field
            .map(|field| FieldError { field: field.to_owned(), message: reply.text().to_owned() })
            .into_iter()
            .collect()
    } else {
        recipients.iter().map(told).collect()
    };
    let is_policy = reply.enhanced().is_some_and(|code| code.1 == 7);
    let base = match fault.retry_after_s {
        Some(_) => Problem::too_many(text),
        None if !reply.is_permanent() => Problem::unavailable(text),
        // Not allowed by policy (RFC 3463 3.8).
        None if is_policy && recipients.is_empty() => Problem::forbidden(text),
        None => Problem { detail: text, ..Problem::unfit("message", "was refused") },
    };
    let errors = if errors.is_empty() { base.errors } else { errors };
    Problem { errors, retry_after_s: fault.retry_after_s, ..base }
}

/// The member of the request that says it; of a whole message only what is not in it is a member.
fn field_of(subject: Subject, is_whole: bool) -> &'static str {
    match subject {
        Subject::Sender => "from",
        Subject::Tenant => "tenant",
        Subject::Stream => "stream",
        Subject::Times => "send_at",
        Subject::Tracking if !is_whole => "tracking",
        Subject::Text if !is_whole => "text",
        Subject::Tracking | Subject::Text | Subject::Structure => "message",
    }
}
