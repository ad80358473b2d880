//! The README's settings for the Internet: strangers at 25, users at 587 and 465, by programs that people really use.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::{program, wait};
use toml::{Table, Value};

/// Lines that a file for the Internet may have.
const LINES_MAX: usize = 40;
const PASSWORD: &str = "correct horse battery staple";

/// The block of settings in the README that has listeners for users.
fn shown() -> Result<String> {
    let readme = std::fs::read_to_string(program::repository().join("README.md"))?;
    let mut blocks = readme.split("```toml\n").filter_map(|rest| rest.split("```").next());
    Ok(blocks
        .find(|block| block.contains("[listeners.users-tls]"))
        .context("settings with users")?
        .to_owned())
}

/// These settings on loopback: ports of the system's choice, and a certificate of their own, as no authority reaches them.
fn on_loopback(shown: &str) -> Result<String> {
    let mut settings: Table = shown.parse()?;
    let listeners = settings.get_mut("listeners").and_then(Value::as_table_mut).context("listeners")?;
    for (_, listener) in listeners.iter_mut() {
        let listener = listener.as_table_mut().context("a listener")?;
        listener.insert("address".into(), "127.0.0.1:0".into());
        listener.remove("addresses");
    }
    settings.get_mut("tls").and_then(Value::as_table_mut).context("tls")?.remove("acme").context("acme")?;
    Ok(settings.to_string())
}

fn relay(sink: &Sink) -> Result<Relay> {
    let settings = Settings::new().all_to(sink.address()).with(&on_loopback(&shown()?)?);
    // All clients here come from the loopback address, which may relay otherwise.
    let relay = Relay::start(settings.set("session.relay_networks", Vec::<Value>::new()))?;
    let password = relay.folder().join("password");
    std::fs::write(&password, PASSWORD)?;
    relay.said(&["user", "add", "ann@example.org", "--password-file", &password.display().to_string()])?;
    Ok(relay)
}

/// Runs a program to its end: whether it succeeded, and what it printed.
fn run(mut command: Command) -> Result<(bool, String)> {
    command.stdin(Stdio::null());
    let output = output_within(command, wait::LONG)?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), said))
}

fn swaks(relay: &Relay, listener: &str, words: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new("swaks");
    command.args(["--server", &relay.listener(listener)?.to_string(), "--helo", "client.example"]);
    command.args(["--h-Subject", listener]).args(words);
    run(command)
}

#[test]
fn the_settings_are_short() -> Result<()> {
    let lines = shown()?.trim().lines().count();
    ensure!(lines <= LINES_MAX, "{lines} lines");
    Ok(())
}

#[test]
fn strangers_bring_mail_for_local_domains_by_starttls() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    let to = |recipient: &str| swaks(&relay, "mx", &["--tls", "--from", "bo@far.example", "--to", recipient]);
    let (sent, said) = to("ann@example.org")?;
    ensure!(sent && said.contains("TLS started"), "{said}");
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert!(received.text().contains(" with ESMTPS "), "{}", received.text());
    let (sent, said) = to("cleo@elsewhere.example")?;
    ensure!(!sent && said.contains("550 5.7.1"), "{said}");
    Ok(())
}

#[test]
fn users_send_to_everybody_by_both_ports_and_nobody_without_a_password() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    let envelope = ["--from", "ann@example.org", "--to", "cleo@elsewhere.example"];
    let user = ["--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", PASSWORD];
    for (listener, tls) in [("users", "--tls"), ("users-tls", "--tls-on-connect")] {
        let (sent, said) = swaks(&relay, listener, &[&[tls], &user[..], &envelope[..]].concat())?;
        ensure!(sent, "{listener}: {said}");
        let (sent, said) = swaks(&relay, listener, &[&[tls], &envelope[..]].concat())?;
        ensure!(!sent && said.contains("530 5.7.0"), "{listener}, nobody: {said}");
    }
    let (sent, said) = swaks(&relay, "users", &[&user[..], &envelope[..]].concat())?;
    ensure!(!sent, "a password went without TLS: {said}");
    let trace: Vec<String> = sink.wait_for(2)?.iter().map(|received| received.text()).collect();
    assert!(trace.iter().all(|text| text.contains(" with ESMTPSA ")), "{trace:?}");
    Ok(())
}

#[test]
fn smtplib_of_python_logs_in() -> Result<()> {
    let sink = Sink::start()?;
    let relay = relay(&sink)?;
    let script = "\
import smtplib, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with smtplib.SMTP('127.0.0.1', int(sys.argv[1])) as server:
    server.starttls(context=context)
    server.login('ann@example.org', sys.argv[2])
    assert server.sendmail('ann@example.org', ['bo@far.example'], 'From: ann@example.org\\r\\nSubject: x\\r\\n\\r\\nhello\\r\\n') == {}
";
    let mut command = Command::new("python3");
    command.args(["-c", script, &relay.listener("users")?.port().to_string(), PASSWORD]);
    let (sent, said) = run(command)?;
    ensure!(sent, "{said}");
    sink.wait_for(1)?;
    Ok(())
}
