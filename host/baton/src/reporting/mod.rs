//! Our reports about others: counts are written down each minute, and sent when their day (UTC) is over.
//!
//! Invariant: a day of a domain is reported once: its counts are gone from the store before the report is queued. A crash at
//! that moment loses a report; it never sends one twice.
//!
//! Invariant: mail that carries a report of ours is counted nowhere and causes no report of its own, whatever becomes of it;
//! nor is mail to where reports come in.

mod counts;
mod posts;
mod sending;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use baton_dns::Resolver;
use baton_identity::Signer;
use baton_identity::reports::outgoing::{DmarcCounts, Kind, Tally, TlsCounts};
use baton_mail::{Clock, Domain, Mailbox};
use baton_outbound::HttpClient;
use baton_store::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;

use crate::events;

/// What an operator may say about our reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportingSettings {
    /// Reports about TLS are sent.
    pub(crate) tls: bool,
    /// Reports of DMARC are sent.
    pub(crate) dmarc: bool,
    /// The address that reports come from.
    pub(crate) from: Mailbox,
    /// Our name, which stands for the organization.
    pub(crate) submitter: Domain,
    /// Reports are signed when the domain in their From has keys.
    pub(crate) sign: bool,
}

/// What reporting is given.
pub(crate) struct ReporterDeps {
    pub(crate) store: Store,
    pub(crate) resolver: Resolver,
    pub(crate) signer: Signer,
    pub(crate) http: HttpClient,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What became of reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SentLabel {
    /// `tls` or `dmarc`.
    kind: &'static str,
    /// `mailed`, `posted`, `unwanted`, `later` or `failed`.
    result: &'static str,
}

/// Keeps counts and sends reports. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Reporter(Arc<Inner>);

struct Inner {
    deps: ReporterDeps,
    settings: ArcSwap<ReportingSettings>,
    tls: Arc<Tally<TlsCounts>>,
    dmarc: Arc<Tally<DmarcCounts>>,
    /// One at a time: counts are read, changed and written.
    turn: Mutex<()>,
    sent: Family<SentLabel, Counter>,
}

impl Reporter {
    pub(crate) fn new(settings: ReportingSettings, deps: ReporterDeps, registry: &mut Registry) -> Reporter {
        let sent = Family::default();
        registry.register(
            "baton_reports_sent",
            "Our reports about others by what became of them",
            sent.clone(),
        );
        let (tls, dmarc) =
            (Arc::new(Tally::new(deps.clock.clone())), Arc::new(Tally::new(deps.clock.clone())));
        let own = ArcSwap::from_pointee(settings.clone());
        let inner = Inner { deps, settings: own, tls, dmarc, turn: Mutex::default(), sent };
        inner.switch(&settings);
        Reporter(Arc::new(inner))
    }

    /// Where messages are counted.
    pub(crate) fn dmarc(&self) -> Arc<Tally<DmarcCounts>> {
        self.0.dmarc.clone()
    }

    /// Where connections are counted.
    pub(crate) fn tls(&self) -> Arc<Tally<TlsCounts>> {
        self.0.tls.clone()
    }

    /// Goes on by other settings; the name stays what others know us by.
    pub(crate) fn replace_settings(&self, settings: ReportingSettings) {
        self.0.switch(&settings);
        let submitter = self.0.settings.load().submitter.clone();
        self.0.settings.store(Arc::new(ReportingSettings { submitter, ..settings }));
    }

    /// Writes counts down each minute, and sends what is due, for ever.
    pub(crate) async fn run(self) {
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            for told in self.pass(false).await {
                events::report_sent(&told);
            }
        }
    }

    /// Writes down what was counted. Once begun it comes to its end, whoever gives up waiting for it.
    pub(crate) async fn keep(&self) {
        let own = self.clone();
        let written = tokio::spawn(async move {
            let _turn = own.0.turn.lock().await;
            own.write_down().await;
        });
        if let Err(error) = written.await {
            events::report_counts_lost("all", &error);
        }
    }

    /// Sends what is due; with `all`, also what was counted of the running day. Tells what became of each report that
    /// somebody wants.
    pub(crate) async fn pass(&self, all: bool) -> Vec<String> {
        self.keep().await;
        let _turn = self.0.turn.lock().await;
        let mut told = Vec::new();
        for kind in [Kind::Tls, Kind::Dmarc] {
            for due in self.due(kind, all).await {
                told.extend(self.send(&due, all).await);
            }
        }
        told.extend(self.post_again().await);
        told
    }

    fn count(&self, kind: Kind, result: &'static str) {
        self.0.sent.get_or_create(&SentLabel { kind: kind.as_str(), result }).inc();
    }
}

impl Inner {
    /// Counts what is to be told, and nothing else.
    fn switch(&self, settings: &ReportingSettings) {
        self.tls.switch(settings.tls);
        self.dmarc.switch(settings.dmarc);
    }
}

/// How often counts are written down.
const WRITE_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
