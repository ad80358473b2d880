//! From what a site says to what follows: its window of connections, the rules, and the measures that they take.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use baton_mail::{Domain, FailureClass, Outcome, Phase, UnixMs};
use baton_store::shaping::{Action, Measure, Traits};
use tokio::time::Instant;

use crate::job::Job;
use crate::log;
use crate::placing::traits_of;
use crate::settings::OutboundSettings;
use crate::shaping::{Observed, Pace, Rule, RuleAction, ShapingSettings, Sign};
use crate::shared::Shared;
use crate::site::{Destination, Site};
use crate::worker::Batch;

/// How long a site that rested begins with one connection, should it be made anew after its rest.
const REMEMBERED: Duration = Duration::from_secs(900);
/// How often ends of measures are looked for, and counters saved.
const TICK: Duration = Duration::from_secs(1);

/// How often it is looked which sites are the busiest.
const RANK_PERIOD: Duration = Duration::from_secs(30);

impl Shared {
    /// Takes note of the outcomes of a delivery. Where a rule has the source rest and the pool has another one, what was
    /// refused for it is tried again at once: true.
    pub(crate) async fn observe(
        &self,
        settings: &OutboundSettings,
        site: &Site,
        batch: &Batch,
        outcomes: &mut [Outcome],
    ) -> bool {
        self.metrics.count_sent(site.destination.provider_name(), &site.source.name, outcomes);
        let bound = site.pace().connections(settings.limits.connections_max);
        if let Some(sign) = outcomes.iter().filter_map(sign_of).max_by_key(|sign| *sign as u8) {
            site.ready.set_workers_max(site.standing.note(sign, bound));
        }
        if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered(_))) {
            return false;
        }
        outcomes.iter_mut().for_each(|outcome| settings.classes.classify(outcome.status_mut()));
        let Some(job) = batch.first() else { return false };
        let deferred = |outcome: &Outcome| matches!(outcome, Outcome::Deferred(status) if status.code.is_some() && counts_for_warmup(status.class));
        if outcomes.iter().any(deferred) {
            self.warmups.note_deferred(&settings.sources, &site.source, &site.destination);
        }
        let domain = job.recipients().next().map(|(_, recipient)| recipient.address.domain());
        let observed = Observed {
            provider: site.destination.provider.as_deref(),
            site: &site.destination.name,
            source: &site.source.name,
            tenant: job.envelope().tenant.as_deref(),
            stream: job.envelope().stream.as_deref(),
            domain: domain.map(Domain::as_str),
        };
        let mut moves = false;
        let mut told: Vec<Outcome> = Vec::new();
        for index in 0..outcomes.len() {
            let Some(outcome) = outcomes.get_mut(index) else { break };
            // The same words to several recipients are one reply.
            if told.contains(outcome) {
                continue;
            }
            told.push(outcome.clone());
            let rules = rules_of(settings, &site.destination);
            let now = (self.clock.now(), Instant::now());
            let Some((rule, due)) = self.tallies.observe(rules, outcome, &observed, now) else { continue };
            if let Some(measure) = due {
                match self.measures.take(measure).await {
                    Ok(Some(measure)) => log::measure_taken(&measure),
                    Ok(None) => log::too_many_measures(&rule.name),
                    Err(error) => log::measure_not_kept(&rule.name, &error),
                }
            }
            let goes_on = rule.action == RuleAction::OtherSource && self.has_another(settings, site, batch);
            if goes_on {
                moves = true;
                outcomes.iter_mut().filter(|one| rule.fits(one.status())).for_each(defer);
            }
        }
        moves
    }

    /// Whether the mail of a batch could leave by another source than that of the site.
    fn has_another(&self, settings: &OutboundSettings, site: &Site, batch: &Batch) -> bool {
        let Some(job) = batch.first() else { return false };
        let domain = job.recipients().next().map(|(_, recipient)| recipient.address.domain());
        let pool = settings.sources.pool(job.envelope(), domain);
        pool.sources().any(|source| {
            let traits = Traits { source: Some(&source.name), ..site.traits() };
            *source != site.source
                && self.measures.find(&traits, |one| one.action == Action::Suspend).is_none()
        })
    }

    /// Paces a site by these settings and the measures of the moment.
    pub(crate) fn pace_anew(&self, settings: &OutboundSettings, site: &Site) {
        let place = &site.destination;
        let provider = place.provider.as_deref().and_then(|name| settings.shaping.provider(name));
        let names = (place.name.as_str(), site.source.name.as_str());
        let provider = provider.map(Arc::as_ref);
        let pace = if place.is_local() {
            Pace::unlimited(&settings.shaping)
        } else {
            Pace::new(&settings.shaping, &self.limiters, provider, names, Instant::now())
        };
        let pace = pace.slowed(self.slowness(site));
        let bound = pace.connections(settings.limits.connections_max);
        site.pace.store(Arc::new(pace));
        if self.rested_lately(site) {
            site.standing.restart(bound);
        }
        site.ready.set_workers_max(site.standing.allowed(bound));
        site.ready.stir();
    }

    /// How many times slower a site is for now.
    fn slowness(&self, site: &Site) -> f64 {
        slowness(&self.measures.now(), self.clock.now(), &site.traits())
    }

    /// Whether a new site is one that rested a moment ago.
    fn rested_lately(&self, site: &Site) -> bool {
        let mut rested = self.rested.lock();
        if rested.is_empty() || site.is_known.swap(true, Ordering::Relaxed) {
            return false;
        }
        rested.retain(|(_, at)| at.elapsed() < REMEMBERED);
        rested.iter().any(|(measure, _)| measure.scope.matches(&site.traits()))
    }

    /// Follows the measures: what they suspend goes back to the queue, what rested begins with one connection.
    pub(crate) async fn follow_measures(self: Arc<Self>) {
        let mut changes = self.measures.changes();
        changes.mark_changed();
        let mut ranked_at = Instant::now();
        let mut paced_by = Arc::clone(&self.settings.load().shaping);
        self.metrics.sites.rank(self.settings.load().limits.metric_sites_max);
        loop {
            let changed = tokio::select! {
                changed = changes.changed() => changed.is_ok(),
                () = tokio::time::sleep(TICK) => false,
            };
            let ended = self.measures.drop_ended();
            for measure in &ended {
                log::measure_ended(measure);
            }
            if changed || !ended.is_empty() {
                let now = Instant::now();
                let suspensions = ended.into_iter().filter(|one| one.action == Action::Suspend);
                self.rested.lock().extend(suspensions.map(|measure| (measure, now)));
                self.metrics.measures.set(i64::try_from(self.measures.now().len()).unwrap_or(i64::MAX));
                self.apply_measures();
            }
            self.follow_settings(&mut paced_by);
            if ranked_at.elapsed() >= RANK_PERIOD {
                ranked_at = Instant::now();
                self.metrics.sites.rank(self.settings.load().limits.metric_sites_max);
            }
            if let Err(error) = self.warmups.save(&self.store.kv()).await {
                log::warmup_not_saved(&error);
            }
        }
    }

    /// New settings pace what waits too, not only what comes.
    fn follow_settings(&self, paced_by: &mut Arc<ShapingSettings>) {
        let settings = self.settings.load();
        if Arc::ptr_eq(paced_by, &settings.shaping) {
            return;
        }
        *paced_by = Arc::clone(&settings.shaping);
        for site in self.destinations.in_use().iter().flat_map(|place| place.sites()) {
            self.pace_anew(&settings, &site);
        }
    }

    fn apply_measures(self: &Arc<Self>) {
        let settings = self.settings.load();
        let names_mail = self.measures.now().iter().any(|one| one.scope.names_mail());
        for site in self.destinations.in_use().iter().flat_map(|place| place.sites()) {
            let suspension = self.measures.find(&site.traits(), |one| one.action == Action::Suspend);
            let was_suspended = site.is_suspended.swap(suspension.is_some(), Ordering::Relaxed);
            if was_suspended && suspension.is_none() {
                let bound = site.pace().connections(settings.limits.connections_max);
                site.standing.restart(bound);
                site.ready.set_workers_max(1);
            }
            let held = match suspension {
                Some(_) => site.ready.take_all(|_| true),
                None if names_mail => site.ready.take_all(|job| self.is_held_back(job, &site)),
                None => Vec::new(),
            };
            self.metrics.ready_jobs.dec_by(i64::try_from(held.len()).unwrap_or(0));
            for job in held {
                // It is placed anew, and goes by another source or waits as it is told there.
                self.warmups.refund(&settings.sources, &site.source, &site.destination);
                self.place(job, &site.destination);
            }
            #[allow(clippy::float_cmp)]
            if site.pace().factor() != self.slowness(&site) {
                self.pace_anew(&settings, &site);
            }
        }
    }

    /// True when a measure that names a tenant, a stream or a domain holds back what waits for a site.
    fn is_held_back(&self, job: &Job, site: &Site) -> bool {
        let domain = job.recipients().next().map(|(_, recipient)| recipient.address.domain());
        let traits = Traits {
            source: Some(&site.source.name),
            ..traits_of(job.envelope(), domain, &site.destination)
        };
        self.measures.find(&traits, |one| matches!(one.action, Action::Suspend | Action::Bounce)).is_some()
    }
}

