use super::*;
use baton_sdk::testing::{Edit, TestHost, json};

fn ask(rcpt: &str) -> (RcptDecision, Vec<Edit>) {
    let host = TestHost::new().recipient("first@example.org").recipient(rcpt).config(json!({
        "accept": ["customer.example", "postmaster@"],
        "discard": ["noreply@example.org"],
        "pass": ["example.org"],
        "reject": { "old@example.org": "550 5.1.6 moved to new@example.org", ".example.org": "550 5.1.2 no mail here" },
        "tempfail": { "busy.example": "450 4.2.1 later, please" },
        "alias": { "info@example.org": ["ann@example.org", "bob@example.net"], "brand.example": "@example.org" },
        "otherwise": "550 5.1.1 no such recipient"
    }));
    let policy: RecipientPolicy = host.plugin().unwrap();
    (policy.on_rcpt(&host.context(), &rcpt.parse().unwrap()).unwrap(), host.edits())
}

fn reply(line: &str) -> Reply {
    line.parse().unwrap()
}

#[test]
fn each_table_gives_its_answer() {
    assert_eq!(ask("a@customer.example").0, RcptDecision::Accept);
    assert_eq!(ask("Postmaster@any.example").0, RcptDecision::Accept);
    assert_eq!(ask("noreply@example.org").0, RcptDecision::Discard);
    assert_eq!(ask("ann@example.org"), (RcptDecision::Next, Vec::new()));
    assert_eq!(ask("old@example.org").0, RcptDecision::Reject(reply("550 5.1.6 moved to new@example.org")));
    assert_eq!(ask("x@sub.example.org").0, RcptDecision::Reject(reply("550 5.1.2 no mail here")));
    assert_eq!(ask("x@busy.example").0, RcptDecision::Tempfail(reply("450 4.2.1 later, please")));
    assert_eq!(ask("x@nowhere.example").0, RcptDecision::Reject(reply("550 5.1.1 no such recipient")));
}

#[test]
fn an_alias_replaces_the_recipient_at_hand() {
    let targets = vec![Address::new("ann", "example.org"), Address::new("bob", "example.net")];
    assert_eq!(ask("info@example.org"), (RcptDecision::Next, vec![Edit::Redirect(1, targets)]));
    let same = vec![Address::new("Carol", "example.org")];
    assert_eq!(ask("Carol@brand.example"), (RcptDecision::Next, vec![Edit::Redirect(1, same)]));
}

#[test]
fn without_settings_there_is_no_opinion() {
    let host = TestHost::new().recipient("a@b.example");
    let policy: RecipientPolicy = host.plugin().unwrap();
    assert_eq!(policy.on_rcpt(&host.context(), &"a@b.example".parse().unwrap()).unwrap(), RcptDecision::Next);
}

#[test]
fn an_alias_without_grant_is_a_failure_of_the_plugin() {
    let host = TestHost::new().recipient("a@b.example").refuse_edits("not granted");
    let host = host.config(json!({ "alias": { "a@b.example": "c@d.example" } }));
    let policy: RecipientPolicy = host.plugin().unwrap();
    assert!(policy.on_rcpt(&host.context(), &"a@b.example".parse().unwrap()).is_err());
}

#[test]
fn problems_name_the_entry() {
    for (config, path) in [
        (json!({ "accept": ["a b"] }), "accept[0]"),
        (json!({ "reject": { "a.example": "450 4.1.1 no" } }), "reject.a.example"),
        (json!({ "tempfail": { "a.example": "550 5.1.1 no" } }), "tempfail.a.example"),
        (json!({ "alias": { "a.example": "nobody" } }), "alias.a.example"),
        (json!({ "alias": { "a.example": "@.example.org" } }), "alias.a.example"),
        (json!({ "accept": ["a.example"], "discard": ["A.example"] }), "discard[0]"),
    ] {
        let problems = TestHost::new().config(config).plugin::<RecipientPolicy>().map(|_| ()).unwrap_err();
        assert_eq!(problems.as_slice()[0].path, path);
    }
}
