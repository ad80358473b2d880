//! Self-test cases: what is as expected passes, what is not is named.

use baton_hooks::cases::{self, Case, CaseReport};
use baton_hooks::{Engine, EngineSettings};
use serde_json::json;

use crate::support::zoo;

fn read(text: &str) -> Vec<Case> {
    cases::read_value("cases.toml", toml::from_str(text).unwrap(), None)
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn play(text: &str) -> Vec<CaseReport> {
    let settings = EngineSettings { concurrent_calls_max: 2, ..EngineSettings::default() };
    let engine = Engine::for_cases(&settings).unwrap();
    cases::run(&engine, &zoo(json!({})), &read(text)).await
}

const AS_EXPECTED: &str = r#"
        [[case]]
        name = "a refusal"
        hook = "rcpt"
        config = { rcpt = "reject" }
        expect = { decision = "reject", code = 550, enhanced = "5.7.1", text = "closed", host_calls_max = 10, fuel_max = 10_000_000 }

        [[case]]
        name = "edits"
        hook = "data"
        config = { data = "edit" }
        envelope = { sender = "a@them.example", recipients = ["ann@us.example", "bob@us.example"] }
        message_text = "Subject: x\nX-Old: 1\n\nbody\n"
        [case.expect]
        decision = "next"
        headers = { Subject = "the zoo", X-Zoo = "added" }
        headers_absent = ["X-Old"]
        sender = ""
        recipients = ["bob@us.example", "lion@zoo.example"]
        stream = "zoo"
        tags = { zoo = "was here" }
        score = 1.5
        quarantine = "wild"
        body_contains = ["body\n"]
        log = ["refused=0"]

        [[case]]
        name = "a route"
        hook = "route"
        config = { route = "edit" }
        attempt = { number = 2, age_ms = 1000, last_error = "451 4.3.0 later" }
        [case.expect]
        route = ["route=mx of zoo.example", "route=mx.zoo.example:2525", "fallback+192.0.2.9:25", "route=lmtp unix:/run/zoo", "route=archive", "queue=zoo", "not-before=5000", "expire-after=60000 ms"]

        [[case]]
        name = "the same world from step to step"
        hook = "rcpt"
        config = { rcpt = "count" }
        kv = { zoo = { calls = "1" } }
        expect = { decision = "next", kv = { zoo = { calls = "2" } } }
        [[case.step]]
        expect = { decision = "reject", text = "call 3" }

        [[case]]
        name = "the DNS of the case"
        hook = "rcpt"
        config = { rcpt = "dns" }
        dns = { "1.2.0.192.list.example" = { A = ["127.0.0.9"] } }
        expect = { decision = "reject", text = "127.0.0.9" }

        [[case]]
        name = "a failure that is expected"
        hook = "connect"
        config = { connect = "trap" }
        expect = { failure = "trap", decision = "tempfail" }

        [[case]]
        name = "an account"
        hook = "auth"
        config = { auth = "accept" }
        auth = { user = "ann", password = "secret" }
        expect = { decision = "allow", account = "ann" }

        [[case]]
        name = "events"
        hook = "events"
        config = { events = "metrics" }
        events = [{ kind = "delivered", message = "m1", fields = { recipient = "b@y.example" } }]
        expect = { decision = "next", metrics = ["visits"] }

        [[case]]
        name = "metrics"
        hook = "data"
        config = { data = "metrics" }
        expect = { decision = "next", metrics = ["visits", "hunger", "weight"] }
        "#;

#[tokio::test]
async fn cases_hold_decisions_edits_and_costs_against_expectations() {
    let reports = play(AS_EXPECTED).await;
    for report in &reports {
        assert!(report.passed(), "{}: {:#?}", report.name, report.mismatches());
    }
    let cost = reports[0].steps[0].cost.as_ref().unwrap();
    assert!(cost.fuel.is_some_and(|fuel| fuel > 0) && cost.memory_octets >= 65_536, "{cost:?}");
    assert_eq!(reports[3].steps.len(), 2);
}

#[tokio::test]
async fn what_is_not_as_expected_is_named() {
    let reports = play(
        r#"
        [[case]]
        name = "wrong in every way"
        hook = "rcpt"
        config = { rcpt = "reject" }
        expect = { decision = "next", code = 551, text = "open", host_calls_max = 0, headers = { Subject = "x" } }

        [[case]]
        name = "a failure that nobody expects"
        hook = "data"
        config = { data = "trap" }
        expect = { decision = "tempfail" }

        [[case]]
        name = "a grant that is not there"
        hook = "rcpt"
        config = { rcpt = "count" }
        grants = { dns = true }
        expect = { decision = "next" }

        [[case]]
        name = "steps end at the first that fails"
        hook = "rcpt"
        config = { rcpt = "reject" }
        expect = { decision = "next" }
        [[case.step]]
        expect = { decision = "next" }

        [[case]]
        name = "init accepts"
        hook = "init"
        expect = { problems = ["rules[0]"] }
        "#,
    )
    .await;
    let found: Vec<Vec<String>> = reports.iter().map(CaseReport::mismatches).collect();
    let starts = |index: usize, expected: &[&str]| {
        assert_eq!(found[index].len(), expected.len(), "{:#?}", found[index]);
        for (found, expected) in found[index].iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    };
    starts(
        0,
        &[
            "expect.decision: expected next, got reject 550 5.7.1 the zoo is closed",
            "expect.code: expected 551, got 550",
            "expect.text: expected a text with \"open\", got \"the zoo is closed\"",
            "expect.headers.Subject: expected \"x\", got nothing",
            "expect.host_calls_max: expected at most 0 calls, got ",
        ],
    );
    starts(1, &["expect.failure: expected none, got trap: "]);
    starts(2, &["expect.decision: expected next, got tempfail 451 4.7.1 no bucket"]);
    starts(3, &["expect.decision: expected next, got reject"]);
    assert_eq!(reports[3].steps.len(), 1);
    starts(4, &["expect.problems: expected a problem at rules[0], got []"]);
}

#[test]
fn everything_that_is_wrong_with_a_file_is_told_at_once() {
    let text = r#"
        [[case]]
        name = "one"
        hook = "rcpt"
        session = { ip = "nowhere" }
        dns = { "y.example" = "what" }
        expect = { decision = "reject" }
        [[case.step]]
        session = { ipp = "1" }
        expect = { decision = "next" }

        [[case]]
        name = "one"
        hook = "helo"
        message = "x.eml"

        [[case]]
        hook = "auth"
        expect = { outcome = "next" }
    "#;
    let error = cases::read_value("cases.toml", toml::from_str(text).unwrap(), None).unwrap_err().to_string();
    let expected = [
        "cases.toml:",
        "case \"one\": session.ip: is not an address",
        "case \"one\": dns.\"y.example\": `what` is no answer",
        "case \"one\": step[0].session.ipp: unknown field",
        "case \"one\": hook: `helo` is no hook",
        "case \"one\": expect: says nothing",
        "case \"one\": message: a file can not be read here",
        "case \"#3\": name: is missing",
        "case \"#3\": expect.outcome: unknown field",
        "case \"one\": name: there are two cases of that name",
    ];
    for expected in expected {
        assert!(error.contains(expected), "{expected} is not in:\n{error}");
    }
}
