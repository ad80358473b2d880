//! To whom nothing is sent: lists kept by hand, by failures and by feedback; asked at RCPT and before each attempt.

use std::fs;

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::wait;

/// A next hop that knows no `gone…`, has no room for `full…`, and does not like us for `blocked…`.
fn choosy() -> Result<Sink> {
    Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
        (Step::Rcpt, to) if to.starts_with("gone") => Say::Line("550 5.1.1 no such user here".into()),
        (Step::Rcpt, to) if to.starts_with("full") => Say::Line("552 5.2.2 mailbox is full".into()),
        (Step::Rcpt, to) if to.starts_with("blocked") => {
            Say::Line("550 5.7.1 your IP address is on our block list, see spamhaus.org".into())
        }
        _ => Say::Yes,
    }))
}

fn automatic(sink: &Sink) -> Settings {
    Settings::new()
        .all_to(sink.address())
        .route("sender.example", "discarded")
        .with("[next_hops.discarded]\ndiscard = true")
        .set("suppression.automatic", "all")
}

/// What RCPT is told.
fn told(relay: &Relay, sender: &str, recipient: &str) -> Result<(u16, String)> {
    let mut client = relay.client()?;
    client.expect(&format!("MAIL FROM:<{sender}>"), 250)?;
    let answer = client.command(&format!("RCPT TO:<{recipient}>"))?;
    Ok((answer.code, answer.text()))
}

#[test]
fn an_address_on_a_list_is_refused_with_the_list_and_the_reason() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay =
        Relay::start(Settings::new().all_to(sink.address()).set("local_domains", vec!["here.example"]))?;
    assert_eq!(told(&relay, "a@sender.example", "Ann@dest.example")?.0, 250);
    let added = [
        "suppression",
        "add",
        "ann@dest.example",
        "ann@here.example",
        "--reason",
        "complaint",
        "--note",
        "rang us",
    ];
    relay.said(&added)?;
    let (code, text) = told(&relay, "a@sender.example", "Ann@dest.example")?;
    assert_eq!(code, 550, "{text}");
    assert!(text.contains("5.7.1") && text.contains("complaint on the global list"), "{text}");
    assert_eq!(
        told(&relay, "a@sender.example", "ann@here.example")?.0,
        250,
        "our own mailboxes get their mail"
    );
    assert_eq!(told(&relay, "", "ann@dest.example")?.0, 250, "reports go to everybody");
    assert_eq!(told(&relay, "a@sender.example", "ann+x@dest.example")?.0, 250);

    // Kept over a restart, and found however it is written.
    relay.stop()?;
    relay.start_again()?;
    assert_eq!(told(&relay, "a@sender.example", "\"ann\"@DEST.example")?.0, 550);
    let said = relay.said(&["suppression", "show", "ann@dest.example"])?;
    assert!(said.contains("complaint") && said.contains("rang us") && said.contains("for ever"), "{said}");
    relay.said(&["suppression", "remove", "ann@dest.example"])?;
    assert_eq!(told(&relay, "a@sender.example", "ann@dest.example")?.0, 250);
    assert!(relay.said(&["suppression", "show", "ann@dest.example"])?.contains("is on no list"));
    Ok(())
}

#[test]
fn strangers_learn_nothing_of_the_lists() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new().all_to(sink.address()).set("session.relay_networks", vec!["192.0.2.0/24"]);
    let relay = Relay::start(settings)?;
    relay.said(&["suppression", "add", "ann@dest.example"])?;
    let known = told(&relay, "a@sender.example", "ann@dest.example")?;
    let unknown = told(&relay, "a@sender.example", "bob@dest.example")?;
    let without_id = |text: &str| text.split('(').next().unwrap_or_default().to_owned();
    assert_eq!((known.0, without_id(&known.1)), (unknown.0, without_id(&unknown.1)));
    Ok(())
}

