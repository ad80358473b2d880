//! How plugins run, seen from outside: watched ones, guarded ones, warm ones, broken ones, new versions, thresholds.

use anyhow::{Context, Result};
use baton_tests::client::Client;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{message, program};

/// The zoo, with those behaviours and settings.
fn with_zoo(sink: &Sink, hooks: &[&str], config: &str) -> Result<Settings> {
    let settings = Settings::new().all_to(sink.address());
    let settings = settings.plugin("zoo", &program::plugin("baton-plugin-zoo")?);
    Ok(settings.set("plugins.zoo.hooks", hooks.to_vec()).with(config))
}

fn send(relay: &Relay, name: &str) -> Result<baton_tests::client::Answer> {
    relay.client()?.send("a@sender.example", &["b@dest.example"], &message::plain(name))
}

#[test]
fn a_watched_plugin_is_in_the_story_and_changes_nothing() -> Result<()> {
    let sink = Sink::start()?;
    let config = "[plugins.zoo]\nmode = 'monitor'\ngrants.edit = ['headers', 'recipients', 'sender']\nconfig.data = 'edit-then-reject'";
    let relay = Relay::start(with_zoo(&sink, &["data"], config)?)?;
    let id = send(&relay, "watched")?.message_id()?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("X-Zoo"), None);
    let told = relay.said(&["explain", &id])?;
    assert!(told.contains("monitor: would have answered reject 550 5.7.1 edited and refused"), "{told}");
    assert!(told.contains("(not done) tag zoo=was here") && told.contains("#1"), "{told}");
    assert!(relay.said(&["plugins"])?.contains("monitor"));
    Ok(())
}

#[test]
fn a_guard_keeps_a_plugin_away_from_mail_that_is_not_meant() -> Result<()> {
    let sink = Sink::start()?;
    let config = "[plugins.zoo]\nwhen = 'header(\"subject\").contains(\"tested\") && size > 10'\nconfig.data = 'reject'";
    let relay = Relay::start(with_zoo(&sink, &["data"], config)?)?;
    assert_eq!(send(&relay, "ordinary")?.code, 250);
    assert_eq!(send(&relay, "tested")?.code, 550);
    let wrong =
        with_zoo(&sink, &["data"], "[plugins.zoo.when]\ndata = 'rcpt.domain == \"a\"'\nroute = 'true'")?;
    relay.write_settings(wrong)?;
    let output = relay.run(&["reload"])?;
    assert!(!output.status.success());
    let refused =
        [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned()).concat();
    for part in ["plugins.zoo.when.data", "only at rcpt, route, bounce", "plugins.zoo.when.route"] {
        assert!(refused.contains(part), "no {part} in {refused}");
    }
    assert_eq!(send(&relay, "tested")?.code, 550, "the generation that ran goes on");
    Ok(())
}

#[test]
fn a_broken_plugin_is_left_alone_and_shown() -> Result<()> {
    let sink = Sink::start()?;
    let config = "[plugins.zoo]\non_failure = 'open'\nconfig.data = 'trap'\nbreaker = { failures = 2, open_s = 3600, open_max_s = 3600 }";
    let relay = Relay::start(with_zoo(&sink, &["data"], config)?)?;
    let mut ids = Vec::new();
    for name in ["first", "second", "third"] {
        ids.push(send(&relay, name)?.message_id()?);
    }
    let told = relay.said(&["explain", &ids[0]])?;
    assert!(told.contains("failed (trap), by on-failure=open: next"), "{told}");
    let told = relay.said(&["explain", &ids[2]])?;
    assert!(told.contains("failed (breaker-open), by on-failure=open: next (0 \u{b5}s)"), "{told}");
    let shown = relay.said(&["plugins"])?;
    assert!(shown.contains("open (opened 1\u{d7})"), "{shown}");
    // A plugin that a reload carries over keeps its breaker; one with other settings begins anew.
    relay.said(&["reload"])?;
    assert!(relay.said(&["plugins"])?.contains("open (opened 1\u{d7})"));
    relay.write_settings(with_zoo(&sink, &["data"], &config.replace("trap", "next"))?)?;
    relay.said(&["reload"])?;
    assert!(relay.said(&["plugins"])?.contains("closed"));
    Ok(())
}

#[test]
fn warm_instances_serve_sessions_and_end_with_their_generation() -> Result<()> {
    let sink = Sink::start()?;
    let config = "[plugins.zoo]\ninstances = 'session'\nconfig.rcpt = 'global'";
    let relay = Relay::start(with_zoo(&sink, &["rcpt"], config)?)?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    // The zoo refuses when somebody was in its memory before: here the same session was.
    assert_eq!(client.command("RCPT TO:<c@dest.example>")?.code, 597);
    let mut other = relay.client()?;
    other.expect("MAIL FROM:<a@sender.example>", 250)?;
    other.expect("RCPT TO:<b@dest.example>", 250)?;
    assert!(relay.said(&["plugins"])?.contains("session (2 at rest)"));
    let changed = format!("{config}\nlimits.cpu_ms = 100");
    relay.write_settings(with_zoo(&sink, &["rcpt"], &changed)?)?;
    relay.said(&["reload"])?;
    // Sessions go on with their generation, which keeps nothing any more.
    other.expect("RCPT TO:<c@dest.example>", 250)?;
    client.expect("RCPT TO:<d@dest.example>", 250)?;
    Ok(())
}

