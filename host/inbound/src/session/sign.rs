//! Signatures on what leaves, and whose name users may send in.

use baton_identity::{ArcOutcome, KeyFailure, Seal, Signed, Signer};
use baton_mail::body::Content;
use baton_mail::mime::{Converted, Fit, NotConvertible, convert};
use baton_mail::{Domain, Envelope, ReversePath};
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

use super::Session;
use super::data::INLINE_CHECK_OCTETS;
use super::draft::Draft;
use crate::replies::Refusal;
use crate::{ListenerKind, Policy, log};

impl Session {
    /// The trace fields, and behind them a set of the chain of custody when the message is of a stranger, its chain was
    /// checked, and a domain is named whose key seals.
    pub(super) async fn seal(
        &self,
        envelope: &Envelope,
        trace: Bytes,
        content: &Content,
        chain: Option<&ArcOutcome>,
    ) -> Result<Bytes, Refusal> {
        let Some(outcome) = chain else { return Ok(trace) };
        let policy = self.listener.deps.policy.load_full();
        let (Some(domain), Some(checks)) = (&policy.seal, &policy.checks) else { return Ok(trace) };
        let seal = Seal { domain, authserv_id: &checks.settings.authserv_id, outcome };
        let now_s = envelope.received_at.seconds();
        let signer = &self.listener.deps.signer;
        let made = signer.seal(&seal, &trace, content, &policy.mime.header, now_s).await;
        if matches!(made, Ok(None)) {
            log::not_sealed(self.id, envelope.id, domain);
        }
        self.with_fields(envelope, trace, made, &self.listener.deps.metrics.messages_sealed)
    }

    /// The content as it is to be signed: in lines of seven bits, so that no relay further on has to convert it and so break
    /// the signature (RFC 6376 5.3). What somebody signed before, or what has no such form, stays as it is.
    pub(super) async fn before_signing(&self, draft: &mut Draft, content: Content) -> Content {
        let envelope = &draft.call.envelope;
        let policy = self.listener.deps.policy.load_full();
        let is_fit = !envelope.eight_bit && !envelope.binary && !draft.has_long_lines;
        if is_fit || !policy.sign_seven_bit || !self.may_sign(&policy) {
            return content;
        }
        if !self.listener.deps.signer.has_keys_for(&content.header, &policy.mime.header) {
            return content;
        }
        match converted(content.clone(), &policy).await {
            Ok(made) if !made.was_signed => {
                draft.call.envelope.eight_bit = false;
                draft.call.envelope.binary = false;
                draft.converted = made.summary();
                made.body.to_content()
            }
            Ok(_) | Err(_) => content,
        }
    }

    fn may_sign(&self, policy: &Policy) -> bool {
        policy.sign && (self.is_user() || policy.is_relay_network(self.client))
    }

    /// The trace fields, and behind them the signatures when the message is of a user or a relay network and the domain
    /// in `From` has keys. Mail of strangers is never signed.
    pub(super) async fn sign(
        &self,
        envelope: &Envelope,
        trace: Bytes,
        content: &Content,
    ) -> Result<Bytes, Refusal> {
        let policy = self.listener.deps.policy.load_full();
        if !self.may_sign(&policy) {
            return Ok(trace);
        }
        let now_s = envelope.received_at.seconds();
        let made = self.listener.deps.signer.sign(&trace, content, &policy.mime.header, now_s).await;
        self.with_fields(envelope, trace, made, &self.listener.deps.metrics.messages_signed)
    }

    /// The trace fields with what was made behind them.
    fn with_fields(
        &self,
        envelope: &Envelope,
        trace: Bytes,
        made: Result<Option<Signed>, KeyFailure>,
        counter: &Counter,
    ) -> Result<Bytes, Refusal> {
        match made {
            Ok(None) => Ok(trace),
            Ok(Some(signed)) => {
                log::signed(self.id, envelope.id, &signed.domain, signed.count);
                counter.inc();
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

    pub(super) fn is_user(&self) -> bool {
        self.facts.account.is_some() || self.listener.kind == ListenerKind::Submission
    }
}

/// The content in lines of seven bits; what is large is converted on a thread of its own.
async fn converted(content: Content, policy: &Policy) -> Result<Converted, NotConvertible> {
    let (is_small, limits) = (content.len() <= INLINE_CHECK_OCTETS, policy.mime);
    let make = move || convert(&content.into_body(Bytes::new()), Fit::SevenBit, &limits);
    match is_small {
        true => make(),
        false => tokio::task::spawn_blocking(make).await.unwrap_or(Err(NotConvertible::Structure)),
    }
}
