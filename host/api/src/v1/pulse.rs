//! `/v1/pulse`: the relay at work within the last hour, look by look, for those who watch it by pages.
//!
//! Invariant: there are so many looks at most, and who watches does not make more of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use baton_mail::UnixMs;
use baton_store::Store;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::{OpenApi, ToSchema};

use super::Face;
use super::input::Params;
use super::route::{Need, Route};
use crate::Problem;
use crate::figures::Figures;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(5);
/// Looks that are kept: those of an hour.
const LOOKS_MAX: usize = 720;
/// What the shares of times are.
const QUANTILES: [f64; 2] = [0.5, 0.99];

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/v1/pulse", Need::Run, feel_pulse).public_only()]
}

#[derive(OpenApi)]
#[openapi(paths(feel_pulse))]
pub(super) struct Doc;

/// The looks of the last hour, and what plugins did until the last of them.
#[derive(Default)]
pub(super) struct Pulse(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    looks: VecDeque<Look>,
    plugins: Vec<PluginWork>,
}

/// One look. Rates are per second since the look before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Look {
    /// When, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub at: UnixMs,
    /// Messages that were taken.
    pub accepted: f64,
    /// Refusals for now (4xx).
    pub refused_for_now: f64,
    /// Refusals for good (5xx).
    pub refused: f64,
    /// Copies that next hops took.
    pub delivered: f64,
    /// Copies that wait for another attempt.
    pub deferred: f64,
    /// Copies that were given up.
    pub failed: f64,
    /// Entries of the queue that are due.
    pub ready: u64,
    /// Entries that are due later.
    pub waiting: u64,
    /// Entries that wait for an operator.
    pub held: u64,
    /// Entries that are being delivered.
    pub claimed: u64,
    /// Octets of their messages.
    pub octets: u64,
    /// For how long the oldest entry is due, in seconds.
    pub oldest_due_s: f64,
    /// Sessions of clients.
    pub sessions: u64,
    /// Connections to next hops.
    pub connections: u64,
    /// Milliseconds of an attempt: the median and the 99th percentile; none when there was none.
    pub attempt_ms: [Option<f64>; 2],
    /// Milliseconds from the end of a message to its reply, likewise.
    pub accept_ms: [Option<f64>; 2],
    /// Milliseconds of a synced write, likewise.
    pub sync_ms: [Option<f64>; 2],
}

/// What a plugin did at a hook since the relay's start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginWork {
    /// The plugin.
    pub plugin: String,
    /// The hook.
    pub hook: String,
    /// How often it was asked.
    pub calls: u64,
    /// How often it failed.
    pub failures: u64,
    /// Milliseconds of a call: the median and the 99th percentile, at most.
    pub call_ms: [Option<f64>; 2],
}

/// All looks after one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PulseView {
    /// The relay's time, in milliseconds since 1970.
    #[schema(value_type = u64)]
    pub now: UnixMs,
    /// Seconds between two looks.
    pub step_s: u64,
    /// The oldest first.
    pub looks: Vec<Look>,
    /// What plugins did.
    pub plugins: Vec<PluginWork>,
}

impl Face {
    /// Looks at the relay until `stop`.
    pub async fn watch(self, registry: Arc<Registry>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before: Option<(UnixMs, Figures)> = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let mut text = String::new();
            if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
                continue;
            }
            let (now, figures) = (self.clock.now(), Figures::read(&text));
            let (then, old) = before.as_ref().map_or((now, &figures), |(at, figures)| (*at, figures));
            let look = look(&self.store, (then, old), (now, &figures)).await;
            self.0.pulse.add(look, work(&figures));
            before = Some((now, figures));
        }
    }
}

impl Pulse {
    fn add(&self, look: Look, plugins: Vec<PluginWork>) {
        let mut seen = self.0.lock();
        if seen.looks.len() >= LOOKS_MAX {
            seen.looks.pop_front();
        }
        seen.looks.push_back(look);
        seen.plugins = plugins;
    }

    fn after(&self, at: UnixMs) -> (Vec<Look>, Vec<PluginWork>) {
        let seen = self.0.lock();
        (seen.looks.iter().filter(|look| look.at > at).cloned().collect(), seen.plugins.clone())
    }
}

