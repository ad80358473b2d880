//! What a simulation is made of: recipient domains with their destinations, sites, and the traffic.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::{Domain, Envelope, MessageId, Origin, ReversePath, UnixMs};
use baton_store::shaping::Traits;
use tokio::time::Instant;

use super::report::Kind;
use super::{Scenario, Traffic};
use crate::next_hop::{HostPort, NextHop};
use crate::ready::ReadyQueue;
use crate::security::TlsPolicy;
use crate::settings::OutboundSettings;
use crate::shaping::{Limiters, Pace, Standing};
use crate::site::{Candidate, Destination, Destinations, Route, Target, provider_of};
use crate::sources::Source;

/// When simulations begin: a midnight.
pub(super) const BEGIN: UnixMs = UnixMs(20_000 * 86_400_000);
/// Milliseconds of a day.
pub(super) const DAY_MS: u64 = 86_400_000;

/// A recipient domain.
pub(super) struct Place {
    pub(super) domain: Domain,
    pub(super) provider: usize,
    pub(super) destination: Arc<Destination>,
}

/// A destination by one source.
pub(super) struct SimSite {
    pub(super) destination: Arc<Destination>,
    pub(super) source: Arc<Source>,
    pub(super) provider: usize,
    pub(super) ready: ReadyQueue<usize>,
    pub(super) standing: Standing,
    pub(super) pace: RefCell<Pace>,
}

pub(super) fn places_of(
    settings: &OutboundSettings,
    scenario: &Scenario,
    destinations: &Destinations,
) -> Vec<Place> {
    let mut places = Vec::new();
    for (provider, model) in scenario.providers.iter().enumerate() {
        let candidate = |name: &String| Candidate {
            rank: 0,
            host: HostPort { host: name.clone(), port: 25 },
            trusted: false,
            tls: TlsPolicy::default(),
        };
        let target = Target::Smtp(model.mx_hosts.iter().map(candidate).collect());
        for domain in model.domains.iter().filter_map(|name| name.parse::<Domain>().ok()) {
            let route = Route::of_settings(Arc::new(NextHop::Mx(domain.clone())));
            let owner = provider_of(&route, settings, &target);
            let destination = destinations.destination(&route, target.clone(), owner);
            places.push(Place { domain, provider, destination });
        }
    }
    places
}

pub(super) fn sites_of(
    settings: &OutboundSettings,
    places: &[Place],
    limiters: &Limiters,
    origin: Instant,
) -> Vec<SimSite> {
    let mut sites: Vec<SimSite> = Vec::new();
    for place in places {
        if sites.iter().any(|site| Arc::ptr_eq(&site.destination, &place.destination)) {
            continue;
        }
        for source in settings.sources.all() {
            let site = SimSite {
                destination: Arc::clone(&place.destination),
                source,
                provider: place.provider,
                ready: ReadyQueue::new(settings.limits.lane_weights),
                standing: Standing::default(),
                pace: RefCell::default(),
            };
            site.pace_by(settings, limiters, 1.0, origin);
            sites.push(site);
        }
    }
    sites
}

pub(super) fn shares_of(traffic: &Traffic, places: &[Place]) -> Vec<(f64, usize)> {
    let mut sum = 0.0;
    let share = |(name, share): (&String, &f64)| {
        let place = places.iter().position(|place| place.domain.as_str() == name)?;
        sum += share.max(0.0);
        Some((sum, place))
    };
    traffic.domains.iter().filter_map(share).collect()
}

pub(super) fn kind_of(traffic: &Traffic) -> Kind {
    let names = [traffic.tenant.as_deref(), traffic.stream.as_deref()];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join("/");
    Kind { name: if name.is_empty() { "mail".to_owned() } else { name }, ..Kind::default() }
}

pub(super) fn envelope_of(traffic: &Traffic, lifetime: Duration) -> Envelope {
    let id = MessageId::first_at(BEGIN);
    let mut envelope = Envelope::new(id, BEGIN, lifetime, ReversePath::Null, Origin::internal());
    envelope.tenant.clone_from(&traffic.tenant);
    envelope.stream.clone_from(&traffic.stream);
    envelope.priority = traffic.priority;
    envelope
}

impl SimSite {
    pub(super) fn pace_by(
        &self,
        settings: &OutboundSettings,
        limiters: &Limiters,
        slower: f64,
        now: Instant,
    ) {
        let name = self.destination.provider.as_deref();
        let provider = name.and_then(|name| settings.shaping.provider(name)).map(Arc::as_ref);
        let names = (self.destination.name.as_str(), self.source.name.as_str());
        let pace = Pace::new(&settings.shaping, limiters, provider, names, now).slowed(slower);
        let bound = pace.connections(settings.limits.connections_max);
        self.pace.replace(pace);
        self.ready.set_workers_max(self.standing.allowed(bound));
    }

    pub(super) fn bound(&self, settings: &OutboundSettings) -> usize {
        self.pace.borrow().connections(settings.limits.connections_max)
    }

    pub(super) fn traits(&self) -> Traits<'_> {
        Traits {
            provider: self.destination.provider.as_deref(),
            site: Some(&self.destination.name),
            source: Some(&self.source.name),
            ..Traits::default()
        }
    }
}

/// The moment, or the next one at which the traffic has its hours.
pub(super) fn within_hours(at: Duration, kind: &Traffic, window: Duration) -> Duration {
    let day = Duration::from_millis(DAY_MS);
    let begin = Duration::from_secs(u64::from(kind.from_hour) * 3_600);
    let into_day = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(u64::MAX) % DAY_MS);
    let into_window = (into_day + day).saturating_sub(begin);
    let into_window = if into_window >= day { into_window - day } else { into_window };
    match into_window < window {
        true => at,
        // What would come outside comes as much later as its window is away.
        false => at + (day - into_window),
    }
}
