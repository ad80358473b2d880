use super::*;
use baton_sdk::testing::{TestHost, Value, json};

fn host(config: Value) -> TestHost {
    TestHost::new().kv("greylist").config(config).remote_ip("192.0.2.10").sender("ann@sender.example")
}

/// Seconds that the client is told to wait; none when it is let in.
fn ask(host: &TestHost, rcpt: &str) -> Option<u64> {
    let plugin: Greylist = host.plugin().unwrap();
    match plugin.on_rcpt(&host.context(), &rcpt.parse().unwrap()).unwrap() {
        RcptDecision::Next => None,
        RcptDecision::Tempfail(reply) => {
            Some(reply.text.split(' ').find_map(|word| word.parse().ok()).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_first_attempt_waits_and_the_retry_passes() {
    let host = host(json!({}));
    assert_eq!(ask(&host, "b@dest.example"), Some(300));
    host.advance(seconds(100));
    assert_eq!(ask(&host, "b@dest.example"), Some(200));
    host.advance(seconds(200));
    assert_eq!(ask(&host, "b@dest.example"), None);
    assert_eq!(ask(&host, "c@dest.example"), Some(300), "another recipient is another triplet");
    let metrics = host.metrics();
    assert_eq!((metrics["deferred"], metrics["passed"]), (3.0, 1.0));
}

#[test]
fn a_retry_from_the_same_network_counts() {
    let first = host(json!({}));
    ask(&first, "b@dest.example");
    first.advance(seconds(301));
    let neighbour = first.remote_ip("192.0.2.250");
    assert_eq!(ask(&neighbour, "b@dest.example"), None);
    let stranger = neighbour.remote_ip("192.0.3.1");
    assert_eq!(ask(&stranger, "b@dest.example"), Some(300));
}

#[test]
fn a_late_retry_begins_anew_and_a_known_triplet_is_forgotten_when_silent() {
    let host = host(json!({ "pass_ttl_s": 172_800 }));
    ask(&host, "b@dest.example");
    host.advance(seconds(86_401));
    assert_eq!(ask(&host, "b@dest.example"), Some(300));
    host.advance(seconds(300));
    assert_eq!(ask(&host, "b@dest.example"), None);
    host.advance(seconds(100_000));
    assert_eq!(ask(&host, "b@dest.example"), None, "renewed here");
    host.advance(seconds(172_000));
    assert_eq!(ask(&host, "b@dest.example"), None, "because it was renewed");
    host.advance(seconds(180_000));
    assert_eq!(ask(&host, "b@dest.example"), Some(300));
}

#[test]
fn a_client_that_always_comes_again_is_known() {
    let host = host(json!({ "auto_allow_after": 2 }));
    for rcpt in ["a@dest.example", "b@dest.example"] {
        ask(&host, rcpt);
        host.advance(seconds(300));
        assert_eq!(ask(&host, rcpt), None);
    }
    assert_eq!(ask(&host, "c@dest.example"), None);
    assert_eq!(host.metrics()["known_client"], 1.0);
}

#[test]
fn friends_are_never_deferred() {
    let config = json!({ "exempt_networks": ["203.0.113.0/24"], "exempt_senders": ["bank.example"] });
    assert_eq!(ask(&host(config.clone()).account("ann"), "b@dest.example"), None);
    assert_eq!(ask(&host(config.clone()).remote_ip("203.0.113.7"), "b@dest.example"), None);
    assert_eq!(ask(&host(config.clone()).sender("tan@bank.example"), "b@dest.example"), None);
    assert_eq!(ask(&host(config), "Postmaster@dest.example"), None);
    assert_eq!(ask(&host(json!({})).remote_ip("10.1.2.3"), "b@dest.example"), None);
}

#[test]
fn a_store_that_is_not_there_is_a_failure_of_the_plugin() {
    let host = TestHost::new().sender("ann@sender.example");
    let plugin: Greylist = host.plugin().unwrap();
    assert!(plugin.on_rcpt(&host.context(), &"b@dest.example".parse().unwrap()).is_err());
}

#[test]
fn problems_are_named() {
    for (config, path) in [
        (json!({ "delay_s": 0 }), "delay_s"),
        (json!({ "delay_s": 300, "retry_window_s": 300 }), "retry_window_s"),
        (json!({ "pass_ttl_s": 60 }), "pass_ttl_s"),
        (json!({ "ipv4_prefix_bits": 33 }), "ipv4_prefix_bits"),
        (json!({ "ipv6_prefix_bits": 0 }), "ipv6_prefix_bits"),
        (json!({ "reply": "550 5.7.1 never" }), "reply"),
        (json!({ "exempt_senders": ["a b"] }), "exempt_senders[0]"),
    ] {
        let problems = TestHost::new().config(config).plugin::<Greylist>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
