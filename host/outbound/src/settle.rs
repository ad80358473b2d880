//! The end of an attempt: each recipient's outcome is judged, then outcome, report and history go to the queue
//! as one settlement.

use baton_mail::event::{Decision, Event, What};
use baton_mail::header::HeaderLimits;
use baton_mail::{Body, EnhancedCode, FailureClass, Mailbox, Outcome, Phase, Status, UnixMs};
use baton_store::{NewJob, NewMessage, Settlement};
use bytes::{Bytes, BytesMut};

use crate::bounce_hook::{Judged, judge};
use crate::job::Job;
use crate::log;
use crate::report::{FailedRecipient, NO_SENDER, Report, write_report};
use crate::settings::OutboundSettings;
use crate::shared::Shared;

impl Shared {
    /// Ends an attempt. `outcomes` names each recipient of the job that was tried; those it does not name stay.
    pub(crate) async fn finish(&self, job: Job, outcomes: Vec<(u16, Outcome)>, took_ms: u32) {
        for (_, outcome) in &outcomes {
            self.metrics.count(outcome);
        }
        let now = self.clock.now();
        let settlement = if outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Delivered(_))) {
            all_delivered(&job, outcomes, now, took_ms)
        } else {
            self.with_failures(&job, outcomes, now, took_ms).await
        };
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
        if judged.iter().any(|one| one.report) {
            self.add_report(&settings, job, &judged, now, &mut settlement).await;
        }
        settlement.outcomes = judged.into_iter().map(|one| (one.index, one.outcome)).collect();
        if settlement.next_due.is_none() && settlement.outcomes.len() < job.claim.recipients.len() {
            settlement.next_due = Some(job.expires_at.min(now));
        }
        settlement
    }

    /// One report for all recipients that failed for good, in the same batch as their outcomes (house rule 19).
    async fn add_report(
        &self,
        settings: &OutboundSettings,
        job: &Job,
        judged: &[Judged],
        now: UnixMs,
        settlement: &mut Settlement,
    ) {
        let failed: Vec<FailedRecipient<'_>> = judged
            .iter()
            .filter(|one| one.report)
            .filter_map(|one| {
                Some(FailedRecipient { recipient: job.recipient(one.index)?, status: one.outcome.status() })
            })
            .collect();
        // A body that can not be read any more must not keep the sender from learning of the failure.
        let body = self.body(job).await.unwrap_or_default();
        let header = header_of(&body, settings.dsn.header_octets_max);
        let (id, detail) = match write_report(settings, now, job.envelope(), &failed, &header) {
            Some(report) => {
                let report = self.signed(settings, report).await;
                let (id, to) = (report.envelope.id, job.envelope().sender.to_string());
                settlement.reports.push(queued(report, now));
                self.metrics.reports.inc();
                (Some(id), format!("report to {to}"))
            }
            None => (None, NO_SENDER.to_owned()),
        };
        log::bounced(job.message(), id, &detail);
        settlement.events.push(job.event(now, What::Bounced { report: id, detail }));
    }
}

impl Shared {
    /// The report with a signature of the domain in its From, when that has keys. One that could not be signed goes all
    /// the same: the sender must learn of the failure.
    async fn signed(&self, settings: &OutboundSettings, report: Report) -> Report {
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
    let hours = job.expires_at.since(job.envelope().received_at).as_secs() / 3_600;
    let mut text = format!("not delivered within {hours} hours");
    if let Some(last) = last {
        text.push_str(&format!("; last: {last}"));
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
fn queued(report: Report, now: UnixMs) -> NewMessage {
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

/// The header of a message, up to a bound; the body behind it is not copied.
fn header_of(body: &Body, octets_max: usize) -> Bytes {
    let mut start = BytesMut::new();
    for piece in body.pieces() {
        let room = octets_max.saturating_add(4).saturating_sub(start.len());
        start.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }
    baton_mail::body::Content::split(start.freeze()).header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_header_is_taken_from_a_body() {
        let pieces = ["Received: x\r\n", "Subject: y\r\n", "\r\nbody body body\r\n"];
        let body: Body = pieces.into_iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        assert_eq!(&header_of(&body, 1_000)[..], b"Received: x\r\nSubject: y\r\n");
        assert_eq!(header_of(&body, 10).len(), 14, "cut; the report cuts it to whole lines");
    }
}
