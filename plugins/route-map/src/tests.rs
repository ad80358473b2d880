use super::*;
use baton_sdk::testing::{Edit, TestHost, json};

fn host() -> TestHost {
    TestHost::new().config(json!({ "routes": {
        "ann@example.org": "mx",
        "example.org": "mx:relay.example.net",
        ".corp.example": ["a.corp.example:25", "[2001:db8::1]:2525", "192.0.2.9:25"],
        "box.example": "lmtp:unix:/run/lmtp",
        "old.example": "archive",
        "slow.example": "hold: moving to another host",
        "gone.example": "fail:550 5.1.2 this domain is gone",
        "here.example": "pass",
        "*": "127.0.0.1:2526"
    }}))
}

fn route(rcpt: &str) -> (RouteDecision, Vec<Edit>) {
    let host = host();
    let map: RouteMap = host.plugin().unwrap();
    let decision = map.on_route(&host.context(), &rcpt.parse().unwrap()).unwrap();
    (decision, host.edits())
}

#[test]
fn each_kind_of_target_is_carried_out() {
    let routed = |rcpt: &str| match route(rcpt) {
        (RouteDecision::Routed, edits) => edits,
        other => panic!("{rcpt}: {other:?}"),
    };
    assert_eq!(routed("ann@example.org"), [Edit::MxOf("example.org".into())]);
    assert_eq!(routed("bob@example.org"), [Edit::MxOf("relay.example.net".into())]);
    let hosts = [
        Edit::Host("a.corp.example".into(), 25),
        Edit::Fallback("2001:db8::1".into(), 2525),
        Edit::Fallback("192.0.2.9".into(), 25),
    ];
    assert_eq!(routed("x@y.corp.example"), hosts);
    assert_eq!(routed("x@box.example"), [Edit::Lmtp("unix:/run/lmtp".into())]);
    assert_eq!(routed("x@old.example"), [Edit::NextHop("archive".into())]);
    assert_eq!(routed("x@elsewhere.example"), [Edit::Host("127.0.0.1".into(), 2526)]);
}

#[test]
fn mail_can_be_held_failed_or_left_to_the_relay() {
    assert_eq!(route("x@slow.example").0, RouteDecision::Hold("moving to another host".into()));
    assert_eq!(
        route("x@gone.example").0,
        RouteDecision::Fail("550 5.1.2 this domain is gone".parse().unwrap())
    );
    assert_eq!(route("x@here.example"), (RouteDecision::Next, Vec::new()));
}

#[test]
fn without_an_entry_there_is_no_opinion() {
    let host = TestHost::new().config(json!({ "routes": { "example.org": "mx" } }));
    let map: RouteMap = host.plugin().unwrap();
    assert_eq!(map.on_route(&host.context(), &"a@b.example".parse().unwrap()).unwrap(), RouteDecision::Next);
}

#[test]
fn a_target_without_grant_is_a_failure_of_the_plugin() {
    let host = host().refuse_edits("route: mx is not granted");
    let map: RouteMap = host.plugin().unwrap();
    let error = map.on_route(&host.context(), &"ann@example.org".parse().unwrap()).unwrap_err();
    assert_eq!(error.message(), "route: mx is not granted");
}

#[test]
fn problems_in_the_table_name_the_entry() {
    for (pattern, target) in [
        ("exa mple.org", json!("mx")),
        ("a.example", json!("mail.example.org")),
        ("a.example", json!("mail.example.org:0")),
        ("a.example", json!(["mail.example.org:25", "mx"])),
        ("a.example", json!("lmtp:unix:run")),
        ("a.example", json!("fail:450 4.1.2 no")),
        ("a.example", json!("hold:")),
        ("a.example", json!("[::1:25")),
        ("a.example", json!("http://x/")),
    ] {
        let host = TestHost::new().config(json!({ "routes": { pattern: target } }));
        let problems = host.plugin::<RouteMap>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, format!("routes.{pattern}"), "{target}");
    }
    let twice = TestHost::new().config(json!({ "routes": { ".a.example": "mx", "*.a.example": "mx" } }));
    assert!(twice.plugin::<RouteMap>().is_err());
    assert!(TestHost::new().config(json!({ "route": {} })).plugin::<RouteMap>().is_err());
}
