use super::*;
use baton_sdk::testing::{Edit, TestHost, Value, json};
use std::time::Duration;

fn host(config: Value, reply: &str) -> TestHost {
    let permanent = reply.starts_with('5');
    let host = TestHost::new().config(config).failure(permanent, "rcpt", "unknown");
    host.attempt(1, Duration::from_secs(10), None).remote_reply("mx1.mail.example.net", reply)
}

fn ask(host: &TestHost) -> BounceDecision {
    let rcpt = Address::new("ann", "example.net");
    host.plugin::<BounceRules>().unwrap().on_bounce(&host.context(), &rcpt).unwrap()
}

/// The class that the shipped table finds, and the decision.
fn by_default(reply: &str) -> (Option<String>, BounceDecision) {
    let host = host(json!({}), reply);
    let decision = ask(&host);
    let class = host
        .edits()
        .into_iter()
        .find_map(|edit| if let Edit::Class(class) = edit { Some(class) } else { None });
    (class, decision)
}

#[test]
fn well_known_replies_are_sorted() {
    for (reply, class) in [
        ("550 5.1.1 The email account that you tried to reach does not exist", "bad-mailbox"),
        ("554 5.0.0 delivery error: dd This user doesn't have a example.com account", "bad-mailbox"),
        ("550 5.4.1 Recipient address rejected: Access denied", "bad-mailbox"),
        ("452 4.2.2 The recipient's inbox is out of storage space", "quota"),
        ("552 5.2.2 Mailbox full", "quota"),
        ("552 5.3.4 Message size exceeds fixed maximum message size", "too-large"),
        (
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
            "block-source",
        ),
        ("550 5.7.26 Unauthenticated email from example.org is not accepted due to DMARC policy", "policy"),
        ("554 5.7.1 <a@b.example>: Relay access denied", "policy"),
        ("554 5.4.0 Error: too many hops", "loop"),
        ("550 5.7.0 Message rejected as spam", "content"),
        ("530 5.7.0 Must issue a STARTTLS command first", "tls"),
        ("550 5.1.2 we know nothing of it", "bad-domain"),
        ("554 5.6.0 cannot", "content"),
        ("550 5.7.25 cannot", "block-source"),
    ] {
        assert_eq!(by_default(reply), (Some(class.to_owned()), BounceDecision::Next), "{reply}");
    }
    assert_eq!(by_default("550 5.0.0 no"), (None, BounceDecision::Next));
}

#[test]
fn greylisting_and_rate_limits_are_tried_again_for_a_while() {
    let grey =
        "450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see https://example.net/help";
    assert_eq!(by_default(grey), (Some("greylist".into()), BounceDecision::Retry(360_000)));
    let mistaken = "550 5.7.1 You are being greylisted, try again later";
    assert_eq!(by_default(mistaken), (Some("greylist".into()), BounceDecision::Retry(360_000)));
    let rate = "421 4.7.0 [TSS04] Messages temporarily deferred due to unexpected volume or user complaints";
    assert_eq!(by_default(rate), (Some("rate".into()), BounceDecision::Retry(1_800_000)));
    let late = host(json!({}), mistaken).attempt(5, Duration::from_secs(3_600), None);
    assert_eq!(ask(&late), BounceDecision::Next);
}

#[test]
fn without_a_reply_the_table_has_no_opinion() {
    let host = TestHost::new().failure(false, "connect", "network").attempt(
        1,
        Duration::ZERO,
        Some("connection refused"),
    );
    assert_eq!(ask(&host), BounceDecision::Next);
    assert!(host.edits().is_empty());
}

#[test]
fn the_class_is_set_only_when_it_changes() {
    let host = host(json!({}), "552 5.2.2 Mailbox full").failure(true, "rcpt", "quota");
    assert_eq!(ask(&host), BounceDecision::Next);
    assert!(host.edits().is_empty());
}

#[test]
fn the_operators_rules_come_first() {
    let rule = json!({ "name": "full", "contains": "MAILBOX FULL", "action": "retry", "retry_after_s": 7200,
        "set_class": "policy" });
    let host = host(json!({ "rules": [rule] }), "552 5.2.2 Mailbox full");
    assert_eq!(ask(&host), BounceDecision::Retry(7_200_000));
    assert_eq!(host.edits(), [Edit::Class("policy".into())]);
    assert_eq!(host.metrics().get("matched{rule=full}"), Some(&1.0));
}

