//! What happened: the feed, the search, the files; and that each copy has exactly one end.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use baton_tests::api::Api;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::wait;
use serde_json::{Value, json};

/// All events of these kinds, in order.
fn events(relay: &Relay, query: &str) -> Result<Vec<Value>> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = relay.admin("GET", &format!("/v1/events?limit=100&{query}{after}"), "")?;
        found.extend(page.get("events").and_then(Value::as_array).cloned().unwrap_or_default());
        if page.get("more") == Some(&Value::Bool(false)) {
            return Ok(found);
        }
        after = format!("&after={}", page.get("next").and_then(Value::as_str).context("a cursor")?);
    }
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}

#[test]
fn what_happens_is_told_in_order_and_to_who_waits() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let content = b"Message-ID: <first@sender.example>\r\nSubject: x\r\n\r\nx\r\n";
    let id = relay.send("ada@sender.example", &["bo@dest.example", "cy@dest.example"], content)?;
    relay.wait_for_event(&id, "delivered")?;
    let all = events(&relay, "")?;
    let told: Vec<_> = all.iter().map(|event| (text(event, "type"), text(event, "recipient"))).collect();
    assert_eq!(
        told,
        [
            ("accepted", "bo@dest.example"),
            ("accepted", "cy@dest.example"),
            ("delivered", "bo@dest.example"),
            ("delivered", "cy@dest.example"),
        ]
    );
    for event in &all {
        assert_eq!((text(event, "message"), text(event, "sender")), (id.as_str(), "ada@sender.example"));
        assert_eq!(text(event, "message_id"), "<first@sender.example>");
        assert_eq!(event["final"] == true, text(event, "type") == "delivered");
    }
    assert!(all[2]["after_ms"].is_u64() && all[2]["reply"]["code"] == 250, "{}", all[2]);
    // Who asks for what comes next is answered when it comes.
    let next = relay.admin("GET", "/v1/events?limit=1000", "")?["next"].as_str().context("next")?.to_owned();
    let waiting = std::thread::scope(|scope| {
        let asked = scope.spawn(|| relay.admin("GET", &format!("/v1/events?after={next}&wait_s=50"), ""));
        relay.send("ada@sender.example", &["dee@dest.example"], content)?;
        asked.join().map_err(|_| anyhow::anyhow!("the question panicked"))?
    })?;
    assert_eq!(text(&waiting["events"][0], "recipient"), "dee@dest.example");
    Ok(())
}

#[test]
fn messages_are_found_long_after_they_left_the_queue() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match moment.step {
        Step::Rcpt if moment.argument.contains("nobody") => Say::Line("550 5.1.1 no such user".to_owned()),
        _ => Say::Yes,
    }))?;
    let mut relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let content = b"Message-ID: <one@sender.example>\r\n\r\nx\r\n";
    let id = relay.send("ada@sender.example", &["bo@dest.example", "nobody@dest.example"], content)?;
    relay.wait_for_event(&id, "failed")?;
    relay.wait_until_empty()?;
    relay.stop()?;
    relay.start_again()?;
    let find = |query: &str| -> Result<Vec<Value>> {
        let page = relay.admin("GET", &format!("/v1/messages?{query}"), "")?;
        assert_eq!(page["behind"], 0);
        Ok(page["messages"].as_array().cloned().unwrap_or_default())
    };
    for query in [
        "recipient=Nobody@dest.example",
        "message_id=%3Cone@sender.example%3E",
        "message_id=one@sender.example",
        "domain=dest.example&sender=ada@sender.example",
    ] {
        let found = find(query)?;
        assert_eq!(found.len(), 1, "{query}");
        assert_eq!(text(&found[0], "message"), id);
        let copies: Vec<_> =
            found[0]["copies"].as_array().into_iter().flatten().map(|copy| text(copy, "state")).collect();
        assert_eq!(copies, ["delivered", "bounced"]);
    }
    assert_eq!(find("recipient=ada@sender.example&sender=")?.len(), 1, "the report to the sender");
    assert!(find("recipient=other@dest.example")?.is_empty());
    let (status, answer) = relay.admin_raw("GET", "/v1/messages?recipent=x", "")?;
    assert!(status == 400 && answer.contains("recipent"), "{answer}");
    let said = relay.said(&["search", "--recipient", "nobody@dest.example"])?;
    assert!(said.contains("nobody@dest.example  bounced") && said.contains("no such user"), "{said}");
    let lines = relay.said(&["events", "--kind", "bounced"])?;
    let line: Value = serde_json::from_str(lines.lines().next().context("a line")?)?;
    assert_eq!((text(&line, "type"), text(&line, "reason")), ("bounced", "bad-mailbox"));
    Ok(())
}

