//! Recipients on a suppression list: whoever sends out through us is told at once.

use baton_mail::Mailbox;

use super::Session;
use super::draft::Draft;
use crate::admission::Admission;
use crate::log;
use crate::policy::{AtRcpt, Policy};
use crate::replies::Refusal;

impl Session {
    /// True when the lists must be asked about this recipient: somebody sends out through us, and something is kept of the
    /// address. Costs next to nothing for most.
    pub(super) fn may_be_suppressed(
        &self,
        policy: &Policy,
        admission: Admission,
        recipient: &Mailbox,
    ) -> bool {
        // Strangers whom only a plugin lets relay learn nothing of our lists; their mail ends before its first attempt.
        let is_sent_out = matches!(admission, Admission::Account | Admission::Network);
        policy.suppressed_at_rcpt == AtRcpt::Refuse
            && is_sent_out
            && self.listener.deps.store.suppression().may_stop(recipient)
    }

    /// Refuses what would end before its first attempt. Reports, which have no return path, go to everybody.
    pub(super) async fn check_suppressed(
        &self,
        draft: &Draft,
        admission: Admission,
        recipient: &Mailbox,
    ) -> Result<(), Refusal> {
        let policy = self.listener.deps.policy.load_full();
        if !self.may_be_suppressed(&policy, admission, recipient) {
            return Ok(());
        }
        match self.listener.deps.store.suppression().stops(&draft.call.envelope, recipient).await {
            Ok(None) => Ok(()),
            Ok(Some(listed)) => {
                Err(Refusal::Suppressed { recipient: recipient.clone(), why: listed.to_string() })
            }
            // It is asked again before the first attempt.
            Err(error) => {
                log::suppression_not_read(self.id, draft.id(), &error);
                Ok(())
            }
        }
    }
}
