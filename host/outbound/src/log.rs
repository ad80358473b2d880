//! Everything that operators see of delivery in the log, one function a kind of event.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use baton_mail::status::Remote;
use baton_mail::{Domain, Mailbox, MessageId, Status, UnixMs};
use baton_store::shaping::Measure;
use tracing::{debug, error, info, warn};

use crate::job::Job;
use crate::next_hop::NextHop;
use crate::sources::{Listing, ListingRow};

/// The target of all lines of this stage.
const TARGET: &str = "delivery";

/// The mailboxes of one line.
struct List<'a>(&'a [Mailbox]);

impl fmt::Display for List<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mailbox) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(formatter, "{separator}{mailbox}")?;
        }
        Ok(())
    }
}

/// It is decided who takes the copies of a job.
pub(crate) fn routed(job: &Job, next_hop: &NextHop) {
    let recipients = fmt::from_fn(|formatter| {
        let list: Vec<_> = job.recipients().map(|(_, recipient)| recipient.address.clone()).collect();
        write!(formatter, "{}", List(&list))
    });
    debug!(target: "router", message = %job.message(), %recipients, %next_hop, "routed");
}

/// The next hop took it.
pub(crate) fn delivered(
    message: MessageId,
    recipients: &[Mailbox],
    status: &Status,
    attempt: u16,
    took_ms: u32,
) {
    info!(target: TARGET, %message, recipients = %List(recipients), attempt, took_ms, %status, "delivered");
}

/// TLS failed where it is welcome but not needed.
pub(crate) fn falls_back(remote: &Remote, status: &Status) {
    info!(target: TARGET, %remote, reason = status.text, "TLS failed; trying again in plain text");
}

/// A domain's MTA-STS policy is in force from now on.
pub(crate) fn policy_fetched(domain: &Domain, lines: &[String]) {
    info!(target: TARGET, %domain, policy = lines.join("; "), "MTA-STS policy fetched");
}

/// There should be an MTA-STS policy, and there is none to be had. An older one stays in force.
pub(crate) fn policy_not_fetched(domain: &Domain, flaw: &dyn fmt::Display, has_older: bool) {
    warn!(target: TARGET, %domain, %flaw, has_older, "MTA-STS policy not fetched");
}

/// A policy could not be written down; a restart fetches it again.
pub(crate) fn policy_not_kept(domain: &Domain, error: &dyn fmt::Display) {
    warn!(target: TARGET, %domain, %error, "MTA-STS policy not kept");
}

/// Not yet.
pub(crate) fn deferred(
    message: MessageId,
    recipients: &[Mailbox],
    status: &Status,
    attempt: u16,
    next: UnixMs,
) {
    info!(
        target: TARGET, %message, recipients = %List(recipients), attempt, class = status.class.as_str(),
        next_attempt_unix_s = next.seconds(), %status, "deferred"
    );
}

/// Never.
pub(crate) fn failed(message: MessageId, recipients: &[Mailbox], status: &Status, attempt: u16) {
    info!(
        target: TARGET, %message, recipients = %List(recipients), attempt, class = status.class.as_str(), %status,
        "failed"
    );
}

/// A report could not be signed: a defect. It goes unsigned.
pub(crate) fn report_not_signed(report: MessageId, error: &dyn std::fmt::Display) {
    error!(target: TARGET, %report, %error, "defect: the report could not be signed");
}

/// A report was queued, or why none was.
pub(crate) fn bounced(message: MessageId, report: Option<MessageId>, detail: &str) {
    match report {
        Some(report) => info!(target: TARGET, %message, %report, detail, "bounced"),
        None => info!(target: TARGET, %message, detail, "not reported"),
    }
}

/// A report about copies that did not fail was queued.
pub(crate) fn reported(message: MessageId, report: MessageId, action: &str, recipients: &[Mailbox]) {
    info!(target: TARGET, %message, %report, action, recipients = %List(recipients), "reported");
}

/// Not tried: on a suppression list.
pub(crate) fn suppressed(message: MessageId, recipients: &[Mailbox], list: &str, reason: &str) {
    info!(target: TARGET, %message, recipients = %List(recipients), list, reason, "suppressed");
}

