//! Instances that live longer than a call: when they are used again, when they are not, and that no bound outlives a call.

use std::sync::Arc;
use std::time::Duration;

use baton_hooks::{
    Call, EngineSettings, Generation, Hook, Instances, Limits, PluginSettings, PoolSettings, SessionSettings,
};
use baton_mail::SessionId;
use serde_json::json;

use crate::support::{Host, ask, call_at, everywhere, limits, zoo};

fn kept(config: serde_json::Value, instances: Instances) -> PluginSettings {
    let mut plugin = zoo(config);
    plugin.run.instances = instances;
    plugin
}

fn call_of(session: u64, hook: Hook) -> Call {
    let mut call = call_at(hook);
    Arc::make_mut(&mut call.session).id = SessionId(session);
    call
}

/// How often the instance of the answer was used before; the zoo's `global` tells.
fn uses_before(answer: &str) -> usize {
    match answer.split_once("was used ") {
        Some((_, rest)) => rest.split(' ').next().unwrap().parse().unwrap(),
        None => {
            assert_eq!(answer, "Next");
            0
        }
    }
}

/// What happens in time, by other tasks: waited for, never measured.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen");
}

#[tokio::test]
async fn the_pool_uses_an_instance_again_and_not_for_ever() {
    let host = Host::new();
    let mut plugin = kept(everywhere("global"), Instances::Pool);
    plugin.run.pool = PoolSettings { uses_max: 10, ..PoolSettings::default() };
    let generation = host.load(&[plugin]).await;
    let mut longest = 0;
    for _ in 0..100 {
        let answer = ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await;
        longest = longest.max(uses_before(&answer));
    }
    assert!((4..10).contains(&longest), "the longest life had {} uses", longest + 1);
    let made = host.metric("baton_hooks_instances_total{plugin=\"zoo\",what=\"made\"}");
    assert!((10.0..=20.0).contains(&made), "{made} instances for 100 calls of 5 to 10 each");
}

#[tokio::test]
async fn an_instance_serves_all_hooks_of_its_plugin() {
    let host = Host::new();
    let generation = host.load(&[kept(everywhere("global"), Instances::Pool)]).await;
    for (before, hook) in Hook::ALL.into_iter().enumerate().filter(|(_, hook)| *hook != Hook::Bounce) {
        let answer = ask(&generation, hook, &mut call_at(hook)).await;
        assert_eq!(uses_before(&answer), before, "{hook}");
    }
    assert_eq!(host.engine.kept_instances(), 1);
}

#[tokio::test]
async fn a_call_that_failed_or_left_a_handle_ends_its_instance() {
    let host = Host::new();
    let config = json!({ "data": "global", "rcpt": "trap", "connect": "leak", "auth": "next" });
    let generation = host.load(&[kept(config, Instances::Pool)]).await;
    for ending in [Hook::Rcpt, Hook::Connect] {
        for (hook, uses) in [(Hook::Data, 0), (Hook::Data, 1)] {
            let answer = ask(&generation, hook, &mut call_at(hook)).await;
            assert_eq!(uses_before(&answer), uses, "before {ending}");
        }
        ask(&generation, ending, &mut call_at(ending)).await;
        assert_eq!(host.engine.kept_instances(), 0, "after {ending}");
    }
}

/// Each call uses more than half of a bound; were one not set anew, the second call on the instance would fail.
#[tokio::test]
async fn every_bound_is_set_anew_for_each_call() {
    let host = Host::new();
    let tight = Limits {
        host_calls_max: 40,
        read_octets_max: 100,
        dns_queries_max: 64,
        handles_max: 1,
        cpu_ms: 60,
        ..limits()
    };
    let config = json!({ "data": "getters", "rcpt": "dns", "connect": "work", "auth": "edit" });
    let mut plugin = kept(config, Instances::Pool);
    plugin.limits = tight;
    let generation = host.load(&[plugin]).await;
    for hook in [Hook::Data, Hook::Rcpt, Hook::Connect, Hook::Auth] {
        let first = ask(&generation, hook, &mut call_at(hook)).await;
        for round in 0..8 {
            assert_eq!(ask(&generation, hook, &mut call_at(hook)).await, first, "{hook}, round {round}");
        }
    }
    assert_eq!(host.metric("baton_hooks_instances_total{plugin=\"zoo\",what=\"made\"}"), 1.0);
    let peak = |what: &str, hook: &str| {
        host.metric(&format!("baton_hooks_{what}{{plugin=\"zoo\",hook=\"{hook}\"}}"))
    };
    assert!((20.0..=40.0).contains(&peak("host_calls_peak", "data")), "{}", peak("host_calls_peak", "data"));
    assert!((1.0..=60.0).contains(&peak("cpu_peak_ms", "connect")), "{}", peak("cpu_peak_ms", "connect"));
    assert!(peak("wall_peak_us", "connect") >= 30_000.0);
}

