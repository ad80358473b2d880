use super::*;
use baton_sdk::testing::{Edit, TestHost, Value, json};

const MESSAGE: &str = "Message-ID: <1@sender.example>\nSubject: hello\n\ntext\n";

fn host(config: Value) -> TestHost {
    TestHost::new().kv("duplicate-filter").config(config).sender("a@sender.example").message(MESSAGE)
}

fn ask(host: &TestHost) -> DataDecision {
    host.plugin::<DuplicateFilter>().unwrap().on_data(&host.context()).unwrap()
}

/// What the relay does when it has taken the message.
fn take(host: &TestHost, rcpt: &str) {
    let plugin: DuplicateFilter = host.plugin().unwrap();
    assert_eq!(plugin.on_route(&host.context(), &rcpt.parse().unwrap()).unwrap(), RouteDecision::Next);
}

#[test]
fn the_same_message_is_taken_once() {
    let host = host(json!({})).recipient("b@dest.example");
    assert_eq!(ask(&host), DataDecision::Next);
    take(&host, "b@dest.example");
    assert!(matches!(ask(&host), DataDecision::Discard(_)));
    let other = host.message(MESSAGE.replace("text", "another text"));
    assert_eq!(ask(&other), DataDecision::Next);
    let again = other.message(MESSAGE);
    again.advance(Duration::from_secs(86_400));
    assert_eq!(ask(&again), DataDecision::Next, "forgotten");
}

#[test]
fn a_message_that_was_refused_by_others_comes_again() {
    let host = host(json!({})).recipient("b@dest.example");
    assert_eq!(ask(&host), DataDecision::Next);
    assert_eq!(ask(&host), DataDecision::Next, "nobody took it");
}

#[test]
fn only_recipients_that_have_it_are_left_out() {
    let host = host(json!({})).recipient("b@dest.example").recipient("c@dest.example");
    ask(&host);
    take(&host, "b@DEST.example");
    assert_eq!(ask(&host), DataDecision::Next);
    assert_eq!(host.edits().last(), Some(&Edit::RemoveRecipient(0)));
    assert_eq!(host.metrics()["duplicates"], 1.0);
}

#[test]
fn a_duplicate_is_refused_or_tagged_when_so_set() {
    let reject = host(json!({ "action": "reject" })).recipient("b@dest.example");
    ask(&reject);
    take(&reject, "b@dest.example");
    assert!(matches!(ask(&reject), DataDecision::Reject(reply) if reply.code == 550));
    let tag = host(json!({ "action": "tag" })).recipient("b@dest.example");
    ask(&tag);
    take(&tag, "b@dest.example");
    assert_eq!(ask(&tag), DataDecision::Next);
    assert_eq!(tag.edits().last(), Some(&Edit::Tag("duplicate".into(), "1".into())));
}

#[test]
fn a_message_without_id_is_never_a_duplicate() {
    let host = host(json!({})).recipient("b@dest.example").message("Subject: hello\n\ntext\n");
    ask(&host);
    take(&host, "b@dest.example");
    assert_eq!(ask(&host), DataDecision::Next);
    assert!(host.edits().is_empty());
}

#[test]
fn problems_are_named() {
    for (config, path) in [
        (json!({ "ttl_s": 0 }), "ttl_s"),
        (json!({ "by": ["subject", "sender"] }), "by"),
        (json!({ "by": ["colour"] }), "by[0]"),
    ] {
        let problems = TestHost::new().config(config).plugin::<DuplicateFilter>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
