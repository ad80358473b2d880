use super::*;
use baton_sdk::testing::{Edit, TestHost, Value, json};

const TWO_FILES: &str = include_str!("../fixtures/two-files.eml");
/// Of the decoded `plan.pdf` in the fixture.
const TEST_SHA256: &str = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";

fn ask(rules: Value) -> (DataDecision, Vec<Edit>) {
    let host = TestHost::new().config(json!({ "rules": rules })).message(TWO_FILES);
    let plugin: AttachmentPolicy = host.plugin().unwrap();
    (plugin.on_data(&host.context()).unwrap(), host.edits())
}

/// True when the condition holds for the fixture.
fn holds(condition: Value) -> bool {
    let (decision, _) = ask(json!([{ "name": "r", "match": condition, "then": { "quarantine": "held" } }]));
    decision == DataDecision::Quarantine("held".into())
}

#[test]
fn attachments_are_found_by_every_property() {
    assert!(holds(json!({})));
    assert!(holds(json!({ "filename": ["*.pdf"] })));
    assert!(!holds(json!({ "filename": ["plan"] })));
    assert!(holds(json!({ "extension": ["zip", ".EXE"] })));
    assert!(holds(json!({ "extension": ["@executable"] })));
    assert!(!holds(json!({ "extension": ["@macro", "@archive", "@disk-image"] })));
    assert!(holds(json!({ "double_extension": true })));
    assert!(holds(json!({ "content_type": ["application/*"] })));
    assert!(!holds(json!({ "content_type": ["text/plain"] })), "the text is no attachment");
    assert!(holds(json!({ "size_over_octets": 3 })));
    assert!(!holds(json!({ "size_over_octets": 1_000 })));
    assert!(holds(json!({ "sha256": [TEST_SHA256] })));
    assert!(!holds(json!({ "sha256": [TEST_SHA256.replace('9', "8")] })));
}

#[test]
fn all_that_is_given_must_fit_one_attachment() {
    assert!(holds(json!({ "extension": ["pdf"], "content_type": ["application/pdf"] })));
    assert!(!holds(json!({ "extension": ["exe"], "content_type": ["application/pdf"] })));
}

#[test]
fn number_and_sum_can_be_bounded() {
    assert!(holds(json!({ "count_over": 1 })));
    assert!(!holds(json!({ "count_over": 2 })));
    assert!(!holds(json!({ "count_over": 1, "extension": ["pdf"] })));
    assert!(holds(json!({ "total_over_octets": 6 })));
    assert!(!holds(json!({ "total_over_octets": 7 })));
}

#[test]
fn marks_add_up_and_the_first_decision_ends_the_rules() {
    let (decision, edits) = ask(json!([
        { "name": "mark", "match": { "extension": ["pdf"] }, "then": { "tag": { "file": "{filename}" }, "score": 1.5 } },
        { "name": "no-exe", "match": { "extension": ["@executable"] },
          "then": { "reject": "550 5.7.1 attachment {filename} is not accepted" } },
        { "name": "late", "then": { "score": 9.0 } }
    ]));
    let reply = "550 5.7.1 attachment invoice.pdf.exe is not accepted".parse().unwrap();
    assert_eq!(decision, DataDecision::Reject(reply));
    let marks = [Edit::Tag("file".into(), "plan.pdf".into()), Edit::Score("attachment.mark".into(), 1.5)];
    assert_eq!(edits, marks);
}

#[test]
fn mail_without_attachments_passes() {
    let rules = json!({ "rules": [{ "name": "any", "then": { "reject": "550 5.7.1 no" } }] });
    let host = TestHost::new().config(rules).message("Subject: x\n\ntext\n");
    let plugin: AttachmentPolicy = host.plugin().unwrap();
    assert_eq!(plugin.on_data(&host.context()).unwrap(), DataDecision::Next);
}

#[test]
fn what_can_not_be_taken_apart_is_held_or_as_set() {
    for (set, held) in [(json!({}), true), (json!({ "too_complex": "next" }), false)] {
        let mut config = json!({ "rules": [] });
        config.as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
        let host = TestHost::new().config(config).message(TWO_FILES).too_complex("too many parts");
        let plugin: AttachmentPolicy = host.plugin().unwrap();
        let decision = plugin.on_data(&host.context()).unwrap();
        assert_eq!(matches!(decision, DataDecision::Quarantine(_)), held);
    }
}

#[test]
fn problems_are_named() {
    let then = json!({ "score": 1.0 });
    for (name, condition, then, path) in [
        ("a b", json!({}), then.clone(), "rules[0].name"),
        ("a", json!({ "extension": ["@none"] }), then.clone(), "rules[0].match.extension"),
        ("a", json!({ "extension": ["tar.gz"] }), then.clone(), "rules[0].match.extension"),
        ("a", json!({ "content_type": ["pdf"] }), then.clone(), "rules[0].match.content_type"),
        ("a", json!({ "sha256": ["12"] }), then.clone(), "rules[0].match.sha256"),
        ("a", json!({ "size": 1 }), then, "rules[0].match.size"),
        ("a", json!({}), json!({}), "rules[0].then"),
        ("a", json!({}), json!({ "reject": "450 4.7.1 x" }), "rules[0].then"),
        ("a", json!({}), json!({ "reject": "550 5.7.1 x", "quarantine": "y" }), "rules[0].then"),
        ("a", json!({}), json!({ "tag": { "a b": "c" } }), "rules[0].then"),
    ] {
        let rules = json!({ "rules": [{ "name": name, "match": condition, "then": then }] });
        let problems = TestHost::new().config(rules).plugin::<AttachmentPolicy>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