#[test]
fn what_was_accepted_ends_before_its_attempt() -> Result<()> {
    let sink = Sink::start()?;
    let settings = automatic(&sink).set("suppression.at_rcpt", "accept");
    let relay = Relay::start(settings)?;
    relay.said(&["suppression", "add", "ann@dest.example", "--reason", "unsubscribe"])?;
    relay.said(&["suppression", "add", "gone@dest.example", "--reason", "hard-bounce"])?;
    let to = ["ann@dest.example", "bo@dest.example", "gone@dest.example"];
    let id = relay.send("ada@sender.example", &to, &message::plain("some get it"))?;
    relay.wait_until_empty()?;
    let received = sink.wait_for(1)?;
    assert_eq!(received.first().context("a message")?.recipients, ["bo@dest.example"]);
    let events = relay.story(&id)?;
    let suppressed: Vec<_> = events.iter().filter_map(|event| event.get("what")?.get("suppressed")).collect();
    assert_eq!(suppressed.len(), 2, "{events:?}");
    assert!(
        !events.iter().any(|event| event["what"].get("failed").is_some()),
        "one end for each: {events:?}"
    );
    // The sender is told of the mailbox that is gone, not of the person who wants no mail.
    let told = relay.wait_for_event(&id, "bounced")?;
    let report = told["report"].as_str().context("a report")?;
    let said = relay.said(&["explain", report])?;
    assert!(said.contains("ada@sender.example"), "{said}");
    let story = relay.said(&["explain", &id])?;
    assert!(story.contains("unsubscribe") && story.contains("global"), "{story}");
    let metrics = relay.metrics()?;
    assert!(metrics.contains("baton_delivery_suppressed_total{reason=\"unsubscribe\"} 1"), "{metrics}");
    Ok(())
}

#[test]
fn failures_make_entries_by_their_class() -> Result<()> {
    let sink = choosy()?;
    let relay = Relay::start(automatic(&sink).set("suppression.soft_bounces", 2))?;
    let send = |to: &str| -> Result<String> {
        let id = relay.send("ada@sender.example", &[to], &message::plain("x"))?;
        relay.wait_until_empty()?;
        Ok(id)
    };
    let id = send("gone@dest.example")?;
    wait::until("an entry", || {
        Ok((told(&relay, "a@sender.example", "gone@dest.example")?.0 == 550).then_some(()))
    })?;
    let said = relay.said(&["suppression", "show", "gone@dest.example"])?;
    assert!(
        said.contains("hard-bounce") && said.contains("no such user here") && said.contains(&id),
        "{said}"
    );
    // What says something about us says nothing about them.
    for _ in 0..2 {
        send("blocked@dest.example")?;
    }
    assert_eq!(told(&relay, "a@sender.example", "blocked@dest.example")?.0, 250);
    send("full@dest.example")?;
    assert_eq!(told(&relay, "a@sender.example", "full@dest.example")?.0, 250, "once is not enough");
    send("full@dest.example")?;
    wait::until("an entry", || {
        Ok((told(&relay, "a@sender.example", "full@dest.example")?.0 == 550).then_some(()))
    })?;
    assert!(relay.said(&["suppression", "ls", "--reason", "soft-bounce"])?.contains("full@dest.example"));
    Ok(())
}

#[test]
fn without_tenant_nothing_is_learnt_by_default() -> Result<()> {
    let sink = choosy()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    relay.send("", &["gone@dest.example"], &message::plain("x"))?;
    relay.send("ada@dest.example", &["gone@dest.example"], &message::plain("x"))?;
    relay.wait_until_empty()?;
    assert!(relay.said(&["suppression", "ls"])?.contains("No entries"));
    Ok(())
}

#[test]
fn lists_go_out_and_come_in_whole() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let file = relay.folder().join("export.csv");
    let mut text = "Email,Reason,Note\r\n".to_owned();
    for number in 0..2_500 {
        text.push_str(&format!("user{number}@dest.example,bounced,\"a, b\"\r\n"));
    }
    text.push_str("not an address,bounced,\r\n");
    fs::write(&file, text)?;
    let output = relay.run(&["suppression", "import", "export.csv", "--tenant", "acme"])?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("2500 entries made"), "{said}");
    assert!(said.contains("line 2502"), "{said}");
    let said = relay.said(&["suppression", "ls", "--tenant", "acme", "--text", "user77@", "--json"])?;
    assert!(said.contains("hard-bounce") && said.contains("a, b"), "{said}");
    for format in ["csv", "json"] {
        let exported = relay.said(&["suppression", "export", "--format", format, "--tenant", "acme"])?;
        assert_eq!(exported.matches("@dest.example").count(), 2_500);
        let other = Relay::start(Settings::new().all_to(sink.address()))?;
        fs::write(other.folder().join("in"), exported)?;
        let said = other.said(&["suppression", "import", "in"])?;
        assert!(said.contains("2500 entries made"), "{said}");
        let said = other.said(&["suppression", "show", "user77@dest.example"])?;
        assert!(said.contains("tenant acme") && said.contains("hard-bounce"), "{said}");
    }
    Ok(())
}