/// The rules of a place: those of its provider first.
pub(crate) fn rules_of<'a>(
    settings: &'a OutboundSettings,
    place: &Destination,
) -> impl Iterator<Item = &'a Rule> + use<'a> {
    let provider = place.provider.as_deref().and_then(|name| settings.shaping.provider(name));
    let own = provider.into_iter().flat_map(|provider| provider.rules.iter());
    own.chain(&settings.shaping.rules).map(Arc::as_ref)
}

/// How many times slower mail with these traits is for now.
pub(crate) fn slowness(measures: &[Measure], now: UnixMs, traits: &Traits<'_>) -> f64 {
    let factor = |one: &Measure| match one.action {
        Action::SlowDown(factor) if one.holds(now) && one.scope.matches(traits) => Some(factor),
        _ => None,
    };
    measures.iter().filter_map(factor).fold(1.0, f64::max)
}

/// What is tried again is not a permanent failure (RFC 3463 3.1).
fn defer(outcome: &mut Outcome) {
    if let Outcome::Failed(status) = outcome {
        let mut status = status.clone();
        status.enhanced.0 = 4;
        *outcome = Outcome::Deferred(status);
    }
}

/// What an outcome says of a site's load; nothing when it says nothing of the site.
pub(crate) fn sign_of(outcome: &Outcome) -> Option<Sign> {
    let status = outcome.status();
    match (outcome, status.code) {
        (Outcome::Delivered(_), _) => Some(Sign::Well),
        (_, Some(421)) => Some(Sign::Overloaded),
        (_, Some(_)) if status.class == FailureClass::Rate => Some(Sign::Overloaded),
        (Outcome::Deferred(_), Some(_)) if counts_for_warmup(status.class) => Some(Sign::Refused),
        (_, Some(_)) => Some(Sign::Well),
        // The relay's own word: a host that can not be reached, or does not answer.
        (_, None) => match (status.class, status.phase) {
            (FailureClass::Network, Phase::Connect) => Some(Sign::Refused),
            (FailureClass::Network, _) => Some(Sign::Overloaded),
            _ => None,
        },
    }
}

