//! What a plugin's failure costs: {trap, loop, memory, bad verdict} × six hooks × four policies, through real SMTP.
//!
//! Whatever the plugin does, the operator's policy decides, the process lives and other mail passes.

use anyhow::{Context, Result, ensure};
use baton_tests::client::Client;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::{message, program};

const HOOKS: [&str; 6] = ["connect", "auth", "rcpt", "data", "route", "bounce"];
/// Behaviours of the zoo, a plugin made to misbehave.
const FAULTS: [&str; 4] = ["trap", "loop", "memory", "wrong-class"];

/// What a client or the queue sees.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Reply(u16),
    Delivered,
    Held,
    Deferred,
    Failed,
}

fn expected(hook: &str, policy: &str) -> Seen {
    match (hook, policy) {
        ("connect", "open") => Seen::Reply(220),
        ("connect", "closed") => Seen::Reply(554),
        // There is no message yet that could be held.
        ("connect", _) => Seen::Reply(421),
        // No other plugin knows the user.
        ("auth", "open") => Seen::Reply(535),
        ("auth", "closed") => Seen::Reply(550),
        ("auth", _) => Seen::Reply(454),
        ("rcpt" | "data", "tempfail") => Seen::Reply(451),
        ("rcpt" | "data", "closed") => Seen::Reply(550),
        ("route", "tempfail") | ("bounce", "tempfail" | "quarantine") => Seen::Deferred,
        ("route", "closed") | ("bounce", _) => Seen::Failed,
        (_, "quarantine") => Seen::Held,
        _ => Seen::Delivered,
    }
}

struct Matrix {
    relay: Relay,
    sink: Sink,
}

impl Matrix {
    fn start() -> Result<Matrix> {
        let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
            (Step::Rcpt, "gone@dest.example") => Say::Line("550 5.1.1 no such user".into()),
            _ => Say::Yes,
        }))?;
        let relay = Relay::start(Matrix::settings(&sink))?;
        Ok(Matrix { relay, sink })
    }

    fn settings(sink: &Sink) -> Settings {
        Settings::new()
            .all_to(sink.address())
            .set("listeners.smtp.auth_without_tls", true)
            .set("session.auth_failure_delay_ms", 1)
            .set("session.errors_max", 1000)
    }

    fn load(&self, hook: &str, fault: &str, policy: &str) -> Result<()> {
        let settings = Matrix::settings(&self.sink)
            .plugin("zoo", &program::plugin("baton-plugin-zoo")?)
            .set("plugins.zoo.hooks", vec![hook])
            .set("plugins.zoo.on_failure", policy)
            .set("plugins.zoo.grants.edit", vec!["headers", "recipients", "sender"])
            .set(&format!("plugins.zoo.config.{hook}"), fault);
        self.relay.write_settings(settings)?;
        self.relay.said(&["reload"])?;
        Ok(())
    }

    /// Drives one message (or the part of a session that the hook is about) and tells how it ended.
    fn see(&self, hook: &str) -> Result<Seen> {
        let mut client = Client::connect(self.relay.smtp()?)?;
        let greeting = client.reply()?.code;
        if hook == "connect" || greeting != 220 {
            return Ok(Seen::Reply(greeting));
        }
        client.expect("EHLO client.example", 250)?;
        if hook == "auth" {
            return Ok(Seen::Reply(client.command("AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ==")?.code));
        }
        let recipient = if hook == "bounce" { "gone@dest.example" } else { "b@dest.example" };
        let answer = client.send("", &[recipient], &message::plain("matrix"))?;
        if answer.code != 250 {
            return Ok(Seen::Reply(answer.code));
        }
        let id = answer.message_id()?;
        let end = baton_tests::wait::until("the message to go somewhere", || {
            let story = self.relay.story(&id)?;
            let has = |kind: &str| {
                story.iter().any(|event| event.get("what").is_some_and(|what| what.get(kind).is_some()))
            };
            Ok([
                ("held", Seen::Held),
                ("deferred", Seen::Deferred),
                ("failed", Seen::Failed),
                ("delivered", Seen::Delivered),
            ]
            .into_iter()
            .find_map(|(kind, seen)| has(kind).then_some(seen)))
        })?;
        self.relay.said(&["queue", "remove", &id])?;
        Ok(end)
    }
}

