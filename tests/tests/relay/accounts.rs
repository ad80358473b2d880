//! Accounts: who may authenticate by which mechanism, in whose name they send, and how much.

mod passwords;
mod programs;
mod rights;
mod scram;
mod tokens;

use std::io::Write;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_tests::client::{Answer, Client};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;

/// A listener for users without TLS, hashes that cost little, and answers that are not held back.
fn settings(sink: &Sink) -> Settings {
    Settings::new()
        .all_to(sink.address())
        .with("[listeners.users]\naddress = \"127.0.0.1:0\"\nkind = \"submission\"\ntls = \"off\"\nauth_without_tls = true")
        .set("accounts.hash_memory_kib", 64)
        .set("accounts.hash_passes", 1)
        .set("accounts.scram_iterations", 4_096)
        .set("session.auth_failure_delay_ms", 0)
}

/// Runs `baton user` with a line on the standard input.
fn user(relay: &Relay, words: &[&str], line: &str) -> Result<Output> {
    let mut command = relay.command(&[&["user"], words].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    writeln!(child.stdin.take().context("a pipe")?, "{line}")?;
    Ok(child.wait_with_output()?)
}

/// Makes an account with a password.
fn add(relay: &Relay, name: &str, password: &str, more: &[&str]) -> Result<String> {
    let words = [&["add", name, "--password-file", "-"], more].concat();
    let output = user(relay, &words, password)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A client at the listener for users, after EHLO.
fn client(relay: &Relay) -> Result<Client> {
    Client::greeted(relay.listener("users")?)
}

fn base64(octets: impl AsRef<[u8]>) -> String {
    STANDARD.encode(octets)
}

fn plain(client: &mut Client, name: &str, password: &str) -> Result<Answer> {
    client.command(&format!("AUTH PLAIN {}", base64(format!("\0{name}\0{password}"))))
}

/// A client that is this account.
fn authenticated(relay: &Relay, name: &str, password: &str) -> Result<Client> {
    let mut client = client(relay)?;
    let answer = plain(&mut client, name, password)?;
    ensure!(answer.code == 235, "{answer}");
    Ok(client)
}

/// A message from that address.
fn message(from: &str) -> Vec<u8> {
    format!("From: {from}\r\nTo: bo@dest.example\r\nSubject: hello\r\n\r\nbody\r\n").into_bytes()
}