/// Staged changes of a call that failed are not those of the next.
#[tokio::test]
async fn nothing_staged_survives_a_call() {
    let host = Host::new();
    let config = json!({ "data": "edit-then-reject", "rcpt": "next" });
    let generation = host.load(&[kept(config, Instances::Pool)]).await;
    ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await;
    let mut call = call_at(Hook::Rcpt);
    let verdict = generation.rcpt(&mut call, &"ann@us.example".parse().unwrap(), &[]).await;
    assert!(verdict.decisions.is_empty() && call.envelope.tags.is_empty(), "{verdict:?}");
}

#[tokio::test]
async fn a_session_keeps_its_own_instance() {
    let host = Host::new();
    let generation = host.load(&[kept(everywhere("global"), Instances::Session)]).await;
    for (session, uses) in [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2)] {
        let answer = ask(&generation, Hook::Rcpt, &mut call_of(session, Hook::Rcpt)).await;
        assert_eq!(uses_before(&answer), uses, "session {session}");
    }
    for hook in [Hook::Route, Hook::Route, Hook::Bounce] {
        let answer = ask(&generation, hook, &mut call_of(1, hook)).await;
        assert_eq!(answer, "Next", "there is no session in the queue");
    }
    assert_eq!(host.engine.kept_instances(), 2);
}

#[tokio::test]
async fn sessions_beyond_the_bound_lose_the_instance_that_rested_longest() {
    let host = Host::new();
    let mut plugin = kept(everywhere("global"), Instances::Session);
    plugin.run.session = SessionSettings { size_max: 2, idle_s: 3_600 };
    let generation = host.load(&[plugin]).await;
    for (session, uses) in [(1, 0), (2, 0), (1, 1), (3, 0), (1, 2), (2, 0)] {
        let answer = ask(&generation, Hook::Rcpt, &mut call_of(session, Hook::Rcpt)).await;
        assert_eq!(uses_before(&answer), uses, "session {session}");
        assert!(host.engine.kept_instances() <= 2);
    }
}

#[tokio::test]
async fn the_bound_of_the_engine_holds_over_all_plugins() {
    let settings =
        EngineSettings { concurrent_calls_max: 4, kept_instances_max: 3, ..EngineSettings::default() };
    let host = Host::with(&settings);
    let named = |name: &str| {
        let mut plugin = kept(everywhere("next"), Instances::Session);
        plugin.name = name.to_owned();
        plugin
    };
    let generation = host.load(&[named("a"), named("b")]).await;
    for session in 0..20 {
        assert_eq!(ask(&generation, Hook::Rcpt, &mut call_of(session, Hook::Rcpt)).await, "Next");
        assert!(host.engine.kept_instances() <= 3);
    }
}

#[tokio::test]
async fn ten_thousand_idle_sessions_hold_no_instance() {
    let host = Host::new();
    let named = |index: usize| {
        let mut plugin = kept(everywhere("next"), Instances::Session);
        plugin.name = format!("plugin-{index}");
        plugin.run.session = SessionSettings { size_max: 20, idle_s: 1 };
        plugin
    };
    let generation = host.load(&(0..6).map(named).collect::<Vec<_>>()).await;
    let mut sessions: Vec<Call> = (0..10_000).map(|session| call_of(session, Hook::Connect)).collect();
    for call in &mut sessions {
        assert_eq!(ask(&generation, Hook::Connect, call).await, "Next");
        assert!(host.engine.kept_instances() <= 120);
    }
    until("the end of the last instance", || host.engine.kept_instances() == 0).await;
    assert_eq!(generation.plugins().iter().map(|plugin| plugin.resting).sum::<usize>(), 0);
    assert_eq!(sessions.len(), 10_000, "and they are all still there");
}

#[tokio::test]
async fn pooled_instances_grow_old() {
    let host = Host::new();
    let mut plugin = kept(everywhere("next"), Instances::Pool);
    plugin.run.pool = PoolSettings { age_s: 1, ..PoolSettings::default() };
    let generation = host.load(&[plugin]).await;
    ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await;
    assert_eq!(host.engine.kept_instances(), 1);
    until("the end of the instance", || host.engine.kept_instances() == 0).await;
}

#[tokio::test]
async fn a_retired_generation_keeps_nothing() {
    let host = Host::new();
    for instances in [Instances::Pool, Instances::Session] {
        let generation = host.load(&[kept(everywhere("global"), instances)]).await;
        ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await;
        assert_eq!(host.engine.kept_instances(), 1);
        generation.retire(&Generation::empty());
        assert_eq!(host.engine.kept_instances(), 0);
        for _ in 0..2 {
            let answer = ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await;
            assert_eq!(answer, "Next", "sessions that still hold on to it get fresh ones");
        }
    }
}

/// A client that leaves in the middle of a call takes the instance with it.
#[tokio::test]
async fn a_call_that_is_given_up_ends_its_instance() {
    let host = Host::new();
    let config = json!({ "data": "sleep", "rcpt": "global" });
    let generation: Generation = host.load(&[kept(config, Instances::Pool)]).await;
    assert_eq!(ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await, "Next");
    let mut call = call_at(Hook::Data);
    tokio::select! {
        biased;
        _ = generation.data(&mut call) => panic!("it sleeps"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(host.engine.kept_instances(), 0);
    assert_eq!(ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await, "Next", "a fresh one");
}