/// What each plugin did at each hook.
fn work(figures: &Figures) -> Vec<PluginWork> {
    let of = |plugin: &str, hook: &str, calls: f64| {
        let own = figures.only(&[("plugin", plugin), ("hook", hook)]);
        let since = Figures::default();
        let time = |share| own.quantile(&since, "baton_hooks_call_seconds", share);
        PluginWork {
            plugin: plugin.to_owned(),
            hook: hook.to_owned(),
            calls: calls as u64,
            failures: own.sum("baton_hooks_failures_total") as u64,
            call_ms: QUANTILES.map(|share| time(share).map(|seconds| round(seconds * 1_000.0))),
        }
    };
    let calls = figures.of("baton_hooks_calls_total");
    let mut work: Vec<_> =
        calls.map(|(series, calls)| of(series.label("plugin"), series.label("hook"), calls)).collect();
    work.sort_by(|one, other| (&one.plugin, &one.hook).cmp(&(&other.plugin, &other.hook)));
    work
}

async fn look(store: &Store, (then, old): (UnixMs, &Figures), (now, new): (UnixMs, &Figures)) -> Look {
    let seconds = now.since(then).as_secs_f64().max(0.001);
    let rate = |name: &str| round(grown(new.sum(name), old.sum(name)) / seconds);
    let rate_of = |name: &str, label: &str, value: &str| {
        round(grown(new.sum_with(name, label, value), old.sum_with(name, label, value)) / seconds)
    };
    let outcome = |value: &str| rate_of("baton_delivery_recipients_total", "outcome", value);
    let times = |name: &str| {
        QUANTILES.map(|share| new.quantile(old, name, share).map(|seconds| round(seconds * 1_000.0)))
    };
    // Gauges are whole numbers and never below zero.
    let gauge = |name: &str| new.sum(name).max(0.0) as u64;
    let queue = store.summary().await.unwrap_or_default();
    Look {
        at: now,
        accepted: rate("baton_session_messages_accepted_total"),
        refused_for_now: rate_of("baton_session_rejections_total", "class", "4xx"),
        refused: rate_of("baton_session_rejections_total", "class", "5xx"),
        delivered: outcome("delivered"),
        deferred: outcome("deferred"),
        failed: outcome("failed"),
        ready: queue.ready,
        waiting: queue.waiting,
        held: queue.held,
        claimed: queue.claimed,
        octets: queue.octets,
        oldest_due_s: new.sum("baton_store_oldest_due_seconds"),
        sessions: gauge("baton_listener_sessions_open"),
        connections: gauge("baton_delivery_connections_open"),
        attempt_ms: times("baton_delivery_attempt_seconds"),
        accept_ms: times("baton_session_data_seconds"),
        sync_ms: times("baton_store_sync_seconds"),
    }
}

/// A counter that began anew counts from there.
fn grown(now: f64, before: f64) -> f64 {
    if now >= before { now - before } else { now }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The relay at work within the last hour. For those who see all of the relay.
#[utoipa::path(get, path = "/v1/pulse", tag = "delivery",
    params(("after" = Option<u64>, Query, description = "Only looks after this moment, in milliseconds since 1970")),
    responses((status = 200, body = PulseView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn feel_pulse(
    State(face): State<Face>,
    mut params: Params,
) -> Result<Json<PulseView>, Problem> {
    let after = UnixMs(params.0.take::<u64>("after")?.unwrap_or_default());
    params.0.finish(&["after"])?;
    let (looks, plugins) = face.0.pulse.after(after);
    Ok(Json(PulseView { now: face.clock.now(), step_s: PERIOD.as_secs(), looks, plugins }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_kept_for_an_hour() {
        let pulse = Pulse::default();
        for at in 0..LOOKS_MAX as u64 + 10 {
            pulse.add(Look { at: UnixMs(at), ..Look::default() }, Vec::new());
        }
        let (all, _) = pulse.after(UnixMs(0));
        assert_eq!((all.len(), all[0].at), (LOOKS_MAX, UnixMs(10)));
        assert_eq!(pulse.after(UnixMs(LOOKS_MAX as u64 + 8)).0.len(), 1);
    }

    #[test]
    fn the_work_of_plugins_is_told_apart_by_hook() {
        let figures = Figures::read(
            "baton_hooks_calls_total{plugin=\"a\",hook=\"rcpt\"} 4\nbaton_hooks_calls_total{plugin=\"a\",hook=\"data\"} 1\n\
             baton_hooks_failures_total{plugin=\"a\",hook=\"rcpt\",kind=\"trap\"} 1\n\
             baton_hooks_call_seconds_bucket{plugin=\"a\",hook=\"rcpt\",le=\"0.002\"} 4\n",
        );
        let work = work(&figures);
        assert_eq!((work.len(), work[1].calls, work[1].failures, work[0].failures), (2, 4, 1, 0));
        assert_eq!((work[1].call_ms, work[0].call_ms), ([Some(2.0), Some(2.0)], [None, None]));
    }

    #[test]
    fn counters_that_begin_anew_are_no_negative_rate() {
        assert_eq!((grown(12.0, 10.0), grown(3.0, 10.0)), (2.0, 3.0));
    }
}
