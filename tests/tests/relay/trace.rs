//! Dialogues shown to an operator while they happen.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use anyhow::{Context, Result};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{message, wait};
use serde_json::Value;

/// Lines of the dialogues that fit, as they come.
struct Follower(BufReader<UnixStream>);

impl Follower {
    /// Looks on from now on: the answer has begun.
    fn start(relay: &Relay, query: &str) -> Result<Follower> {
        let mut stream = UnixStream::connect(relay.spool().join("admin.sock"))?;
        stream.set_read_timeout(Some(wait::LONG))?;
        write!(stream, "GET /v1/trace?{query} HTTP/1.1\r\nHost: relay\r\n\r\n")?;
        let mut follower = Follower(BufReader::new(stream));
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            follower.0.read_line(&mut line)?;
        }
        Ok(follower)
    }

    /// The next line: who says it, and what.
    fn next(&mut self) -> Result<(String, String)> {
        loop {
            let mut text = String::new();
            anyhow::ensure!(self.0.read_line(&mut text)? > 0, "the relay ended the answer");
            // Between the lines are the sizes of the chunks.
            if !text.starts_with('{') {
                continue;
            }
            let told: Value = serde_json::from_str(&text)?;
            let part = |name: &str| {
                told.pointer(&format!("/line/{name}")).and_then(Value::as_str).map(str::to_owned)
            };
            return Ok((part("who").with_context(|| text.clone())?, part("text").context("no text")?));
        }
    }

    /// All lines up to one with this text.
    fn until(&mut self, last: &str) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let (who, text) = self.next()?;
            lines.push(format!("{who}: {text}"));
            if text.contains(last) {
                return Ok(lines);
            }
        }
    }
}

#[test]
fn the_dialogue_of_one_sender_is_shown_and_no_other() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let mut follower = Follower::start(&relay, "sender=@wanted.example&side=in")?;
    relay.send("a@other.example", &["b@dest.example"], &message::plain("other"))?;
    let mut client = relay.client()?;
    client.command("AUTH PLAIN AGFubgBzZWNyZXQ=")?;
    let id = client
        .send("a@wanted.example", &["b@dest.example"], &message::plain("confidential"))?
        .message_id()?;
    let lines = follower.until(&id)?;
    assert!(lines[0].starts_with("server: 220 relay.example"), "{lines:#?}");
    assert_eq!(lines[1], "client: EHLO client.example");
    let position = |line: &str| {
        lines.iter().position(|one| one.starts_with(line)).with_context(|| format!("{line}: {lines:#?}"))
    };
    assert!(position("client: AUTH PLAIN (masked)")? < position("client: MAIL FROM:<a@wanted.example>")?);
    assert!(position("client: RCPT TO:<b@dest.example>")? < position("client: DATA")?);
    assert!(position("server: 354")? < position("note: ")?);
    let text = lines.concat();
    assert!(
        !text.contains("AGFub") && !text.contains("confidential") && !text.contains("other.example"),
        "{text}"
    );
    drop(client);
    assert_eq!(follower.until("gone")?, ["note: gone"]);
    Ok(())
}

#[test]
fn the_dialogue_with_a_next_hop_is_shown_by_message_with_its_content_when_asked() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let mut follower = Follower::start(&relay, "side=out&host=127.0.0.1&recipient=b@dest.example&data=true")?;
    relay.send("a@sender.example", &["x@dest.example"], &message::plain("unwanted"))?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("wanted"))?;
    let lines = follower.until(" kept")?;
    assert!(lines.iter().any(|line| line == "client: EHLO relay.example"), "{lines:#?}");
    assert!(lines.iter().any(|line| line == "client: Subject: wanted"), "{lines:#?}");
    assert!(
        !lines.iter().any(|line| line.contains("x@dest.example") || line.contains("unwanted")),
        "{lines:#?}"
    );
    Ok(())
}

#[test]
fn the_command_prints_lines_and_ends() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    // It may begin to look on amid a session: so many lines hold a whole one all the same.
    let mut command = relay.command(&["trace", "--listener", "smtp", "--lines", "40"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.context("no output")?).lines();
    let printed = std::thread::spawn(move || lines.by_ref().collect::<std::io::Result<Vec<_>>>());
    // Until the command looks on, nobody sees what is said.
    wait::until("the command to end", || {
        relay.send("a@sender.example", &["b@dest.example"], &message::plain("shown"))?;
        Ok(printed.is_finished().then_some(()))
    })?;
    let printed = printed.join().ok().context("it panicked")??;
    assert!(printed[0].starts_with("--- ") && printed[0].contains("at listener smtp"), "{printed:#?}");
    assert!(printed.iter().any(|line| line.contains(" C: EHLO client.example")), "{printed:#?}");
    let output = relay.run(&["trace", "--sender", "a@b.example", "--message", "x"])?;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("message"));
    Ok(())
}