#[test]
fn the_shipped_table_can_be_left_out() {
    let host = host(json!({ "use_default_rules": false }), "552 5.2.2 Mailbox full");
    assert_eq!(ask(&host), BounceDecision::Next);
    assert!(host.edits().is_empty());
}

/// True when a rule with that condition decides about a refused recipient.
fn matches(mut condition: Value) -> bool {
    condition["name"] = json!("r");
    condition["action"] = json!("silent");
    let host =
        host(json!({ "rules": [condition], "use_default_rules": false }), "550 5.1.1 No such user: ann");
    ask(&host) == BounceDecision::Silent
}

#[test]
fn every_condition_is_looked_at() {
    for (condition, expected) in [
        (json!({ "code": "550" }), true),
        (json!({ "code": "55x" }), true),
        (json!({ "code": "551" }), false),
        (json!({ "code": "4xx" }), false),
        (json!({ "enhanced": "5.1.1" }), true),
        (json!({ "enhanced": "x.1.x" }), true),
        (json!({ "enhanced": "5.1.2" }), false),
        (json!({ "contains": "no such USER" }), true),
        (json!({ "contains": "no such host" }), false),
        (json!({ "regex": "user: [a-z]+$" }), true),
        (json!({ "regex": "^user" }), false),
        (json!({ "phase": "rcpt" }), true),
        (json!({ "phase": "data" }), false),
        (json!({ "remote_host": ".example.net" }), true),
        (json!({ "remote_host": "mx1.mail.example.net" }), true),
        (json!({ "remote_host": ".example.org" }), false),
        (json!({ "class": "unknown" }), true),
        (json!({ "class": "quota" }), false),
        (json!({ "permanent": true }), true),
        (json!({ "permanent": false }), false),
        (json!({ "attempts_max": 1 }), true),
        (json!({ "attempts_max": 0 }), false),
        (json!({ "code": "550", "phase": "data" }), false),
    ] {
        assert_eq!(matches(condition.clone()), expected, "{condition}");
    }
}

#[test]
fn every_action_is_a_decision() {
    for (action, decision) in [
        ("fail", BounceDecision::Fail),
        ("notify", BounceDecision::Notify),
        ("silent", BounceDecision::Silent),
        ("reroute", BounceDecision::Reroute),
    ] {
        let rule = json!({ "name": "r", "code": "5xx", "action": action });
        assert_eq!(ask(&host(json!({ "rules": [rule] }), "550 5.1.1 no such user")), decision);
    }
}

#[test]
fn a_retry_rule_ends_after_its_attempts() {
    let rule = json!({ "name": "r", "code": "5xx", "action": "retry", "retry_after_s": 60 });
    let config = json!({ "rules": [rule], "use_default_rules": false });
    let tenth = host(config.clone(), "550 5.1.1 no").attempt(10, Duration::ZERO, None);
    assert_eq!(ask(&tenth), BounceDecision::Retry(60_000));
    let eleventh = host(config, "550 5.1.1 no").attempt(11, Duration::ZERO, None);
    assert_eq!(ask(&eleventh), BounceDecision::Next);
}

#[test]
fn problems_are_named() {
    for (rule, path) in [
        (json!({ "name": "r" }), "rules[0]"),
        (json!({ "name": "r", "code": "55", "action": "fail" }), "rules[0]"),
        (json!({ "name": "r", "code": "250", "action": "fail" }), "rules[0]"),
        (json!({ "name": "r", "enhanced": "5.1", "action": "fail" }), "rules[0]"),
        (json!({ "name": "r", "regex": "(", "action": "fail" }), "rules[0].regex"),
        (json!({ "name": "r", "phase": "rcpt-to", "action": "fail" }), "rules[0]"),
        (json!({ "name": "r", "set_class": "full" }), "rules[0]"),
        (json!({ "name": "r", "action": "retry" }), "rules[0]"),
        (json!({ "name": "r", "action": "fail", "retry_after_s": 5 }), "rules[0]"),
        (json!({ "name": "r", "remote_host": "a@b.example", "action": "fail" }), "rules[0]"),
        (json!({ "name": "r", "action": "drop" }), "rules[0].action"),
    ] {
        let host = host(json!({ "rules": [rule] }), "550 5.1.1 no");
        assert_eq!(host.plugin::<BounceRules>().map(|_| ()).unwrap_err().as_slice()[0].path, path);
    }
}
