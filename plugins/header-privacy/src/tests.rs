use super::*;
use baton_sdk::testing::{Edit, TestHost, Value, json};

const MESSAGE: &str = "\
Received: from mx.out.example (mx.out.example [192.0.2.1])
\tby gate.example with ESMTP id 2; Thu, 1 Jan 2026 10:00:02 +0000
X-Originating-IP: [10.1.2.3]
Received: from pc7 ([10.1.2.3]) by mail.example with ESMTPSA id 1; Thu, 1 Jan 2026 10:00:01 +0000
From: ann@example.org
User-Agent: Mailer 7 on a laptop
X-PHP-Script: shop.example/send.php for 203.0.113.9
X-Client: 203.0.113.9

text
";

fn edits(config: Value, account: Option<&str>) -> Vec<Edit> {
    let mut host = TestHost::new().config(config).message(MESSAGE);
    if let Some(account) = account {
        host = host.account(account);
    }
    let plugin: HeaderPrivacy = host.plugin().unwrap();
    assert_eq!(plugin.on_data(&host.context()).unwrap(), DataDecision::Next);
    host.edits()
}

#[test]
fn telling_fields_and_internal_steps_go() {
    let outer = "from mx.out.example (mx.out.example [192.0.2.1])\tby gate.example with ESMTP id 2; Thu, 1 Jan 2026 10:00:02 +0000";
    assert_eq!(
        edits(json!({}), Some("ann")),
        [
            Edit::RemoveHeader("X-Originating-IP".into()),
            Edit::RemoveHeader("User-Agent".into()),
            Edit::RemoveHeader("X-PHP-Script".into()),
            Edit::RemoveHeader("Received".into()),
            Edit::InsertHeader(0, "Received".into(), outer.into()),
        ]
    );
}

#[test]
fn mail_of_strangers_stays_as_it_is_unless_all_is_meant() {
    assert!(edits(json!({}), None).is_empty());
    assert!(!edits(json!({ "clients": "all" }), None).is_empty());
}

#[test]
fn without_anything_to_remove_nothing_is_touched() {
    assert!(edits(json!({ "remove": [], "received": "keep" }), Some("ann")).is_empty());
}

#[test]
fn all_steps_can_go() {
    assert_eq!(
        edits(json!({ "remove": [], "received": "all" }), Some("ann")),
        [Edit::RemoveHeader("Received".into())]
    );
}

#[test]
fn addresses_are_masked_where_wanted_and_fields_keep_their_places() {
    let found =
        edits(json!({ "remove": [], "received": "keep", "mask": ["received", "X-Client"] }), Some("ann"));
    let Some((Edit::SetHeader(name, value), rest)) = found.split_first() else { panic!("{found:?}") };
    assert_eq!((name.as_str(), value.as_str()), ("X-Client", "203.0.113.0"));
    let places = rest.iter().filter_map(|edit| match edit {
        Edit::InsertHeader(index, _, value) => {
            Some((*index, value.contains("[192.0.2.0]"), value.contains("[10.1.2.0]")))
        }
        _ => None,
    });
    assert_eq!(places.collect::<Vec<_>>(), [(0, true, false), (2, false, true)]);
}

#[test]
fn problems_are_named() {
    for (config, path) in [
        (json!({ "remove": ["X A"] }), "remove[0]"),
        (json!({ "remove": ["*"] }), "remove[0]"),
        (json!({ "remove": ["From"] }), "remove[0]"),
        (json!({ "remove": ["Received"] }), "remove[0]"),
        (json!({ "mask": ["X-*"] }), "mask[0]"),
        (json!({ "internal_networks": ["10.0.0.1/8"] }), "internal_networks[0]"),
    ] {
        let problems = TestHost::new().config(config).plugin::<HeaderPrivacy>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