/// The suppression lists could not be asked; the mail waits.
pub(crate) fn suppression_not_read(message: MessageId, error: &dyn fmt::Display) {
    error!(target: TARGET, %message, %error, "the suppression lists can not be read");
}

/// It waits for an operator.
pub(crate) fn held(message: MessageId, reason: &str, by: &str) {
    info!(target: TARGET, %message, reason, by, "held");
}

/// Thrown away by decision.
pub(crate) fn discarded(message: MessageId, by: &str) {
    info!(target: TARGET, %message, by, "discarded");
}

/// A connection is open and greeted.
pub(crate) fn connected(host: &str, address: Option<SocketAddr>) {
    debug!(target: TARGET, host, address = ?address, "connected");
}

/// A host could not be used.
pub(crate) fn not_connected(host: &str, status: &Status) {
    debug!(target: TARGET, host, %status, "not connected");
}

/// A rule took a measure.
pub(crate) fn measure_taken(measure: &Measure) {
    let Measure { id, action, scope, rule, reason, .. } = measure;
    warn!(target: TARGET, id, rule, %scope, reason, "{action} by a rule of shaping");
}

/// A measure came to its end.
pub(crate) fn measure_ended(measure: &Measure) {
    let Measure { id, action, scope, rule, .. } = measure;
    info!(target: TARGET, id, rule, %scope, "no longer {action}");
}

/// No more measures are taken.
pub(crate) fn too_many_measures(rule: &str) {
    error!(target: TARGET, rule, "a rule of shaping did nothing: too many measures hold already");
}

/// A measure holds, but may be lost with a restart.
pub(crate) fn measure_not_kept(rule: &str, error: &dyn fmt::Display) {
    error!(target: TARGET, rule, %error, "a measure of shaping could not be written down");
}

/// What was kept of shaping could not be read.
pub(crate) fn shaping_not_loaded(error: &dyn fmt::Display) {
    error!(target: TARGET, %error, "measures and warm-up positions of before the start are not known");
}

/// Counters of warm-up could not be written; they are tried again.
pub(crate) fn warmup_not_saved(error: &dyn fmt::Display) {
    error!(target: TARGET, %error, "positions of warm-up could not be written down");
}

/// A blocklist says something else about an address of ours than before.
pub(crate) fn listing(before: Option<&Listing>, row: &ListingRow) {
    if before == Some(&row.listing) {
        return;
    }
    let ListingRow { source, address, list, .. } = row;
    match &row.listing {
        Listing::Listed(reason) => {
            warn!(target: TARGET, source, %address, %list, reason, "our address is on a blocklist");
        }
        Listing::Unknown(reason) => {
            info!(target: TARGET, source, %address, %list, reason, "a blocklist says nothing about our address");
        }
        Listing::Clear if matches!(before, Some(Listing::Listed(_))) => {
            info!(target: TARGET, source, %address, %list, "our address is no longer on the blocklist");
        }
        Listing::Clear => {}
    }
}

/// It can not go now: its ready queue is full, or something holds it back.
pub(crate) fn overflowed(message: MessageId, site: &str, wait: Duration, why: &str) {
    debug!(target: TARGET, %message, site, wait_ms = wait.as_millis(), why, "handed back");
}

/// The queue could not be asked for work.
pub(crate) fn claim_failed(error: &dyn fmt::Display) {
    error!(target: TARGET, %error, "no work from the queue, trying again");
}

/// An outcome could not be recorded; the job comes back, and a delivered message may go out again.
pub(crate) fn settle_failed(message: MessageId, error: &dyn fmt::Display) {
    error!(target: TARGET, %message, %error, "the outcome could not be recorded, the job will come back");
}

/// The content could not be read; the message waits.
pub(crate) fn content_unreadable(message: MessageId, error: &dyn fmt::Display) {
    error!(target: TARGET, %message, %error, "the content can not be read, the message waits");
}

/// The stop began.
pub(crate) fn stopping(jobs: usize, waiting: usize) {
    info!(target: TARGET, jobs, handed_back = waiting, "no new deliveries, waiting for the running ones");
}

/// The stop's bound passed.
pub(crate) fn cut_off(jobs: usize) {
    warn!(target: TARGET, jobs, "deliveries still running were cut off; they are tried again after the start");
}
