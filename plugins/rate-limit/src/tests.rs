use super::*;
use baton_sdk::testing::{TestHost, json};

fn host(rules: baton_sdk::testing::Value) -> TestHost {
    let config = json!({ "rules": rules, "exempt_networks": ["10.0.0.0/8"] });
    TestHost::new().kv("rate-limit").sender("Ann@Example.org").config(config)
}

fn rcpt(host: &TestHost, address: &str) -> RcptDecision {
    host.plugin::<RateLimit>().unwrap().on_rcpt(&host.context(), &address.parse().unwrap()).unwrap()
}

fn connect(host: &TestHost) -> ConnectDecision {
    host.plugin::<RateLimit>().unwrap().on_connect(&host.context()).unwrap()
}

#[test]
fn the_burst_is_let_through_and_the_rest_is_told_when_to_come_back() {
    let host = host(json!([{ "name": "client", "at": "rcpt", "key": "{ip}", "burst": 2, "period_s": 60 }]));
    assert_eq!(rcpt(&host, "a@b.example"), RcptDecision::Next);
    assert_eq!(rcpt(&host, "a@b.example"), RcptDecision::Next);
    let reply: Reply = "451 4.7.1 too much at once, try again in 30 seconds".parse().unwrap();
    assert_eq!(rcpt(&host, "a@b.example"), RcptDecision::Tempfail(reply));
    assert_eq!(host.metrics().get("limited{rule=client}"), Some(&1.0));
    host.advance(Duration::from_secs(30));
    assert_eq!(rcpt(&host, "a@b.example"), RcptDecision::Next);
}

#[test]
fn connections_are_counted_by_network() {
    let rules = json!([{ "name": "net", "at": "connect", "key": "{network}", "burst": 1, "period_s": 60 }]);
    let host = host(rules).remote_ip("192.0.2.1");
    assert_eq!(connect(&host), ConnectDecision::Next);
    let host = host.remote_ip("::ffff:192.0.2.200");
    assert!(matches!(connect(&host), ConnectDecision::Tempfail(reply) if reply.code == 421));
    let host = host.remote_ip("192.0.3.1");
    assert_eq!(connect(&host), ConnectDecision::Next);
    let host = host.remote_ip("2001:db8:1:2::1");
    assert_eq!(connect(&host), ConnectDecision::Next);
    let host = host.remote_ip("2001:db8:1:2:ffff::1");
    assert!(matches!(connect(&host), ConnectDecision::Tempfail(_)));
    assert_eq!(rcpt(&host, "a@b.example"), RcptDecision::Next);
}

#[test]
fn a_rule_without_its_subject_does_not_apply() {
    let rules = json!([{ "name": "account", "at": "rcpt", "key": "{account}", "burst": 1, "period_s": 60 }]);
    let host = host(rules);
    for _ in 0..3 {
        assert_eq!(rcpt(&host, "a@b.example"), RcptDecision::Next);
    }
    let host = host.account("ann");
    assert_eq!(rcpt(&host, "a@b.example"), RcptDecision::Next);
    assert!(matches!(rcpt(&host, "a@b.example"), RcptDecision::Tempfail(_)));
}

#[test]
fn keys_are_made_of_several_parts_and_ignore_case() {
    let key = "{sender}>{recipient_domain}";
    let host = host(json!([{ "name": "pair", "at": "rcpt", "key": key, "burst": 1, "period_s": 60 }]));
    assert_eq!(rcpt(&host, "a@b.example"), RcptDecision::Next);
    assert_eq!(rcpt(&host, "a@c.example"), RcptDecision::Next);
    let host = host.sender("ANN@example.org");
    assert!(matches!(rcpt(&host, "z@b.example"), RcptDecision::Tempfail(_)));
}

#[test]
fn rules_choose_their_clients_and_exempt_networks_have_none() {
    let rule = json!([{ "name": "n", "at": "rcpt", "key": "{ip}", "burst": 1, "period_s": 60, "clients": "anonymous",
        "reply": "550 5.7.1 go away" }]);
    let exempt = host(rule.clone()).remote_ip("10.1.1.1");
    let known = host(rule.clone()).account("ann");
    let anonymous = host(rule);
    for host in [&exempt, &known, &anonymous] {
        assert_eq!(rcpt(host, "a@b.example"), RcptDecision::Next);
    }
    assert_eq!(rcpt(&exempt, "a@b.example"), RcptDecision::Next);
    assert_eq!(rcpt(&known, "a@b.example"), RcptDecision::Next);
    assert!(
        matches!(rcpt(&anonymous, "a@b.example"), RcptDecision::Reject(reply) if reply.text == "go away")
    );
}

#[test]
fn without_the_bucket_the_failure_policy_decides() {
    let rules = json!([{ "name": "n", "at": "rcpt", "key": "{ip}", "burst": 1, "period_s": 60 }]);
    let host = TestHost::new().config(json!({ "rules": rules }));
    let plugin: RateLimit = host.plugin().unwrap();
    assert!(plugin.on_rcpt(&host.context(), &"a@b.example".parse().unwrap()).is_err());
}

#[test]
fn long_keys_are_cut_between_characters() {
    let key = Key::read("{sender}", At::Rcpt).unwrap();
    let host = TestHost::new().sender(&format!("{}@example.org", "ü".repeat(399)));
    assert_eq!(key.fill(&host.context(), None).unwrap().len(), 400);
}

#[test]
fn problems_are_named() {
    let rule = |name: &str, at: &str, key: &str, burst: u32| json!({ "name": name, "at": at, "key": key, "burst": burst, "period_s": 60 });
    for (rules, path) in [
        (json!([rule("", "rcpt", "{ip}", 1)]), "rules[0].name"),
        (json!([rule("a", "rcpt", "{ip}", 1), rule("a", "rcpt", "{ip}", 1)]), "rules[1].name"),
        (json!([rule("a", "rcpt", "{ip}", 0)]), "rules[0].burst"),
        (json!([rule("a", "rcpt", "{nobody}", 1)]), "rules[0].key"),
        (json!([rule("a", "rcpt", "{ip", 1)]), "rules[0].key"),
        (json!([rule("a", "rcpt", "", 1)]), "rules[0].key"),
        (json!([rule("a", "connect", "{account}", 1)]), "rules[0].key"),
        (json!([rule("a", "data", "{ip}", 1)]), "rules[0].at"),
    ] {
        let problems = host(rules).plugin::<RateLimit>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
