//! What operators may see of delivery while it runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use baton_mail::{Domain, FailureClass, UnixMs};
use baton_store::JobKey;

use crate::placing::until_in_words;
use crate::shaping::Provider;
use crate::shared::Shared;
use crate::site::Site;
use crate::sources::{ListingRow, WarmupRow};

/// A look at delivery. Cheap to clone.
#[derive(Clone)]
pub struct DeliveryView(Arc<Shared>);

/// A site as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteRow {
    /// The names of its hosts.
    pub site: String,
    /// Whose it is, when the settings know that.
    pub provider: Option<String>,
    /// What mail goes there by; empty when the settings name no sources.
    pub source: String,
    /// Jobs that wait in memory.
    pub ready: usize,
    /// Connections that are open or being opened.
    pub connections: usize,
    /// How many there may be by what the site said of late.
    pub allowed: usize,
    /// How many there may be by the settings.
    pub bound: usize,
    /// How many times slower it is for now, by measures.
    pub slower: f64,
    /// What the next message waits for, and until when.
    pub waits: Option<(String, UnixMs)>,
}

impl DeliveryView {
    pub(crate) fn new(shared: Arc<Shared>) -> DeliveryView {
        DeliveryView(shared)
    }

    /// All sites in use, the fullest first.
    pub fn sites(&self) -> Vec<SiteRow> {
        let shared = &self.0;
        let (now, most) = (shared.clock.now(), shared.settings.load().limits.connections_max);
        let places = shared.destinations.in_use();
        let sites = places.iter().flat_map(|place| place.sites());
        let mut rows: Vec<SiteRow> = sites
            .map(|site| {
                let pace = site.pace();
                let bound = pace.connections(most);
                SiteRow {
                    site: site.destination.name.clone(),
                    provider: site.destination.provider.clone(),
                    source: site.source.name.clone(),
                    ready: site.ready.len(),
                    connections: site.ready.workers(),
                    allowed: site.standing.allowed(bound),
                    bound,
                    slower: pace.factor(),
                    waits: site.standing.held_up().map(|wait| until_in_words(&wait, now)),
                }
            })
            .collect();
        rows.sort_by(|one, other| other.ready.cmp(&one.ready).then_with(|| one.site.cmp(&other.site)));
        rows
    }

    /// Hosts that could not be used a moment ago are tried again: an operator knows better.
    pub fn forget_failures(&self) {
        self.0.reach.failures.forget_all();
        self.0.reach.tls_failures.forget_all();
    }

    /// True when the settings have a source of that name.
    pub fn knows_source(&self, name: &str) -> bool {
        self.0.settings.load().sources.all().iter().any(|source| source.name == name)
    }

    /// True when the settings have a provider of that name.
    pub fn knows_provider(&self, name: &str) -> bool {
        self.0.settings.load().shaping.provider(name).is_some()
    }

    /// What jobs wait for in memory, in words, and until when; those that do not wait there are left out.
    pub fn waits(&self, jobs: &HashSet<JobKey>) -> HashMap<JobKey, (String, Option<UnixMs>)> {
        let mut waits = HashMap::new();
        let places = if jobs.is_empty() { Vec::new() } else { self.0.destinations.in_use() };
        for site in places.iter().flat_map(|place| place.sites()) {
            let found = site.ready.pick(|job| jobs.get(&job.claim.key).copied());
            if !found.is_empty() {
                let why = self.why(&site);
                waits.extend(found.into_iter().map(|key| (key, why.clone())));
            }
        }
        waits
    }

    /// What the jobs of a site wait for, in words, and until when.
    fn why(&self, site: &Site) -> (String, Option<UnixMs>) {
        let by = match site.source.name.as_str() {
            "" => String::new(),
            name => format!(" by source {name}"),
        };
        match site.standing.held_up() {
            Some(wait) => {
                let (text, until) = until_in_words(&wait, self.0.clock.now());
                (text, Some(until))
            }
            None => (format!("waits for a connection to {}{by}", site.destination.name), None),
        }
    }

    /// When a message that failed so last is given up: failures of some classes have a shorter life.
    pub fn given_up_at(
        &self,
        class: Option<FailureClass>,
        received_at: UnixMs,
        expires_at: UnixMs,
    ) -> UnixMs {
        let settings = self.0.settings.load();
        let schedule = class.map(|class| settings.retry_by_class.of(class, &settings.retry));
        schedule.map_or(expires_at, |schedule| schedule.end(received_at, expires_at))
    }

    /// Where each source with a plan stands at each provider.
    pub fn warmups(&self) -> Vec<WarmupRow> {
        let shared = &self.0;
        let (settings, now) = (shared.settings.load(), shared.clock.now());
        let mut rows = Vec::new();
        for (source, plan) in &settings.sources.warmups {
            let mut providers = shared.warmups.providers(source);
            providers.extend(plan.by_provider.keys().cloned());
            providers.sort();
            providers.dedup();
            for provider in providers {
                let position = shared.warmups.position(plan, source, &provider, now);
                let state = position.state(plan, &provider, now);
                let (source, plan) = (source.clone(), Arc::clone(plan));
                rows.push(WarmupRow { source, plan, provider, position, state });
            }
        }
        rows.sort_by(|one, other| (&one.source, &one.provider).cmp(&(&other.source, &other.provider)));
        rows
    }

    /// What blocklists say about the addresses of the sources, and how many answers more are awaited just now.
    pub fn listings(&self) -> (Vec<ListingRow>, usize) {
        self.0.listings.rows()
    }

    /// The settings were replaced: what does not wait for mail looks at them at once.
    pub fn note_reload(&self) {
        self.0.listings.note_changed();
    }

    /// So many messages of a source to a provider were complained about. False when the source has no plan.
    pub fn note_complaints(&self, source: &str, provider: &str, count: u32) -> bool {
        self.0.warmups.note_complaints(&self.0.settings.load().sources, source, provider, count)
    }

    /// A message of a source, taken by this host for this domain, was complained about.
    pub fn note_complaint_at(&self, source: &str, host: &str, domain: &Domain) {
        let shared = &self.0;
        let settings = shared.settings.load();
        let is_of = |provider: &&Arc<Provider>| provider.is_of(&[host], Some(domain));
        let provider = settings.shaping.providers.iter().find(is_of);
        let provider = provider.map_or(crate::site::NO_PROVIDER, |provider| provider.name.as_str());
        shared.warmups.note_complaints(&settings.sources, source, provider, 1);
    }
}
