//! Observers: told in batches, in order, off the way of everything; slow and failing ones lose events and nothing else.

use std::time::Duration;

use baton_hooks::{EventFeed, EventSettings, Generation, Hook, PluginSettings};
use baton_mail::event::{Event, What};
use baton_mail::{MessageId, UnixMs};
use serde_json::json;

use crate::support::{Host, ask, call_at, zoo};

fn observer(name: &str, behaviour: &str) -> PluginSettings {
    let mut plugin = zoo(json!({ "events": behaviour }));
    plugin.name = name.to_owned();
    plugin.hooks = Some(vec![Hook::Events]);
    plugin.run.events = EventSettings { batch_max: 10, batch_ms: 20, queue_max: 50 };
    plugin
}

fn events(count: usize) -> Vec<Event> {
    let event = |index: usize| Event {
        message: MessageId::first_at(UnixMs(index as u64)),
        at: UnixMs(5),
        what: if index.is_multiple_of(2) {
            What::Released { by: "me".to_owned() }
        } else {
            What::Held { reason: "why".to_owned(), by: "me".to_owned() }
        },
    };
    (0..count).map(event).collect()
}

fn metric(host: &Host, what: &str, plugin: &str) -> f64 {
    host.metric(&format!("baton_hooks_events_{what}{{plugin=\"{plugin}\"}}"))
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen");
}

async fn feed(host: &Host, plugins: &[PluginSettings]) -> (EventFeed, Generation) {
    let generation = host.load(plugins).await;
    let feed = EventFeed::new(&host.capabilities.metrics);
    assert!(!feed.is_observed());
    feed.serve(&generation);
    (feed, generation)
}

#[tokio::test]
async fn an_observer_is_told_of_everything_in_batches() {
    let host = Host::new();
    let (feed, generation) = feed(&host, &[observer("watcher", "next")]).await;
    assert!(feed.is_observed());
    feed.offer(&events(25));
    until("all to be told", || metric(&host, "told_total", "watcher") == 25.0).await;
    let kind = |kind: &str| host.metric(&format!("baton_plugin_watcher_told_total{{kind=\"{kind}\"}}"));
    assert_eq!((kind("released"), kind("held")), (13.0, 12.0));
    assert_eq!(host.metric("baton_hooks_calls_total{plugin=\"watcher\",hook=\"events\"}"), 3.0);
    assert_eq!(metric(&host, "dropped_total", "watcher"), 0.0);
    assert!(Hook::ALL.into_iter().all(|hook| !generation.has(hook)), "an observer decides nothing");
}

/// A handful of observers that hang, fail and work: each meets only its own fate, and offering never waits.
#[tokio::test]
async fn slow_and_failing_observers_lose_events_and_hold_up_nobody() {
    let host = Host::new();
    let mut deciding = zoo(json!({ "data": "accept" }));
    deciding.hooks = Some(vec![Hook::Data]);
    let plugins =
        [observer("slow", "sleep"), observer("failing", "trap"), observer("working", "next"), deciding];
    let (feed, generation) = feed(&host, &plugins).await;
    for round in 1..=20 {
        feed.offer(&events(10));
        assert_eq!(ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await, "Accept");
        until("the working one", || metric(&host, "told_total", "working") == f64::from(round * 10)).await;
    }
    assert_eq!(metric(&host, "dropped_total", "slow"), 150.0, "50 wait, the oldest were dropped");
    assert_eq!((metric(&host, "told_total", "slow"), metric(&host, "waiting", "slow")), (0.0, 50.0));
    assert_eq!(metric(&host, "told_total", "failing"), 0.0);
    assert!(metric(&host, "dropped_total", "failing") >= 140.0);
    let failures =
        host.metric("baton_hooks_failures_total{plugin=\"failing\",hook=\"events\",kind=\"trap\"}");
    assert!(failures >= 1.0);
}

#[tokio::test]
async fn what_waits_outlives_a_reload() {
    let host = Host::new();
    let (feed, _generation) = feed(&host, &[observer("watcher", "sleep")]).await;
    feed.offer(&events(20));
    until("the first batch", || metric(&host, "waiting", "watcher") == 20.0).await;
    let next = host.load(&[observer("watcher", "next")]).await;
    feed.serve(&next);
    until("all to be told", || metric(&host, "told_total", "watcher") == 20.0).await;
    feed.serve(&host.load(&[]).await);
    assert!(!feed.is_observed());
}
