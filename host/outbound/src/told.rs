//! What the sender is told of an attempt, and whether it wants to know (RFC 3461 4.1): of failures unless it said no, of
//! successes when it asked, of delays when it asked or the settings say so.

use std::time::Duration;

use baton_mail::event::What;
use baton_mail::requests::Notify;
use baton_mail::requests::timing::{ByMode, DeliverBy};
use baton_mail::{Mailbox, Outcome, Recipient, UnixMs};
use baton_store::Settlement;

use crate::bounce_hook::Judged;
use crate::job::Job;
use crate::log;
use crate::report::{Action, NO_SENDER, Told, write_report};
use crate::settings::{DelayReports, DsnSettings, OutboundSettings};
use crate::settle::queued;
use crate::shared::Shared;
use crate::worker::Attempted;

/// No report is made of a failure although there is a return path.
const NOT_WANTED: &str = "no report: the sender asked for none";

/// The copies that were delivered and of which the sender wants to know: nobody else will tell it.
pub(crate) fn of_success<'a>(attempted: &'a Attempted) -> Vec<Told<'a>> {
    let action = if attempted.is_final { Action::Delivered } else { Action::Relayed };
    let told = |(index, outcome): &'a (u16, Outcome)| {
        let recipient = attempted.job.recipient(*index)?;
        let is_wanted = wants_success(recipient, attempted.job.envelope().requests.deliver_by)
            && !attempted.passed_on.contains(index);
        (matches!(outcome, Outcome::Delivered(_)) && is_wanted).then(|| Told {
            recipient,
            status: outcome.status(),
            action,
        })
    };
    attempted.outcomes.iter().filter_map(told).collect()
}

/// A sender that named a deadline wants to know when nobody watches it any more, but not when it wants to know nothing
/// (RFC 2852 4.1.4).
fn wants_success(recipient: &Recipient, by: Option<DeliverBy>) -> bool {
    let asked = recipient.requests.as_ref().and_then(|requests| requests.notify);
    let wants_trace = by.is_some_and(|by| by.trace || by.mode == ByMode::Notify);
    recipient.notify().success || (wants_trace && asked != Some(Notify::default()))
}

/// The copies that failed for good.
fn of_failure<'a>(job: &'a Job, judged: &'a [Judged]) -> Vec<Told<'a>> {
    let told = |one: &'a Judged| {
        let recipient = job.recipient(one.index)?;
        (one.report && recipient.notify().failure).then(|| Told {
            recipient,
            status: one.outcome.status(),
            action: Action::Failed,
        })
    };
    judged.iter().filter_map(told).collect()
}

/// The copies that are late.
fn of_delay<'a>(settings: &DsnSettings, job: &'a Job, judged: &'a [Judged]) -> Vec<Told<'a>> {
    let told = |one: &'a Judged| {
        let recipient = job.recipient(one.index)?;
        let asked = recipient.requests.as_ref().and_then(|requests| requests.notify);
        let is_wanted = match settings.delay {
            _ if job.told_at().is_some() => asked.is_none_or(|notify| notify.delay),
            DelayReports::Never => false,
            DelayReports::Asked => asked.is_some_and(|notify| notify.delay),
            DelayReports::All => asked.is_none_or(|notify| notify.delay),
        };
        (matches!(one.outcome, Outcome::Deferred(_)) && is_wanted).then(|| Told {
            recipient,
            status: one.outcome.status(),
            action: Action::Delayed { until: job.expires_at },
        })
    };
    judged.iter().filter_map(told).collect()
}

impl Shared {
    /// Adds the reports about failures and delays of an attempt to its settlement, so that they are written in the same
    /// batch as the outcomes (house rule 19).
    pub(crate) async fn tell_of_failures(
        &self,
        settings: &OutboundSettings,
        job: &Job,
        judged: &[Judged],
        now: UnixMs,
        settlement: &mut Settlement,
    ) {
        if judged.iter().any(|one| one.report) {
            let told = of_failure(job, judged);
            let report = self.tell(settings, job, &told, now, settlement).await;
            let detail = match report {
                Some(_) => format!("report to {}", job.envelope().sender),
                None if job.envelope().sender.mailbox().is_none() => NO_SENDER.to_owned(),
                None => NOT_WANTED.to_owned(),
            };
            log::bounced(job.message(), report, &detail);
            settlement.events.push(job.event(now, What::Bounced { report, detail }));
        }
        let begun = job.envelope().requests.hold_until.unwrap_or(job.envelope().received_at);
        let late_at = begun.plus(Duration::from_secs(settings.dsn.delay_after_s));
        let is_late = job.told_at().unwrap_or(late_at) <= now;
        if settlement.next_due.is_some() && is_late && !job.claim.delay_told {
            let told = of_delay(&settings.dsn, job, judged);
            settlement.delay_told = !told.is_empty();
            self.tell_more(settings, job, &told, now, settlement).await;
        }
    }

    /// Adds the report about copies that did not fail, when there is anything to tell.
    pub(crate) async fn tell_more(
        &self,
        settings: &OutboundSettings,
        job: &Job,
        told: &[Told<'_>],
        now: UnixMs,
        settlement: &mut Settlement,
    ) {
        let Some(first) = told.first() else { return };
        let action = first.action.word();
        let Some(report) = self.tell(settings, job, told, now, settlement).await else { return };
        let recipients: Vec<Mailbox> = told.iter().map(|one| one.recipient.address.clone()).collect();
        log::reported(job.message(), report, action, &recipients);
        settlement
            .events
            .push(job.event(now, What::Reported { report, action: action.to_owned(), recipients }));
    }

    /// Adds one report; none when there is nothing to tell or nobody to be told.
    async fn tell(
        &self,
        settings: &OutboundSettings,
        job: &Job,
        told: &[Told<'_>],
        now: UnixMs,
        settlement: &mut Settlement,
    ) -> Option<baton_mail::MessageId> {
        if told.is_empty() || job.envelope().sender.mailbox().is_none() {
            return None;
        }
        // A body that can not be read any more must not keep the sender from learning what became of the message.
        let body = self.body(job).await.unwrap_or_default();
        let report = write_report(settings, now, job.envelope(), told, &body)?;
        let report = self.signed(settings, report).await;
        let id = report.envelope.id;
        settlement.reports.push(queued(report, now));
        self.metrics.reports.inc();
        Some(id)
    }
}
