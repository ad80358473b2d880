//! From a claim to a ready queue: which next hop each recipient has, by plugins or by the settings.

use std::sync::Arc;

use baton_hooks::Hook;
use baton_mail::event::What;
use baton_mail::header::{HeaderIndex, HeaderLimits};
use baton_mail::{EnhancedCode, FailureClass, Outcome, Phase, Status};
use baton_store::Settlement;

use crate::job::Job;
use crate::log;
use crate::next_hop::NextHop;
use crate::retry;
use crate::route_hook::{Planned, ask_routes};
use crate::router::{Plan, Step};
use crate::routes::RouteTable;
use crate::settle::expired;
use crate::shared::Shared;
use crate::site::{Resolved, Route};
use crate::worker::Attempted;

impl Shared {
    /// Sends jobs on their way. Never waits: what takes time is done on the side.
    ///
    /// With one next hop that was resolved not long ago this is all in place: no task, no lookup. `route` plugins are
    /// asked in place about the last job, about all others in parallel.
    pub(crate) fn dispatch(self: &Arc<Self>, mut jobs: impl ExactSizeIterator<Item = Job>) {
        while let Some(job) = jobs.next() {
            self.dispatch_one(job, jobs.len() == 0);
        }
    }

    fn dispatch_one(self: &Arc<Self>, job: Job, is_last: bool) {
        if self.may_be_suppressed(&job) {
            let shared = Arc::clone(self);
            return self.spawn(async move { shared.leave_out_suppressed(job).await });
        }
        self.dispatch_asked(job, is_last);
    }

    /// As above, when nobody of it is on a suppression list.
    pub(crate) fn dispatch_asked(self: &Arc<Self>, job: Job, is_last: bool) {
        let Some(job) = self.obey(job) else { return };
        if job.is_expired(self.clock.now()) {
            let shared = Arc::clone(self);
            return self.spawn(async move { shared.give_up(job).await });
        }
        if self.hooks.load().has(Hook::Route) {
            let shared = Arc::clone(self);
            let routed = async move { shared.route_by_plugins(job).await };
            return if is_last { self.begin(routed) } else { self.spawn(routed) };
        }
        let settings = self.settings.load();
        match one_next_hop(&settings.routes, &job) {
            Some(next_hop) => self.forward(job, Route::of_settings(next_hop)),
            None => {
                let groups = group_by_next_hop(&settings.routes, &job);
                let shared = Arc::clone(self);
                self.spawn(async move { shared.follow(job, groups).await });
            }
        }
    }

    /// Ends an expired job for all its recipients.
    async fn give_up(&self, job: Job) {
        let status = expired(&job, job.claim.last.as_ref());
        self.finish(Attempted::unsent(job, &Outcome::Failed(status))).await;
    }

    async fn route_by_plugins(self: &Arc<Self>, job: Job) {
        // The semaphore is never closed.
        let _place = self.routing.acquire().await;
        let planned = ask_routes(self, &job).await;
        self.follow(job, planned).await;
    }

    /// Follows the plans of groups of recipients; several groups become several jobs.
    async fn follow(self: &Arc<Self>, job: Job, mut groups: Vec<Planned>) {
        if groups.len() <= 1 {
            if let Some(group) = groups.pop() {
                self.follow_one(job, group).await;
            }
            return;
        }
        let recipients = groups.iter().map(|group| group.recipients.clone()).collect();
        let message = job.message();
        match self.store.split(job.claim, recipients).await {
            Ok(claims) => {
                for claim in claims {
                    // The store decides which group keeps the job's name, so the order may be another.
                    let is_its = |group: &Planned| group.recipients.first() == claim.recipients.first();
                    let Some(at) = groups.iter().position(is_its) else { continue };
                    let group = groups.swap_remove(at);
                    self.follow_one(Job::new(claim, self.gate.enter()), group).await;
                }
            }
            // The claim is handed back by being dropped, and the split is tried again with it.
            Err(error) => log::settle_failed(message, &error),
        }
    }

    async fn follow_one(self: &Arc<Self>, mut job: Job, group: Planned) {
        let now = self.clock.now();
        if let Some(routed) = group.event(&job) {
            let event = job.event(now, routed);
            job.events.push(event);
        }
        let Plan { step, not_before, expire_after } = group.plan;
        if let Some(after) = expire_after {
            job.expires_at = job.expires_at.min(job.envelope().received_at.plus(after));
        }
        if job.is_expired(now) {
            return self.give_up(job).await;
        }
        if let Some(at) = not_before.filter(|at| *at > now) {
            let settlement = Settlement { next_due: Some(at.min(job.expires_at)), ..Settlement::default() };
            return self.settle(job, settlement).await;
        }
        match step {
            Step::Forward(route) => self.forward(job, route),
            Step::Hold { reason, by } => self.hold(job, reason, by).await,
            Step::Fail(status) => self.finish(Attempted::unsent(job, &Outcome::Failed(status))).await,
            Step::Later { after_ms, status } => self.later(job, after_ms, status).await,
        }
    }

