//! The transaction in progress: everything that belongs to one message and to no other.

use std::collections::BTreeMap;
use std::collections::HashSet;

use baton_hooks::{Call, Parameter};
use baton_identity::reports::outgoing::DmarcSeen;
use baton_identity::{ArcOutcome, Begun};
use baton_mail::event::Decision;
use baton_mail::{Envelope, Mailbox, MessageId, Recipient, UnixMs};
use baton_store::NewJob;
use baton_store::catalog::Edit;

use crate::limits::Reservation;

/// One transaction, from MAIL on.
pub(super) struct Draft {
    /// The envelope and what plugins see and change of it.
    pub(super) call: Call,
    /// RCPT commands that were answered positively: LMTP owes each of them a reply (RFC 2033 4.2).
    pub(super) recipients_told: usize,
    /// Recipients that a plugin discards, with its name.
    pub(super) discarded: Vec<(Mailbox, String)>,
    /// What plugins did so far.
    decisions: Vec<Decision>,
    /// The size that MAIL announced, in octets; 0 when it did not.
    pub(super) announced_octets: u64,
    /// This transaction's part of the content memory.
    pub(super) reservation: Option<Reservation>,
    /// The checks of a stranger's message, under way.
    pub(super) checks: Option<Begun>,
    /// What was found about the chain of custody, when it is checked.
    pub(super) chain: Option<ArcOutcome>,
    /// What the report to the domain in From tells of it.
    pub(super) seen: Option<DmarcSeen>,
    /// A line of the content is longer than others would leave it (RFC 5322 2.1.1).
    pub(super) has_long_lines: bool,
    /// What was done to the content before it was signed.
    pub(super) converted: Option<String>,
    /// When it is given up, if that is before the settings give it up.
    pub(super) expires_at: Option<UnixMs>,
    /// Records of the catalog that are written with it.
    pub(super) records: Vec<Edit>,
    /// Nothing of it is kept, counted or sent.
    pub(super) is_trial: bool,
    /// What was put into the content to track it, or why nothing was.
    pub(super) tracked: Option<String>,
}

impl Draft {
    pub(super) fn new(call: Call, decisions: Vec<Decision>, announced_octets: u64) -> Draft {
        Draft {
            call,
            recipients_told: 0,
            discarded: Vec::new(),
            decisions,
            announced_octets,
            reservation: None,
            checks: None,
            chain: None,
            seen: None,
            has_long_lines: false,
            converted: None,
            expires_at: None,
            records: Vec::new(),
            is_trial: false,
            tracked: None,
        }
    }

    /// The message's name.
    pub(super) fn id(&self) -> MessageId {
        self.call.envelope.id
    }

    /// Takes one more recipient.
    pub(super) fn add_recipient(&mut self, recipient: Recipient, parameters: Vec<Parameter>) {
        self.call.envelope.recipients.push(recipient);
        self.call.recipient_parameters.push(parameters);
    }

    /// Keeps the first `count` recipients.
    pub(super) fn truncate_recipients(&mut self, count: usize) {
        self.call.envelope.recipients.truncate(count);
        self.call.recipient_parameters.truncate(count);
    }

    /// Keeps what plugins did, up to a bound.
    pub(super) fn add_decisions(&mut self, decisions: &[Decision]) {
        let room = DECISIONS_MAX.saturating_sub(self.decisions.len());
        self.decisions.extend(decisions.iter().take(room).cloned());
    }

    /// All that plugins did for this message.
    pub(super) fn take_decisions(&mut self) -> Vec<Decision> {
        std::mem::take(&mut self.decisions)
    }
}

/// Keeps the first of equal recipients: naming one twice asks for no second copy (RFC 5321 4.1.1.3).
pub(super) fn drop_repeated(recipients: &mut Vec<Recipient>) {
    if recipients.len() > 1 {
        let mut seen = HashSet::with_capacity(recipients.len());
        recipients.retain(|recipient| seen.insert(recipient.address.clone()));
    }
}

/// One job for each domain, in the order of the domains' names.
pub(super) fn jobs(envelope: &Envelope, due: UnixMs) -> Vec<NewJob> {
    let mut groups: BTreeMap<&str, Vec<u16>> = BTreeMap::new();
    for (index, recipient) in envelope.recipients.iter().enumerate() {
        // The caller bounds recipients far below 65,536.
        let Ok(index) = u16::try_from(index) else { break };
        groups.entry(recipient.address.domain().as_str()).or_default().push(index);
    }
    groups
        .into_iter()
        .map(|(domain, recipients)| NewJob { queue: domain.to_owned(), recipients, due })
        .collect()
}

/// Decisions that one message's story holds; beyond them a flood of recipients would grow the history.
const DECISIONS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use baton_mail::{Origin, ReversePath};

    use super::*;

    fn envelope(recipients: &[&str]) -> Envelope {
        let now = UnixMs(1_000);
        let mut envelope = Envelope::new(
            MessageId::new(now),
            now,
            Duration::from_secs(60),
            ReversePath::Null,
            Origin::internal(),
        );
        envelope.recipients =
            recipients.iter().map(|text| Recipient::from(text.parse::<Mailbox>().unwrap())).collect();
        envelope
    }

    #[test]
    fn recipients_are_grouped_by_domain() {
        let jobs = jobs(&envelope(&["a@one.example", "b@two.example", "c@ONE.example"]), UnixMs(5));
        let summary: Vec<_> =
            jobs.iter().map(|job| (job.queue.as_str(), job.recipients.as_slice(), job.due)).collect();
        assert_eq!(summary, [("one.example", &[0, 2][..], UnixMs(5)), ("two.example", &[1][..], UnixMs(5))]);
    }

    #[test]
    fn a_repeated_recipient_gets_one_copy() {
        let mut recipients = envelope(&["a@one.example", "A@one.example", "a@ONE.example"]).recipients;
        drop_repeated(&mut recipients);
        let left: Vec<_> = recipients.iter().map(|recipient| recipient.address.to_string()).collect();
        assert_eq!(left, ["a@one.example", "A@one.example"]);
    }
}
