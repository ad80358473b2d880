//! Asking the `route` plugins about each recipient of a job.

use baton_hooks::{AttemptFacts, Call};
use baton_mail::body::Content;
use baton_mail::event::{Decision, What};

use crate::job::Job;
use crate::router::{Plan, Step};
use crate::shared::Shared;

/// Decisions that one event tells of at most; a message to thousands tells of the first ones.
const DECISIONS_MAX: usize = 64;

/// Recipients of one job that go the same way.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) recipients: Vec<u16>,
    pub(crate) plan: Plan,
    pub(crate) decisions: Vec<Decision>,
}

impl Planned {
    /// Adds a recipient to the group with the same plan, or makes a new group.
    pub(crate) fn add(groups: &mut Vec<Planned>, index: u16, plan: Plan, mut decisions: Vec<Decision>) {
        match groups.iter_mut().find(|group| group.plan == plan) {
            Some(group) => {
                group.recipients.push(index);
                let room = DECISIONS_MAX.saturating_sub(group.decisions.len());
                decisions.truncate(room);
                group.decisions.append(&mut decisions);
            }
            None => groups.push(Planned { recipients: vec![index], plan, decisions }),
        }
    }

    /// What to tell of it, when a plugin did anything.
    pub(crate) fn event(&self, job: &Job) -> Option<What> {
        if self.decisions.is_empty() {
            return None;
        }
        let next_hop = match &self.plan.step {
            Step::Forward(route) => route.next_hop.to_string(),
            Step::Hold { reason, .. } => format!("hold: {reason}"),
            Step::Fail(status) => format!("fail: {status}"),
            Step::Later { status, .. } => format!("later: {status}"),
        };
        let recipients = job.recipients().map(|(_, recipient)| recipient.address.clone()).collect();
        Some(What::Routed { recipients, next_hop, decisions: self.decisions.clone() })
    }
}

/// The facts that `route` and `bounce` plugins see of the attempts so far.
pub(crate) fn attempt_facts(shared: &Shared, job: &Job, finished: u16) -> AttemptFacts {
    let age = shared.clock.now().since(job.envelope().received_at);
    AttemptFacts {
        attempt: u32::from(finished),
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        last: job.claim.last.clone(),
    }
}

/// The message for plugins; none when it can not be read now, which is no reason not to ask them.
pub(crate) async fn content(shared: &Shared, job: &Job) -> Option<Content> {
    Some(shared.body(job).await.ok()?.to_content())
}

/// Asks about every recipient; those with equal plans are one group.
pub(crate) async fn ask_routes(shared: &Shared, job: &Job) -> Vec<Planned> {
    let generation = shared.hooks.load_full();
    let settings = shared.settings.load_full();
    let facts = attempt_facts(shared, job, job.claim.attempt);
    let mut call = Call::queued(job.envelope().clone(), content(shared, job).await, facts);
    let mut groups = Vec::new();
    for (index, recipient) in job.recipients() {
        let verdict = generation.route(&mut call, &recipient.address).await;
        let edits = std::mem::take(&mut call.routes);
        let domain = recipient.address.domain();
        let mut plan = Plan::new(verdict.answer, verdict.by.clone(), edits, &settings.routes, domain);
        // A failure policy, or a plugin, asked for an operator's look.
        if let Some(reason) = call.quarantine.take() {
            plan.step = Step::Hold { reason, by: verdict.by.unwrap_or_else(|| "plugin policy".to_owned()) };
        }
        Planned::add(&mut groups, index, plan, verdict.decisions);
    }
    groups
}
