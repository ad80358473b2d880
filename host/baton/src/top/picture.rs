//! From two looks at the relay to what is shown of it.

use baton_api::delivery::{MeasuresView, SiteView, SitesView};
use baton_api::figures::{Figures, Series};
use baton_api::wire::SummaryView;
use baton_mail::UnixMs;

use crate::render::words::relative;

/// One look at the relay.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) figures: Figures,
    pub(super) sites: SitesView,
    pub(super) queue: SummaryView,
    pub(super) measures: MeasuresView,
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) at: UnixMs,
    /// Seconds between the looks.
    seconds: f64,
    pub(super) traffic: Traffic,
    pub(super) sites: Vec<SiteLine>,
    pub(super) sources: Vec<SourceLine>,
    /// Classes of failures: per second, and since the start.
    pub(super) errors: Vec<(String, f64, f64)>,
    /// Queues: jobs and octets.
    pub(super) queues: Vec<(String, u64, u64)>,
    pub(super) measures: Vec<String>,
}

/// The relay as a whole; per second where nothing else is said.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    pub(super) sessions: f64,
    pub(super) accepted: f64,
    pub(super) accepted_octets: f64,
    pub(super) refused_for_now: f64,
    pub(super) refused: f64,
    pub(super) connections: f64,
    pub(super) delivered: f64,
    pub(super) deferred: f64,
    pub(super) failed: f64,
    /// Seconds: median and 99th percentile.
    pub(super) attempt_s: [Option<f64>; 2],
    pub(super) accept_s: [Option<f64>; 2],
    pub(super) sync_s: [Option<f64>; 2],
    pub(super) ready: u64,
    pub(super) waiting: u64,
    pub(super) held: u64,
    pub(super) claimed: u64,
    pub(super) octets: u64,
    pub(super) oldest_due_s: f64,
}

/// A site by one source; per second where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SiteLine {
    pub(super) site: String,
    pub(super) provider: String,
    pub(super) source: String,
    pub(super) ready: usize,
    pub(super) connections: usize,
    pub(super) allowed: usize,
    pub(super) delivered: f64,
    pub(super) deferred: f64,
    pub(super) failed: f64,
    /// Seconds that an attempt took on average.
    pub(super) latency_s: Option<f64>,
    pub(super) waits: String,
}

/// A source over all sites; per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SourceLine {
    pub(super) source: String,
    pub(super) delivered: f64,
    pub(super) deferred: f64,
    pub(super) failed: f64,
}

impl Picture {
    /// What happened between two looks, so many seconds apart.
    pub(super) fn of(before: &Look, now: &Look, seconds: f64) -> Picture {
        let mut picture = Picture { at: now.measures.now, seconds: seconds.max(0.001), ..Picture::default() };
        picture.traffic = picture.traffic(before, now);
        picture.sites = picture.sites(before, now);
        picture.sources = picture.sources(before, now);
        let mut errors: Vec<_> = now
            .figures
            .by("baton_delivery_recipients_total", "class")
            .into_iter()
            .filter(|(class, count)| class != "none" && *count > 0.0)
            .map(|(class, count)| {
                let was = before.figures.sum_with("baton_delivery_recipients_total", "class", &class);
                (class, picture.rate(count, was), count)
            })
            .collect();
        errors.sort_by(|one, other| {
            (other.1, other.2).partial_cmp(&(one.1, one.2)).unwrap_or(std::cmp::Ordering::Equal)
        });
        picture.errors = errors;
        let named = |name: &str| if name.is_empty() { "(others)".to_owned() } else { name.to_owned() };
        picture.queues =
            now.queue.queues.iter().map(|row| (named(&row.queue), row.jobs, row.octets)).collect();
        let told = |one: &baton_store::shaping::Measure| {
            let end = one.until.map(|until| {
                format!(" ({} left)", relative(until, now.measures.now).trim_start_matches("in "))
            });
            format!("{} {}{} by {}: {}", one.scope, one.action, end.unwrap_or_default(), one.by(), one.reason)
        };
        picture.measures = now.measures.measures.iter().map(told).collect();
        picture
    }

    /// A counter that began anew counts from there.
    fn rate(&self, now: f64, before: f64) -> f64 {
        let grown = if now >= before { now - before } else { now };
        grown / self.seconds
    }

    fn traffic(&self, before: &Look, now: &Look) -> Traffic {
        let (old, new, queue) = (&before.figures, &now.figures, &now.queue);
        let rate = |name: &str| self.rate(new.sum(name), old.sum(name));
        let rate_of = |name: &str, label: &str, value: &str| {
            self.rate(new.sum_with(name, label, value), old.sum_with(name, label, value))
        };
        let both = |name: &str| [0.5, 0.99].map(|share| new.quantile(old, name, share));
        let outcome = |value: &str| rate_of("baton_delivery_recipients_total", "outcome", value);
        Traffic {
            sessions: new.sum("baton_listener_sessions_open"),
            accepted: rate("baton_session_messages_accepted_total"),
            accepted_octets: rate("baton_session_accepted_octets_total"),
            refused_for_now: rate_of("baton_session_rejections_total", "class", "4xx"),
            refused: rate_of("baton_session_rejections_total", "class", "5xx"),
            connections: new.sum("baton_delivery_connections_open"),
            delivered: outcome("delivered"),
            deferred: outcome("deferred"),
            failed: outcome("failed"),
            attempt_s: both("baton_delivery_attempt_seconds"),
            accept_s: both("baton_session_data_seconds"),
            sync_s: both("baton_store_sync_seconds"),
            ready: queue.ready,
            waiting: queue.waiting,
            held: queue.held,
            claimed: queue.claimed,
            octets: queue.octets,
            oldest_due_s: new.sum("baton_store_oldest_due_seconds"),
        }
    }

