//! What plugins are given.

use baton_hooks::Hook;
use serde_json::json;

use crate::support::{Host, MESSAGE, ask, call_at, everywhere, zoo};

#[tokio::test]
async fn getters_tell_what_there_is() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("getters"))]).await;
    let answer = ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await;
    let (size, needle) = (MESSAGE.len(), MESSAGE.find("needle").unwrap());
    let session = "relay|192.0.2.1|4000|Some(\\\"client.example\\\")|None|Some(\\\"pass\\\")|None|None";
    let envelope = "1|Some(\\\"from@them.example\\\")|0|None";
    let message = format!(
        "Some(\\\"café\\\")|{size}|4|[(\\\"Ann\\\", \\\"ann@us.example\\\")]|Some({needle})|Some(22)|4"
    );
    let expected = format!("{session}|{envelope}|{message}|0|None|false||None");
    assert!(answer.contains(&expected), "{answer}");
    let answer = ask(&generation, Hook::Connect, &mut call_at(Hook::Connect)).await;
    assert!(answer.contains("|0|None|0|None|None|0|0|[]|None|None|0|0|None|false||None"), "{answer}");
    let answer = ask(&generation, Hook::Route, &mut call_at(Hook::Route)).await;
    assert!(answer.contains("|4|2|None|false||None"), "{answer}");
}

#[tokio::test]
async fn buckets_keep_what_memory_does_not() {
    let host = Host::new();
    let mut other = zoo(everywhere("count"));
    other.name = "other".to_owned();
    let (generation, other) = (host.load(&[zoo(everywhere("count"))]).await, host.load(&[other]).await);
    for expected in ["Next", "Next", "Reject"] {
        let answer = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
        assert!(answer.starts_with(expected), "{answer}");
    }
    let answer = ask(&other, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert_eq!(answer, "Next", "a bucket is the plugin's own");
    let mut denied = zoo(everywhere("count"));
    denied.grants.kv.clear();
    let denied = host.load(&[denied]).await;
    let answer = ask(&denied, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert!(answer.contains("no bucket"), "{answer}");
}

#[tokio::test]
async fn the_dns_answers_by_grant_and_within_its_bound() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("dns"))]).await;
    let answer = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    let listed = "[Ok([\\\"127.0.0.2\\\"]), Ok([])] denied=63 name=Some(\\\"host-192.0.2.1.example\\\")";
    assert!(answer.contains(listed), "2 + 63 queries are more than 64: {answer}");
    let mut denied = zoo(everywhere("dns"));
    denied.grants.dns = false;
    let denied = host.load(&[denied]).await;
    let answer = ask(&denied, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert!(answer.contains("Error::Denied"), "{answer}");
}

#[tokio::test]
async fn plugins_keep_metrics_of_their_own() {
    let host = Host::new();
    let generation = host.load(&[zoo(everywhere("metrics"))]).await;
    for _ in 0..3 {
        assert_eq!(ask(&generation, Hook::Data, &mut call_at(Hook::Data)).await, "Next");
    }
    assert_eq!(host.metric("baton_plugin_zoo_visits_total{animal=\"lion\"}"), 6.0);
    assert_eq!(host.metric("baton_plugin_zoo_hunger"), 0.5);
    assert_eq!(host.metric("baton_plugin_zoo_weight_count"), 3.0);
    assert_eq!(host.metric("baton_hooks_calls_total{plugin=\"zoo\",hook=\"data\"}"), 3.0);
    assert!(host.metric("baton_hooks_memory_peak_octets{plugin=\"zoo\",hook=\"data\"}") >= 65_536.0);
}

#[tokio::test]
async fn session_notes_live_as_long_as_the_session() {
    let host = Host::new();
    let generation = host.load(&[zoo(json!({ "connect": "edit", "rcpt": "getters" }))]).await;
    let mut connect = call_at(Hook::Connect);
    assert_eq!(ask(&generation, Hook::Connect, &mut connect).await, "Next");
    let mut rcpt = call_at(Hook::Rcpt);
    rcpt.notes = connect.notes.clone();
    let answer = ask(&generation, Hook::Rcpt, &mut rcpt).await;
    assert!(answer.contains("Some(\\\"connect\\\")"), "{answer}");
    let answer = ask(&generation, Hook::Rcpt, &mut call_at(Hook::Rcpt)).await;
    assert!(!answer.contains("connect"), "another session has its own notes: {answer}");
}
