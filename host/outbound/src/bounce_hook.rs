//! Judging failed recipients: the `bounce` plugins are asked about each, then it is retried, reported or forgotten.

use std::sync::Arc;

use baton_hooks::{BounceAnswer, Call, FailureFacts, Generation, Hook};
use baton_mail::event::Decision;
use baton_mail::{EnhancedCode, FailureClass, Outcome, Phase, Reply, Status, UnixMs};

use crate::job::Job;
use crate::retry;
use crate::route_hook::{attempt_facts, content};
use crate::settings::OutboundSettings;
use crate::settle::expired;
use crate::shared::Shared;

/// One recipient's outcome, and what follows from it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) index: u16,
    pub(crate) outcome: Outcome,
    /// When it is tried again; for deferred ones only.
    pub(crate) next_attempt: Option<UnixMs>,
    /// The sender is to be told.
    pub(crate) report: bool,
    /// What the plugins did.
    pub(crate) decisions: Vec<Decision>,
}

impl Judged {
    /// True when one event can tell of both.
    pub(crate) fn is_told_like(&self, other: &Judged) -> bool {
        self.outcome == other.outcome
            && self.next_attempt == other.next_attempt
            && self.decisions == other.decisions
    }
}

/// Judges every outcome of an attempt.
pub(crate) async fn judge(
    shared: &Shared,
    settings: &OutboundSettings,
    job: &Job,
    outcomes: Vec<(u16, Outcome)>,
    now: UnixMs,
) -> Vec<Judged> {
    let generation = shared.hooks.load_full();
    let mut plugins = Plugins { generation, call: None };
    // One chance for the whole job: its recipients come back together.
    let chance = rand::random::<f64>();
    let mut judged = Vec::with_capacity(outcomes.len());
    for (index, mut outcome) in outcomes {
        if matches!(outcome, Outcome::Delivered(_)) {
            judged.push(Judged { index, outcome, next_attempt: None, report: false, decisions: Vec::new() });
            continue;
        }
        settings.classes.classify(outcome.status_mut());
        if matches!(outcome, Outcome::Deferred(_)) && job.is_expired(now) {
            outcome = Outcome::Failed(expired(job, Some(outcome.status())));
        }
        let (answer, decisions) = plugins.ask(shared, job, index, &mut outcome).await;
        let schedule = settings.retry_by_class.of(outcome.status().class, &settings.retry);
        let end = schedule.end(job.envelope().received_at, job.expires_at);
        if matches!((&answer, &outcome), (BounceAnswer::Next, Outcome::Deferred(_))) && end <= now {
            outcome = Outcome::Failed(given_up(outcome.status()));
        }
        let by_schedule = schedule.next_attempt(now, job.attempt(), end, chance);
        // At the moment that its sender named, there is something to tell.
        let by_schedule = job.told_at().filter(|at| *at > now).map_or(by_schedule, |at| at.min(by_schedule));
        let by_schedule = job.wait_ms.map_or(by_schedule, |ms| retry::after(now, ms, job.expires_at));
        let (outcome, next_attempt, report) =
            conclude(answer, outcome, job.is_expired(now), by_schedule, |wait_ms| {
                retry::after(now, wait_ms, job.expires_at)
            });
        judged.push(Judged { index, outcome, next_attempt, report, decisions });
    }
    judged
}

/// The end of a message that failed in one way for as long as failures of that class are tried.
fn given_up(status: &Status) -> Status {
    // The host stands behind the whole.
    let last = Status { remote: None, ..status.clone() };
    let text = format!("given up after failures of one kind ({}); last: {last}", status.class);
    // RFC 3463 3.5: delivery time expired.
    let given_up = Status::ours(Phase::Expired, status.class, EnhancedCode(4, 4, 7), text);
    Status { remote: status.remote.clone(), ..given_up }
}

/// What an answer makes of an outcome: the outcome, when the next attempt is, whether to report.
///
/// No answer keeps a message alive that is too old.
fn conclude(
    answer: BounceAnswer,
    outcome: Outcome,
    is_expired: bool,
    by_schedule: UnixMs,
    after: impl Fn(u64) -> UnixMs,
) -> (Outcome, Option<UnixMs>, bool) {
    let give_up = |outcome: Outcome, report: bool| (Outcome::Failed(outcome.status().clone()), None, report);
    let again = |outcome: Outcome, at: UnixMs| (Outcome::Deferred(outcome.status().clone()), Some(at), false);
    match answer {
        BounceAnswer::Notify | BounceAnswer::Fail => give_up(outcome, true),
        BounceAnswer::Silent => give_up(outcome, false),
        BounceAnswer::Retry(_) | BounceAnswer::Reroute if is_expired => give_up(outcome, true),
        BounceAnswer::Retry(wait_ms) => again(outcome, after(wait_ms)),
        BounceAnswer::Reroute => again(outcome, after(0)),
        BounceAnswer::Next => match outcome {
            Outcome::Deferred(_) => again(outcome, by_schedule),
            other => give_up(other, true),
        },
    }
}

