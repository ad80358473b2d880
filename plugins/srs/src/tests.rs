use super::*;
use baton_sdk::testing::{Edit, TestHost, Value, json};

fn host(more: Value) -> TestHost {
    let mut config = json!({ "domain": "Forward.example", "local_domains": ["us.example", ".us.example"] });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    TestHost::new().config(config).secret("key", "k1")
}

/// The sender that the data hook set; none when it stays.
fn forwarded(host: TestHost, sender: &str, recipients: &[&str]) -> Option<Address> {
    let host = recipients.iter().fold(host.sender(sender), |host, rcpt| host.recipient(rcpt));
    let plugin: Srs = host.plugin().unwrap();
    assert_eq!(plugin.on_data(&host.context()).unwrap(), DataDecision::Next);
    host.edits().into_iter().find_map(|edit| match edit {
        Edit::Sender(sender) => sender,
        _ => None,
    })
}

fn returned(host: TestHost, rcpt: &Address) -> (RcptDecision, Vec<Edit>) {
    let host = host.recipient(&rcpt.to_string());
    let plugin: Srs = host.plugin().unwrap();
    (plugin.on_rcpt(&host.context(), rcpt).unwrap(), host.edits())
}

#[test]
fn forwarded_mail_is_rewritten_and_its_bounce_comes_back() {
    let sender = forwarded(host(json!({})), "ann@sender.example", &["b@elsewhere.example"]).unwrap();
    assert!(sender.local().starts_with("SRS0=") && sender.domain() == "forward.example", "{sender}");
    let (decision, edits) = returned(host(json!({})), &sender);
    assert_eq!(decision, RcptDecision::Next);
    assert_eq!(edits, [Edit::Redirect(0, vec!["ann@sender.example".parse().unwrap()])]);
}

#[test]
fn what_is_no_forwarding_stays() {
    let elsewhere = ["b@elsewhere.example"];
    assert_eq!(forwarded(host(json!({})), "ann@us.example", &elsewhere), None);
    assert_eq!(forwarded(host(json!({})), "x@forward.example", &elsewhere), None);
    assert_eq!(forwarded(host(json!({})), "ann@sender.example", &["b@us.example", "c@a.us.example"]), None);
    assert_eq!(forwarded(host(json!({})).account("ann"), "ann@sender.example", &elsewhere), None);
    assert!(
        forwarded(host(json!({ "authenticated": true })).account("ann"), "ann@sender.example", &elsewhere)
            .is_some()
    );
    let host = host(json!({})).recipient("b@elsewhere.example");
    let plugin: Srs = host.plugin().unwrap();
    plugin.on_data(&host.context()).unwrap();
    assert!(host.edits().is_empty(), "the null sender");
}

#[test]
fn what_does_not_fit_stays_and_is_told() {
    let long = format!("{}@sender.example", "x".repeat(60));
    let host = host(json!({})).sender(&long).recipient("b@elsewhere.example");
    let plugin: Srs = host.plugin().unwrap();
    plugin.on_data(&host.context()).unwrap();
    assert!(host.edits().is_empty());
    assert!(host.logs()[0].message.contains("does not fit"));
}

#[test]
fn only_own_addresses_lead_back() {
    let sender = forwarded(host(json!({})), "ann@sender.example", &["b@elsewhere.example"]).unwrap();
    let forged = Address::new(sender.local().replace("=ann", "=bob"), sender.domain());
    assert!(matches!(returned(host(json!({})), &forged).0, RcptDecision::Reject(reply) if reply.code == 550));
    let old = host(json!({})).secret("key", "k2").secret("key-old", "k1");
    assert_eq!(returned(old, &sender).0, RcptDecision::Next);
    let late = host(json!({}));
    late.advance(std::time::Duration::from_secs(22 * 86_400));
    assert!(
        matches!(returned(late, &sender).0, RcptDecision::Reject(reply) if reply.text.contains("too old"))
    );
    for other in ["ann@forward.example", "SRS0=x=y=z=w@us.example", "srs0x@forward.example"] {
        assert_eq!(returned(host(json!({})), &other.parse().unwrap()), (RcptDecision::Next, Vec::new()));
    }
}

#[test]
fn without_the_secret_it_is_a_failure_of_the_plugin() {
    let host = TestHost::new().config(json!({ "domain": "f.example", "local_domains": [] }));
    let host = host.sender("ann@sender.example").recipient("b@elsewhere.example");
    let plugin: Srs = host.plugin().unwrap();
    assert!(plugin.on_data(&host.context()).unwrap_err().message().contains("[plugins.srs.secrets]"));
}

#[test]
fn problems_are_named() {
    for (config, path) in [
        (json!({ "domain": "a b", "local_domains": [] }), "domain"),
        (json!({ "domain": "a.example", "local_domains": [], "hash_characters": 3 }), "hash_characters"),
        (json!({ "domain": "a.example", "local_domains": [], "valid_days": 600 }), "valid_days"),
        (json!({ "domain": "a.example", "local_domains": ["a b"] }), "local_domains[0]"),
    ] {
        let problems = TestHost::new().config(config).plugin::<Srs>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
