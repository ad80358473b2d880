//! Recipients on a suppression list: their copies end before an attempt. And what follows for the lists from one.

use std::sync::Arc;

use baton_mail::event::What;
use baton_mail::{EnhancedCode, FailureClass, Mailbox, Outcome, Phase, Status, UnixMs};
use baton_store::suppression::{Change, Listed, Suppress};
use baton_store::{Settlement, StoreError};

use crate::bounce_hook::Judged;
use crate::job::Job;
use crate::log;
use crate::metrics::SuppressedFor;
use crate::shared::Shared;

/// How long mail waits when the lists can not be read, in milliseconds.
const UNREADABLE_WAIT_MS: u64 = 60_000;

impl Shared {
    /// True when the lists must be asked about a recipient of the job. Costs next to nothing for most.
    pub(crate) fn may_be_suppressed(&self, job: &Job) -> bool {
        let lists = self.store.suppression();
        job.recipients().any(|(_, recipient)| lists.may_stop(&recipient.address))
    }

    /// Ends the copies for whoever is on a list. The others, if any, go on.
    pub(crate) async fn leave_out_suppressed(self: &Arc<Self>, job: Job) {
        let found = match self.find_suppressed(&job).await {
            Ok(found) if found.is_empty() => return self.dispatch_asked(job, false),
            Ok(found) => found,
            Err(error) => {
                log::suppression_not_read(job.message(), &error);
                let status = crate::bounce_hook::our_fault("the suppression lists can not be read");
                return self.later(job, UNREADABLE_WAIT_MS, status).await;
            }
        };
        let now = self.clock.now();
        let judged: Vec<Judged> = found.iter().map(|(index, listed)| ended(*index, listed)).collect();
        let mut settlement = Settlement::default();
        for (listed, recipients) in grouped(&job, &found) {
            let (list, reason) = (listed.scope.to_string(), listed.entry.reason.as_str());
            self.metrics.suppressed.get_or_create(&SuppressedFor { reason }).inc_by(recipients.len() as u64);
            log::suppressed(job.message(), &recipients, &list, reason);
            let detail = listed.entry.by.clone();
            let what = What::Suppressed { recipients, list, reason: reason.to_owned(), detail };
            settlement.events.push(job.event(now, what));
        }
        if judged.iter().any(|one| one.report) {
            let settings = self.settings.load_full();
            self.tell_of_failures(&settings, &job, &judged, now, &mut settlement).await;
        }
        settlement.outcomes = judged.into_iter().map(|one| (one.index, one.outcome)).collect();
        settlement.next_due = (settlement.outcomes.len() < job.claim.recipients.len()).then_some(now);
        self.settle(job, settlement).await;
    }

    async fn find_suppressed(&self, job: &Job) -> Result<Vec<(u16, Listed)>, StoreError> {
        let lists = self.store.suppression();
        let mut found = Vec::new();
        for (index, recipient) in job.recipients() {
            if let Some(listed) = lists.stops(job.envelope(), &recipient.address).await? {
                found.push((index, listed));
            }
        }
        Ok(found)
    }

    /// What follows for the lists from an attempt goes into the same batch as its outcome.
    pub(crate) fn note_for_lists(&self, job: &Job, settlement: &mut Settlement, now: UnixMs) {
        let lists = self.store.suppression();
        let (rules, envelope) = (lists.rules(), job.envelope());
        let tenant = envelope.tenant.as_deref();
        if !rules.make_entries_for(tenant) || !rules.are_for(envelope) {
            return;
        }
        for (index, outcome) in &settlement.outcomes {
            let Some(recipient) = job.recipient(*index) else { continue };
            let address = &recipient.address;
            if let Outcome::Delivered(_) = outcome
                && lists.may_stop(address)
            {
                let scope = rules.bounce_reach.scope(tenant, envelope.stream.as_deref());
                let change = Change::Delivered;
                settlement.suppress.push(Suppress { scope, address: address.clone(), change });
            }
            let before = job.claim.last.as_ref();
            settlement.suppress.extend(rules.after_outcome(envelope, address, outcome, before, now));
        }
    }
}

/// The end of a copy. Whoever reads the mailbox and wants no mail is not told about to the sender by a report: the event
/// tells it.
fn ended(index: u16, listed: &Listed) -> Judged {
    // RFC 3463 3.8: delivery not authorized.
    let status = Status::ours(Phase::Policy, FailureClass::Policy, EnhancedCode(5, 7, 1), listed.to_string());
    Judged {
        index,
        outcome: Outcome::Failed(status),
        next_attempt: None,
        report: !listed.entry.reason.is_of_person(),
        decisions: Vec::new(),
    }
}

/// Recipients that are on the same list for the same reason share an event.
fn grouped<'a>(job: &Job, found: &'a [(u16, Listed)]) -> Vec<(&'a Listed, Vec<Mailbox>)> {
    let mut groups: Vec<(&Listed, Vec<Mailbox>)> = Vec::new();
    for (index, listed) in found {
        let Some(recipient) = job.recipient(*index) else { continue };
        let is_same = |other: &Listed| {
            (&other.scope, other.entry.reason, &other.entry.by)
                == (&listed.scope, listed.entry.reason, &listed.entry.by)
        };
        match groups.iter_mut().find(|(first, _)| is_same(first)) {
            Some((_, recipients)) => recipients.push(recipient.address.clone()),
            None => groups.push((listed, vec![recipient.address.clone()])),
        }
    }
    groups
}