/// Replies by chance, the same each time: what becomes of a recipient is in its name and in the number of the try.
fn by_chance() -> Behaviour {
    Behaviour::script(|moment| match (moment.step, moment.argument.as_bytes()) {
        (Step::Rcpt, argument) if argument.windows(5).any(|part| part == b"never") => {
            Say::Line("550 5.1.1 no".to_owned())
        }
        (Step::Rcpt, argument)
            if argument.windows(5).any(|part| part == b"later") && moment.times_before < 2 =>
        {
            Say::Line("451 4.3.0 not now".to_owned())
        }
        (Step::Rcpt, argument) if argument.windows(6).any(|part| part == b"always") => {
            Say::Line("451 4.3.0 not now".to_owned())
        }
        (Step::Message, _) if moment.times_before % 5 == 4 => Say::Close,
        _ => Say::Yes,
    })
}

#[test]
fn each_copy_has_exactly_one_end_whatever_is_done_to_it() -> Result<()> {
    let sink = Sink::with(by_chance())?;
    let settings = Settings::new()
        .all_to(sink.address())
        .set("next_hops.nowhere.discard", true)
        .route("gone.example", "nowhere")
        .set("delivery.lifetime_s", 4);
    let mut relay = Relay::start(settings)?;
    let domains = ["a.example", "b.example", "gone.example"];
    let mut expected: HashMap<(String, String), usize> = HashMap::new();
    for number in 0..60_usize {
        let names = ["x", "never", "later", "always", "y"];
        let recipients: Vec<String> = (0..=number % 4)
            .map(|copy| format!("{}{copy}@{}", names[(number + copy) % 5], domains[(number / 3 + copy) % 3]))
            .collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let id = relay.send("ada@sender.example", &recipients, &message::plain("x"))?;
        for recipient in recipients {
            *expected.entry((id.clone(), recipient.to_owned())).or_default() += 1;
        }
        // What operators do, while deliveries run.
        let does = match number % 10 {
            3 => Some(("hold", "{\"domain\":\"a.example\"}")),
            4 => Some(("release", "{\"all\":true}")),
            5 => Some(("remove", "{\"domain\":\"b.example\",\"state\":\"waiting\"}")),
            6 => Some(("retry", "{\"all\":true}")),
            7 => Some(("bounce", "{\"domain\":\"a.example\",\"state\":\"waiting\",\"reason\":\"enough\"}")),
            8 => Some(("remove", "{\"state\":\"claimed\"}")),
            _ => None,
        };
        if let Some((operation, filter)) = does {
            let (status, answer) = relay.admin_raw("POST", &format!("/v1/queue/{operation}"), filter)?;
            ensure!(status == 200, "{operation}: {status} {answer}");
        }
        if number % 20 == 19 {
            relay.kill()?;
            relay.start_again()?;
        }
    }
    relay.admin("POST", "/v1/queue/release", "{\"all\":true}")?;
    relay.wait_until_empty()?;
    let kinds = "kind=delivered,bounced,expired,discarded,removed,suppressed";
    let mut ends: HashMap<(String, String), usize> = HashMap::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for event in events(&relay, kinds)? {
        assert_eq!(event["final"], true);
        *seen.entry(text(&event, "type").to_owned()).or_default() += 1;
        // Reports are messages of their own, and have their end too.
        if text(&event, "sender") == "ada@sender.example" {
            let copy = (text(&event, "message").to_owned(), text(&event, "recipient").to_owned());
            *ends.entry(copy).or_default() += 1;
        }
    }
    assert_eq!(ends, expected, "{seen:?}");
    for kind in ["delivered", "bounced", "discarded"] {
        assert!(seen.contains_key(kind), "nothing was {kind}: {seen:?}");
    }
    Ok(())
}

