//! From a destination to a ready queue: what holds the job back, what it leaves by, and where it waits meanwhile.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::{Domain, EnhancedCode, Envelope, FailureClass, Outcome, Phase, Status, UnixMs};
use baton_store::Settlement;
use baton_store::shaping::{Action, Measure, Traits};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use crate::job::Job;
use crate::log;
use crate::ready::Pushed;
use crate::settings::OutboundSettings;
use crate::shaping::{Limiter, Limiters, Wait};
use crate::shared::Shared;
use crate::site::{Destination, Site};
use crate::sources::{Pool, Source, Warmups};
use crate::worker;
use crate::worker::Attempted;

/// The longest that a job stays away for a limit or a measure before it looks again, for they may be others by then.
const AWAY_MAX: Duration = Duration::from_secs(900);

/// Why a job goes back to the queue, and for how long.
pub(crate) struct HandBack {
    pub(crate) wait: Duration,
    /// What it waits for, in words; nothing when its ready queue is just full.
    pub(crate) why: Option<String>,
}

/// What stands between a job and its ready queue.
pub(crate) enum Held {
    /// It waits.
    Back(HandBack),
    /// It is given up.
    Bounced(Box<Measure>),
}

impl Shared {
    /// Puts a job into the ready queue of its site, and starts a worker when that is due.
    pub(crate) fn place(self: &Arc<Self>, job: Job, place: &Arc<Destination>) {
        let settings = self.settings.load();
        let source = match self.way_out(&settings, &job, place) {
            Ok(source) => source,
            Err(Held::Bounced(measure)) => return self.bounce(job, &measure),
            Err(Held::Back(back)) => return self.hand_back(job, &place.name, back),
        };
        let site = self.site(&settings, place, source);
        let (limits, pace, lane) = (&settings.limits, site.pace(), job.lane());
        let ready_max = pace.ready_max(limits.ready_max);
        let draw = || site.standing.drew(pace.draw(false));
        match site.ready.push(job.place(), job, ready_max, draw) {
            Ok(pushed) => {
                self.metrics.ready_jobs.inc();
                if pushed == Pushed::StartWorker {
                    worker::start(self, site);
                }
            }
            Err(job) => {
                self.warmups.refund(&settings.sources, source, place);
                let interval = pace.interval();
                let overflow = Duration::from_millis(limits.overflow_ms.max(1));
                let most = interval.map_or(overflow, |_| AWAY_MAX);
                let wait = site.ready.comeback(lane, ready_max, most, interval);
                let why = site.standing.held_up().map(|wait| in_words(&wait.limiter));
                self.hand_back(job, &place.name, HandBack { wait, why });
            }
        }
    }

    /// The site of a source, paced as the settings and the measures have it now.
    fn site(&self, settings: &OutboundSettings, place: &Arc<Destination>, source: &Arc<Source>) -> Arc<Site> {
        let site = place.site(source, self.destinations.weights, &self.metrics.sites);
        if !site.pace().is_by(&settings.shaping) {
            self.pace_anew(settings, &site);
        }
        site
    }

    /// What the job leaves by, unless something holds it back.
    fn way_out<'a>(
        &self,
        settings: &'a OutboundSettings,
        job: &Job,
        place: &Destination,
    ) -> Result<&'a Arc<Source>, Held> {
        let domain = job.recipients().next().map(|(_, recipient)| recipient.address.domain());
        let ways = Ways {
            settings,
            measures: &self.measures.now(),
            limiters: &self.limiters,
            warmups: &self.warmups,
            now: self.clock.now(),
            instant: Instant::now(),
        };
        ways.way_out(job.envelope(), domain, place)
    }

    /// Gives up a job, as a measure has it.
    fn bounce(self: &Arc<Self>, job: Job, measure: &Measure) {
        let text = format!("given up by {} ({}): {}", measure.by(), measure.id, measure.reason);
        let status = Status::ours(Phase::Policy, FailureClass::Policy, EnhancedCode(5, 7, 0), text);
        let shared = Arc::clone(self);
        self.spawn(async move { shared.finish(Attempted::unsent(job, &Outcome::Failed(status))).await });
    }

    /// Gives a job back to the queue for a while. The wait varies a little by chance, so that the jobs of several sites do
    /// not come back in step.
    pub(crate) fn hand_back(self: &Arc<Self>, job: Job, site: &str, back: HandBack) {
        let HandBack { wait, why } = back;
        self.metrics.overflowed.inc();
        log::overflowed(job.message(), site, wait, why.as_deref().unwrap_or("its ready queue is full"));
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let moved_ms = wait_ms.saturating_add(rand::random_range(0..=wait_ms / 8));
        let due = crate::retry::after(self.clock.now(), moved_ms, job.expires_at);
        let outcomes = why.map(|why| waiting(&job, &why)).unwrap_or_default();
        let shared = Arc::clone(self);
        self.spawn(async move {
            let settlement = Settlement { outcomes, next_due: Some(due), ..Settlement::default() };
            shared.settle(job, settlement).await;
        });
    }
}

/// What mail leaves by at a moment, and what holds it back.
pub(crate) struct Ways<'a, 'b> {
    pub(crate) settings: &'a OutboundSettings,
    pub(crate) measures: &'b [Measure],
    pub(crate) limiters: &'b Limiters,
    pub(crate) warmups: &'b Warmups,
    pub(crate) now: UnixMs,
    pub(crate) instant: Instant,
}

