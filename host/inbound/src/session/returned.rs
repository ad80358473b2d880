//! Mail to the addresses for bounces and feedback, and to return paths that name a recipient.

use std::sync::Arc;

use baton_mail::body::Content;
use baton_mail::bounce::{self, Incoming};
use baton_mail::event::Decision;
use baton_mail::header::TooComplex;
use baton_mail::{Mailbox, ReversePath};
use baton_store::StoreError;
use tokio::time::Instant;

use super::Session;
use super::draft::Draft;
use crate::replies::Refusal;
use crate::returned::{Attached, Attaching};
use crate::{Policy, log};

impl Session {
    /// Reads what came back, and does what follows from it. The message itself goes on as every other.
    pub(super) async fn take_returned(&self, draft: &mut Draft, content: &Content) -> Result<(), Refusal> {
        let policy = self.listener.deps.policy.load_full();
        let recipients = &draft.call.envelope.recipients;
        let is_for = |recipient: &&baton_mail::Recipient| policy.returns.is_for(&recipient.address);
        let addressed: Vec<Mailbox> =
            recipients.iter().filter(is_for).map(|recipient| recipient.address.clone()).collect();
        if addressed.is_empty() {
            return Ok(());
        }
        let begun_at = Instant::now();
        let sender = draft.call.envelope.sender.clone();
        let (kind, attached) = match read(content, sender, &policy).await {
            Ok(incoming) => (incoming.kind(), self.attach(draft, &policy, addressed, incoming).await?),
            Err(flaw) => ("too-complex", Attached { result: "none", words: format!("not read: {flaw}") }),
        };
        self.listener.deps.metrics.count_returned(kind, attached.result);
        log::returned(self.id, draft.id(), &attached.words);
        draft.add_decisions(&[Decision {
            plugin: RETURNED.to_owned(),
            hook: "data".to_owned(),
            answer: attached.words,
            edits: Vec::new(),
            micros: u32::try_from(begun_at.elapsed().as_micros()).unwrap_or(u32::MAX),
        }]);
        Ok(())
    }

    /// What follows is on disk before the 250: a reporter tells it once.
    async fn attach(
        &self,
        draft: &Draft,
        policy: &Policy,
        addressed: Vec<Mailbox>,
        incoming: Incoming,
    ) -> Result<Attached, Refusal> {
        let deps = &self.listener.deps;
        let (store, settings, now) = (&deps.store, &policy.returns, deps.clock.now());
        let attached = Attaching { store, settings, now, addressed }.attach(incoming).await;
        attached.map_err(|error: StoreError| {
            log::returned_not_kept(self.id, draft.id(), &error);
            Refusal::Internal
        })
    }
}

/// Reads off the threads that serve sessions: it may be large.
pub(super) async fn read(
    content: &Content,
    sender: ReversePath,
    policy: &Arc<Policy>,
) -> Result<Incoming, TooComplex> {
    let (content, policy) = (content.clone(), Arc::clone(policy));
    let read = tokio::task::spawn_blocking(move || {
        bounce::read(&content, &sender, &policy.mime, &policy.returns.classes)
    });
    // A panic is a defect; the message goes on.
    read.await.unwrap_or(Ok(Incoming::Other))
}

/// Who found out, in the history.
const RETURNED: &str = "returned";
