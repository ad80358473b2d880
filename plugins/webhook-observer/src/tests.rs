use super::*;
use baton_sdk::http::Response;
use baton_sdk::testing::TestHost;

const URL: &str = "https://hook.example/in";

fn host(config: Value, status: u16) -> TestHost {
    let mut all = json!({ "url": URL });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    TestHost::new().config(all).secret("signing", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").http(
        "POST",
        URL,
        Response::new(status, ""),
    )
}

fn event(kind: &str) -> Event {
    Event {
        unix_ms: 1_767_225_600_000,
        kind: kind.into(),
        message_id: Some("M1".into()),
        fields: vec![("recipient".into(), "b@dest.example".into()), ("reply".into(), "250 ok".into())],
        ..Event::default()
    }
}

fn tell(host: &TestHost, events: &[Event]) -> Result<()> {
    host.plugin::<WebhookObserver>().unwrap().on_events(&host.context(), events)
}

#[test]
fn a_batch_is_posted_as_one_request() {
    let host = host(json!({ "omit_fields": ["reply"] }), 204);
    tell(&host, &[event("accepted"), event("delivered")]).unwrap();
    let request = &host.requests()[0];
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&body["type"], &body["timestamp"]),
        (&json!("baton.events"), &json!("2026-01-01T00:00:00.000Z"))
    );
    assert_eq!(
        body["data"]["events"][1],
        json!({
            "kind": "delivered", "timestamp": "2026-01-01T00:00:00.000Z", "message_id": "M1", "session_id": null,
            "fields": { "recipient": "b@dest.example" }
        })
    );
    assert_eq!(host.metrics()["posted"], 2.0);
}

#[test]
fn the_signature_is_that_of_standard_webhooks() {
    // The example of the specification.
    let body = r#"{"test": 2432232314}"#;
    let made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        body,
    );
    assert_eq!(made.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn a_repetition_is_known_by_its_identity_and_a_change_of_secrets_is_survived() {
    let host = host(json!({}), 204).secret("signing-old", "old");
    tell(&host, &[event("accepted")]).unwrap();
    host.advance(Duration::from_secs(60));
    tell(&host, &[event("accepted")]).unwrap();
    tell(&host, &[event("failed")]).unwrap();
    let header = |index: usize, name: &str| {
        let requests = host.requests();
        requests[index].headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()).unwrap()
    };
    assert_eq!(header(0, "webhook-id"), header(1, "webhook-id"));
    assert_ne!(header(0, "webhook-timestamp"), header(1, "webhook-timestamp"));
    assert_ne!(header(0, "webhook-id"), header(2, "webhook-id"));
    assert_eq!(header(0, "webhook-signature").split(' ').count(), 2);
}

#[test]
fn what_was_not_taken_comes_again_and_what_was_refused_is_dropped() {
    for status in [500, 503, 429, 408, 302] {
        assert!(tell(&host(json!({}), status), &[event("accepted")]).is_err(), "{status}");
    }
    let refused = host(json!({}), 410);
    tell(&refused, &[event("accepted")]).unwrap();
    assert_eq!(refused.metrics()["refused"], 1.0);
}

#[test]
fn only_the_kinds_that_are_wanted_are_posted() {
    let host = host(json!({ "kinds": ["failed"] }), 204);
    tell(&host, &[event("accepted")]).unwrap();
    assert!(host.requests().is_empty());
    tell(&host, &[event("accepted"), event("failed")]).unwrap();
    assert!(!String::from_utf8_lossy(&host.requests()[0].body).contains("accepted"));
}

#[test]
fn without_the_secret_nothing_is_posted() {
    let host = TestHost::new().config(json!({ "url": URL })).http("POST", URL, Response::new(204, ""));
    assert!(tell(&host, &[event("accepted")]).unwrap_err().message().contains("signing"));
    assert!(host.requests().is_empty());
}

#[test]
fn problems_are_named() {
    for (config, path) in
        [(json!({ "url": "hook.example" }), "url"), (json!({ "url": URL, "timeout_ms": 0 }), "timeout_ms")]
    {
        let problems = TestHost::new().config(config).plugin::<WebhookObserver>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