#[test]
fn files_have_each_event_once_also_after_a_kill() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new()
        .all_to(sink.address())
        .set("events.files.all.path", "events.jsonl")
        .set("events.files.ends.path", "ends.jsonl")
        .set("events.files.ends.kinds", vec![toml::Value::from("delivered")]);
    let mut relay = Relay::start(settings)?;
    let lines = |relay: &Relay, name: &str| -> Vec<Value> {
        let text = fs::read_to_string(relay.folder().join(name)).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    for round in 1..=3 {
        for _ in 0..10 {
            relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("x"))?;
        }
        relay.wait_until_empty()?;
        if round == 2 {
            relay.kill()?;
            relay.start_again()?;
        }
        wait::until("the lines", || Ok((lines(&relay, "ends.jsonl").len() >= 10 * round).then_some(())))?;
    }
    wait::until("all lines", || Ok((lines(&relay, "events.jsonl").len() >= 60).then_some(())))?;
    let all = lines(&relay, "events.jsonl");
    let mut ids: Vec<&str> = all.iter().map(|event| text(event, "id")).collect();
    assert!(ids.is_sorted());
    ids.dedup();
    assert_eq!(ids.len(), all.len());
    assert_eq!(all.len(), events(&relay, "")?.len());
    assert!(lines(&relay, "ends.jsonl").iter().all(|event| text(event, "type") == "delivered"));
    Ok(())
}

#[test]
fn a_file_that_the_settings_name_no_more_keeps_its_place_until_it_is_forgotten() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new().all_to(sink.address());
    let mut relay = Relay::start(settings.clone().set("events.files.old.path", "events.jsonl"))?;
    let line = |relay: &Relay| -> Result<Option<String>> {
        let said = relay.said(&["followers"])?;
        Ok(said.lines().find(|line| line.starts_with("file/old ")).map(str::to_owned))
    };
    relay.send("ada@sender.example", &["bo@dest.example"], &message::plain("x"))?;
    wait::until("both events are in the file", || {
        Ok(line(&relay)?.filter(|line| line.contains("well; 2 taken") && line.contains(" 0 records behind")))
    })?;
    let refused = relay.run(&["followers", "--forget", "file/old"])?;
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && why.contains("[events.files.old]"), "{why}");
    relay.stop()?;
    relay.write_settings(settings)?;
    relay.start_again()?;
    let left = line(&relay)?.context("a line")?;
    assert!(
        left.contains("not in the settings") && left.ends_with("baton followers --forget file/old"),
        "{left}"
    );
    relay.said(&["followers", "--forget", "file/old"])?;
    assert_eq!(line(&relay)?, None);
    for name in ["file/old", "index"] {
        assert!(!relay.run(&["followers", "--forget", name])?.status.success(), "{name}");
    }
    let changes = relay.admin("GET", "/v1/audit", "")?["changes"].take();
    let forgotten =
        changes.as_array().context("changes")?.iter().filter(|row| row["action"] == "follower.forget");
    assert_eq!(forgotten.count(), 1, "what was refused is no change: {changes}");
    Ok(())
}

#[test]
fn tags_are_filters_of_events_and_of_the_queue() -> Result<()> {
    let settings = Settings::new().set("next_hops.wait.hold", "for the test").route("*", "wait");
    let relay = Relay::start(settings.set("api.listen", "127.0.0.1:0"))?;
    let api = Api::with_token(&relay, &["--scope", "send"])?;
    let send = |to: &str, more: Value| {
        let mut message = json!({"from": "a@sender.example", "to": [to], "subject": "x", "text": "x"});
        message.as_object_mut().context("an object")?.extend(more.as_object().cloned().unwrap_or_default());
        let id = api.send(&message)?["id"].as_str().context("an id")?.to_owned();
        relay.wait_for_event(&id, "held")
    };
    send("red@dest.example", json!({"tags": ["red"], "metadata": {"order": "17"}}))?;
    send("blue@dest.example", json!({"tags": ["blue"]}))?;
    for (tag, to) in [("red", "red@"), ("meta.order=17", "red@"), ("blue", "blue@"), ("green", "nobody@")] {
        let told = relay.said(&["events", "--tag", tag, "--kind", "accepted,held"])?;
        let listed = relay.said(&["queue", "ls", "--tag", tag])?;
        for own in ["red@", "blue@"] {
            assert_eq!(
                (told.contains(own), listed.contains(own)),
                (own == to, own == to),
                "{tag}: {told}{listed}"
            );
        }
    }
    let counted = relay.said(&["queue", "count", "--tag", "blue"])?;
    assert!(counted.starts_with("1 entries"), "{counted}");
    Ok(())
}
