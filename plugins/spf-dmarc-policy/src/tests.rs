use super::*;
use baton_sdk::testing::{Edit, TestHost, Value, json};

fn ask(more: Value, fields: &[&str], change: impl FnOnce(TestHost) -> TestHost) -> (DataDecision, Vec<Edit>) {
    let mut config = json!({ "trusted": ["mx.us.example"], "from_networks": ["10.0.0.0/8"] });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let host = TestHost::new().config(config).remote_ip("10.0.0.5").sender("a@bank.example");
    let host = fields.iter().fold(host, |host, value| host.header("Authentication-Results", value));
    let host = change(host.header("From", "Bank <info@bank.example>"));
    let plugin: SpfDmarcPolicy = host.plugin().unwrap();
    (plugin.on_data(&host.context()).unwrap(), host.edits())
}

fn decide(more: Value, fields: &[&str]) -> DataDecision {
    ask(more, fields, |host| host).0
}

const FAIL_REJECT: &str = "mx.us.example; dmarc=fail (p=REJECT dis=NONE) header.from=Bank.example";

#[test]
fn the_policy_of_the_domain_is_honoured() {
    let reply = "550 5.7.26 mail from bank.example fails its DMARC policy".parse().unwrap();
    assert_eq!(decide(json!({}), &[FAIL_REJECT]), DataDecision::Reject(reply));
    let quarantine = FAIL_REJECT.replace("REJECT", "QUARANTINE");
    assert!(
        matches!(decide(json!({}), &[&quarantine]), DataDecision::Quarantine(why) if why.contains("bank.example"))
    );
    assert_eq!(decide(json!({}), &[&FAIL_REJECT.replace("REJECT", "NONE")]), DataDecision::Next);
    assert_eq!(decide(json!({}), &[&FAIL_REJECT.replace("=fail", "=pass")]), DataDecision::Next);
    assert_eq!(decide(json!({ "dmarc_policy": false }), &[FAIL_REJECT]), DataDecision::Next);
}

#[test]
fn only_trusted_fields_from_trusted_hosts_count() {
    assert_eq!(decide(json!({}), &[&FAIL_REJECT.replace("mx.us", "mx.evil")]), DataDecision::Next);
    assert_eq!(ask(json!({}), &[FAIL_REJECT], |host| host.remote_ip("192.0.2.1")).0, DataDecision::Next);
    assert_eq!(
        ask(json!({ "exempt_senders": ["bank.example"] }), &[FAIL_REJECT], |host| host).0,
        DataDecision::Next
    );
    let pass_above = ["mx.us.example; dmarc=pass header.from=bank.example", FAIL_REJECT];
    assert_eq!(decide(json!({}), &pass_above), DataDecision::Next, "the topmost counts");
}

#[test]
fn results_have_their_actions() {
    let on = json!({ "on": {
        "spf.softfail": { "score": 1.5, "tag": { "spf": "{domain}" } },
        "dkim.fail": { "quarantine": "no signature of {domain} holds" },
        "spf.fail": { "reject": "550 5.7.23 {domain} does not send from there" }
    } });
    let (decision, edits) =
        ask(on.clone(), &["mx.us.example; spf=softfail smtp.mailfrom=a@shop.example"], |host| host);
    assert_eq!(decision, DataDecision::Next);
    assert_eq!(
        edits,
        [Edit::Tag("spf".into(), "shop.example".into()), Edit::Score("auth.spf.softfail".into(), 1.5)]
    );
    let spf = decide(on.clone(), &["mx.us.example; spf=fail smtp.mailfrom=shop.example"]);
    assert!(
        matches!(spf, DataDecision::Reject(reply) if reply.text == "shop.example does not send from there")
    );
    let two = "mx.us.example; dkim=fail header.d=a.example; dkim=pass header.d=b.example";
    assert_eq!(decide(on.clone(), &[two]), DataDecision::Next, "one signature is enough");
    assert!(matches!(decide(on, &[&two.replace("pass", "none")]), DataDecision::Quarantine(_)));
}

#[test]
fn a_field_that_should_be_there_can_be_missed() {
    let on = json!({ "on": { "missing": { "score": 2.0 } } });
    assert_eq!(ask(on, &[], |host| host).1, [Edit::Score("auth.missing".into(), 2.0)]);
}

#[test]
fn problems_are_named() {
    let good = json!({ "trusted": ["a"], "from_networks": ["10.0.0.0/8"] });
    for (more, path) in [
        (json!({ "trusted": [] }), "trusted"),
        (json!({ "from_networks": [] }), "from_networks"),
        (json!({ "reply": "450 4.7.1 x" }), "reply"),
        (json!({ "on": { "spf": {} } }), "on.spf"),
        (json!({ "on": { "spf.fail": { "reject": "450 4.7.1 x" } } }), "on.spf.fail"),
        (json!({ "on": { "spf.fail": { "tag": { "a b": "x" } } } }), "on.spf.fail"),
    ] {
        let mut config = good.clone();
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let problems = TestHost::new().config(config).plugin::<SpfDmarcPolicy>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
