//! The events of a simulation, one after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::lane::LANE_WEIGHTS;
use baton_mail::{Envelope, Outcome, UnixMs};
use baton_store::shaping::{Action, Measure, add_measure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Scenario;
use super::layout::{
    BEGIN, DAY_MS, Place, SimSite, envelope_of, kind_of, places_of, shares_of, sites_of, within_hours,
};
use super::model::{Offer, Provider};
use super::report::{Day, Kind, Report, seconds};
use crate::measuring::{counts_for_warmup, rules_of, sign_of, slowness};
use crate::placing::{Held, Ways};
use crate::ready::{Next, Pushed, WorkerSlot};
use crate::retry;
use crate::settings::OutboundSettings;
use crate::shaping::{Limiters, Observed, RuleAction, Tallies};
use crate::site::Destinations;
use crate::sources::Warmups;

/// How long a worker that waits for a place among the connections of a provider waits before it looks again.
const PLACE_WAIT: Duration = Duration::from_secs(1);
/// As long as a worker sleeps at most.
const SLEEP_MAX: Duration = Duration::from_secs(900);

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A day is over.
    Midnight,
    /// A measure may have come to its end.
    MeasureEnds,
    /// The next message of this traffic comes.
    Arrives(usize),
    /// A message is due.
    Due(usize),
    /// A worker looks for its next message.
    Looks(usize),
    /// A worker had nothing to do for as long as a connection is kept, since it parked for this time.
    Idles(usize, u64),
    /// A worker has the answer to its message.
    Answers(usize),
}

/// A message in the queue.
struct Mail {
    traffic: usize,
    domain: usize,
    accepted: Duration,
    attempts: u16,
}

struct Worker<'a> {
    site: usize,
    slot: WorkerSlot<'a, usize>,
    /// Messages over the open connection.
    link: Option<u32>,
    mail: Option<usize>,
    parked: Option<(oneshot::Receiver<Option<usize>>, u64)>,
    place: Option<tokio::sync::OwnedSemaphorePermit>,
}

struct Engine<'a> {
    settings: &'a OutboundSettings,
    scenario: &'a Scenario,
    /// How long a message is tried.
    lifetime: Duration,
    providers: Vec<Provider<'a>>,
    places: &'a [Place],
    sites: &'a [SimSite],
    envelopes: Vec<Envelope>,
    /// The domains of each traffic with the sum of the shares up to them.
    shares: Vec<Vec<(f64, usize)>>,
    limiters: &'a Limiters,
    warmups: Warmups,
    tallies: Tallies,
    measures: Vec<Measure>,
    origin: Instant,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    number: u64,
    mails: Vec<Option<Mail>>,
    free: Vec<usize>,
    workers: Vec<Option<Worker<'a>>>,
    random: StdRng,
    days: Vec<Day>,
    queued: Vec<u64>,
    report: Report,
}

/// Plays it all.
pub(super) fn play(
    settings: &OutboundSettings,
    scenario: &Scenario,
    lifetime: Duration,
    seed: u64,
) -> Report {
    let limiters = Limiters::default();
    let origin = Instant::now();
    let destinations = Destinations::new(LANE_WEIGHTS);
    let places = places_of(settings, scenario, &destinations);
    let sites = sites_of(settings, &places, &limiters, origin);
    let mut engine = Engine {
        settings,
        scenario,
        providers: scenario.providers.iter().map(Provider::new).collect(),
        shares: scenario.traffic.iter().map(|traffic| shares_of(traffic, &places)).collect(),
        envelopes: scenario.traffic.iter().map(|traffic| envelope_of(traffic, lifetime)).collect(),
        lifetime,
        places: &places,
        sites: &sites,
        limiters: &limiters,
        warmups: Warmups::default(),
        tallies: Tallies::default(),
        measures: Vec::new(),
        origin,
        now: Duration::ZERO,
        events: BinaryHeap::new(),
        number: 0,
        mails: Vec::new(),
        free: Vec::new(),
        workers: Vec::new(),
        random: StdRng::seed_from_u64(seed),
        days: Vec::new(),
        queued: vec![0; scenario.providers.len()],
        report: Report { kinds: scenario.traffic.iter().map(kind_of).collect(), ..Report::default() },
    };
    engine.begin_day(1);
    engine.at(Duration::from_millis(DAY_MS), Event::Midnight);
    for traffic in 0..scenario.traffic.len() {
        engine.plan_arrival(traffic);
    }
    while let Some(Reverse((at, _, event))) = engine.events.pop() {
        engine.now = at;
        engine.happen(event);
        if engine.days.is_empty() {
            break;
        }
    }
    engine.report.queued = engine.queued.iter().sum();
    engine.report.kinds.iter_mut().for_each(Kind::close);
    engine.report
}