#[test]
fn since_when_somebody_is_on_a_list_goes_out_and_comes_in() -> Result<()> {
    let relay = Relay::start(Settings::new())?;
    let lines = "email,reason,created\nann@dest.example,bounced,2025-01-31T12:00:00+01:00\n\
                 bob@dest.example,bounced,31.01.2025\ncid@dest.example,bounced,2999-01-01\n";
    fs::write(relay.folder().join("others.csv"), lines)?;
    let output = relay.run(&["suppression", "import", "others.csv"])?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("1 entries made"), "{said}");
    assert!(
        said.contains("line 3") && said.contains("`31.01.2025` is no time; write it as in RFC 3339"),
        "{said}"
    );
    assert!(said.contains("line 4") && said.contains("still to come"), "{said}");
    fs::write(relay.folder().join("other.csv"), "mail,why\neve@dest.example,complaint\n")?;
    let output = relay.run(&["suppression", "import", "other.csv"])?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("0 entries made"), "no column is guessed: {said}");
    let since = |relay: &Relay| -> Result<serde_json::Value> {
        Ok(relay.admin("GET", "/v1/suppressions/ann@dest.example", "")?["entries"][0]["since"].take())
    };
    let made = 1_738_321_200_000_u64;
    assert_eq!(since(&relay)?, made);
    for format in ["csv", "json"] {
        let exported = relay.said(&["suppression", "export", "--format", format])?;
        let other = Relay::start(Settings::new())?;
        fs::write(other.folder().join("in"), exported)?;
        other.said(&["suppression", "import", "in"])?;
        assert_eq!(since(&other)?, made, "{format}");
    }
    Ok(())
}

#[test]
fn the_admin_interface_refuses_what_makes_no_sense() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let entry = |entry: &str| format!("{{\"entries\":[{entry}]}}");
    for (body, field) in [
        (entry("{\"address\":\"nobody\"}"), "entries[0].address"),
        (entry("{\"address\":\"a@b.example\",\"days\":99999999}"), "entries[0].days"),
        (entry("{\"address\":\"a@b.example\",\"reason\":\"mood\"}"), "entries[0].reason"),
        (entry("{\"address\":\"a@b.example\",\"colour\":1}"), "entries[0].colour"),
        (
            entry(&format!("{{\"address\":\"a@b.example\",\"tenant\":\"{}\"}}", "x".repeat(300))),
            "entries[0].tenant",
        ),
        (entry("{\"address\":\"a@b.example\",\"stream\":\"a\\u0000b\"}"), "entries[0].stream"),
    ] {
        let (status, answer) = relay.admin_raw("POST", "/v1/suppressions", &body)?;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer.contains(field), "{field} is not in {answer}");
    }
    let long = format!("{{\"address\":\"{}\"}}", "x".repeat(5_000));
    for (method, path, body, status) in [
        ("GET", "/v1/suppressions?after=xyz", "", 400),
        ("GET", "/v1/suppressions?colour=red", "", 400),
        ("GET", "/v1/suppressions?reason=mood", "", 400),
        ("GET", "/v1/suppressions/nobody", "", 400),
        ("DELETE", "/v1/suppressions/a@b.example", "", 404),
        ("POST", "/v1/suppressions/import?reason=mood", "", 400),
        ("POST", "/v1/suppressions/import", long.as_str(), 400),
        ("GET", "/v1/suppressions/export?format=xml", "", 400),
    ] {
        let (found, answer) = relay.admin_raw(method, path, body)?;
        assert_eq!(found, status, "{method} {path}: {answer}");
    }
    assert!(relay.said(&["suppression", "ls"])?.contains("No entries"));
    Ok(())
}
