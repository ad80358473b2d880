use super::*;
use baton_sdk::testing::{TestHost, Value, json};

fn host(config: Value) -> TestHost {
    let mut all = json!({ "recipients": ["us.example"] });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    TestHost::new().kv("recipient-verify").config(all)
}

fn ask(host: &TestHost, rcpt: &str) -> RcptDecision {
    let plugin: RecipientVerify = host.plugin().unwrap();
    plugin.on_rcpt(&host.context(), &rcpt.parse().unwrap()).unwrap()
}

fn asked(host: &TestHost) -> f64 {
    host.metrics().iter().filter(|(name, _)| name.starts_with("asked")).map(|(_, count)| count).sum()
}

#[test]
fn a_yes_is_remembered_for_long_and_a_no_for_short() {
    let host = host(json!({}))
        .verify("ann@us.example", "250 2.1.5 ok")
        .verify("bob@us.example", "550 5.1.1 unknown user");
    assert_eq!(ask(&host, "ann@us.example"), RcptDecision::Next);
    let RcptDecision::Reject(reply) = ask(&host, "bob@us.example") else { panic!("there is no bob") };
    assert_eq!(reply.to_string(), "550 5.1.1 no such recipient: next.example said 550 unknown user");
    let host = host.verify("ann@us.example", "550 5.1.1 gone").verify("bob@us.example", "250 2.1.5 ok");
    assert_eq!(ask(&host, "ann@us.example"), RcptDecision::Next, "remembered");
    assert!(matches!(ask(&host, "bob@us.example"), RcptDecision::Reject(_)), "remembered");
    assert_eq!(asked(&host), 2.0);
    host.advance(Duration::from_secs(3 * 3_600));
    assert_eq!(ask(&host, "bob@us.example"), RcptDecision::Next);
    assert_eq!(ask(&host, "ann@us.example"), RcptDecision::Next);
    host.advance(Duration::from_secs(7 * 86_400));
    assert!(matches!(ask(&host, "ann@us.example"), RcptDecision::Reject(_)));
}

#[test]
fn only_what_is_said_about_the_mailbox_is_a_no() {
    for (reply, refused) in [
        ("550 no such user", true),
        ("550 5.2.1 disabled", true),
        ("556 5.1.10 null MX", true),
        ("550 5.7.1 your address is blocked", false),
        ("552 5.2.2 full", false),
        ("554 go away", false),
        ("450 4.2.1 busy", false),
        ("421 closing", false),
    ] {
        let host = host(json!({})).verify("ann@us.example", reply);
        assert_eq!(matches!(ask(&host, "ann@us.example"), RcptDecision::Reject(_)), refused, "{reply}");
    }
}

#[test]
fn without_an_answer_the_setting_decides_and_the_host_is_left_in_peace() {
    let pass = host(json!({})).verify_failure("ann@us.example", VerifyError::Timeout);
    assert_eq!(ask(&pass, "ann@us.example"), RcptDecision::Next);
    let tempfail = host(json!({ "on_unknown": "tempfail" }))
        .verify_failure("ann@us.example", VerifyError::Failed("dns".into()));
    assert!(matches!(ask(&tempfail, "ann@us.example"), RcptDecision::Tempfail(_)));
    assert!(matches!(ask(&tempfail, "ann@us.example"), RcptDecision::Tempfail(_)));
    assert_eq!(asked(&tempfail), 1.0);
    let ungranted = host(json!({}));
    let plugin: RecipientVerify = ungranted.plugin().unwrap();
    assert!(plugin.on_rcpt(&ungranted.context(), &"ann@us.example".parse().unwrap()).is_err());
}

#[test]
fn users_others_and_postmasters_are_not_asked_about() {
    let host = host(json!({})).verify("ann@us.example", "550 5.1.1 no");
    assert_eq!(ask(&host, "ann@elsewhere.example"), RcptDecision::Next);
    assert_eq!(ask(&host, "Postmaster@us.example"), RcptDecision::Next);
    let host = host.account("bob");
    assert_eq!(ask(&host, "ann@us.example"), RcptDecision::Next);
    assert_eq!(asked(&host), 0.0);
}

#[test]
fn problems_are_named() {
    for (config, path) in [
        (json!({ "recipients": [] }), "recipients"),
        (json!({ "recipients": ["*"], "unknown_ttl_s": 0 }), "unknown_ttl_s"),
        (json!({ "recipients": ["a b"] }), "recipients[0]"),
    ] {
        let problems = TestHost::new().config(config).plugin::<RecipientVerify>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