impl<'a> Engine<'a> {
    fn at(&mut self, at: Duration, event: Event) {
        self.number += 1;
        self.events.push(Reverse((at, self.number, event)));
    }

    fn instant(&self) -> Instant {
        self.origin + self.now
    }

    fn time(&self) -> UnixMs {
        BEGIN.plus(self.now)
    }

    fn after(&self, at: UnixMs) -> Duration {
        self.now + at.since(self.time())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Midnight => self.end_day(),
            Event::MeasureEnds => self.apply_measures(),
            Event::Arrives(traffic) => self.arrive(traffic),
            Event::Due(mail) => self.place(mail),
            Event::Looks(worker) => self.look(worker),
            Event::Idles(worker, number) => self.idle(worker, number),
            Event::Answers(worker) => self.answer(worker),
        }
    }

    fn begin_day(&mut self, day: u32) {
        self.days = self.scenario.providers.iter().map(|model| Day::new(day, &model.name)).collect();
    }

    fn end_day(&mut self) {
        let day = self.days.first().map_or(0, |day| day.day);
        for (mut day, queued) in std::mem::take(&mut self.days).into_iter().zip(&self.queued) {
            day.close(*queued);
            self.report.days.push(day);
        }
        if day < self.scenario.days {
            self.begin_day(day + 1);
            self.at(self.now + Duration::from_millis(DAY_MS), Event::Midnight);
        }
    }

    fn day(&mut self, provider: usize, change: impl FnOnce(&mut Day)) {
        if let Some(day) = self.days.get_mut(provider) {
            change(day);
        }
    }

    /// The waits between arrivals are by chance, as of many senders who know nothing of one another.
    fn plan_arrival(&mut self, traffic: usize) {
        let Some(kind) = self.scenario.traffic.get(traffic) else { return };
        if kind.per_day == 0 {
            return;
        }
        let window = Duration::from_secs(u64::from(kind.hours) * 3_600);
        let mean = window.as_secs_f64() / f64::from(kind.per_day);
        let wait = -mean * (1.0 - self.random.random::<f64>()).ln();
        let at = within_hours(self.now + Duration::from_secs_f64(wait), kind, window);
        if at < Duration::from_millis(DAY_MS) * self.scenario.days {
            self.at(at, Event::Arrives(traffic));
        }
    }

    fn arrive(&mut self, traffic: usize) {
        self.plan_arrival(traffic);
        let Some(shares) = self.shares.get(traffic) else { return };
        let drawn = self.random.random::<f64>() * shares.last().map_or(0.0, |(sum, _)| *sum);
        let Some((_, domain)) = shares.iter().find(|(sum, _)| drawn < *sum).or(shares.last()).copied() else {
            return;
        };
        let mail = Mail { traffic, domain, accepted: self.now, attempts: 0 };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(slot) = self.mails.get_mut(number) {
                    *slot = Some(mail);
                }
                number
            }
            None => {
                self.mails.push(Some(mail));
                self.mails.len() - 1
            }
        };
        self.report.offered += 1;
        if let Some(kind) = self.report.kinds.get_mut(traffic) {
            kind.offered += 1;
        }
        if let Some(place) = self.places.get(domain) {
            if let Some(queued) = self.queued.get_mut(place.provider) {
                *queued += 1;
            }
            self.day(place.provider, |day| day.offered += 1);
        }
        self.place(number);
    }

    /// As `Shared::place`.
    fn place(&mut self, number: usize) {
        let places = self.places;
        let Some(mail) = self.mails.get(number).and_then(Option::as_ref) else { return };
        let (Some(place), Some(envelope)) = (places.get(mail.domain), self.envelopes.get(mail.traffic))
        else {
            return;
        };
        let ways = Ways {
            settings: self.settings,
            measures: &self.measures,
            limiters: self.limiters,
            warmups: &self.warmups,
            now: self.time(),
            instant: self.instant(),
        };
        let source = match ways.way_out(envelope, Some(&place.domain), &place.destination) {
            Ok(source) => Arc::clone(source),
            Err(Held::Bounced(_)) => return self.end(number, None),
            Err(Held::Back(back)) => {
                let moved = back.wait.mul_f64(1.0 + self.random.random::<f64>() / 8.0);
                return self.put_off(number, moved);
            }
        };
        let sites = self.sites;
        let is_its =
            |site: &&SimSite| Arc::ptr_eq(&site.destination, &place.destination) && site.source == source;
        let Some(site) = sites.iter().find(is_its) else { return };
        let (lane_place, lane) = (envelope.place(), envelope.lane());
        let (instant, limits) = (self.instant(), &self.settings.limits);
        let pace = site.pace.borrow();
        let ready_max = pace.ready_max(limits.ready_max);
        let draw = || site.standing.drew(pace.draw_at(false, instant));
        match site.ready.push_at(lane_place, number, ready_max, instant, draw) {
            Ok(Pushed::StartWorker) => self.start_worker(site),
            Ok(Pushed::Taken) => self.call_parked(site),
            Err(number) => {
                self.warmups.refund(&self.settings.sources, &source, &place.destination);
                let interval = pace.interval();
                let overflow = Duration::from_millis(limits.overflow_ms.max(1));
                let most = interval.map_or(overflow, |_| SLEEP_MAX);
                let wait = site.ready.comeback_at(lane, ready_max, most, interval, instant);
                self.put_off(number, wait);
            }
        }
    }

    fn put_off(&mut self, number: usize, wait: Duration) {
        let Some(mail) = self.mails.get(number).and_then(Option::as_ref) else { return };
        let end = BEGIN.plus(mail.accepted + self.lifetime);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let due = retry::after(self.time(), wait_ms, end);
        if due >= end {
            return self.end(number, None);
        }
        self.at(self.after(due), Event::Due(number));
    }

    fn start_worker(&mut self, site: &'a SimSite) {
        let index = self.sites.iter().position(|one| std::ptr::eq(one, site)).unwrap_or_default();
        let slot = WorkerSlot::new(&site.ready);
        let worker = Worker { site: index, slot, link: None, mail: None, parked: None, place: None };
        let free = self.workers.iter().position(Option::is_none).unwrap_or(self.workers.len());
        if free == self.workers.len() {
            self.workers.push(None);
        }
        if let Some(place) = self.workers.get_mut(free) {
            *place = Some(worker);
        }
        self.at(self.now, Event::Looks(free));
    }

    /// Workers that wait with an open connection may have been given something.
    fn call_parked(&mut self, site: &SimSite) {
        let sites = self.sites;
        let mut called = Vec::new();
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let Some(worker) = worker else { continue };
            if !sites.get(worker.site).is_some_and(|one| std::ptr::eq(one, site)) {
                continue;
            }
            let Some((receiver, _)) = &mut worker.parked else { continue };
            if let Ok(given) = receiver.try_recv() {
                worker.parked = None;
                called.push((index, given));
            }
        }
        for (index, given) in called {
            match given {
                Some(mail) => self.deliver(index, mail),
                None => self.at(self.now, Event::Looks(index)),
            }
        }
    }

    /// As `Worker::next_job`.
    fn look(&mut self, index: usize) {
        let (now, instant, idle) = (self.now, self.instant(), self.settings.limits.idle_ms);
        let sites = self.sites;
        let Some(worker) = self.workers.get_mut(index).and_then(Option::as_mut) else { return };
        let Some(site) = sites.get(worker.site) else { return };
        let pace = site.pace.borrow();
        if let Some(places) = pace.places.as_ref().filter(|_| worker.place.is_none()) {
            worker.place = places.try_take();
            if worker.place.is_none() {
                return self.at(now + PLACE_WAIT, Event::Looks(index));
            }
        }
        let opens = worker.link.is_none();
        let draw = || site.standing.drew(pace.draw_at(opens, instant));
        let next = if opens { worker.slot.next_or_retire(draw) } else { worker.slot.next_or_park(draw) };
        match next {
            Next::Job(mail, more) => {
                if more {
                    self.start_worker(site);
                }
                self.deliver(index, mail);
            }
            Next::Wait(until) => {
                let wait = until.saturating_duration_since(instant).min(SLEEP_MAX);
                if wait > Duration::from_millis(idle) {
                    (worker.link, worker.place) = (None, None);
                }
                // The runtime's timers count milliseconds.
                let wait = wait.max(Duration::from_millis(1));
                self.at(now + wait, Event::Looks(index));
            }
            Next::Parked(receiver) => {
                let number = self.number;
                worker.parked = Some((receiver, number));
                self.at(now + Duration::from_millis(idle), Event::Idles(index, number));
            }
            Next::Over => {
                if let Some(place) = self.workers.get_mut(index) {
                    *place = None;
                }
            }
        }
        let is_called = site.ready.len() > 0;
        drop(pace);
        if is_called {
            self.call_parked(site);
        }
    }

    fn idle(&mut self, index: usize, number: u64) {
        let Some(worker) = self.workers.get_mut(index).and_then(Option::as_mut) else { return };
        let Some((receiver, _)) = worker.parked.take_if(|(_, since)| *since == number) else { return };
        match worker.slot.unpark(receiver) {
            Some(mail) => self.deliver(index, mail),
            None => {
                (worker.link, worker.place) = (None, None);
                self.at(self.now, Event::Looks(index));
            }
        }
    }

    fn deliver(&mut self, index: usize, mail: usize) {
        let Some(worker) = self.workers.get_mut(index).and_then(Option::as_mut) else { return };
        worker.mail = Some(mail);
        worker.link.get_or_insert(0);
        let provider = self.sites.get(worker.site).map_or(0, |site| site.provider);
        let model = self.providers.get(provider).map(|provider| provider.model.latency_ms);
        let took = Duration::from_millis(model.unwrap_or_default().max(1));
        self.at(self.now + took, Event::Answers(index));
    }

    fn answer(&mut self, index: usize) {
        let sites = self.sites;
        let Some(worker) = self.workers.get_mut(index).and_then(Option::as_mut) else { return };
        let (Some(number), Some(site)) = (worker.mail.take(), sites.get(worker.site)) else { return };
        let (site_index, instant) = (worker.site, self.origin + self.now);
        let connections = self
            .workers
            .iter()
            .flatten()
            .filter(|one| one.link.is_some() && same_source(sites, one.site, site_index))
            .count();
        let Some(mail) = self.mails.get(number).and_then(Option::as_ref) else { return };
        let age = self.now - mail.accepted;
        let offer = Offer { source: &site.source.name, at: self.now, instant, age, connections };
        let Some(provider) = self.providers.get_mut(site.provider) else { return };
        let outcome = provider.answer(&offer, &mut self.random);
        let into_day =
            Duration::from_millis(u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX) % DAY_MS);
        self.day(site.provider, |day| day.attempted(into_day));
        let closes = outcome.status().code.is_none_or(|code| code == 421);
        let messages_max = site.pace.borrow().limits.messages_per_connection;
        let messages_max =
            messages_max.unwrap_or(u32::MAX).min(self.settings.limits.deliveries_per_connection_max);
        if let Some(worker) = self.workers.get_mut(index).and_then(Option::as_mut) {
            let messages = worker.link.map_or(1, |messages| messages + 1);
            worker.link = (!closes && messages < messages_max).then_some(messages);
            if worker.link.is_none() {
                worker.place = None;
            }
        }
        self.settle(number, site, outcome);
        self.at(self.now, Event::Looks(index));
    }

    /// As `Shared::observe` and the settlement behind it.
    fn settle(&mut self, number: usize, site: &SimSite, mut outcome: Outcome) {
        let settings = self.settings;
        if let Some(sign) = sign_of(&outcome) {
            let allowed = site.standing.note_at(sign, site.bound(settings), self.instant());
            site.ready.set_workers_max(allowed);
        }
        if matches!(outcome, Outcome::Delivered(_)) {
            return self.end(number, Some(&site.source.name));
        }
        settings.classes.classify(outcome.status_mut());
        self.day(site.provider, |day| day.deferred += 1);
        let class = outcome.status().class;
        if matches!(&outcome, Outcome::Deferred(status) if status.code.is_some()) && counts_for_warmup(class)
        {
            self.warmups.note_deferred(&settings.sources, &site.source, &site.destination);
        }
        let again = self.follow_rules(number, site, &outcome);
        let Some(mail) = self.mails.get_mut(number).and_then(Option::as_mut) else { return };
        mail.attempts = mail.attempts.saturating_add(1);
        let (accepted, attempts) = (BEGIN.plus(mail.accepted), mail.attempts);
        let expires = accepted.plus(self.lifetime);
        let schedule = settings.retry_by_class.of(class, &settings.retry);
        let end = schedule.end(accepted, expires);
        let now = self.time();
        if !again && (matches!(outcome, Outcome::Failed(_)) || end <= now) {
            return self.end(number, None);
        }
        let chance = self.random.random::<f64>();
        let due = match again {
            true => retry::after(now, 0, expires),
            false => schedule.next_attempt(now, attempts, end, chance),
        };
        self.at(self.after(due), Event::Due(number));
    }

    /// Takes the measures that are due; true when the message goes by another source at once.
    fn follow_rules(&mut self, number: usize, site: &SimSite, outcome: &Outcome) -> bool {
        let settings = self.settings;
        let mail = self.mails.get(number).and_then(Option::as_ref);
        let Some((envelope, place)) =
            mail.and_then(|mail| Some((self.envelopes.get(mail.traffic)?, self.places.get(mail.domain)?)))
        else {
            return false;
        };
        let observed = Observed {
            provider: site.destination.provider.as_deref(),
            site: &site.destination.name,
            source: &site.source.name,
            tenant: envelope.tenant.as_deref(),
            stream: envelope.stream.as_deref(),
            domain: Some(place.domain.as_str()),
        };
        let rules = rules_of(settings, &site.destination);
        let now = (self.time(), self.instant());
        let Some((rule, due)) = self.tallies.observe(rules, outcome, &observed, now) else { return false };
        let pool = settings.sources.pool(envelope, Some(&place.domain));
        let has_another = pool.sources().any(|source| *source != site.source);
        if let Some(new) = due {
            let until = new.until;
            if add_measure(&mut self.measures, new, now.0).is_some() {
                let name = rule.name.clone();
                self.day(site.provider, |day| *day.rules.entry(name).or_default() += 1);
                if let Some(until) = until {
                    self.at(self.after(until), Event::MeasureEnds);
                }
                self.apply_measures();
            }
        }
        rule.action == RuleAction::OtherSource && has_another
    }

    /// As `Shared::apply_measures`.
    fn apply_measures(&mut self) {
        let (now, instant, sites) = (self.time(), self.instant(), self.sites);
        let ended: Vec<Measure> = self.measures.extract_if(.., |one| !one.holds(now)).collect();
        for site in sites {
            let traits = site.traits();
            let rested = |one: &Measure| one.action == Action::Suspend && one.scope.matches(&traits);
            let is_suspended = self.measures.iter().any(rested);
            if !is_suspended && ended.iter().any(rested) {
                site.standing.restart(site.bound(self.settings));
                site.ready.set_workers_max(1);
            }
            let slower = slowness(&self.measures, now, &traits);
            #[allow(clippy::float_cmp)]
            if site.pace.borrow().factor() != slower {
                site.pace_by(self.settings, self.limiters, slower, instant);
            }
            if is_suspended {
                for number in site.ready.take_all(|_| true) {
                    self.warmups.refund(&self.settings.sources, &site.source, &site.destination);
                    self.at(self.now, Event::Due(number));
                }
            }
        }
    }

    /// A message leaves the queue: delivered by a source, or given up.
    fn end(&mut self, number: usize, delivered: Option<&str>) {
        let Some(mail) = self.mails.get_mut(number).and_then(Option::take) else { return };
        self.free.push(number);
        let delay = self.now - mail.accepted;
        if let Some(kind) = self.report.kinds.get_mut(mail.traffic) {
            match delivered {
                Some(_) => {
                    kind.delivered += 1;
                    kind.delays_s.push(seconds(delay));
                }
                None => kind.failed += 1,
            }
        }
        let Some(provider) = self.places.get(mail.domain).map(|place| place.provider) else { return };
        if let Some(queued) = self.queued.get_mut(provider) {
            *queued = queued.saturating_sub(1);
        }
        match delivered {
            Some(source) => {
                self.report.delivered += 1;
                self.day(provider, |day| day.delivered(source, delay));
            }
            None => {
                self.report.failed += 1;
                self.day(provider, |day| day.failed += 1);
            }
        }
    }
}

fn same_source(sites: &[SimSite], one: usize, other: usize) -> bool {
    match (sites.get(one), sites.get(other)) {
        (Some(one), Some(other)) => one.provider == other.provider && one.source == other.source,
        _ => false,
    }
}
