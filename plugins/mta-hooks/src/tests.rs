use super::*;
use baton_sdk::http::Response;
use baton_sdk::testing::{Edit, TestHost};
use serde_json::{Value, json};

const URL: &str = "https://hooks.example/v1";

fn host(answer: &Value) -> TestHost {
    let host = TestHost::new().config(json!({ "url": URL })).secret("token", "t0ken\n");
    let host = host.http("POST", URL, Response::new(200, answer.to_string())).helo("client.example");
    host.sender("ann@sender.example")
        .recipient("b@dest.example")
        .message("Subject: hi\n there\nX-A: 1\nX-A: 2\n\ntext\n")
}

fn plugin(host: &TestHost) -> MtaHooks {
    host.plugin().unwrap()
}

fn data(answer: Value) -> (DataDecision, Vec<Edit>) {
    let host = host(&answer);
    (plugin(&host).on_data(&host.context()).unwrap(), host.edits())
}

fn sent(host: &TestHost) -> Value {
    serde_json::from_slice(&host.requests()[0].body).unwrap()
}

#[test]
fn each_stage_tells_what_is_known_by_then() {
    let accept = json!({ "action": "accept" });
    let connect = host(&accept);
    assert_eq!(plugin(&connect).on_connect(&connect.context()).unwrap(), ConnectDecision::Next);
    let told = sent(&connect);
    assert_eq!(told["context"]["stage"], "connect");
    assert_eq!(
        told["context"]["client"],
        json!({ "ip": "192.0.2.1", "port": 52_525, "ptr": null, "helo": "client.example", "activeConnections": 1 })
    );
    assert!(told.get("envelope").is_none() && told.get("message").is_none());
    let header = connect.requests()[0].headers.iter().find(|(name, _)| name == "Authorization").cloned();
    assert_eq!(header.unwrap().1, "Bearer t0ken");

    let auth = host(&accept);
    let password = Credential::Password("secret".into());
    assert_eq!(
        plugin(&auth).on_auth(&auth.context(), "PLAIN", "ann", &password).unwrap(),
        AuthDecision::Next
    );
    assert_eq!(sent(&auth)["context"]["sasl"], json!({ "login": "ann", "method": "PLAIN" }));
    assert!(!String::from_utf8_lossy(&auth.requests()[0].body).contains("secret"));

    let rcpt = host(&accept).account("ann");
    let address: Address = "b@dest.example".parse().unwrap();
    assert_eq!(plugin(&rcpt).on_rcpt(&rcpt.context(), &address).unwrap(), RcptDecision::Next);
    assert_eq!(sent(&rcpt)["envelope"]["to"][0]["address"], "b@dest.example");
    assert_eq!(sent(&rcpt)["context"]["sasl"]["login"], "ann");

    let data = host(&accept);
    plugin(&data).on_data(&data.context()).unwrap();
    assert_eq!(
        sent(&data)["message"],
        json!({
            "headers": [["Subject", " hi\r\n there\r\n"], ["X-A", " 1\r\n"], ["X-A", " 2\r\n"]],
            "serverHeaders": [], "contents": "text\r\n", "size": data.raw_message().len()
        })
    );
}

#[test]
fn every_action_has_its_decision() {
    let reply = |line: &str| DataDecision::Reject(line.parse().unwrap());
    assert_eq!(data(json!({ "action": "reject" })).0, reply("550 5.7.1 refused by policy"));
    let told = json!({ "action": "reject", "response": { "status": 554, "enhancedStatus": "5.6.0", "message": "odd" } });
    assert_eq!(data(told).0, reply("554 5.6.0 odd"));
    let other_form = json!({ "action": "reject", "response": { "status": 451, "enhanced_status": "4.3.0", "message": "later" } });
    assert_eq!(data(other_form).0, DataDecision::Tempfail("451 4.3.0 later".parse().unwrap()));
    let senseless = json!({ "action": "reject", "response": { "status": 250, "enhancedStatus": "2.0.0" } });
    assert_eq!(data(senseless).0, reply("550 5.7.1 refused by policy"));
    let ended =
        json!({ "action": "reject", "response": { "status": 451, "message": "bye", "disconnect": true } });
    assert_eq!(data(ended).0, DataDecision::Disconnect("421 4.7.1 bye".parse().unwrap()));
    assert!(matches!(data(json!({ "action": "discard" })).0, DataDecision::Discard(_)));
    assert!(matches!(data(json!({ "action": "quarantine" })).0, DataDecision::Quarantine(_)));
    assert_eq!(data(json!({ "action": "accept" })), (DataDecision::Next, Vec::new()));
}

#[test]
fn modifications_are_carried_out() {
    let (decision, edits) = data(json!({ "action": "accept", "modifications": [
        { "type": "changeFrom", "value": "<bob@sender.example>" },
        { "type": "addRecipient", "value": "c@dest.example" },
        { "type": "deleteRcpt", "value": "B@dest.example" },
        { "type": "replaceContents", "value": "new\ntext" },
        { "type": "addHeader", "name": "X-New", "value": " 1 " },
        { "type": "insertHeader", "index": 0, "name": "X-Top", "value": "2" },
        { "type": "changeHeader", "index": 2, "name": "x-a", "value": "3" },
        { "type": "deleteHeader", "index": 1, "name": "Subject" }
    ] }));
    assert_eq!(decision, DataDecision::Next);
    assert_eq!(
        edits,
        [
            Edit::RemoveHeader("subject".into()),
            Edit::RemoveHeader("x-a".into()),
            Edit::InsertHeader(0, "X-A".into(), "1".into()),
            Edit::InsertHeader(1, "X-A".into(), "3".into()),
            Edit::Sender(Some("bob@sender.example".parse().unwrap())),
            Edit::AddRecipient("c@dest.example".parse().unwrap()),
            Edit::RemoveRecipient(0),
            Edit::Body(b"new\r\ntext".to_vec()),
            Edit::AddHeader("X-New".into(), "1".into()),
            Edit::InsertHeader(0, "X-Top".into(), "2".into()),
        ]
    );
}

#[test]
fn without_a_good_answer_the_setting_decides() {
    for (status, body) in [(500, r#"{"action":"accept"}"#), (200, "no json"), (200, r#"{"action":"dance"}"#)]
    {
        let host =
            TestHost::new().config(json!({ "url": URL })).http("POST", URL, Response::new(status, body));
        assert!(plugin(&host).on_data(&host.context()).is_err(), "{status} {body}");
        let host = host.config(json!({ "url": URL, "on_error": "pass" }));
        assert_eq!(plugin(&host).on_data(&host.context()).unwrap(), DataDecision::Next);
    }
    let unknown = host(&json!({ "action": "accept", "modifications": [{ "type": "sing", "value": "x" }] }));
    assert!(plugin(&unknown).on_data(&unknown.context()).is_err());
}

#[test]
fn problems_are_named() {
    for (config, path) in [
        (json!({ "url": "hooks.example" }), "url"),
        (json!({ "url": URL, "timeout_ms": 0 }), "timeout_ms"),
        (json!({ "url": URL, "content_octets_max": 999_999_999 }), "content_octets_max"),
    ] {
        let problems = TestHost::new().config(config).plugin::<MtaHooks>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
