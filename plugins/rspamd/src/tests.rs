use super::*;
use baton_sdk::http::{HttpError, Response};
use baton_sdk::testing::{Edit, TestHost, Value, json};

const URL: &str = "http://127.0.0.1:11333/checkv2";

fn host(config: Value, answer: &Value) -> TestHost {
    let mut all = json!({ "url": "http://127.0.0.1:11333/" });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let host = TestHost::new().config(all).http("POST", URL, Response::new(200, answer.to_string()));
    let host = host.remote_ip("192.0.2.7").remote_name("mx.sender.example").helo("mx.sender.example");
    host.sender("ann@sender.example")
        .recipient("b@dest.example")
        .recipient("c@dest.example")
        .message("Subject: hi\n\ntext\n")
}

fn ask(host: &TestHost) -> DataDecision {
    host.plugin::<Rspamd>().unwrap().on_data(&host.context()).unwrap()
}

fn act(config: Value, answer: Value) -> (DataDecision, Vec<Edit>) {
    let host = host(config, &answer);
    (ask(&host), host.edits())
}

#[test]
fn the_message_and_its_facts_are_sent() {
    let host = host(json!({}), &json!({ "action": "no action", "score": 0.5 })).account("ann");
    assert_eq!(ask(&host), DataDecision::Next);
    let request = &host.requests()[0];
    assert_eq!(request.body, b"Subject: hi\r\n\r\ntext\r\n");
    let values = |name: &str| {
        let found = request.headers.iter().filter(|(own, _)| own == name);
        found.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(values("Rcpt"), ["b@dest.example", "c@dest.example"]);
    for (name, value) in [
        ("From", "ann@sender.example"),
        ("IP", "192.0.2.7"),
        ("Helo", "mx.sender.example"),
        ("Hostname", "mx.sender.example"),
        ("User", "ann"),
        ("Queue-Id", "message-1"),
    ] {
        assert_eq!(values(name), [value], "{name}");
    }
}

#[test]
fn what_can_break_a_request_is_left_out() {
    let host = host(json!({}), &json!({ "action": "no action" })).helo("evil\r\nUser: root");
    ask(&host);
    assert!(host.requests()[0].headers.iter().all(|(name, _)| name != "Helo"));
}

#[test]
fn every_action_has_its_decision() {
    let reply = |text: &str| DataDecision::Reject(Reply::new(554, "5.7.1", text).unwrap());
    let spam = |action: &str| json!({ "action": action, "score": 20.0 });
    assert_eq!(act(json!({}), spam("reject")).0, reply("spam is not accepted"));
    let told = json!({ "action": "reject", "messages": { "smtp_message": "Gtube pattern" } });
    assert_eq!(act(json!({}), told).0, reply("Gtube pattern"));
    assert!(matches!(act(json!({ "reject": "quarantine" }), spam("reject")).0, DataDecision::Quarantine(_)));
    assert_eq!(act(json!({ "reject": "score" }), spam("reject")).0, DataDecision::Next);
    for action in ["greylist", "soft reject"] {
        assert!(matches!(act(json!({}), spam(action)).0, DataDecision::Tempfail(_)));
        assert_eq!(act(json!({ "defer": false }), spam(action)).0, DataDecision::Next);
    }
    assert!(matches!(act(json!({}), spam("quarantine")).0, DataDecision::Quarantine(_)));
    assert!(matches!(act(json!({}), spam("discard")).0, DataDecision::Discard(_)));
    assert_eq!(
        act(json!({}), spam("no action")),
        (DataDecision::Next, vec![Edit::Score("rspamd".into(), 20.0)])
    );
}

#[test]
fn subject_and_fields_are_changed() {
    let rewritten = json!({ "action": "rewrite subject", "subject": "[SPAM] hi" });
    assert_eq!(act(json!({}), rewritten).1[1], Edit::SetHeader("Subject".into(), "[SPAM] hi".into()));
    assert_eq!(
        act(json!({}), json!({ "action": "add header" })).1[1],
        Edit::SetHeader("X-Spam".into(), "Yes".into())
    );
    let milter = json!({ "action": "no action", "milter": {
        "remove_headers": { "X-Spam": 0 },
        "add_headers": {
            "X-Rspamd-Server": "a",
            "X-Spamd-Bar": { "value": "++", "order": 0 },
            "X-Two": [{ "value": "1", "order": -1 }, "2"]
        }
    } });
    assert_eq!(
        act(json!({}), milter).1[1..],
        [
            Edit::RemoveHeader("X-Spam".into()),
            Edit::AddHeader("X-Rspamd-Server".into(), "a".into()),
            Edit::InsertHeader(0, "X-Spamd-Bar".into(), "++".into()),
            Edit::AddHeader("X-Two".into(), "1".into()),
            Edit::AddHeader("X-Two".into(), "2".into()),
        ]
    );
}

#[test]
fn symbols_become_scores_when_wanted() {
    let answer = json!({ "action": "no action", "score": 4.0, "symbols": {
        "BAYES_SPAM": { "name": "BAYES_SPAM", "score": 5.1, "metric_score": 5.1 },
        "R_SPF_ALLOW": { "score": -0.2 },
        "RCVD_COUNT_ONE": { "score": 0.0 }
    } });
    let scores =
        [Edit::Score("rspamd.BAYES_SPAM".into(), 5.1), Edit::Score("rspamd.R_SPF_ALLOW".into(), -0.2)];
    assert_eq!(act(json!({ "symbols": true }), answer).1, scores);
}

#[test]
fn without_an_answer_the_setting_decides() {
    let mute = |config: Value| {
        let mut all = json!({ "url": URL });
        all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let host =
            TestHost::new().config(all).http_failure("POST", URL, HttpError::Timeout).message("S: x\n\n");
        host.plugin::<Rspamd>().unwrap().on_data(&host.context())
    };
    assert!(mute(json!({})).is_err());
    assert_eq!(mute(json!({ "on_error": "pass" })).unwrap(), DataDecision::Next);
    assert!(matches!(mute(json!({ "on_error": "tempfail" })).unwrap(), DataDecision::Tempfail(_)));
    for (status, body) in [(500, "{}"), (200, "no json"), (200, "{}")] {
        let host =
            TestHost::new().config(json!({ "url": URL })).http("POST", URL, Response::new(status, body));
        assert!(host.plugin::<Rspamd>().unwrap().on_data(&host.context()).is_err(), "{status} {body}");
    }
}

#[test]
fn some_mail_is_not_asked_about() {
    let host = host(json!({ "skip_authenticated": true, "octets_max": 10 }), &json!({ "action": "reject" }));
    assert_eq!(ask(&host), DataDecision::Next, "too large");
    let known =
        self::host(json!({ "skip_authenticated": true }), &json!({ "action": "reject" })).account("ann");
    assert_eq!(ask(&known), DataDecision::Next);
    assert!(host.requests().is_empty() && known.requests().is_empty());
}

#[test]
fn problems_are_named() {
    for (config, path) in [
        (json!({ "url": "127.0.0.1:11333" }), "url"),
        (json!({ "url": URL, "timeout_ms": 0 }), "timeout_ms"),
        (json!({ "url": URL, "reply": "450 4.7.1 x" }), "reply"),
    ] {
        let problems = TestHost::new().config(config).plugin::<Rspamd>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
