//! A job in hand: a claim on some recipients of one message, from the queue to its settlement.

use baton_mail::event::{Event, What};
use baton_mail::lane::Place;
use baton_mail::requests::timing::ByMode;
use baton_mail::{Envelope, Lane, MessageId, Recipient, UnixMs};
use baton_store::Claim;

use crate::gate::Permit;

/// Dropping it without a settlement hands the claim back to the store.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) claim: Claim,
    /// When it is given up; a route can make it sooner than the envelope says.
    pub(crate) expires_at: UnixMs,
    /// What happened on the way here; goes into the history with the outcome.
    pub(crate) events: Vec<Event>,
    /// After so long it is tried again, whatever the schedule says, in milliseconds: at once by another source, or when the
    /// next hop said.
    pub(crate) wait_ms: Option<u64>,
    /// Its place among the jobs in hand.
    pub(crate) permit: Permit,
}

impl Job {
    /// The job of a claim.
    pub(crate) fn new(claim: Claim, permit: Permit) -> Job {
        let expires_at = claim.envelope.given_up_at();
        Job { claim, expires_at, events: Vec::new(), wait_ms: None, permit }
    }

    /// The message's name.
    pub(crate) fn message(&self) -> MessageId {
        self.claim.key.message
    }

    /// The lane in which it waits.
    pub(crate) fn lane(&self) -> Lane {
        self.envelope().lane()
    }

    /// Where it waits among others.
    pub(crate) fn place(&self) -> Place {
        self.envelope().place()
    }

    /// The message's envelope.
    pub(crate) fn envelope(&self) -> &Envelope {
        &self.claim.envelope
    }

    /// One recipient by its index in the envelope.
    pub(crate) fn recipient(&self, index: u16) -> Option<&Recipient> {
        self.claim.envelope.recipients.get(usize::from(index))
    }

    /// The recipients of this job.
    pub(crate) fn recipients(&self) -> impl Iterator<Item = (u16, &Recipient)> {
        self.claim.recipients.iter().filter_map(|index| Some((*index, self.recipient(*index)?)))
    }

    /// Which attempt is running, from 1.
    pub(crate) fn attempt(&self) -> u16 {
        self.claim.attempt.saturating_add(1)
    }

    /// When its sender wants to know that it is late (RFC 2852 4.1.2).
    pub(crate) fn told_at(&self) -> Option<UnixMs> {
        self.envelope().requests.deliver_by.filter(|by| by.mode == ByMode::Notify).map(|by| by.at)
    }

    /// True when the message is too old.
    pub(crate) fn is_expired(&self, now: UnixMs) -> bool {
        self.expires_at <= now
    }

    /// An event of this message.
    pub(crate) fn event(&self, at: UnixMs, what: What) -> Event {
        Event { message: self.message(), at, what }
    }
}
