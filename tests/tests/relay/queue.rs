//! The durable queue as an operator sees it: waiting, retrying, holding, restarting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::wait;

/// A sink that refuses for now until the switch is on.
pub(crate) fn switched() -> Result<(Sink, Arc<AtomicBool>)> {
    let on = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&on);
    let sink = Sink::with(Behaviour::script(move |moment| {
        let refused = moment.step == Step::Mail && !switch.load(Ordering::SeqCst);
        if refused { Say::Line("451 4.3.0 come back later".into()) } else { Say::Yes }
    }))?;
    Ok((sink, on))
}

#[test]
fn what_is_deferred_is_delivered_later() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.times_before) {
        (Step::Rcpt, 0 | 1) => Say::Line("450 4.2.1 greylisted".into()),
        _ => Say::Yes,
    }))?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("deferred"))?;
    sink.wait_for(1)?;
    relay.wait_until_empty()?;
    let story = relay.story(&id)?;
    let deferred = story
        .iter()
        .filter(|event| event.get("what").is_some_and(|what| what.get("deferred").is_some()))
        .count();
    assert_eq!(deferred, 2, "{story:#?}");
    Ok(())
}

#[test]
fn acknowledged_mail_survives_a_kill() -> Result<()> {
    let (sink, on) = switched()?;
    let mut relay = Relay::start(Settings::new().all_to(sink.address()))?;
    for number in 0..20 {
        relay.send("a@sender.example", &["b@dest.example"], &message::plain(&format!("kill-{number}")))?;
    }
    relay.send("a@sender.example", &["b@dest.example"], &message::large("kill-large", 3 << 20))?;
    relay.kill()?;
    on.store(true, Ordering::SeqCst);
    relay.start_again()?;
    let messages = sink.wait_for(21)?;
    relay.wait_until_empty()?;
    let mut subjects: Vec<_> = messages.iter().filter_map(|message| message.header("Subject")).collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 21);
    Ok(())
}

#[test]
fn a_retry_that_was_asked_for_tries_a_host_that_was_mended() -> Result<()> {
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let settings = Settings::new().all_to(address);
    let relay =
        Relay::start(settings.set("delivery.host_failure_ms", 600_000).set("delivery.retry_first_s", 600.0))?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("mended"))?;
    relay.wait_for_event(&id, "deferred")?;
    let sink = Sink::at(address, Behaviour::default())?;
    relay.said(&["queue", "retry", "--domain", "dest.example"])?;
    sink.wait_within(1, std::time::Duration::from_secs(20))?;
    Ok(())
}

#[test]
fn what_is_too_old_tells_its_last_reply_and_the_host_once() -> Result<()> {
    let (sink, _off) = switched()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()).set("delivery.lifetime_s", 1))?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("old"))?;
    relay.wait_for_event(&id, "failed")?;
    let told = relay.said(&["explain", &id])?;
    let end = told.lines().find(|line| line.contains("in phase expired")).unwrap_or_default();
    assert!(end.contains("451 4.3.0 come back later"), "{told}");
    assert_eq!(end.matches("127.0.0.1").count(), 2, "the host and its address, together: {told}");
    Ok(())
}

#[test]
fn an_orderly_stop_hands_running_deliveries_back() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.times_before) {
        (Step::Mail, 0) => Say::Stall(600_000),
        _ => Say::Yes,
    }))?;
    let mut relay = Relay::start(Settings::new().all_to(sink.address()).set("drain_s", 1))?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("handed-back"))?;
    wait::until("the delivery to begin", || Ok((sink.times(Step::Mail) > 0).then_some(())))?;
    let status = relay.stop()?;
    assert!(status.success(), "{status}: {}", relay.log());
    assert!(sink.messages().is_empty());
    relay.start_again()?;
    sink.wait_for(1)?;
    relay.wait_for_event(&id, "delivered")?;
    Ok(())
}

#[test]
fn an_orderly_stop_lets_a_transaction_end_and_takes_no_new_mail() -> Result<()> {
    let (sink, on) = switched()?;
    let mut relay = Relay::start(Settings::new().all_to(sink.address()).set("drain_s", 20))?;
    let mut idle = relay.client()?;
    let mut busy = relay.client()?;
    busy.expect("MAIL FROM:<a@sender.example>", 250)?;
    busy.expect("RCPT TO:<b@dest.example>", 250)?;
    busy.expect("DATA", 354)?;
    relay.signal(rustix::process::Signal::TERM)?;
    assert_eq!(idle.reply()?.code, 421);
    busy.write(b"Subject: last\r\n\r\nx\r\n.\r\n")?;
    let answer = busy.reply()?;
    assert_eq!(answer.code, 250, "{answer}");
    drop(busy);
    let status = relay.wait_for_end()?;
    assert!(status.success(), "{status}: {}", relay.log());
    on.store(true, Ordering::SeqCst);
    relay.start_again()?;
    sink.wait_for(1)?;
    Ok(())
}

#[test]
fn a_second_relay_on_the_same_spool_refuses() -> Result<()> {
    let relay = Relay::start(Settings::new())?;
    let output = relay.start_in_vain()?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(said.contains(&relay.spool().display().to_string()), "{said}");
    relay.client()?.expect("NOOP", 250)?;
    Ok(())
}