    /// Into the ready queue of the route's site.
    pub(crate) fn forward(self: &Arc<Self>, job: Job, mut route: Route) {
        route.require_tls = job.envelope().requests.require_tls;
        log::routed(&job, &route.next_hop);
        self.metrics.count_routed(&route.next_hop);
        match &*route.next_hop {
            NextHop::Hold(reason) => {
                let (shared, reason) = (Arc::clone(self), reason.clone());
                self.spawn(async move { shared.hold(job, reason, "settings".to_owned()).await });
            }
            NextHop::Discard => {
                let shared = Arc::clone(self);
                self.spawn(async move { shared.discard(job).await });
            }
            _ => match self.destinations.remembered(&route, &self.settings.load()) {
                Some(resolved) => self.arrive(job, route, resolved),
                None => {
                    let shared = Arc::clone(self);
                    self.spawn(async move {
                        let settings = shared.settings.load_full();
                        let resolved = shared.destinations.resolve(&route, &shared.reach, &settings).await;
                        shared.arrive(job, route, resolved);
                    });
                }
            },
        }
    }

    /// The way of the job is known. Where what the recipients' domain published may keep it from going, its sender may
    /// have wished that it goes rather without TLS.
    fn arrive(self: &Arc<Self>, job: Job, route: Route, resolved: Resolved) {
        if route.require_tls || route.tls_optional || !resolved.has_published_demands() {
            return self.admit(job, resolved);
        }
        let shared = Arc::clone(self);
        self.spawn(async move {
            if shared.waives_tls(&job).await {
                shared.forward(job, Route { tls_optional: true, ..route });
            } else {
                shared.admit(job, resolved);
            }
        });
    }

    fn admit(self: &Arc<Self>, job: Job, resolved: Resolved) {
        match resolved {
            Resolved::At(place) => self.place(job, &place),
            Resolved::Refused(outcome) => {
                let shared = Arc::clone(self);
                self.spawn(async move { shared.finish(Attempted::unsent(job, &outcome)).await });
            }
        }
    }

    /// True when the header says `TLS-Required: No` (RFC 8689 5). A message that can not be read wishes nothing.
    async fn waives_tls(&self, job: &Job) -> bool {
        let Ok(body) = self.body(job).await else { return false };
        let header = body.to_content().header;
        let Ok(index) = HeaderIndex::scan(&header, &HeaderLimits::default()) else { return false };
        let values = index.all("TLS-Required");
        matches!(values.as_slice(), [value] if value.trim_ascii().eq_ignore_ascii_case(b"no"))
    }

    /// Keeps the job until an operator decides.
    async fn hold(&self, job: Job, reason: String, by: String) {
        log::held(job.message(), &reason, &by);
        let event = job.event(self.clock.now(), What::Held { reason: reason.clone(), by });
        let settlement = Settlement { hold: Some(reason), events: vec![event], ..Settlement::default() };
        self.settle(job, settlement).await;
    }

    /// Takes the job out of the queue without delivering it.
    async fn discard(&self, job: Job) {
        let by = "route discard";
        log::discarded(job.message(), by);
        let status = Status::ours(Phase::Policy, FailureClass::Unknown, EnhancedCode(2, 0, 0), "discarded");
        let recipients = job.recipients().map(|(_, recipient)| recipient.address.clone()).collect();
        let what =
            What::Discarded { by: by.to_owned(), reason: "the next hop is `discard`".to_owned(), recipients };
        let event = job.event(self.clock.now(), what);
        let outcomes =
            job.claim.recipients.iter().map(|index| (*index, Outcome::Delivered(status.clone()))).collect();
        let settlement =
            Settlement { outcomes, count_attempt: true, events: vec![event], ..Settlement::default() };
        self.settle(job, settlement).await;
    }

    /// Waits because a plugin could not be asked or named something that is not there. Not an attempt.
    pub(crate) async fn later(&self, job: Job, after_ms: u64, status: Status) {
        let now = self.clock.now();
        let due = retry::after(now, after_ms, job.expires_at);
        let recipients: Vec<_> = job.recipients().map(|(_, recipient)| recipient.address.clone()).collect();
        log::deferred(job.message(), &recipients, &status, job.attempt(), due);
        let what = What::Deferred {
            recipients,
            status: status.clone(),
            attempt: job.attempt(),
            next_attempt: due,
            decisions: Vec::new(),
        };
        let event = job.event(now, what);
        let outcomes =
            job.claim.recipients.iter().map(|index| (*index, Outcome::Deferred(status.clone()))).collect();
        let settlement =
            Settlement { outcomes, next_due: Some(due), events: vec![event], ..Settlement::default() };
        self.settle(job, settlement).await;
    }
}

/// The next hop of all recipients, when it is the same. Recipients of one domain need only one look.
fn one_next_hop(routes: &RouteTable, job: &Job) -> Option<Arc<NextHop>> {
    let mut recipients = job.recipients().map(|(_, recipient)| recipient.address.domain());
    let first = recipients.next()?;
    let next_hop = routes.find(first);
    let same = |domain| domain == first || *routes.find(domain) == *next_hop;
    recipients.all(same).then_some(next_hop)
}

fn group_by_next_hop(routes: &RouteTable, job: &Job) -> Vec<Planned> {
    let mut groups: Vec<Planned> = Vec::new();
    for (index, recipient) in job.recipients() {
        let plan = Plan::forward(Route::of_settings(routes.find(recipient.address.domain())));
        Planned::add(&mut groups, index, plan, Vec::new());
    }
    groups
}
