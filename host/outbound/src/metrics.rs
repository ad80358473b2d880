//! What operators can measure about delivery. Labels are closed sets: next hop kinds, outcomes, failure classes; of sites, only
//! the busiest have series of their own.

mod sites;

use std::sync::Arc;

use baton_mail::Outcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::next_hop::NextHop;
use crate::sources::{Listing, ListingRow};

pub(crate) use sites::SiteFigures;
pub use sites::{OWN_DEFAULT, SiteTable};

/// The kind of a next hop: `mx`, `hosts`, `lmtp`, `file`, `http`, `hold`, `discard`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// The word of [`crate::NextHop::kind`].
    pub next_hop: &'static str,
}

/// What became of a recipient in one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Result {
    /// `delivered`, `deferred` or `failed`.
    pub outcome: &'static str,
    /// The failure class; `none` for deliveries.
    pub class: &'static str,
}

/// Counters and gauges of delivery.
#[derive(Debug)]
pub struct Metrics {
    /// Jobs by where the router sent them.
    pub routed: Family<Kind, Counter>,
    /// Attempts begun: one message to one next hop.
    pub attempts: Family<Kind, Counter>,
    /// Recipients by what became of them.
    pub recipients: Family<Result, Counter>,
    /// Recipients by provider, source and what became of them.
    pub sent: Family<Way, Counter>,
    /// The figures of sites.
    pub sites: Arc<SiteTable>,
    /// Measures that hold, by rules and operators.
    pub measures: Gauge,
    /// Our addresses by blocklist: 1 is listed.
    pub listed: Family<OnList, Gauge>,
    /// From taking a job out of its ready queue to the final reply, in seconds.
    pub attempt_seconds: Histogram,
    /// Connections that are open or being opened.
    pub connections_open: Gauge,
    /// Connections opened.
    pub connections: Counter,
    /// Connections that could not be opened, or were refused at greeting or EHLO.
    pub connections_failed: Counter,
    /// Jobs in ready queues.
    pub ready_jobs: Gauge,
    /// Jobs claimed and not settled.
    pub jobs: Gauge,
    /// Jobs handed back because their ready queue was full.
    pub overflowed: Counter,
    /// Connections by how they are protected.
    pub security: Family<Protection, Counter>,
    /// Fetches of MTA-STS policies by what came of them.
    pub policies: Family<PolicyFetch, Counter>,
    /// Reports queued.
    pub reports: Counter,
    /// Recipients that were not tried, by the reason why they are on a suppression list.
    pub suppressed: Family<SuppressedFor, Counter>,
    /// Questions about recipients, by what came of them.
    pub questions: Family<Question, Counter>,
}

/// What became of a recipient at a provider, by which source. Both names are of the settings, so they are few; places whose
/// provider the settings do not know are `other`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Way {
    /// The provider.
    pub provider: String,
    /// The source; empty when the settings name none.
    pub source: String,
    /// `delivered`, `deferred` or `failed`.
    pub outcome: &'static str,
}

/// An address of ours on a blocklist. All three are of the settings, so they are few.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OnList {
    /// The source; empty when the settings name none.
    pub source: String,
    /// Its address.
    pub address: String,
    /// The zone of the list.
    pub list: String,
}

/// Why a recipient is on a suppression list: the word of [`baton_store::suppression::Reason`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SuppressedFor {
    /// The word.
    pub reason: &'static str,
}

/// What came of a question: `yes`, `no`, `later`, `remembered` or `unanswered`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Question {
    /// The word.
    pub answer: &'static str,
}

/// How a connection is protected: `verified`, `unverified` or `plain`; `failed` is TLS that was welcome and failed, before
/// the connection in plain text that then follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Protection {
    /// The word.
    pub tls: &'static str,
}

/// What came of fetching an MTA-STS policy: `fetched` or `failed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PolicyFetch {
    /// The word.
    pub result: &'static str,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            routed: Family::default(),
            attempts: Family::default(),
            recipients: Family::default(),
            sent: Family::default(),
            sites: Arc::default(),
            measures: Gauge::default(),
            listed: Family::default(),
            attempt_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 10)),
            connections_open: Gauge::default(),
            connections: Counter::default(),
            connections_failed: Counter::default(),
            ready_jobs: Gauge::default(),
            jobs: Gauge::default(),
            overflowed: Counter::default(),
            security: Family::default(),
            policies: Family::default(),
            reports: Counter::default(),
            suppressed: Family::default(),
            questions: Family::default(),
        }
    }
}