/// Deferrals that do not lie in the recipient or the message.
pub(crate) fn counts_for_warmup(class: FailureClass) -> bool {
    use FailureClass::{BadMailbox, Content, Greylist, Quota, TooLarge};
    !matches!(class, BadMailbox | Content | Greylist | Quota | TooLarge)
}

#[cfg(test)]
mod tests {
    use baton_mail::status::Remote;
    use baton_mail::{EnhancedCode, Reply, Status};

    use super::*;

    #[test]
    fn answers_are_signs_of_the_site_only_when_they_are_about_it() {
        let replied = |code: u16, enhanced: EnhancedCode| {
            let reply = Reply::new(code, enhanced, "x");
            let mut status = Status::from_reply(Phase::Rcpt, &reply, Remote::named("mx.example"));
            crate::Classes::default().classify(&mut status);
            sign_of(&if code < 500 { Outcome::Deferred(status) } else { Outcome::Failed(status) })
        };
        assert_eq!(replied(421, EnhancedCode(4, 7, 0)), Some(Sign::Overloaded));
        assert_eq!(replied(451, EnhancedCode(4, 7, 1)), Some(Sign::Refused));
        assert_eq!(replied(452, EnhancedCode(4, 2, 2)), Some(Sign::Well), "a full mailbox");
        assert_eq!(replied(550, EnhancedCode(5, 1, 1)), Some(Sign::Well));
        let ours = Status::ours(Phase::Policy, FailureClass::Unknown, EnhancedCode(4, 3, 0), "x");
        assert_eq!(sign_of(&Outcome::Deferred(ours)), None);
    }
}
