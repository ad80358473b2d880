//! How plugins run: breakers, watching, guards, new versions, thresholds.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_hooks::{
    BreakerSettings, BreakerState, Call, DataAnswer, Generation, GuardSettings, Hook, Mode, NextMode,
    NextSettings, NextSwitch, OnFailure, PluginSettings, RcptAnswer, Switch, Thresholds,
};
use baton_mail::{EnhancedCode, Reply, SessionId};
use serde_json::json;

use crate::support::{Host, ask, call_at, everywhere, image, mailbox, zoo};

fn breaking(failures: u32) -> PluginSettings {
    let mut plugin = zoo(json!({ "data": "trap", "rcpt": "next", "tame": "relay" }));
    plugin.run.breaker = BreakerSettings { failures, open_s: 3_600, ..BreakerSettings::default() };
    plugin
}

fn wild(hook: Hook) -> Call {
    let mut call = call_at(hook);
    Arc::make_mut(&mut call.session).listener = "wild".to_owned();
    call
}

#[tokio::test]
async fn a_plugin_that_keeps_failing_is_left_alone() {
    let host = Host::new();
    let generation = host.load(&[breaking(3)]).await;
    for _ in 0..5 {
        let answer = ask(&generation, Hook::Data, &mut wild(Hook::Data)).await;
        assert!(answer.starts_with("Tempfail"), "{answer}");
    }
    let answer = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert!(answer.starts_with("Tempfail"), "the policy answers at every hook: {answer}");
    let counted = |kind: &str, hook: &str| {
        host.metric(&format!("baton_hooks_failures_total{{plugin=\"zoo\",hook=\"{hook}\",kind=\"{kind}\"}}"))
    };
    assert_eq!((counted("trap", "data"), counted("breaker-open", "data")), (3.0, 2.0));
    assert_eq!(host.metric("baton_hooks_breaker_open{plugin=\"zoo\"}"), 1.0);
    let shown = &generation.plugins()[0];
    assert_eq!((shown.breaker, shown.breaker_openings), (BreakerState::Open, 1));
    let verdict = generation.data(&mut wild(Hook::Data)).await;
    assert!(
        verdict.decisions[0].answer.starts_with("failed (breaker-open), by on-failure=tempfail"),
        "{verdict:?}"
    );
    assert_eq!(verdict.decisions[0].micros, 0, "it was not asked");
}

#[tokio::test]
async fn one_call_finds_out_whether_it_works_again() {
    let host = Host::new();
    let mut plugin = breaking(2);
    plugin.run.breaker.open_s = 0;
    let generation = host.load(&[plugin]).await;
    for _ in 0..2 {
        ask(&generation, Hook::Data, &mut wild(Hook::Data)).await;
    }
    assert_eq!(generation.plugins()[0].breaker, BreakerState::Open);
    assert_eq!(ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await, "Next", "the probe");
    assert_eq!(generation.plugins()[0].breaker, BreakerState::Closed);
    assert_eq!(host.metric("baton_hooks_breaker_open{plugin=\"zoo\"}"), 0.0);
}

#[tokio::test]
async fn a_watched_plugin_changes_nothing() {
    let host = Host::new();
    for behaviour in ["reject", "edit", "edit-then-reject", "accept", "trap"] {
        let mut plugin = zoo(everywhere(behaviour));
        plugin.run.mode = Mode::Monitor;
        plugin.on_failure = OnFailure::Quarantine;
        let generation = host.load(&[plugin]).await;
        for hook in Hook::ALL {
            let mut call = call_at(hook);
            let before = image(&call);
            assert_eq!(ask(&generation, hook, &mut call).await, "Next", "{behaviour} at {hook}");
            assert_eq!(image(&call), before, "{behaviour} at {hook}");
        }
        let verdict = generation.data(&mut call_at(Hook::Data)).await;
        let told = &verdict.decisions[0];
        assert!(told.answer.starts_with("monitor: "), "{told:?}");
        assert!(told.edits.iter().all(|edit| edit.starts_with("(not done) ")), "{told:?}");
        assert_eq!(told.edits.is_empty(), !behaviour.starts_with("edit"), "{told:?}");
    }
    let mut accepting = zoo(everywhere("accept"));
    accepting.run.mode = Mode::Monitor;
    let generation = host.load(&[accepting]).await;
    let mut call = call_at(Hook::Rcpt);
    let verdict = generation.rcpt(&mut call, &mailbox("ann@us.example"), &[]).await;
    assert!(verdict.answer == RcptAnswer::Next && !call.relay_granted, "a watched plugin grants nothing");
    assert_eq!(verdict.decisions[0].answer, "monitor: would have answered accept");
}