impl<'a> Ways<'a, '_> {
    /// What a message to this domain leaves by, unless something holds it back. It is counted as gone.
    pub(crate) fn way_out(
        &self,
        envelope: &Envelope,
        domain: Option<&Domain>,
        place: &Destination,
    ) -> Result<&'a Arc<Source>, Held> {
        let traits = traits_of(envelope, domain, place);
        if let Some(measure) = self.find(&traits, |one| one.action == Action::Bounce) {
            return Err(Held::Bounced(Box::new(measure.clone())));
        }
        if let Some(measure) = self.find(&traits, is_suspension) {
            return Err(Held::Back(self.until_its_end(measure)));
        }
        let sources = &self.settings.sources;
        if place.is_local() {
            self.within_shares(&traits)?;
            return Ok(&sources.local);
        }
        let pool = sources.pool(envelope, domain);
        let is_free = |source: &Source| self.hindrance(source, place, &traits).is_none();
        let Some(source) = pool.next(is_free) else {
            return Err(Held::Back(self.all_rest(pool, place, &traits)));
        };
        self.within_shares(&traits)?;
        self.warmups.reserve(sources, source, place, self.now);
        Ok(source)
    }

    fn find(&self, traits: &Traits<'_>, wanted: fn(&Measure) -> bool) -> Option<&Measure> {
        self.measures.iter().find(|one| wanted(one) && one.holds(self.now) && one.scope.matches(traits))
    }

    /// Takes a token of the tenant's and of the stream's rates, where they have one.
    fn within_shares(&self, traits: &Traits<'_>) -> Result<(), Held> {
        let shaping = &self.settings.shaping;
        if shaping.tenants.is_empty() && shaping.streams.is_empty() {
            return Ok(());
        }
        let now = self.instant;
        let mut taken: Vec<Arc<Limiter>> = Vec::new();
        for (about, rate) in shaping.shares(traits.tenant, traits.stream) {
            let limiter = self.limiters.rate(&about, rate, now);
            if limiter.draw(now, 1.0).is_ok() {
                taken.push(limiter);
                continue;
            }
            taken.iter().for_each(|limiter| limiter.refund(1.0));
            let wait = limiter.slot(now, 1.0).duration_since(now).min(AWAY_MAX);
            return Err(Held::Back(HandBack { wait, why: Some(in_words(&limiter)) }));
        }
        Ok(())
    }

    /// Why mail can not leave by a source now, and for how long.
    fn hindrance(&self, source: &Source, place: &Destination, traits: &Traits<'_>) -> Option<HandBack> {
        let traits = Traits { source: Some(&source.name), ..*traits };
        if let Some(measure) = self.find(&traits, is_suspension) {
            return Some(self.until_its_end(measure));
        }
        let next = self.warmups.next_room(&self.settings.sources, source, place, self.now)?;
        let why = format!("waits for the warm-up of source {} at {}", source.name, place.provider_name());
        Some(HandBack { wait: next.since(self.now).min(AWAY_MAX), why: Some(why) })
    }

    /// No source of the pool is free: the one that is so first is waited for.
    fn all_rest(&self, pool: &Pool, place: &Destination, traits: &Traits<'_>) -> HandBack {
        let hindrances = pool.sources().filter_map(|source| self.hindrance(source, place, traits));
        hindrances.min_by_key(|back| back.wait).unwrap_or_else(|| HandBack {
            wait: AWAY_MAX,
            why: Some(format!("the pool {} has no source", pool.name)),
        })
    }

    fn until_its_end(&self, measure: &Measure) -> HandBack {
        let wait = measure.until.map_or(AWAY_MAX, |until| until.since(self.now)).min(AWAY_MAX);
        let end = measure.until.map_or_else(String::new, |until| format!(" until {}", moment(until)));
        let Measure { scope, id, reason, .. } = measure;
        let why = format!("{scope} is suspended{end} by {} ({id}): {reason}", measure.by());
        HandBack { wait, why: Some(why) }
    }
}

/// What is known of a message on its way to a place, but for its source.
pub(crate) fn traits_of<'a>(
    envelope: &'a Envelope,
    domain: Option<&'a Domain>,
    place: &'a Destination,
) -> Traits<'a> {
    Traits {
        tenant: envelope.tenant.as_deref(),
        stream: envelope.stream.as_deref(),
        domain: domain.map(Domain::as_str),
        provider: place.provider.as_deref(),
        site: Some(&place.name),
        source: None,
    }
}

fn is_suspension(measure: &Measure) -> bool {
    measure.action == Action::Suspend
}

/// A moment, in UTC.
fn moment(at: UnixMs) -> String {
    let time = OffsetDateTime::from_unix_timestamp(at.seconds()).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "a far day".to_owned())
}

/// What waits for a token, in words.
pub(crate) fn in_words(limiter: &Limiter) -> String {
    format!("waits for the {} ({})", limiter.about, limiter.rate)
}

/// As [`in_words`], with the moment at which there will be one.
pub(crate) fn until_in_words(wait: &Wait, now: UnixMs) -> (String, UnixMs) {
    (in_words(&wait.limiter), now.plus(wait.until.saturating_duration_since(Instant::now())))
}

/// The outcome for each recipient: not tried, for a reason of ours. What a peer said last is kept with it.
fn waiting(job: &Job, why: &str) -> Vec<(u16, Outcome)> {
    let last = job.claim.last.as_ref();
    let mut text = why.to_owned();
    match last {
        Some(last) if last.code.is_some() => text.push_str(&format!("{BEFORE}{last}")),
        Some(last) => {
            text.push_str(last.text.split_once(BEFORE).map(|(_, before)| before).map_or("", |before| before))
        }
        None => {}
    }
    let class = last.map_or(FailureClass::Rate, |last| last.class);
    // RFC 3463 3.5: mail system congestion.
    let status = Status::ours(Phase::Policy, class, EnhancedCode(4, 4, 5), text);
    job.claim.recipients.iter().map(|index| (*index, Outcome::Deferred(status.clone()))).collect()
}

/// Stands before what a peer said last.
const BEFORE: &str = "; before that: ";
