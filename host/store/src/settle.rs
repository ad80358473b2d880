//! What becomes of a claim: outcome, reports and history in one batch.

use baton_mail::event::Event;
use baton_mail::{Outcome, UnixMs};

use crate::NewMessage;
use crate::accept::encode_message;
use crate::claim::Claim;
use crate::commit::{Op, SettleOp, SplitOp};
use crate::core::Core;
use crate::error::{AcceptError, StoreError};
use crate::format::{JobKey, JobRecord, held_until, not_held};
use crate::schedule::Stage;
use crate::suppression::Suppress;

/// The end of an attempt.
#[derive(Debug, Default)]
pub struct Settlement {
    /// Outcomes by recipient index. Recipients not named stay in the job, as do deferred ones.
    pub outcomes: Vec<(u16, Outcome)>,
    /// When the rest is tried again. Needed when any recipient stays, unless `hold` is set.
    pub next_due: Option<UnixMs>,
    /// Count this attempt.
    pub count_attempt: bool,
    /// Another scheduled queue for the rest.
    pub queue: Option<String>,
    /// Hold the rest for an operator, for this reason.
    pub hold: Option<String>,
    /// The sender was told that the rest is late; remembered for as long as it waits.
    pub delay_told: bool,
    /// Messages to take into the queue in the same batch: bounces.
    pub reports: Vec<NewMessage>,
    /// What to remember; written in the same batch.
    pub events: Vec<Event>,
    /// Who gets no more mail, or may be near to that; written in the same batch.
    pub suppress: Vec<Suppress>,
}

/// Queues the outcome for the next sync.
pub(crate) async fn settle(core: &Core, claim: Claim, settlement: Settlement) -> Result<(), StoreError> {
    let next = next_state(&claim, &settlement)?;
    let mut octets = 256 * settlement.events.len() as u64;
    let mut reports = Vec::with_capacity(settlement.reports.len());
    for report in settlement.reports {
        octets += report.body.len();
        reports.push(encode_message(core, report, Vec::new(), 0).map_err(|error| match error {
            AcceptError::Unschedulable(why) => StoreError::Misuse(why),
            _ => StoreError::Closed,
        })?);
    }
    let suppress = core.key_changes(settlement.suppress);
    let suppress = suppress.ok_or(StoreError::Misuse("the scope's name is too long"))?;
    let history = core.encode_events(&settlement.events);
    let room = core.commit.room(octets).await?;
    if core.health.is_poisoned() {
        core.commit.give_back_room(&room);
        return Err(core.lost());
    }
    let job = claim.into_job();
    if let Some(taken) = core.schedule.lock().get(job.key) {
        taken.stage = Stage::Settling;
    }
    let op = SettleOp { job, next, history, reports, suppress, intent: None, room };
    Ok(core.commit.push(Op::Settle(Box::new(op)))?)
}

/// How the job goes on; none when no recipient stays.
fn next_state(claim: &Claim, settlement: &Settlement) -> Result<Option<JobRecord>, StoreError> {
    let outcome_of = |recipient: &u16| {
        settlement.outcomes.iter().find(|(index, _)| index == recipient).map(|(_, outcome)| outcome)
    };
    let stays =
        |recipient: &&u16| !matches!(outcome_of(recipient), Some(Outcome::Delivered(_) | Outcome::Failed(_)));
    let recipients: Vec<u16> = claim.recipients.iter().filter(stays).copied().collect();
    if recipients.is_empty() {
        return Ok(None);
    }
    let due = match (&settlement.hold, settlement.next_due) {
        (Some(_), _) => held_until(claim.envelope.given_up_at()),
        (None, Some(due)) => not_held(due),
        (None, None) => return Err(StoreError::Misuse("recipients stay and there is no next attempt")),
    };
    let last = settlement.outcomes.iter().rev().find_map(|(_, outcome)| match outcome {
        Outcome::Deferred(status) => Some(status.clone()),
        _ => None,
    });
    Ok(Some(JobRecord {
        shared: claim.job().shared,
        due,
        attempt: claim.attempt.saturating_add(u16::from(settlement.count_attempt)),
        recipients,
        queue: settlement.queue.clone().unwrap_or_else(|| claim.queue.clone()),
        last: last.or_else(|| claim.last.clone()),
        hold: settlement.hold.clone(),
        delay_told: claim.delay_told || settlement.delay_told,
        changes: claim.job().changes.clone(),
    }))
}

/// Makes several jobs of one. They are claimed by the caller as the one was.
pub(crate) fn split(core: &Core, claim: Claim, groups: Vec<Vec<u16>>) -> Result<Vec<Claim>, StoreError> {
    let parts = parts(&claim, groups)?;
    if let [_] = parts.as_slice() {
        return Ok(vec![claim]);
    }
    let job = claim.job();
    let op = SplitOp {
        kept: job.key,
        shelf: job.shelf(),
        size: job.envelope.size,
        was_single: !job.shared,
        parts: parts.clone(),
    };
    let entry = job.entry();
    let mut window = core.schedule.lock();
    for (key, _) in &parts {
        // The part that keeps the name has its mark already; the others are claimed before the database knows them.
        window.take(*key, entry, Stage::Claimed);
    }
    drop(window);
    core.commit.push(Op::Split(op))?;
    Ok(claim.into_parts(&parts, &core.schedule))
}

/// The parts as records. Together they are exactly the recipients of the claim.
fn parts(claim: &Claim, groups: Vec<Vec<u16>>) -> Result<Vec<(JobKey, JobRecord)>, StoreError> {
    let mut all: Vec<u16> = groups.concat();
    let mut expected = claim.recipients.clone();
    all.sort_unstable();
    expected.sort_unstable();
    if all != expected || groups.iter().any(Vec::is_empty) {
        return Err(StoreError::Misuse("the groups are not exactly the recipients of the claim"));
    }
    let message = claim.key.message;
    let job = claim.job();
    // The group with the recipient that named the job keeps the name; any does when that recipient is done.
    let keeper = groups.iter().position(|group| group.contains(&claim.key.job)).unwrap_or(0);
    let part = |(index, recipients): (usize, Vec<u16>)| {
        // A recipient is in one job only, so its index names no other job.
        let least = recipients.iter().min().copied().unwrap_or(claim.key.job);
        let name = if index == keeper { claim.key.job } else { least };
        let record = JobRecord {
            shared: true,
            due: job.due,
            attempt: claim.attempt,
            recipients,
            queue: claim.queue.clone(),
            last: claim.last.clone(),
            hold: None,
            delay_told: claim.delay_told,
            changes: job.changes.clone(),
        };
        (JobKey { message, job: name }, record)
    };
    Ok(groups.into_iter().enumerate().map(part).collect())
}