fn guarded(when: &str) -> PluginSettings {
    let mut plugin = zoo(everywhere("reject"));
    plugin.hooks = Some(vec![Hook::Rcpt]);
    plugin.run.when = vec![GuardSettings { hook: None, when: when.to_owned() }];
    plugin
}

#[tokio::test]
async fn a_guard_decides_whether_a_plugin_is_asked() {
    let host = Host::new();
    let generation = host.load(&[guarded("rcpt.domain == 'us.example'")]).await;
    let mut call = call_at(Hook::Rcpt);
    assert!(ask(&generation, Hook::Rcpt, &mut call).await.starts_with("Reject"));
    call.envelope.recipients = vec![mailbox("ann@other.example").into()];
    assert_eq!(ask(&generation, Hook::Rcpt, &mut call).await, "Next");
    let count =
        |what: &str| host.metric(&format!("baton_hooks_{what}_total{{plugin=\"zoo\",hook=\"rcpt\"}}"));
    assert_eq!((count("skipped"), count("calls")), (1.0, 1.0));
}

#[tokio::test]
async fn a_guard_without_a_value_is_a_failure_of_its_plugin() {
    let host = Host::new();
    let generation = host.load(&[guarded("100 / (recipients.count - 1) > 3")]).await;
    let verdict = generation.rcpt(&mut call_at(Hook::Rcpt), &mailbox("ann@us.example"), &[]).await;
    assert!(matches!(verdict.answer, RcptAnswer::Tempfail(_)), "{verdict:?}");
    assert!(verdict.decisions[0].answer.starts_with("failed (guard), by on-failure=tempfail"), "{verdict:?}");
    let line = "baton_hooks_failures_total{plugin=\"zoo\",hook=\"rcpt\",kind=\"guard\"}";
    assert_eq!(host.metric(line), 1.0);
    assert_eq!(generation.plugins()[0].breaker, BreakerState::Closed);
}

#[tokio::test]
async fn a_guard_that_can_not_be_used_is_an_error_of_the_load() {
    let host = Host::new();
    let mut plugin = guarded("header('subject') == ''");
    plugin.run.when.push(GuardSettings { hook: Some(Hook::Data), when: "true".to_owned() });
    let errors = host.errors(&[plugin], &Default::default()).await.join("\n");
    assert!(
        errors.contains(
            "plugins.zoo.when: `header(..)` is not known at the rcpt hook, only at data, route, bounce"
        ),
        "{errors}"
    );
    assert!(errors.contains("plugins.zoo.when.data: the plugin is not asked at this hook"), "{errors}");
}

/// The zoo, with a second zoo beside it that differs in nothing but its listener: what it does tells which one it is.
fn beside(config: serde_json::Value, next: NextSettings) -> PluginSettings {
    let mut plugin = zoo(config);
    plugin.hooks = Some(Hook::ALL.into_iter().filter(|hook| *hook != Hook::Events).collect());
    plugin.run.next = Some(next);
    plugin
}

fn next(mode: NextMode) -> NextSettings {
    NextSettings { source: noop_path(), mode, percent: 0, tenant: None }
}

/// A version without opinion: the no-op plugin, under the name of the zoo.
fn noop_path() -> std::path::PathBuf {
    let path = crate::support::zoo_path().with_file_name("baton_plugin_noop.wasm");
    assert!(path.exists(), "{} is missing: make guests", path.display());
    path
}

