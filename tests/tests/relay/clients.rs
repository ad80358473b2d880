//! Programs that people really send with.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use baton_tests::message;
use baton_tests::program;
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::wait;

const LARGE_OCTETS: usize = 10 << 20;

fn relay() -> Result<(Relay, Sink)> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    Ok((relay, sink))
}

fn must_succeed(command: Command) -> Result<()> {
    let shown = format!("{command:?}");
    let output = output_within(command, wait::LONG)?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {said}");
    Ok(())
}

#[test]
fn smtplib_of_python_sends() -> Result<()> {
    let (relay, sink) = relay()?;
    let script = "\
import smtplib, sys
host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with smtplib.SMTP(host, port) as server:
    with open(path, 'rb') as message:
        refused = server.sendmail('ada@sender.example', ['bo@dest.example', 'cleo@dest.example'], message.read())
assert refused == {}, refused
";
    let large = message::large("smtplib", LARGE_OCTETS);
    let path = relay.folder().join("large.eml");
    std::fs::write(&path, &large)?;
    let mut command = Command::new("python3");
    command
        .args(["-c", script, "127.0.0.1", &relay.smtp()?.port().to_string()])
        .arg(&path)
        .stdin(Stdio::null());
    must_succeed(command)?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert!(received.content.ends_with(&large));
    assert_eq!(received.recipients.len(), 2);
    Ok(())
}

#[test]
fn swaks_sends() -> Result<()> {
    let (relay, sink) = relay()?;
    let mut command = Command::new("swaks");
    command.args(["--server", &relay.smtp()?.to_string(), "--helo", "client.example", "--pipeline"]);
    command.args(["--from", "ada@sender.example", "--to", "bo@dest.example,cleo@dest.example"]);
    command.arg("--data").arg(program::repository().join("tests/corpus/plain.eml"));
    must_succeed(command)?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert!(received.text().contains("Subject: Minutes of Tuesday"));
    Ok(())
}

#[test]
fn curl_sends() -> Result<()> {
    let (relay, sink) = relay()?;
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "50"])
        .arg(format!("smtp://{}/client.example", relay.smtp()?));
    command.args(["--mail-from", "ada@sender.example", "--mail-rcpt", "bo@dest.example", "--upload-file"]);
    command.arg(program::repository().join("tests/corpus/multipart.eml"));
    must_succeed(command)?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert!(received.content.ends_with(&message::corpus("multipart.eml")?));
    Ok(())
}