#[test]
fn an_operator_sees_holds_releases_and_removes() -> Result<()> {
    let (sink, on) = switched()?;
    let relay = Relay::start(
        Settings::new()
            .all_to(sink.address())
            .set("delivery.retry_first_s", 600.0)
            .set("delivery.retry_max_s", 600.0),
    )?;
    let kept = relay.send("keep@sender.example", &["b@dest.example"], &message::plain("kept"))?;
    let removed = relay.send("remove@sender.example", &["c@dest.example"], &message::plain("removed"))?;
    relay.wait_for_event(&kept, "deferred")?;
    relay.wait_for_event(&removed, "deferred")?;

    let listed = relay.said(&["queue", "ls"])?;
    assert!(listed.contains(&kept) && listed.contains(&removed), "{listed}");
    let shown = relay.said(&["queue", "show", &kept])?;
    assert!(shown.contains("b@dest.example") && shown.contains("come back later"), "{shown}");
    let summary = relay.said(&["queue", "summary"])?;
    assert!(summary.contains("dest.example") && summary.contains('2'), "{summary}");

    relay.said(&["queue", "remove", &removed])?;
    relay.said(&["queue", "hold", &kept])?;
    assert_eq!(states(&relay)?, [(kept.clone(), "held".to_owned())]);
    on.store(true, Ordering::SeqCst);
    wait::quiet();
    assert!(sink.messages().is_empty());
    relay.said(&["queue", "release", &kept])?;
    relay.said(&["queue", "retry", &kept])?;
    let messages = sink.wait_for(1)?;
    assert_eq!(messages.iter().filter_map(|message| message.header("Subject")).collect::<Vec<_>>(), ["kept"]);
    relay.wait_until_empty()?;
    relay.wait_for_event(&removed, "removed")?;
    Ok(())
}

#[test]
fn a_retry_by_hand_does_not_wait() -> Result<()> {
    let (sink, on) = switched()?;
    let relay = Relay::start(
        Settings::new()
            .all_to(sink.address())
            .set("delivery.retry_first_s", 600.0)
            .set("delivery.retry_max_s", 600.0),
    )?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("by-hand"))?;
    relay.wait_for_event(&id, "deferred")?;
    on.store(true, Ordering::SeqCst);
    relay.said(&["queue", "retry", &id])?;
    sink.wait_for(1)?;
    relay.wait_for_event(&id, "delivered")?;
    Ok(())
}

#[test]
fn a_long_queue_delays_no_start() -> Result<()> {
    let (sink, _on) = switched()?;
    let mut relay = Relay::start(
        Settings::new()
            .all_to(sink.address())
            .set("delivery.retry_first_s", 600.0)
            .set("delivery.retry_max_s", 600.0),
    )?;
    let mut client = relay.client()?;
    for number in 0..500 {
        ensure!(
            client.send("a@sender.example", &["b@dest.example"], &message::plain(&number.to_string()))?.code
                == 250
        );
    }
    relay.kill()?;
    relay.start_again()?;
    relay.client()?.expect("NOOP", 250)?;
    let summary = relay.admin("GET", "/v1/queue/summary", "")?;
    let jobs: u64 =
        ["ready", "waiting", "claimed"].iter().filter_map(|state| summary.get(*state)?.as_u64()).sum();
    assert_eq!(jobs, 500, "{summary}");
    Ok(())
}

fn states(relay: &Relay) -> Result<Vec<(String, String)>> {
    let text = |job: &serde_json::Value, key: &str| {
        job.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    Ok(relay.queue()?.iter().map(|job| (text(job, "message"), text(job, "state"))).collect())
}

#[test]
fn an_operator_sends_another_way_reassigns_and_bounces() -> Result<()> {
    let (sink, _) = switched()?;
    let other = Sink::start()?;
    let relay = Relay::start(
        Settings::new()
            .all_to(sink.address())
            .set("delivery.retry_first_s", 600.0)
            .set("delivery.retry_max_s", 600.0)
            .set("delivery.allow_loopback", true),
    )?;
    let send = |name: &str| {
        relay.send(&format!("{name}@sender.example"), &["b@dest.example"], &message::plain(name))
    };
    let (rerouted, bounced, waits) = (send("rerouted")?, send("bounced")?, send("waits")?);
    for id in [&rerouted, &bounced, &waits] {
        relay.wait_for_event(id, "deferred")?;
    }
    let count = relay.said(&["queue", "count", "--error", "COME back", "--domain", "dest.example"])?;
    assert!(count.contains("3 entries: ready 0, waiting 3"), "{count}");

    let address = other.address().to_string();
    relay.said(&["queue", "reroute", "--to", &address, "--sender", "rerouted@sender.example"])?;
    let messages = other.wait_for(1)?;
    assert_eq!(
        messages.iter().filter_map(|message| message.header("Subject")).collect::<Vec<_>>(),
        ["rerouted"]
    );
    let told = relay.said(&["explain", &rerouted])?;
    assert!(told.contains(&format!("sent by {address} from now on, by operator")), "{told}");

    let assigned = ["queue", "reassign", &waits, "--to-tenant", "acme", "--to-priority", "9"];
    relay.said(&assigned)?;
    let shown = relay.said(&["queue", "show", "--tenant", "acme"])?;
    assert!(shown.contains(&waits) && shown.contains("priority: 9"), "{shown}");

    relay.said(&["queue", "bounce", &bounced, "--reason", "the shop is closed"])?;
    relay.wait_for_event(&bounced, "bounced")?;
    let told = relay.said(&["explain", &bounced])?;
    assert!(told.contains("the shop is closed") && told.contains("by operator"), "{told}");
    Ok(())
}
