//! The next generation of plugins, while mail goes on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use baton_tests::client::Client;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{message, program, wait};
use rustix::process::Signal;

const MESSAGES_PER_SESSION: usize = 3;
const CLIENTS: usize = 3;

/// Two plugins that write the same text into a header each.
fn marking(sink: &Sink, mark: &str) -> Result<Settings> {
    let mut settings = Settings::new().all_to(sink.address());
    for name in ["one", "two"] {
        let rule = format!(
            "[plugins.{name}]\ngrants.edit = ['headers']\n[[plugins.{name}.config.rules]]\nname = 'mark'\nthen = {{ add = {{ X-{name} = '{mark}' }} }}"
        );
        settings = settings.plugin(name, &program::plugin("baton-plugin-header-rules")?).with(&rule);
    }
    Ok(settings)
}

/// Sessions of several messages, one after the other, until it is time to stop; each must be taken.
fn keep_sending(address: SocketAddr, client: usize, stop: &AtomicBool) -> Result<usize> {
    let mut sent = 0;
    for session in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut connection = Client::greeted(address)?;
        for number in 0..MESSAGES_PER_SESSION {
            let subject = format!("c{client}s{session}m{number}");
            let answer =
                connection.send("a@sender.example", &["b@dest.example"], &message::plain(&subject))?;
            ensure!(answer.code == 250, "{subject}: {answer}");
            sent += 1;
        }
        connection.expect("QUIT", 221)?;
    }
    Ok(sent)
}

fn generation(relay: &Relay) -> Result<u64> {
    let answer = relay.admin("GET", "/v1/plugins", "")?;
    answer.get("generation").and_then(serde_json::Value::as_u64).context("a number")
}

/// Reloads by command, signal and admin interface in turn.
fn reload(relay: &Relay, turn: usize) -> Result<()> {
    let before = generation(relay)?;
    match turn % 3 {
        0 => drop(relay.said(&["reload"])?),
        1 => relay.signal(Signal::HUP)?,
        _ => drop(relay.admin("POST", "/v1/reload", "{}")?),
    }
    wait::until("the next generation", || Ok((generation(relay)? > before).then_some(())))
}

#[test]
fn a_reload_under_load_refuses_nobody_and_no_session_sees_two_generations() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(marking(&sink, "g0")?)?;
    let (address, stop) = (relay.smtp()?, AtomicBool::new(false));
    let sent = thread::scope(|scope| {
        let stop = &stop;
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || keep_sending(address, client, stop))).collect();
        let reloaded = (1..=6).try_for_each(|turn| {
            relay.write_settings(marking(&sink, &format!("g{turn}"))?)?;
            reload(&relay, turn)
        });
        stop.store(true, Ordering::Relaxed);
        let sent: Result<Vec<usize>> = clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
            .collect();
        reloaded.and(sent)
    })?;
    let total: usize = sent.iter().sum();
    let mut sessions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for received in sink.wait_for(total)? {
        let subject = received.header("Subject").context("Subject")?;
        let (one, two) =
            (received.header("X-one").context("X-one")?, received.header("X-two").context("X-two")?);
        assert_eq!(one, two, "{subject}");
        *all.entry(one.clone()).or_insert(0) += 1;
        let session = subject.split('m').next().unwrap_or_default().to_owned();
        sessions.entry(session).or_default().push(one);
    }
    for (session, marks) in &sessions {
        assert!(marks.iter().all(|mark| mark == &marks[0]), "{session} saw {marks:?}");
    }
    assert!(all.len() > 1, "traffic and reloads did not meet: {all:?}");
    Ok(())
}

#[test]
fn a_failed_reload_keeps_what_runs_and_says_why() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(marking(&sink, "good")?)?;
    relay.write_settings(marking(&sink, "bad")?.set("plugins.two.sha256", "00".repeat(32)))?;
    let output = relay.run(&["reload"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("plugins.two.sha256"), "{said}");
    assert_eq!(generation(&relay)?, 1);
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("kept"))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("X-one").as_deref(), Some("good"));
    Ok(())
}

/// The same component with a case that it does not meet: one that is built against its own cases.
fn with_a_failing_case(wasm: &[u8]) -> Result<Vec<u8>> {
    let (met, missed) = (b"no watches, please\"},\"hook", b"no clocks,  please\"},\"hook");
    let windows = wasm.windows(met.len()).enumerate();
    let places: Vec<usize> = windows.filter(|(_, window)| *window == met).map(|(at, _)| at).collect();
    ensure!(!places.is_empty(), "its manifest has no such case");
    let mut changed = wasm.to_vec();
    for at in places {
        changed.get_mut(at..at + met.len()).context("its text")?.copy_from_slice(missed);
    }
    Ok(changed)
}

#[test]
fn a_reload_of_a_plugin_that_fails_its_self_test_changes_nothing() -> Result<()> {
    let sink = Sink::start()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("header-rules.wasm");
    let good = std::fs::read(program::plugin("baton-plugin-header-rules")?)?;
    std::fs::write(&file, &good)?;
    let settings = |mark: &str| -> Result<Settings> {
        Ok(marking(&sink, mark)?.set("plugins.two.source", file.display().to_string()))
    };
    let relay = Relay::start(settings("good")?)?;
    std::fs::write(&file, with_a_failing_case(&good)?)?;
    relay.write_settings(settings("bad")?)?;
    let output = relay.run(&["reload"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = said.contains("fails its self-test \"the first rule that decides ends them\"")
        && said.contains("plugins.two.self_test = false");
    assert!(!output.status.success() && told, "{said}");
    assert_eq!(generation(&relay)?, 1);
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("kept"))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("X-two").as_deref(), Some("good"));
    // An operator who knows better has it loaded all the same.
    relay.write_settings(settings("untested")?.set("plugins.two.self_test", false))?;
    relay.said(&["reload"])?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("untested"))?;
    let received = sink.wait_for(2)?.pop().context("a message")?;
    assert_eq!(received.header("X-two").as_deref(), Some("untested"));
    Ok(())
}

#[test]
fn a_changed_file_is_loaded_by_itself_where_that_is_asked_for() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(marking(&sink, "old")?.set("hooks.watch", true))?;
    relay.write_settings(marking(&sink, "new")?.set("hooks.watch", true))?;
    wait::until("the next generation", || Ok((generation(&relay)? > 1).then_some(())))?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("watched"))?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("X-two").as_deref(), Some("new"));
    Ok(())
}

#[test]
fn a_second_start_finds_what_the_first_one_compiled() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::start(marking(&sink, "x")?)?;
    let folder = relay.spool().join("plugins");
    let names = || -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let time = entry.metadata()?.len();
            names.push(format!("{} {time}", entry.file_name().to_string_lossy()));
        }
        names.sort();
        Ok(names)
    };
    let before = names()?;
    assert!(before.iter().any(|name| name.contains(".cwasm")), "{before:?}");
    assert!(relay.stop()?.success());
    relay.start_again()?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("again"))?;
    assert_eq!(sink.wait_for(1)?.pop().and_then(|message| message.header("X-one")).as_deref(), Some("x"));
    assert_eq!(names()?, before);
    Ok(())
}