#[tokio::test]
async fn a_shadow_is_compared_and_changes_nothing() {
    let host = Host::new();
    let generation = host.load(&[beside(json!({ "data": "reject" }), next(NextMode::Shadow))]).await;
    let verdict = generation.data(&mut call_at(Hook::Data)).await;
    assert!(matches!(verdict.answer, DataAnswer::Reject(_)), "the serving version decides: {verdict:?}");
    assert_eq!(verdict.decisions.len(), 2, "{verdict:?}");
    assert!(
        verdict.decisions[0].answer.starts_with("shadow: would have answered next; served: reject 550"),
        "{verdict:?}"
    );
    assert_ne!(verdict.decisions[0].plugin, verdict.decisions[1].plugin, "the digests tell them apart");
    let verdict = generation.rcpt(&mut call_at(Hook::Rcpt), &mailbox("ann@us.example"), &[]).await;
    assert!(verdict.decisions.is_empty(), "both said next: {verdict:?}");
    let differences = |hook: &str| {
        host.metric(&format!("baton_hooks_shadow_differences_total{{plugin=\"zoo.next\",hook=\"{hook}\"}}"))
    };
    assert_eq!((differences("data"), differences("rcpt")), (1.0, 0.0));
}

#[tokio::test]
async fn the_edits_of_a_shadow_are_compared_and_not_made() {
    let host = Host::new();
    let mut plugin = beside(json!({ "data": "edit" }), next(NextMode::Shadow));
    (plugin.source, plugin.run.next.as_mut().unwrap().source) = (noop_path(), crate::support::zoo_path());
    plugin.config = json!({});
    let generation = host.load(&[plugin]).await;
    let mut call = call_at(Hook::Data);
    let before = image(&call);
    let verdict = generation.data(&mut call).await;
    assert_eq!((verdict.answer, image(&call)), (DataAnswer::Next, before));
}

#[tokio::test]
async fn what_is_switched_runs_otherwise_and_all_else_is_carried_over() {
    let host = Host::new();
    let zoo = beside(json!({ "data": "reject" }), next(NextMode::Shadow));
    let other = PluginSettings { name: "other".to_owned(), ..zoo.clone() };
    let first = host.load(&[zoo, other]).await;
    let compiled = host.engine.compilations();
    let switch = |mode, next| Switch { mode, next, by: "operator:ann".to_owned(), at: baton_mail::UnixMs(1) };
    let of_zoo = |switch| BTreeMap::from([("zoo".to_owned(), switch)]);
    let watched = first.switched(2, &of_zoo(switch(Some(Mode::Monitor), None)));
    assert_eq!(host.engine.compilations(), compiled, "nothing is made anew");
    let verdict = watched.data(&mut call_at(Hook::Data)).await;
    let told: Vec<_> =
        verdict.decisions.iter().map(|one| (one.plugin.as_str(), one.answer.as_str())).collect();
    assert!(told[1].0.ends_with("#2") && told[1].1.starts_with("monitor by operator:ann: would"), "{told:?}");
    assert!(told[3].0.starts_with("other@") && told[3].0.ends_with("#1"), "{told:?}");
    assert!(matches!(verdict.answer, DataAnswer::Reject(_)), "the other one is as it was");
    let info = &watched.plugins()[0];
    assert_eq!((info.mode, info.set_mode), (Mode::Monitor, Mode::Enforce));
    // The new version, which has no opinion, serves all sessions in the place of the old one.
    let all = NextSwitch { mode: NextMode::Canary, percent: 100, tenant: None };
    let served = watched.switched(3, &of_zoo(switch(None, Some(all))));
    let verdict = served.data(&mut call_at(Hook::Data)).await;
    assert_eq!(verdict.by.as_deref(), Some("other"), "{verdict:?}");
    let (now, set) = (&served.plugins()[0].next, &served.plugins()[0].set_next);
    let modes = [now, set].map(|next| next.as_ref().map(|next| (next.mode, next.percent)));
    assert_eq!(modes, [Some((NextMode::Canary, 100)), Some((NextMode::Shadow, 0))]);
    let cleared = served.switched(4, &BTreeMap::new());
    let verdict = cleared.data(&mut call_at(Hook::Data)).await;
    assert_eq!(verdict.by.as_deref(), Some("zoo"), "{verdict:?}");
    assert!(cleared.plugins()[0].switch.is_none());
}