#[test]
fn a_new_version_is_tried_beside_the_old_one() -> Result<()> {
    let sink = Sink::start()?;
    let next = program::plugin("baton-plugin-noop")?;
    let shadow = format!("[plugins.zoo]\nconfig.data = 'reject'\nnext = {{ source = '{}' }}", next.display());
    let relay = Relay::start(with_zoo(&sink, &["data"], &shadow)?)?;
    assert_eq!(send(&relay, "shadow")?.code, 550, "the old one serves");
    assert!(relay.said(&["plugins"])?.contains("shadow "));
    let canary = format!(
        "[plugins.zoo]\nconfig.data = 'reject'\nnext = {{ source = '{}', mode = 'canary', percent = 100 }}",
        next.display()
    );
    relay.write_settings(with_zoo(&sink, &["data"], &canary)?)?;
    relay.said(&["reload"])?;
    assert_eq!(send(&relay, "canary")?.code, 250, "the new one serves");
    assert!(relay.said(&["plugins"])?.contains("canary "));
    Ok(())
}

#[test]
fn scores_meet_the_thresholds_of_the_operator() -> Result<()> {
    let sink = Sink::start()?;
    for (thresholds, code, tagged) in
        [("tag = 1.5", 250, true), ("tag = 1, reject = 1.5, reply = '554 5.7.1 too much'", 554, false)]
    {
        let config = format!(
            "[plugins.zoo]\nconfig.data = 'edit'\n[hooks]\nthresholds = {{ {thresholds}, header = 'X-Points' }}"
        );
        let relay = Relay::start(with_zoo(&sink, &["data"], &config)?)?;
        let answer = send(&relay, "scored")?;
        assert_eq!(answer.code, code, "{thresholds}: {answer}");
        if tagged {
            let id = answer.message_id()?;
            // The plugin also has the message held.
            relay.said(&["queue", "release", &id])?;
            let received = sink.wait_for(1)?.pop().context("a message")?;
            assert_eq!(received.header("X-Points").as_deref(), Some("1.5"));
            let told = relay.said(&["explain", &id])?;
            assert!(
                told.contains("data asked thresholds: tag (score 1.5), changed header=X-Points"),
                "{told}"
            );
        } else {
            assert!(answer.text().starts_with("5.7.1 too much"), "{answer}");
        }
    }
    Ok(())
}

#[test]
fn a_spinning_plugin_ends_at_its_budget_while_others_go_on() -> Result<()> {
    let sink = Sink::start()?;
    let config = "[plugins.zoo]\nlimits.cpu_ms = 2000\nconfig = { rcpt = 'loop', tame = 'quiet' }";
    let settings = with_zoo(&sink, &["rcpt"], config)?
        .set("listeners.quiet.address", "127.0.0.1:0")
        .set("worker_threads", 1);
    let relay = Relay::start(settings)?;
    let mut spinning = relay.client()?;
    spinning.expect("MAIL FROM:<a@sender.example>", 250)?;
    let spinner = std::thread::spawn(move || spinning.command("RCPT TO:<b@dest.example>"));
    // On the same, only thread: had the spinner it for itself, these would wait for its end.
    let mut answered = 0;
    while !spinner.is_finished() {
        let mut client = Client::connect(relay.listener("quiet")?)?;
        assert_eq!(client.reply()?.code, 220);
        client.expect("EHLO client.example", 250)?;
        let answer = client.send("a@sender.example", &["b@dest.example"], &message::plain("beside"))?;
        assert_eq!(answer.code, 250, "{answer}");
        answered += usize::from(!spinner.is_finished());
    }
    let answer = spinner.join().map_err(|_| anyhow::anyhow!("the spinner's client panicked"))??;
    assert_eq!(answer.code, 451, "{answer}");
    assert!(answered > 0, "nobody was served beside the spinning plugin");
    Ok(())
}

#[test]
fn observers_hear_the_story_of_a_message() -> Result<()> {
    let sink = Sink::start()?;
    let config = "[plugins.zoo]\nevents = { batch_ms = 50 }\n";
    let relay = Relay::start(with_zoo(&sink, &["events"], config)?)?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("observed"))?;
    for kind in ["accepted", "delivered"] {
        let line = format!("baton_plugin_zoo_told_total{{kind=\"{kind}\"}} 1");
        baton_tests::wait::until(&format!("the observer to hear that it was {kind}"), || {
            Ok(relay.metrics()?.contains(&line).then_some(()))
        })?;
    }
    // One that hangs holds up no mail.
    relay.write_settings(with_zoo(
        &sink,
        &["events"],
        "[plugins.zoo]\nevents = { batch_ms = 1 }\nconfig.events = 'sleep'",
    )?)?;
    relay.said(&["reload"])?;
    for number in 2..=20 {
        relay.send("a@sender.example", &["b@dest.example"], &message::plain("beside"))?;
        sink.wait_for(number)?;
    }
    Ok(())
}
