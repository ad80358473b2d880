//! Signatures on what leaves, and whose name users may send in.

use baton_identity::Signer;
use baton_mail::body::Content;
use baton_mail::{Domain, Envelope, ReversePath};
use bytes::Bytes;

use super::Session;
use crate::replies::Refusal;
use crate::{ListenerKind, Policy, log};

impl Session {
    /// The trace fields, and behind them the signatures when the message is of a user or a relay network and the domain
    /// in `From` has keys. Mail of strangers is never signed.
    pub(super) async fn sign(
        &self,
        envelope: &Envelope,
        trace: Bytes,
        content: &Content,
    ) -> Result<Bytes, Refusal> {
        let policy = self.listener.deps.policy.load_full();
        if !policy.sign || !(self.is_user() || policy.is_relay_network(self.client)) {
            return Ok(trace);
        }
        let now_s = envelope.received_at.seconds();
        match self.listener.deps.signer.sign(&trace, content, &policy.mime.header, now_s).await {
            Ok(None) => Ok(trace),
            Ok(Some(signed)) => {
                log::signed(self.id, envelope.id, &signed.domain, signed.count);
                self.listener.deps.metrics.messages_signed.inc();
                Ok(Bytes::from([trace, signed.fields].concat()))
            }
            // Unsigned mail of a domain whose policy asks for signatures is lost: better to try again.
            Err(error) => {
                log::signing_failed(self.id, envelope.id, &error);
                Err(Refusal::Internal)
            }
        }
    }

    /// With the rule on, a user's return path is of a domain whose records were seen in the DNS.
    pub(super) fn check_sender_domain(&self, policy: &Policy, sender: &ReversePath) -> Result<(), Refusal> {
        match sender.mailbox() {
            Some(mailbox) if self.needs_verified(policy) => self.check_verified(mailbox.domain()),
            _ => Ok(()),
        }
    }

    /// With the rule on, so is what `From` says.
    pub(super) fn check_author_domain(&self, policy: &Policy, header: &Bytes) -> Result<(), Refusal> {
        if !self.needs_verified(policy) {
            return Ok(());
        }
        let author = Signer::author(header, &policy.mime.header).ok_or(Refusal::AuthorUnclear)?;
        self.check_verified(&author)
    }

    fn check_verified(&self, domain: &Domain) -> Result<(), Refusal> {
        let is_verified = self.listener.deps.signer.is_verified(domain);
        if is_verified { Ok(()) } else { Err(Refusal::DomainNotVerified(domain.clone())) }
    }

    fn needs_verified(&self, policy: &Policy) -> bool {
        policy.verified_senders && self.is_user()
    }

    fn is_user(&self) -> bool {
        self.facts.account.is_some() || self.listener.kind == ListenerKind::Submission
    }
}
