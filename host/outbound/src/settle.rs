//! The end of an attempt: each recipient's outcome is judged, then outcome, report and history go to the queue
//! as one settlement.

use baton_mail::event::{Decision, Event, What};
use baton_mail::header::HeaderLimits;
use baton_mail::{EnhancedCode, FailureClass, Mailbox, Outcome, Phase, Status, UnixMs};
use baton_store::{NewJob, NewMessage, Settlement};
use bytes::Bytes;

use crate::bounce_hook::{Judged, judge};
use crate::job::Job;
use crate::log;
use crate::report::Report;
use crate::settings::OutboundSettings;
use crate::shared::Shared;
use crate::told::of_success;
use crate::worker::Attempted;

impl Shared {
    /// Ends an attempt. Recipients of the job that have no outcome stay.
    pub(crate) async fn finish(&self, attempted: Attempted) {
        for (_, outcome) in &attempted.outcomes {
            self.metrics.count(outcome);
        }
        let now = self.clock.now();
        let mut success = Settlement::default();
        let told = of_success(&attempted);
        if !told.is_empty() {
            let settings = self.settings.load_full();
            self.tell_more(&settings, &attempted.job, &told, now, &mut success).await;
        }
        let Attempted { job, outcomes, took_ms, .. } = attempted;
        let mut settlement = if outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Delivered(_))) {
            all_delivered(&job, outcomes, now, took_ms)
        } else {
            self.with_failures(&job, outcomes, now, took_ms).await
        };
        settlement.reports.append(&mut success.reports);
        settlement.events.append(&mut success.events);
        self.note_for_lists(&job, &mut settlement, now);
        self.settle(job, settlement).await;
    }

    /// The settlement of an attempt that failed for some: plugins are asked, reports written.
    async fn with_failures(
        &self,
        job: &Job,
        outcomes: Vec<(u16, Outcome)>,
        now: UnixMs,
        took_ms: u32,
    ) -> Settlement {
        let settings = self.settings.load_full();
        let judged = judge(self, &settings, job, outcomes, now).await;
        let mut settlement = Settlement { count_attempt: true, ..Settlement::default() };
        settlement.next_due = judged.iter().filter_map(|one| one.next_attempt).min();
        settlement.events = events(job, &judged, now, took_ms);
        self.tell_of_failures(&settings, job, &judged, now, &mut settlement).await;
        settlement.outcomes = judged.into_iter().map(|one| (one.index, one.outcome)).collect();
        if settlement.next_due.is_none() && settlement.outcomes.len() < job.claim.recipients.len() {
            settlement.next_due = Some(job.expires_at.min(now));
        }
        settlement
    }
}

impl Shared {
    /// The report with a signature of the domain in its From, when that has keys. One that could not be signed goes all
    /// the same: the sender must learn of the failure.
    pub(crate) async fn signed(&self, settings: &OutboundSettings, report: Report) -> Report {
        if !settings.dsn.sign {
            return report;
        }
        let Report { mut envelope, body } = report;
        let content = body.to_content();
        let now_s = envelope.received_at.seconds();
        let made = self.signer.sign(&Bytes::new(), &content, &HeaderLimits::default(), now_s).await;
        let fields = match made {
            Ok(signed) => signed.map(|signed| signed.fields).unwrap_or_default(),
            Err(error) => {
                log::report_not_signed(envelope.id, &error);
                Bytes::new()
            }
        };
        let body = content.into_body(fields);
        envelope.size = body.len();
        Report { envelope, body }
    }
}

/// The status of a job that became too old; `last` is why it was not delivered before.
pub(crate) fn expired(job: &Job, last: Option<&Status>) -> Status {
    let life = job.expires_at.since(job.envelope().received_at).as_secs();
    let life = match life {
        0..120 => format!("{life} seconds"),
        120..7_200 => format!("{} minutes", life / 60),
        _ => format!("{} hours", life / 3_600),
    };
    let mut text = format!("not delivered within {life}");
    if let Some(last) = last {
        // The host stands behind the whole.
        let said = Status { remote: None, ..last.clone() };
        text.push_str(&format!("; last: {said}"));
    }
    // RFC 3463 3.5: delivery time expired.
    let mut status = Status::ours(Phase::Expired, FailureClass::Expired, EnhancedCode(4, 4, 7), text);
    status.remote = last.and_then(|last| last.remote.clone());
    status
}

