//! Mail to the address for unsubscribing (RFC 2369 3.2): the token in its subject says who wants no more of what.
//!
//! Invariant: such mail goes no further, and nothing follows from it without a token that this relay sealed.

use baton_content::link::{BadLink, Claim};
use baton_content::track::Tracker;
use baton_content::unsubscribe::read_subject;
use baton_mail::body::Content;
use baton_mail::bounce::Incoming;
use baton_mail::header::{HeaderIndex, HeaderLimits, decode};
use baton_store::suppression::{Leaving, Scope};

use super::Session;
use super::draft::Draft;
use super::returned::read;
use crate::log;
use crate::replies::Refusal;
use crate::returned::same;

impl Session {
    /// Takes the address out of the recipients and does what was asked. In words, what that was; none when it was not
    /// addressed.
    pub(super) async fn take_leaving(
        &self,
        draft: &mut Draft,
        content: &Content,
    ) -> Result<Option<String>, Refusal> {
        let tracker = self.listener.deps.tracking.load_full();
        let Some((tracker, own)) =
            tracker.as_deref().and_then(|all| Some((all, all.unsubscribe_mailbox.as_ref()?)))
        else {
            return Ok(None);
        };
        let recipients = &mut draft.call.envelope.recipients;
        let before = recipients.len();
        recipients.retain(|recipient| !same(&recipient.address, own));
        if recipients.len() == before {
            return Ok(None);
        }
        let (result, outcome) = self.leave(draft, content, tracker).await;
        self.listener.deps.metrics.count_returned("unsubscribe", result);
        let words = outcome?;
        log::returned(self.id, draft.id(), &words);
        Ok(Some(words))
    }

    /// What became of it, for the metric and in words.
    async fn leave(
        &self,
        draft: &Draft,
        content: &Content,
        tracker: &Tracker,
    ) -> (&'static str, Result<String, Refusal>) {
        let deps = &self.listener.deps;
        let policy = deps.policy.load_full();
        // What no person and no mail program of one sent is not answered, and nobody is unsubscribed by a holiday.
        let sender = draft.call.envelope.sender.clone();
        let has_return_path = sender.mailbox().is_some();
        match read(content, sender, &policy).await {
            Ok(Incoming::Other) if has_return_path => {}
            Ok(Incoming::Other) => {
                return ("none", Ok("mail without a return path: nothing follows from it".to_owned()));
            }
            Ok(automatic) => return ("none", Ok(format!("{}: nothing follows from it", automatic.kind()))),
            Err(flaw) => return ("none", Err(Refusal::TooComplex(flaw))),
        }
        let claim = match claim(content, tracker, deps.clock.now()) {
            Ok(claim) => claim,
            Err(bad @ BadLink::Ended) => return ("ended", Err(Refusal::NotUnsubscribed(bad))),
            Err(bad @ BadLink::Forged) => return ("unknown", Err(Refusal::NotUnsubscribed(bad))),
        };
        let scope = Scope::narrowest(claim.tenant(), claim.stream());
        let words = format!("{} unsubscribed from {scope}", claim.recipient);
        if draft.is_trial {
            return ("none", Ok(words));
        }
        let (message, at) = (claim.message, deps.clock.now());
        let leaving = Leaving { recipient: claim.recipient, scope, message, how: "mail", visitor: None, at };
        match deps.store.unsubscribe(leaving).await {
            Ok(true) => ("attached", Ok(words)),
            Ok(false) => ("known", Ok(format!("{words}, as before"))),
            Err(error) => {
                log::returned_not_kept(self.id, draft.id(), &error);
                ("none", Err(Refusal::Internal))
            }
        }
    }
}

fn claim(content: &Content, tracker: &Tracker, now: baton_mail::UnixMs) -> Result<Claim, BadLink> {
    let fields = HeaderIndex::scan(&content.header, &HeaderLimits::default()).map_err(|_| BadLink::Forged)?;
    let subject = fields.first("Subject").map(|raw| decode(&raw)).unwrap_or_default();
    read_subject(&tracker.keys, &subject, now)
}