    /// The sites that are in use, and those that are busy enough to be counted on their own.
    fn sites(&self, before: &Look, now: &Look) -> Vec<SiteLine> {
        let in_use =
            now.sites.sites.iter().map(|site| self.site(before, now, &site.site, &site.source, Some(site)));
        let mut lines: Vec<SiteLine> = in_use.collect();
        let counted = now.figures.of("baton_delivery_site_attempts_total");
        for (series, _) in counted.filter(|(_, attempts)| *attempts > 0.0) {
            let (site, source) = (series.label("site"), series.label("source"));
            if !lines.iter().any(|line| line.site == site && line.source == source) {
                lines.push(self.site(before, now, site, source, None));
            }
        }
        lines
    }

    fn site(&self, before: &Look, now: &Look, site: &str, source: &str, live: Option<&SiteView>) -> SiteLine {
        let is_its = |series: &Series| series.label("site") == site && series.label("source") == source;
        let sum = |figures: &Figures, name: &str, outcome: &str| -> f64 {
            let its =
                figures.of(name).filter(|(series, _)| is_its(series) && series.label("outcome") == outcome);
            its.map(|(_, value)| value).sum()
        };
        let rate = |name: &str, outcome: &str| {
            self.rate(sum(&now.figures, name, outcome), sum(&before.figures, name, outcome))
        };
        let recipients = "baton_delivery_site_recipients_total";
        let attempts = rate("baton_delivery_site_attempts_total", "");
        SiteLine {
            site: site.to_owned(),
            provider: live.and_then(|live| live.provider.clone()).unwrap_or_default(),
            source: source.to_owned(),
            ready: live.map_or(0, |live| live.ready),
            connections: live.map_or(0, |live| live.connections),
            allowed: live.map_or(0, |live| live.allowed.min(live.bound)),
            delivered: rate(recipients, "delivered"),
            deferred: rate(recipients, "deferred"),
            failed: rate(recipients, "failed"),
            latency_s: (attempts > 0.0)
                .then(|| rate("baton_delivery_site_attempt_seconds_total", "") / attempts),
            waits: live.and_then(|live| live.waits.clone()).unwrap_or_default(),
        }
    }

    fn sources(&self, before: &Look, now: &Look) -> Vec<SourceLine> {
        let name = "baton_delivery_sent_total";
        let sum = |figures: &Figures, source: &str, outcome: &str| -> f64 {
            let its = figures
                .of(name)
                .filter(|(series, _)| series.label("source") == source && series.label("outcome") == outcome);
            its.map(|(_, value)| value).sum()
        };
        let sources = now.figures.by(name, "source").into_keys();
        let line = |source: String| {
            let rate = |outcome: &str| {
                self.rate(sum(&now.figures, &source, outcome), sum(&before.figures, &source, outcome))
            };
            let (delivered, deferred, failed) = (rate("delivered"), rate("deferred"), rate("failed"));
            SourceLine { source, delivered, deferred, failed }
        };
        sources.map(line).collect()
    }
}

/// By what the sites are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SortBy {
    /// What waits in memory
    #[default]
    Ready,
    /// Delivered per second
    Rate,
    /// Deferred and failed per second
    Errors,
    /// Time of an attempt
    Latency,
    /// Name
    Name,
}

impl SortBy {
    /// The next one.
    pub(super) fn next(self) -> SortBy {
        match self {
            SortBy::Ready => SortBy::Rate,
            SortBy::Rate => SortBy::Errors,
            SortBy::Errors => SortBy::Latency,
            SortBy::Latency => SortBy::Name,
            SortBy::Name => SortBy::Ready,
        }
    }

    /// Its word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            SortBy::Ready => "ready",
            SortBy::Rate => "rate",
            SortBy::Errors => "errors",
            SortBy::Latency => "latency",
            SortBy::Name => "name",
        }
    }

    /// Sorts sites, the most of it first.
    pub(super) fn sort(self, sites: &mut [SiteLine]) {
        let key = |line: &SiteLine| match self {
            SortBy::Ready => line.ready as f64,
            SortBy::Rate => line.delivered,
            SortBy::Errors => line.deferred + line.failed,
            SortBy::Latency => line.latency_s.unwrap_or_default(),
            SortBy::Name => 0.0,
        };
        sites.sort_by(|one, other| {
            key(other)
                .total_cmp(&key(one))
                .then_with(|| (&one.site, &one.source).cmp(&(&other.site, &other.source)))
        });
    }
}