/// The common case: one event for each different reply, usually one.
fn all_delivered(job: &Job, outcomes: Vec<(u16, Outcome)>, now: UnixMs, took_ms: u32) -> Settlement {
    let mut groups: Vec<(Status, Vec<Mailbox>)> = Vec::with_capacity(1);
    for (index, outcome) in &outcomes {
        let Some(recipient) = job.recipient(*index) else { continue };
        match groups.iter_mut().find(|(status, _)| status == outcome.status()) {
            Some((_, recipients)) => recipients.push(recipient.address.clone()),
            None => groups.push((outcome.status().clone(), vec![recipient.address.clone()])),
        }
    }
    let attempt = job.attempt();
    let event = |(status, recipients): (Status, Vec<Mailbox>)| {
        log::delivered(job.message(), &recipients, &status, attempt, took_ms);
        job.event(now, What::Delivered { recipients, status, attempt, took_ms })
    };
    let events = groups.into_iter().map(event).collect();
    // Recipients that were not tried, should there be any, are tried at once.
    let next_due = (outcomes.len() < job.claim.recipients.len()).then_some(now);
    Settlement { outcomes, next_due, count_attempt: true, events, ..Settlement::default() }
}

/// Recipients with the same outcome share an event.
fn events(job: &Job, judged: &[Judged], now: UnixMs, took_ms: u32) -> Vec<Event> {
    let mut groups: Vec<(&Judged, Vec<Mailbox>)> = Vec::new();
    for one in judged {
        let Some(recipient) = job.recipient(one.index) else { continue };
        match groups.iter_mut().find(|(first, _)| first.is_told_like(one)) {
            Some((_, recipients)) => recipients.push(recipient.address.clone()),
            None => groups.push((one, vec![recipient.address.clone()])),
        }
    }
    groups.into_iter().map(|(one, recipients)| event(job, one, recipients, now, took_ms)).collect()
}

fn event(job: &Job, one: &Judged, recipients: Vec<Mailbox>, now: UnixMs, took_ms: u32) -> Event {
    let attempt = job.attempt();
    let decisions: Vec<Decision> = one.decisions.clone();
    let what = match &one.outcome {
        Outcome::Delivered(status) => {
            log::delivered(job.message(), &recipients, status, attempt, took_ms);
            What::Delivered { recipients, status: status.clone(), attempt, took_ms }
        }
        Outcome::Deferred(status) => {
            let next_attempt = one.next_attempt.unwrap_or(now);
            log::deferred(job.message(), &recipients, status, attempt, next_attempt);
            What::Deferred { recipients, status: status.clone(), attempt, next_attempt, decisions }
        }
        Outcome::Failed(status) => {
            log::failed(job.message(), &recipients, status, attempt);
            What::Failed { recipients, status: status.clone(), attempt, decisions }
        }
    };
    job.event(now, what)
}

/// A report as a new message of the queue.
pub(crate) fn queued(report: Report, now: UnixMs) -> NewMessage {
    let Report { envelope, body } = report;
    let recipients: Vec<Mailbox> =
        envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect();
    let queue = recipients.first().map(|recipient| recipient.domain().to_string()).unwrap_or_default();
    let what = What::Accepted {
        origin: envelope.origin.clone(),
        sender: envelope.sender.clone(),
        recipients,
        size: envelope.size,
        decisions: Vec::new(),
    };
    let event = Event { message: envelope.id, at: now, what };
    let job = NewJob { queue, recipients: vec![0], due: now };
    NewMessage { envelope, body, jobs: vec![job], events: vec![event] }
}
