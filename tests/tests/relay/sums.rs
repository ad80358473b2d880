//! Reports: sums that agree with the next hop to the last message, also after a kill.

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::wait;
use serde_json::Value;

/// The rows of a report over all that was counted, once all is.
fn rows(relay: &Relay, query: &str) -> Result<Vec<Value>> {
    wait::until("all to be counted", || {
        let report = relay.admin("GET", &format!("/v1/reports/mail?since=1d&{query}"), "")?;
        let is_done = report.get("behind").and_then(Value::as_u64) == Some(0);
        Ok(is_done.then(|| report.get("rows").and_then(Value::as_array).cloned().unwrap_or_default()))
    })
}

#[test]
fn sums_agree_with_the_next_hop() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match moment.step {
        Step::Rcpt if moment.argument.contains("never") => Say::Line("550 5.1.1 no such user".to_owned()),
        Step::Rcpt if moment.argument.contains("later") && moment.times_before == 0 => {
            Say::Line("452 4.2.2 mailbox full".to_owned())
        }
        _ => Say::Yes,
    }))?;
    let mut relay = Relay::start(Settings::new().all_to(sink.address()))?;
    for number in 0..30 {
        let name = ["x", "never", "later"][number % 3];
        let recipient = format!("{name}{number}@{}.example", ["a", "b"][number % 2]);
        relay.send("", &[&recipient], &message::plain("x"))?;
        if number == 14 {
            relay.wait_until_empty()?;
            rows(&relay, "")?;
            relay.kill()?;
            relay.start_again()?;
        }
    }
    relay.wait_until_empty()?;
    let all = rows(&relay, "")?;
    let counts = &all.first().context("a row")?["counts"];
    let expected = serde_json::json!({ "accepted": 30, "delivered": 20, "deferred": 10, "bounced": 10 });
    for (name, count) in expected.as_object().context("an object")? {
        assert_eq!(&counts[name], count, "{name} in {counts}");
    }
    assert_eq!(sink.messages().len(), 20);
    let domains = rows(&relay, "by=domain")?;
    let sum: u64 = domains.iter().filter_map(|row| row["counts"]["accepted"].as_u64()).sum();
    assert_eq!((domains.len(), sum), (2, 30));
    let reasons = rows(&relay, "by=reason")?;
    let mut named: Vec<_> = reasons.iter().filter_map(|row| row["reason"].as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, ["bad-mailbox", "quota"]);
    assert!(all[0]["latency"]["p50_ms"].is_u64(), "{}", all[0]);
    let csv = relay.said(&["report", "--by", "domain", "--csv"])?;
    assert!(csv.starts_with("time,domain,accepted,") && csv.contains("a.example,15,"), "{csv}");
    let by_stream = relay.said(&["report", "--by", "stream"])?;
    let row = by_stream.lines().find(|line| line.contains(" 30 ")).context(by_stream.clone())?;
    assert!(row.split_whitespace().take(2).eq(["-", "30"]), "mail of no stream: {by_stream}");
    let table = relay.said(&["report", "--by", "provider,reason"])?;
    assert!(table.contains("bad-mailbox"), "{table}");
    for (query, field) in [
        ("by=colour", "by"),
        ("by=tag,domain", "by"),
        ("since=yesterday", "since"),
        ("step=week", "step"),
        ("format=xml", "format"),
        ("colour=red", "colour"),
    ] {
        let (status, answer) = relay.admin_raw("GET", &format!("/v1/reports/mail?{query}"), "")?;
        assert!(status == 400 && answer.contains(&format!("\"field\":\"{field}\"")), "{query}: {answer}");
    }
    Ok(())
}