fn check_policy(policy: &str) -> Result<()> {
    let mut matrix = Matrix::start()?;
    for hook in HOOKS {
        for fault in FAULTS {
            matrix.load(hook, fault, policy).with_context(|| format!("{hook} {fault}"))?;
            let seen = matrix
                .see(hook)
                .with_context(|| format!("{hook} {fault} {policy}: {}", matrix.relay.log()))?;
            ensure!(
                seen == expected(hook, policy),
                "{hook}, {fault}, {policy}: {seen:?}, log: {}",
                matrix.relay.log()
            );
            ensure!(matrix.relay.exited()?.is_none(), "{hook}, {fault}, {policy}: the relay ended");
        }
    }
    matrix.relay.write_settings(Matrix::settings(&matrix.sink))?;
    matrix.relay.said(&["reload"])?;
    let before = matrix.sink.messages().len();
    matrix.relay.send("a@sender.example", &["b@dest.example"], &message::plain("afterwards"))?;
    matrix.sink.wait_for(before + 1)?;
    Ok(())
}

#[test]
fn tempfail_asks_the_client_to_come_again() -> Result<()> {
    check_policy("tempfail")
}

#[test]
fn open_goes_on_without_the_plugin() -> Result<()> {
    check_policy("open")
}

#[test]
fn closed_refuses() -> Result<()> {
    check_policy("closed")
}

#[test]
fn quarantine_takes_and_holds() -> Result<()> {
    check_policy("quarantine")
}

#[test]
fn what_a_failing_plugin_changed_is_forgotten() -> Result<()> {
    let matrix = Matrix::start()?;
    matrix.load("data", "edit-then-trap", "open")?;
    let sent = message::corpus("plain.eml")?;
    matrix.relay.send("a@sender.example", &["b@dest.example"], &sent)?;
    let received = matrix.sink.wait_for(1)?.pop().context("a message")?;
    assert!(received.content.ends_with(&sent), "{}", received.text());
    assert_eq!(
        (received.sender.as_str(), received.recipients.join(",").as_str()),
        ("a@sender.example", "b@dest.example")
    );
    Ok(())
}

#[test]
fn text_of_a_plugin_breaks_no_reply_and_no_log() -> Result<()> {
    let matrix = Matrix::start()?;
    for (hook, animal) in
        [("rcpt", "crlf"), ("data", "crlf"), ("rcpt", "logs"), ("data", "big"), ("data", "forge")]
    {
        matrix.load(hook, animal, "tempfail")?;
        let mut client = matrix.relay.client()?;
        let answer = client.send("a@sender.example", &["b@dest.example"], &message::plain("text"))?;
        ensure!(answer.code != 598, "{hook} {animal}: {answer}");
        // In step: the next reply is the answer to this and to nothing before it.
        client.expect("NOOP", 250)?;
    }
    let log = matrix.relay.log();
    assert!(log.chars().all(|character| character == '\n' || !character.is_control()), "{log:?}");
    assert!(log.len() < 1 << 20, "{} octets of log", log.len());
    Ok(())
}

#[test]
fn a_plugin_in_a_loop_does_not_hold_up_others() -> Result<()> {
    let matrix = Matrix::start()?;
    matrix.load("rcpt", "loop", "tempfail")?;
    std::thread::scope(|scope| -> Result<()> {
        let looping: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| -> Result<u16> {
                    let mut client = matrix.relay.client()?;
                    client.expect("MAIL FROM:<a@sender.example>", 250)?;
                    Ok(client.command("RCPT TO:<b@dest.example>")?.code)
                })
            })
            .collect();
        // The greeting and EHLO ask no plugin, and must come while sixteen others burn their time.
        matrix.relay.client()?.expect("NOOP", 250)?;
        for thread in looping {
            let code = thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            ensure!(code == 451, "{code}");
        }
        Ok(())
    })
}
