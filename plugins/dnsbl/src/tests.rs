use super::*;
use baton_sdk::DnsError;
use baton_sdk::testing::{Edit, TestHost, json};

const CLIENT: &str = "203.0.113.7";

fn host(at: &str) -> TestHost {
    TestHost::new().remote_ip(CLIENT).sender("a@b.example").recipient("ann@example.org").config(json!({
        "at": at,
        "reject_at_score": 5.0,
        "zones": [
            { "zone": "bad.example", "reject": true },
            { "zone": "meh.example", "score": 3.0 },
            { "zone": "dyn.example", "score": 2.0, "answers": ["127.0.0.10/31"] },
            { "zone": "good.example", "allow": true }
        ]
    }))
}

fn connect(host: &TestHost) -> ConnectDecision {
    host.plugin::<Dnsbl>().unwrap().on_connect(&host.context()).unwrap()
}

fn rcpt(host: &TestHost, address: &str) -> RcptDecision {
    host.plugin::<Dnsbl>().unwrap().on_rcpt(&host.context(), &address.parse().unwrap()).unwrap()
}

#[test]
fn a_listed_client_is_refused_with_the_name_of_the_list() {
    let host = host("connect").blocklisted("bad.example", CLIENT, "127.0.0.2");
    let reply = "554 5.7.1 203.0.113.7 is listed by bad.example".parse().unwrap();
    assert_eq!(connect(&host), ConnectDecision::Reject(reply));
    assert_eq!(host.metrics().get("listed{zone=bad.example}"), Some(&1.0));
}

#[test]
fn an_unlisted_client_passes() {
    let host = host("connect").blocklisted("bad.example", "203.0.113.8", "127.0.0.2");
    assert_eq!(connect(&host), ConnectDecision::Next);
}

#[test]
fn scores_add_up_to_a_refusal() {
    let one = host("connect").blocklisted("meh.example", CLIENT, "127.0.0.2");
    assert_eq!(connect(&one), ConnectDecision::Next);
    let both = host("connect").blocklisted("meh.example", CLIENT, "127.0.0.2");
    let both = both.blocklisted("dyn.example", CLIENT, "127.0.0.11");
    assert!(matches!(connect(&both), ConnectDecision::Reject(_)));
}

#[test]
fn the_score_is_given_to_the_message_at_its_first_recipient() {
    let host = host("connect").blocklisted("meh.example", CLIENT, "127.0.0.2");
    assert_eq!(rcpt(&host, "ann@example.org"), RcptDecision::Next);
    assert!(host.edits().contains(&Edit::Score("dnsbl.meh.example".into(), 3.0)));
    let second = self::host("connect").session_note(SESSION_NOTE, &[1]).note(MESSAGE_NOTE, b"1");
    assert_eq!(rcpt(&second, "bob@example.org"), RcptDecision::Next);
    assert!(second.edits().is_empty());
}

#[test]
fn only_the_answers_that_count_are_heard() {
    let other = host("connect").blocklisted("dyn.example", CLIENT, "127.0.0.2");
    assert!(
        other.plugin::<Dnsbl>().unwrap().ask(&other.context(), CLIENT.parse().unwrap()).unwrap().is_empty()
    );
    for refusal_or_hijack in ["127.255.255.254", "203.0.113.99"] {
        let host = host("connect").blocklisted("bad.example", CLIENT, refusal_or_hijack);
        assert_eq!(connect(&host), ConnectDecision::Next);
    }
}

#[test]
fn a_list_of_good_clients_silences_the_others() {
    let listed = host("connect").blocklisted("bad.example", CLIENT, "127.0.0.2");
    let host = listed.blocklisted("good.example", CLIENT, "127.0.5.1");
    assert_eq!(connect(&host), ConnectDecision::Next);
}

#[test]
fn a_list_that_does_not_answer_costs_no_mail() {
    let host = host("connect").blocklist_failure("bad.example", CLIENT, DnsError::Timeout);
    assert_eq!(connect(&host), ConnectDecision::Next);
    assert_eq!(host.logs()[0].fields, [("zone".to_owned(), "bad.example".to_owned())]);
}

#[test]
fn without_the_grant_the_failure_policy_decides() {
    let host = host("connect").blocklist_failure("bad.example", CLIENT, DnsError::Denied);
    assert!(host.plugin::<Dnsbl>().unwrap().on_connect(&host.context()).is_err());
}

#[test]
fn at_rcpt_the_postmaster_stays_reachable() {
    let host = host("rcpt").blocklisted("bad.example", CLIENT, "127.0.0.2");
    assert_eq!(connect(&host), ConnectDecision::Next);
    assert_eq!(rcpt(&host, "Postmaster@example.org"), RcptDecision::Next);
    let reply = "550 5.7.1 203.0.113.7 is listed by bad.example".parse().unwrap();
    assert_eq!(rcpt(&host, "ann@example.org"), RcptDecision::Reject(reply));
}

#[test]
fn exempt_clients_are_not_asked_about() {
    let private = host("connect").remote_ip("10.1.2.3").blocklisted("bad.example", "10.1.2.3", "127.0.0.2");
    assert_eq!(connect(&private), ConnectDecision::Next);
    let known = host("rcpt").account("ann").blocklisted("bad.example", CLIENT, "127.0.0.2");
    assert_eq!(rcpt(&known, "x@example.net"), RcptDecision::Next);
    assert!(known.metrics().is_empty() && known.edits().is_empty());
}

#[test]
fn what_was_found_is_kept_for_the_session() {
    let host = host("rcpt").session_note(SESSION_NOTE, &[0]);
    assert!(matches!(rcpt(&host, "ann@example.org"), RcptDecision::Reject(_)));
    assert!(host.metrics().is_empty());
}

#[test]
fn problems_are_named() {
    for (zones, path) in [
        (json!([]), "zones"),
        (json!([{ "zone": "a.example" }]), "zones[0]"),
        (json!([{ "zone": "a.example", "reject": true, "score": 1.0 }]), "zones[0]"),
        (json!([{ "zone": "a..example", "reject": true }]), "zones[0]"),
    ] {
        let host = TestHost::new().config(json!({ "zones": zones }));
        assert_eq!(host.plugin::<Dnsbl>().map(|_| ()).unwrap_err().as_slice()[0].path, path);
    }
}
