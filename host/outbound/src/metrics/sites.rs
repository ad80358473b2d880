//! What is counted of single sites. There may be any number of them, so only the busiest have series of their own; the others
//! share one, whose site is called `other`.
//!
//! A site that becomes busy is counted on its own from then on, from zero; what it did before stays with the others. One that
//! is not busy any more goes back to them. So no counter ever goes down while it has its name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use baton_mail::Outcome;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

/// Sites that are known at most; beyond them, those that did least are forgotten.
const SITES_KNOWN_MAX: usize = 10_000;
/// A site takes the place of another one only when it is so much busier: else they would change places all the time.
const BUSIER: f64 = 1.5;
/// The name of all that have none of their own.
const OTHER: &str = "other";

/// The figures of one site by one source.
#[derive(Debug, Default)]
pub(crate) struct SiteFigures {
    /// It has series of its own.
    is_own: AtomicBool,
    own: Figures,
    /// Recipients since it was last looked how busy it is.
    latest: AtomicU64,
    rest: Arc<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    delivered: AtomicU64,
    deferred: AtomicU64,
    failed: AtomicU64,
    attempts: AtomicU64,
    micros: AtomicU64,
}

impl SiteFigures {
    /// Counts an attempt.
    pub(crate) fn note(&self, outcomes: &[Outcome], took: Duration) {
        let figures = if self.is_own.load(Ordering::Relaxed) { &self.own } else { &*self.rest };
        figures.attempts.fetch_add(1, Ordering::Relaxed);
        figures.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        for outcome in outcomes {
            let counter = match outcome {
                Outcome::Delivered(_) => &figures.delivered,
                Outcome::Deferred(_) => &figures.deferred,
                Outcome::Failed(_) => &figures.failed,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.latest.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
    }
}

/// The figures of all sites.
#[derive(Debug)]
pub struct SiteTable {
    known: Mutex<HashMap<SiteName, Known>>,
    rest: Arc<Figures>,
    /// Sites with series of their own at most.
    own_max: AtomicUsize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SiteName {
    site: String,
    source: String,
}

#[derive(Debug)]
struct Known {
    figures: Arc<SiteFigures>,
    /// How busy it was of late: recipients, of which half are forgotten at each look.
    busy: f64,
}

impl Default for SiteTable {
    fn default() -> SiteTable {
        SiteTable { known: Mutex::default(), rest: Arc::default(), own_max: AtomicUsize::new(OWN_DEFAULT) }
    }
}

/// Sites with series of their own, when the settings say nothing.
pub const OWN_DEFAULT: usize = 50;

impl SiteTable {
    /// The figures of a site by a source.
    pub(crate) fn of(&self, site: &str, source: &str) -> Arc<SiteFigures> {
        let mut known = self.known.lock();
        let name = SiteName { site: site.to_owned(), source: source.to_owned() };
        if let Some(known) = known.get(&name) {
            return Arc::clone(&known.figures);
        }
        if known.len() >= SITES_KNOWN_MAX {
            forget_idle(&mut known);
        }
        let own = known.values().filter(|one| one.figures.is_own.load(Ordering::Relaxed)).count();
        let is_own = own < self.own_max.load(Ordering::Relaxed);
        let figures = SiteFigures {
            is_own: AtomicBool::new(is_own),
            rest: Arc::clone(&self.rest),
            ..SiteFigures::default()
        };
        let figures = Arc::new(figures);
        known.insert(name, Known { figures: Arc::clone(&figures), busy: 0.0 });
        figures
    }

    /// Looks which sites are busy, and gives those series of their own; to be called now and then.
    pub(crate) fn rank(&self, own_max: usize) {
        self.own_max.store(own_max, Ordering::Relaxed);
        let mut known = self.known.lock();
        for one in known.values_mut() {
            one.busy = one.busy / 2.0 + one.figures.latest.swap(0, Ordering::Relaxed) as f64;
        }
        let worth = |one: &Known| {
            let is_own = one.figures.is_own.load(Ordering::Relaxed);
            if is_own { one.busy * BUSIER } else { one.busy }
        };
        let mut order: Vec<&Known> = known.values().collect();
        order.sort_by(|one, other| worth(other).total_cmp(&worth(one)));
        for (place, one) in order.into_iter().enumerate() {
            let was_own = one.figures.is_own.load(Ordering::Relaxed);
            // Where there is room, who has a name keeps it.
            let is_own = place < own_max && (one.busy > 0.0 || was_own);
            if is_own && !was_own {
                one.figures.own.clear();
            }
            one.figures.is_own.store(is_own, Ordering::Relaxed);
        }
    }

    /// The sites that have series of their own, and the rest.
    fn rows(&self) -> Vec<(SiteName, [u64; 5])> {
        let known = self.known.lock();
        let own = known.iter().filter(|(_, one)| one.figures.is_own.load(Ordering::Relaxed));
        let mut rows: Vec<_> = own.map(|(name, one)| (name.clone(), one.figures.own.read())).collect();
        rows.sort_by(|one, other| (&one.0.site, &one.0.source).cmp(&(&other.0.site, &other.0.source)));
        rows.push((SiteName { site: OTHER.to_owned(), source: OTHER.to_owned() }, self.rest.read()));
        rows
    }
}

impl Figures {
    fn all(&self) -> [&AtomicU64; 5] {
        [&self.delivered, &self.deferred, &self.failed, &self.attempts, &self.micros]
    }

    fn read(&self) -> [u64; 5] {
        self.all().map(|counter| counter.load(Ordering::Relaxed))
    }

    fn clear(&self) {
        self.all().into_iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
    }
}

/// Forgets the half of the sites that did least of late, but none that somebody still counts for.
fn forget_idle(known: &mut HashMap<SiteName, Known>) {
    let mut busy: Vec<f64> = known.values().map(|one| one.busy).collect();
    busy.sort_by(f64::total_cmp);
    let middle = busy.get(busy.len() / 2).copied().unwrap_or_default();
    known.retain(|_, one| one.busy > middle || Arc::strong_count(&one.figures) > 1);
}

/// Labels of a site's series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SiteLabels {
    site: String,
    source: String,
}

/// The same with what became of recipients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    site: String,
    source: String,
    outcome: &'static str,
}

impl Collector for SiteTable {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let rows = self.rows();
        let help = "Recipients by site, source and result; the busiest sites, and all others";
        let mut family = encoder.encode_descriptor("site_recipients", help, None, MetricType::Counter)?;
        for (SiteName { site, source }, [delivered, deferred, failed, ..]) in &rows {
            for (outcome, count) in [("delivered", delivered), ("deferred", deferred), ("failed", failed)] {
                let labels = OutcomeLabels { site: site.clone(), source: source.clone(), outcome };
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        let labels = |name: &SiteName| SiteLabels { site: name.site.clone(), source: name.source.clone() };
        let help = "Attempts by site and source";
        let mut family = encoder.encode_descriptor("site_attempts", help, None, MetricType::Counter)?;
        for (name, [.., attempts, _]) in &rows {
            ConstCounter::new(*attempts).encode(family.encode_family(&labels(name))?)?;
        }
        let help = "Time that attempts took, by site and source";
        let mut family =
            encoder.encode_descriptor("site_attempt_seconds", help, None, MetricType::Counter)?;
        for (name, [.., micros]) in &rows {
            let seconds = *micros as f64 / 1e6;
            ConstCounter::new(seconds).encode(family.encode_family(&labels(name))?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use baton_mail::{EnhancedCode, FailureClass, Phase, Status};

    use super::*;

    fn deliver(table: &SiteTable, site: &str, recipients: usize) {
        let status = Status::ours(Phase::Data, FailureClass::Unknown, EnhancedCode(2, 0, 0), "x");
        let outcomes = vec![Outcome::Delivered(status); recipients];
        table.of(site, "a").note(&outcomes, Duration::from_millis(500));
    }

    fn shown(table: &SiteTable) -> Vec<(String, u64)> {
        table.rows().into_iter().map(|(name, figures)| (name.site, figures[0])).collect()
    }

    fn is(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
        rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn the_busiest_have_series_of_their_own_and_none_is_counted_twice() {
        let table = SiteTable::default();
        table.rank(2);
        for (site, count) in [("first", 1), ("second", 2), ("third", 5)] {
            deliver(&table, site, count);
        }
        assert_eq!(shown(&table), is(&[("first", 1), ("second", 2), ("other", 5)]), "first come");
        table.rank(2);
        deliver(&table, "third", 7);
        deliver(&table, "first", 1);
        assert_eq!(shown(&table), is(&[("second", 2), ("third", 7), ("other", 6)]));
        for _ in 0..20 {
            table.rank(2);
        }
        assert_eq!(shown(&table).len(), 3, "who is idle keeps its name while there is room");
    }

    #[test]
    fn sites_that_did_least_are_forgotten() {
        let table = SiteTable::default();
        for number in 0..=SITES_KNOWN_MAX {
            deliver(&table, &format!("site-{number}"), 1);
        }
        assert!(table.known.lock().len() <= SITES_KNOWN_MAX);
        let sum: u64 = shown(&table).into_iter().map(|(_, count)| count).sum();
        assert!(sum > SITES_KNOWN_MAX as u64 - OWN_DEFAULT as u64, "{sum}");
    }
}