/// The plugins of this moment, and the call that they share over the recipients of a job.
struct Plugins {
    generation: Arc<Generation>,
    call: Option<Call>,
}

impl Plugins {
    async fn ask(
        &mut self,
        shared: &Shared,
        job: &Job,
        index: u16,
        outcome: &mut Outcome,
    ) -> (BounceAnswer, Vec<Decision>) {
        // What an operator ended, no plugin keeps alive.
        let is_asked = self.generation.has(Hook::Bounce) && job.claim.give_up().is_none();
        let Some(recipient) = job.recipient(index).filter(|_| is_asked) else {
            return (BounceAnswer::Next, Vec::new());
        };
        if self.call.is_none() {
            let facts = attempt_facts(shared, job, job.attempt());
            self.call = Some(Call::queued(job.envelope().clone(), content(shared, job).await, facts));
        }
        let Some(call) = &mut self.call else { return (BounceAnswer::Next, Vec::new()) };
        call.failure = Some(failure_facts(outcome));
        call.class = None;
        let verdict = self.generation.bounce(call, &recipient.address).await;
        if let Some(class) = call.class.take() {
            outcome.status_mut().class = class;
        }
        (verdict.answer, verdict.decisions)
    }
}

fn failure_facts(outcome: &Outcome) -> FailureFacts {
    let status = outcome.status();
    FailureFacts {
        permanent: matches!(outcome, Outcome::Failed(_)),
        phase: status.phase,
        class: status.class,
        remote_host: status.remote.as_ref().map(|remote| remote.host.clone()),
        reply: status.code.map(|code| Reply::from_lines(code, Some(status.enhanced), [status.text.as_str()])),
    }
}

/// A failure of the relay itself while it tried: never the message's fault.
pub(crate) fn our_fault(text: &str) -> Status {
    Status::ours(Phase::Policy, FailureClass::Unknown, baton_mail::EnhancedCode(4, 3, 0), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(permanent: bool) -> Outcome {
        let status = our_fault("test");
        if permanent { Outcome::Failed(status) } else { Outcome::Deferred(status) }
    }

    fn concluded(answer: BounceAnswer, permanent: bool, is_expired: bool) -> (bool, Option<u64>, bool) {
        let (outcome, next, report) =
            conclude(answer, outcome(permanent), is_expired, UnixMs(500), |wait_ms| UnixMs(1_000 + wait_ms));
        (matches!(outcome, Outcome::Failed(_)), next.map(|at| at.0), report)
    }

    #[test]
    fn without_plugins_transient_failures_are_retried_and_permanent_ones_reported() {
        assert_eq!(concluded(BounceAnswer::Next, false, false), (false, Some(500), false));
        assert_eq!(concluded(BounceAnswer::Next, true, false), (true, None, true));
    }

    #[test]
    fn plugins_can_turn_either_into_the_other() {
        assert_eq!(concluded(BounceAnswer::Retry(7), true, false), (false, Some(1_007), false));
        assert_eq!(concluded(BounceAnswer::Reroute, true, false), (false, Some(1_000), false));
        assert_eq!(concluded(BounceAnswer::Fail, false, false), (true, None, true));
        assert_eq!(concluded(BounceAnswer::Notify, false, false), (true, None, true));
        assert_eq!(concluded(BounceAnswer::Silent, true, false), (true, None, false));
    }

    #[test]
    fn the_end_of_a_message_names_the_host_once() {
        let remote = Some(baton_mail::status::Remote::named("mx.dest.example"));
        let told = given_up(&Status { remote, ..our_fault("busy") }).to_string();
        assert_eq!(told.matches("mx.dest.example").count(), 1, "{told}");
        assert!(told.contains("busy"), "{told}");
    }

    #[test]
    fn nothing_keeps_an_expired_message_alive() {
        assert_eq!(concluded(BounceAnswer::Retry(7), true, true), (true, None, true));
        assert_eq!(concluded(BounceAnswer::Reroute, true, true), (true, None, true));
    }
}
