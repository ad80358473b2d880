use super::*;
use baton_sdk::testing::{Edit, TestHost, Value, json};

fn host(rules: Value) -> TestHost {
    let host = TestHost::new().config(json!({ "rules": rules })).sender("news@shop.example");
    let host = host.recipient("ann@example.org").recipient("bob@example.net");
    host.header("Subject", "Cheap WATCHES today").header("X-Spam", "no").header("X-Spam", "maybe")
}

fn ask(host: &TestHost) -> DataDecision {
    host.plugin::<HeaderRules>().unwrap().on_data(&host.context()).unwrap()
}

/// True when the condition holds for the message above.
fn holds(condition: Value) -> bool {
    let host = host(json!([{ "name": "r", "match": condition, "then": { "quarantine": "held" } }]));
    ask(&host) == DataDecision::Quarantine("held".into())
}

#[test]
fn fields_are_matched_in_every_way() {
    assert!(holds(json!({ "header": "subject", "contains": "watches" })));
    assert!(!holds(json!({ "header": "subject", "contains": "clocks" })));
    assert!(holds(json!({ "header": "X-Spam", "equals": "MAYBE" })));
    assert!(!holds(json!({ "header": "X-Spam", "equals": "may" })));
    assert!(holds(json!({ "header": "Subject", "regex": "^Cheap [A-Z]+ " })));
    assert!(!holds(json!({ "header": "Subject", "regex": "^cheap" })));
    assert!(holds(json!({ "header": "Subject", "regex": "(?i)^cheap" })));
    assert!(holds(json!({ "header": "Message-ID", "exists": false })));
    assert!(!holds(json!({ "header": "Subject", "exists": false })));
    assert!(holds(json!({ "header": "Subject", "exists": true })));
}

#[test]
fn envelope_size_and_client_are_matched() {
    assert!(holds(json!({ "sender": "shop.example" })));
    assert!(!holds(json!({ "sender": ".shop.example" })));
    assert!(holds(json!({ "recipient": "bob@" })));
    assert!(!holds(json!({ "recipient": "carol@" })));
    assert!(holds(json!({ "size_over_octets": 10 })));
    assert!(!holds(json!({ "size_over_octets": 10_000 })));
    assert!(holds(json!({ "authenticated": false })));
    assert!(!holds(json!({ "too_complex": true })));
}

#[test]
fn all_conditions_must_hold() {
    assert!(holds(json!({ "header": "Subject", "exists": true, "sender": "shop.example" })));
    assert!(!holds(json!({ "header": "Subject", "exists": true, "sender": "other.example" })));
    assert!(holds(json!({})));
}

#[test]
fn a_message_too_complex_to_read_can_be_refused() {
    let rule = json!([{ "name": "r", "match": { "too_complex": true }, "then": { "reject": "554 5.6.0 too complex" } }]);
    let host = host(rule).too_complex("more than 1000 fields");
    assert_eq!(ask(&host), DataDecision::Reject("554 5.6.0 too complex".parse().unwrap()));
}

#[test]
fn changes_and_marks_add_up_over_the_rules() {
    let host = host(json!([
        { "name": "mark", "then": { "add": { "X-Relay": "baton" }, "set": { "X-Spam": "no" }, "remove": ["X-Old"] } },
        { "name": "ads", "match": { "header": "Subject", "contains": "cheap" },
          "then": { "score": 2.5, "tag": { "kind": "ads" }, "stream": "bulk" } },
        { "name": "never", "match": { "sender": "nobody@" }, "then": { "score": 100.0 } }
    ]));
    assert_eq!(ask(&host), DataDecision::Next);
    assert_eq!(
        host.edits(),
        [
            Edit::RemoveHeader("X-Old".into()),
            Edit::SetHeader("X-Spam".into(), "no".into()),
            Edit::AddHeader("X-Relay".into(), "baton".into()),
            Edit::Tag("kind".into(), "ads".into()),
            Edit::Score("ads".into(), 2.5),
            Edit::Stream("bulk".into()),
        ]
    );
    assert_eq!(host.metrics().get("matched{rule=never}"), None);
}

#[test]
fn the_first_decision_ends_the_rules() {
    for (then, decision) in [
        (json!({ "reject": "550 5.7.1 no" }), DataDecision::Reject("550 5.7.1 no".parse().unwrap())),
        (
            json!({ "tempfail": "451 4.7.1 later" }),
            DataDecision::Tempfail("451 4.7.1 later".parse().unwrap()),
        ),
        (json!({ "quarantine": "look" }), DataDecision::Quarantine("look".into())),
        (json!({ "discard": "junk" }), DataDecision::Discard("junk".into())),
        (json!({ "accept": true }), DataDecision::Accept),
    ] {
        let host = host(json!([{ "name": "a", "then": then }, { "name": "b", "then": { "score": 1.0 } }]));
        assert_eq!(ask(&host), decision);
        assert!(host.edits().is_empty());
    }
}

#[test]
fn problems_are_named() {
    for (condition, then, path) in [
        (json!({ "header": "Subject" }), json!({ "accept": true }), "rules[0].match"),
        (json!({ "contains": "x" }), json!({ "accept": true }), "rules[0].match"),
        (
            json!({ "header": "Subject", "contains": "x", "equals": "x" }),
            json!({ "accept": true }),
            "rules[0].match",
        ),
        (json!({ "header": "Subject", "regex": "(" }), json!({ "accept": true }), "rules[0].match.regex"),
        (json!({ "sender": "a b" }), json!({ "accept": true }), "rules[0].match.sender"),
        (json!({}), json!({}), "rules[0].then"),
        (json!({}), json!({ "accept": true, "discard": "x" }), "rules[0].then"),
        (json!({}), json!({ "reject": "450 4.7.1 x" }), "rules[0].then"),
        (json!({}), json!({ "add": { "X A": "b" } }), "rules[0].then"),
        (json!({}), json!({ "drop": true }), "rules[0].then.drop"),
        (json!({}), json!({ "tag": { "a b": "c" } }), "rules[0].then"),
        (json!({}), json!({ "stream": "a b" }), "rules[0].then"),
    ] {
        let host = host(json!([{ "name": "r", "match": condition, "then": then }]));
        assert_eq!(host.plugin::<HeaderRules>().map(|_| ()).unwrap_err().as_slice()[0].path, path);
    }
    let unnamed = host(json!([{ "name": "a b", "then": { "accept": true } }]));
    assert_eq!(unnamed.plugin::<HeaderRules>().map(|_| ()).unwrap_err().as_slice()[0].path, "rules[0].name");
}