impl Metrics {
    /// Makes everything visible under `baton_router_...` and `baton_delivery_...`.
    pub fn register(&self, registry: &mut Registry) {
        let router = registry.sub_registry_with_prefix("baton_router");
        router.register("routed", "Jobs by the kind of next hop that was chosen", self.routed.clone());
        let registry = registry.sub_registry_with_prefix("baton_delivery");
        registry.register("attempts", "Delivery attempts begun", self.attempts.clone());
        registry.register("recipients", "Recipients by result of an attempt", self.recipients.clone());
        registry.register("sent", "Recipients by provider, source and result", self.sent.clone());
        registry.register_collector(Box::new(Arc::clone(&self.sites)));
        registry.register("measures", "Measures of shaping that hold", self.measures.clone());
        registry.register("listed", "Our addresses by blocklist; 1 is listed", self.listed.clone());
        registry.register("attempt_seconds", "Duration of an attempt", self.attempt_seconds.clone());
        registry.register("connections_open", "Connections open", self.connections_open.clone());
        registry.register("connections", "Connections opened", self.connections.clone());
        registry.register("connections_failed", "Connections that failed", self.connections_failed.clone());
        registry.register("ready_jobs", "Jobs waiting for a connection", self.ready_jobs.clone());
        registry.register("jobs", "Jobs claimed from the queue", self.jobs.clone());
        registry.register("overflowed", "Jobs handed back by a full ready queue", self.overflowed.clone());
        registry.register("security", "Connections by protection", self.security.clone());
        registry.register("sts_policies", "MTA-STS policies fetched", self.policies.clone());
        registry.register("reports", "Delivery reports queued", self.reports.clone());
        registry.register("suppressed", "Recipients on a suppression list", self.suppressed.clone());
        registry.register("questions", "Questions about recipients", self.questions.clone());
    }

    /// Takes the last round of questions to blocklists. Where a list said nothing, there is no figure.
    pub(crate) fn set_listings(&self, rows: &[ListingRow]) {
        self.listed.clear();
        for row in rows {
            let (source, address, list) = (row.source.clone(), row.address.to_string(), row.list.to_string());
            let listed = match row.listing {
                Listing::Clear => 0,
                Listing::Listed(_) => 1,
                Listing::Unknown(_) => continue,
            };
            self.listed.get_or_create(&OnList { source, address, list }).set(listed);
        }
    }

    /// Counts a job by where it is sent.
    pub(crate) fn count_routed(&self, next_hop: &NextHop) {
        self.routed.get_or_create(&Kind { next_hop: next_hop.kind() }).inc();
    }

    /// Counts a connection by its protection.
    pub(crate) fn count_security(&self, tls: &'static str) {
        self.security.get_or_create(&Protection { tls }).inc();
    }

    /// Counts a fetch of a policy.
    pub(crate) fn count_policy(&self, result: &'static str) {
        self.policies.get_or_create(&PolicyFetch { result }).inc();
    }

    /// Counts the recipients of a delivery by where they went, and by what.
    pub(crate) fn count_sent(&self, provider: &str, source: &str, outcomes: &[Outcome]) {
        let count = |kind: &'static str, wanted: fn(&Outcome) -> bool| {
            let count = outcomes.iter().filter(|one| wanted(one)).count() as u64;
            if count > 0 {
                let way = Way { provider: provider.to_owned(), source: source.to_owned(), outcome: kind };
                self.sent.get_or_create(&way).inc_by(count);
            }
        };
        count("delivered", |one| matches!(one, Outcome::Delivered(_)));
        count("deferred", |one| matches!(one, Outcome::Deferred(_)));
        count("failed", |one| matches!(one, Outcome::Failed(_)));
    }

    /// Counts one recipient's result.
    pub(crate) fn count(&self, outcome: &Outcome) {
        let (outcome, class) = match outcome {
            Outcome::Delivered(_) => ("delivered", "none"),
            Outcome::Deferred(status) => ("deferred", status.class.as_str()),
            Outcome::Failed(status) => ("failed", status.class.as_str()),
        };
        self.recipients.get_or_create(&Result { outcome, class }).inc();
    }
}
