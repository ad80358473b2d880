//! Chains: who is asked, what later plugins see, what ends a chain.

use std::collections::HashMap;

use baton_hooks::{ConnectAnswer, DataAnswer, EngineSettings, Generation, Hook, OnFailure, RcptAnswer};
use serde_json::json;

use crate::support::{Host, ask, call_at, everywhere, mailbox, zoo};

#[tokio::test]
async fn the_first_answer_ends_the_chain() {
    let host = Host::new();
    let named = |name: &str, config| {
        let mut plugin = zoo(config);
        plugin.name = name.to_owned();
        plugin
    };
    let plugins = [
        named("first", json!({ "data": "edit" })),
        named("second", json!({ "data": "accept", "connect": "tempfail" })),
        named("third", json!({ "data": "reject" })),
    ];
    let generation = host.load(&plugins).await;
    let mut call = call_at(Hook::Data);
    call.envelope.recipients.push(mailbox("bob@us.example").into());
    let verdict = generation.data(&mut call).await;
    assert_eq!((verdict.answer, verdict.by.as_deref()), (DataAnswer::Accept, Some("second")));
    let who: Vec<&str> =
        verdict.decisions.iter().map(|decision| decision.plugin.split('@').next().unwrap()).collect();
    assert_eq!(who, ["first", "second"]);
    let verdict = generation.connect(&mut call_at(Hook::Connect)).await;
    assert!(matches!(verdict.answer, ConnectAnswer::Tempfail(_)));
    assert_eq!(verdict.decisions.len(), 1, "a plain next is not recorded");
}

#[tokio::test]
async fn later_plugins_see_earlier_edits() {
    let host = Host::new();
    let mut second = zoo(json!({ "data": "getters" }));
    second.name = "second".to_owned();
    let generation = host.load(&[zoo(json!({ "data": "edit" })), second]).await;
    let mut call = call_at(Hook::Data);
    call.envelope.recipients.push(mailbox("bob@us.example").into());
    let answer = ask(&generation, Hook::Data, &mut call).await;
    assert!(answer.contains("the zoo"), "{answer}");
    assert!(answer.contains("1.5|None"), "the score counts, the other plugin's note is private: {answer}");
}

#[tokio::test]
async fn an_explicit_order_is_obeyed() {
    let host = Host::new();
    let mut other = zoo(json!({ "rcpt": "accept" }));
    other.name = "other".to_owned();
    let plugins = [zoo(json!({ "rcpt": "reject" })), other];
    let order = HashMap::from([(Hook::Rcpt, vec!["other".to_owned(), "zoo".to_owned()])]);
    let generation = Generation::load(&host.engine, 3, &plugins, &order, &host.capabilities).await.unwrap();
    assert_eq!(ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await, "Accept");
    let shown = generation.order().into_iter().find(|(hook, _)| *hook == Hook::Rcpt).unwrap().1;
    assert_eq!(shown, ["other", "zoo"]);
    assert_eq!(generation.plugins()[1].name, "other");
}

#[tokio::test]
async fn accept_grants_relaying_by_grant_only() {
    let host = Host::new();
    for grant in [true, false] {
        let mut plugin = zoo(everywhere("accept"));
        plugin.grants.relay = grant;
        let generation = host.load(&[plugin]).await;
        let mut call = call_at(Hook::Rcpt);
        call.relay_granted = !grant;
        let rcpt = mailbox("ann@us.example");
        assert_eq!(generation.rcpt(&mut call, &rcpt, &[]).await.answer, RcptAnswer::Accept);
        assert_eq!(call.relay_granted, grant);
    }
}

#[tokio::test]
async fn auth_names_the_account() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("accept"))]).await;
    assert_eq!(ask(&generation, Hook::Auth, &mut call_at(Hook::Auth)).await, "Allow(\"ann\")");
}

#[tokio::test]
async fn no_plugins_means_next() {
    let generation = Generation::empty();
    for hook in Hook::ALL {
        assert!(!generation.has(hook));
        assert_eq!(ask(&generation, hook, &mut call_at(hook)).await, "Next");
    }
}

#[tokio::test]
async fn only_the_hooks_of_the_settings_are_asked() {
    let host = Host::new();
    let mut plugin = zoo(everywhere("reject"));
    plugin.hooks = Some(vec![Hook::Data]);
    let generation = host.load(&[plugin]).await;
    assert_eq!(Hook::ALL.map(|hook| generation.has(hook)), [false, false, false, true, false, false]);
    assert_eq!(ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await, "Next");
}

#[tokio::test]
async fn memory_does_not_survive_a_call() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("global"))]).await;
    for round in 0..200 {
        assert_eq!(ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await, "Next", "round {round}");
    }
}

/// Calls beyond the number of slots wait as long as their wall time allows, and are a failure of the host then.
#[tokio::test]
async fn all_slots_taken_is_a_failure_of_the_host() {
    let host = Host::with(&EngineSettings { concurrent_calls_max: 1, ..EngineSettings::default() });
    let mut slow = zoo(json!({ "data": "sleep" }));
    slow.name = "slow".to_owned();
    let slow = host.load(&[slow]).await;
    let mut quick = zoo(everywhere("accept"));
    quick.limits.wall_ms = 50;
    quick.on_failure = OnFailure::Closed;
    let quick = host.load(&[quick]).await;
    let mut slow_call = call_at(Hook::Data);
    tokio::select! {
        biased;
        _ = slow.data(&mut slow_call) => panic!("it sleeps"),
        answer = async { ask(&quick, Hook::Data, &mut call_at(Hook::Data)).await } => assert!(answer.starts_with("Reject"), "{answer}"),
    }
    assert_eq!(host.metric("baton_hooks_failures_total{plugin=\"zoo\",hook=\"data\",kind=\"busy\"}"), 1.0);
    let answer = ask(&quick, Hook::Data, &mut call_at(Hook::Data)).await;
    assert_eq!(answer, "Accept", "a cancelled call gives its slot back");
}
