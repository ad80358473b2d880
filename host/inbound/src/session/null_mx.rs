//! Domains that take no mail, by their own word (RFC 7505): nobody can be written to there, and nobody can be answered.

use baton_dns::MailHosts;
use baton_mail::{Domain, ReversePath};

use super::Session;
use crate::Policy;
use crate::admission::Admission;
use crate::replies::Refusal;

impl Session {
    /// True when the DNS must be asked about this return path: of a stranger, of a domain that is not ours.
    pub(super) fn must_look_at_sender(&self, policy: &Policy, sender: &ReversePath) -> bool {
        let is_known = self.facts.account.is_some() || policy.is_relay_network(self.client);
        let is_foreign = |domain: &Domain| !policy.is_local(domain);
        policy.null_mx_senders
            && !is_known
            && sender.mailbox().is_some_and(|mailbox| is_foreign(mailbox.domain()))
    }

    /// Refuses mail that could never be answered (RFC 7505 4.2).
    pub(super) async fn check_sender_takes_mail(&self, sender: &ReversePath) -> Result<(), Refusal> {
        let policy = self.listener.deps.policy.load_full();
        match sender.mailbox() {
            Some(mailbox) if self.must_look_at_sender(&policy, sender) => {
                let takes_none = self.takes_no_mail(mailbox.domain()).await;
                if takes_none { Err(Refusal::NullMxSender(mailbox.domain().clone())) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// True when the DNS must be asked about this recipient: somebody may relay to it.
    pub(super) fn must_look_at_recipient(policy: &Policy, admission: Admission, domain: &Domain) -> bool {
        let is_relayed = matches!(admission, Admission::Account | Admission::Network);
        policy.null_mx_recipients && is_relayed && !policy.is_local(domain)
    }

    /// Refuses at once what would come back later (RFC 7505 4.1).
    pub(super) async fn check_recipient_takes_mail(
        &self,
        admission: Admission,
        domain: &Domain,
    ) -> Result<(), Refusal> {
        let policy = self.listener.deps.policy.load_full();
        let must_look = Session::must_look_at_recipient(&policy, admission, domain);
        let takes_none = must_look && self.takes_no_mail(domain).await;
        if takes_none { Err(Refusal::NullMxRecipient(domain.clone())) } else { Ok(()) }
    }

    /// Only a clear answer counts: without one, delivery finds out.
    async fn takes_no_mail(&self, domain: &Domain) -> bool {
        let found = self.listener.deps.resolver.mail_hosts(domain).await;
        matches!(found, Ok(found) if found.hosts == MailHosts::NullMx)
    }
}