async fn canary(host: &Host, percent: u8, tenant: Option<&str>) -> Generation {
    let tenant = tenant.map(str::to_owned);
    let settings = NextSettings { percent, tenant, ..next(NextMode::Canary) };
    host.load(&[beside(json!({ "rcpt": "reject" }), settings)]).await
}

#[tokio::test]
async fn a_canary_serves_a_stable_share_of_the_sessions() {
    let host = Host::new();
    let generation = canary(&host, 30, None).await;
    let mut served = 0;
    for session in 1..=300 {
        let mut answers = Vec::new();
        for _ in 0..2 {
            let mut call = call_at(Hook::Rcpt);
            Arc::make_mut(&mut call.session).id = SessionId(session);
            answers.push(ask(&generation, Hook::Rcpt, &mut call).await);
        }
        assert_eq!(answers[0], answers[1], "a session stays with its version");
        served += usize::from(answers[0] == "Next");
    }
    assert!((60..=120).contains(&served), "{served} of 300 for 30 %");
}

#[tokio::test]
async fn a_canary_can_serve_one_tenant() {
    let host = Host::new();
    let generation = canary(&host, 0, Some("acme")).await;
    for (tenant, is_served) in [(Some("acme"), true), (Some("other"), false), (None, false)] {
        let mut call = call_at(Hook::Rcpt);
        call.envelope.tenant = tenant.map(str::to_owned);
        assert_eq!(ask(&generation, Hook::Rcpt, &mut call).await == "Next", is_served, "{tenant:?}");
    }
}

#[tokio::test]
async fn a_new_version_that_can_not_be_loaded_is_named() {
    let host = Host::new();
    let settings = NextSettings { source: "/nowhere/new.wasm".into(), ..next(NextMode::Shadow) };
    let errors = host.errors(&[beside(json!({}), settings)], &Default::default()).await;
    assert!(errors[0].starts_with("plugins.zoo.next.source: /nowhere/new.wasm"), "{errors:?}");
}

#[tokio::test]
async fn thresholds_judge_what_no_plugin_decided() {
    let host = Host::new();
    let thresholds = Thresholds {
        tag: Some(1.0),
        quarantine: Some(2.0),
        reject: Some(3.0),
        header: Some("X-Score".parse().unwrap()),
        reply: Some(Reply::new(554, EnhancedCode(5, 7, 1), "too much")),
    };
    // The zoo adds 1.5 points.
    let generation = host.load(&[zoo(json!({ "data": "edit" }))]).await.with_thresholds(thresholds.clone());
    for (before, expected) in
        [(-1.0, "next"), (0.0, "tag"), (0.5, "quarantine score 2.0"), (1.5, "reject 554")]
    {
        let mut call = call_at(Hook::Data);
        call.envelope.scores.push(("BEFORE".to_owned(), before));
        let verdict = generation.data(&mut call).await;
        let told = verdict.decisions.iter().find(|decision| decision.plugin == "thresholds");
        assert_eq!(told.is_none(), expected == "next", "{verdict:?}");
        assert!(told.is_none_or(|told| told.answer.starts_with(expected)), "{expected}: {verdict:?}");
        let header = String::from_utf8_lossy(&call.content.unwrap().content().header).into_owned();
        assert_eq!(header.contains("X-Score: 1.5\r\n"), expected == "tag", "{header}");
        assert_eq!(verdict.by.is_some(), expected.contains(' '), "{verdict:?}");
    }
    let accepting = host.load(&[zoo(json!({ "data": "accept" }))]).await.with_thresholds(thresholds);
    let mut call = call_at(Hook::Data);
    call.envelope.scores.push(("BEFORE".to_owned(), 99.0));
    assert_eq!(accepting.data(&mut call).await.answer, DataAnswer::Accept, "a plugin has the last word");
}
