//! PLAIN and LOGIN with the accounts of the store.

use std::process::Command;

use anyhow::{Context, Result};
use baton_tests::client::Client;
use baton_tests::program;
use baton_tests::relay::{Relay, output_within};
use baton_tests::sink::Sink;
use baton_tests::wait;

use super::*;

/// `open sesame`, as the plugin keeps it.
const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$qOeDkc0QMHiUu6N+tlcskqjgE1DGFvsKpDFla7aoXGA";

/// Sends one message as a user of smtplib does; argv: port, user, password, mechanism.
const SMTPLIB: &str = "\
import smtplib, sys
port, user, password, mechanism = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
server = smtplib.SMTP('127.0.0.1', port)
server.ehlo()
assert mechanism in server.esmtp_features['auth'].split(), server.esmtp_features
server.user, server.password = user, password
method = {'PLAIN': server.auth_plain, 'LOGIN': server.auth_login}[mechanism]
code, said = server.auth(mechanism, method)
assert code == 235, (code, said)
server.sendmail('ann@one.example', ['bo@dest.example'], 'From: ann@one.example\\r\\nSubject: x\\r\\n\\r\\nbody\\r\\n')
server.quit()
";

#[test]
fn accounts_are_kept_by_commands_and_outlive_the_relay() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::start(settings(&sink))?;
    let offer = |relay: &Relay| Ok::<_, anyhow::Error>(client(relay)?.expect("EHLO c", 250)?.text());
    assert!(!offer(&relay)?.contains("AUTH"), "nobody can be judged yet");
    assert!(relay.said(&["user", "list"])?.starts_with("There is no account yet"));

    let said =
        add(&relay, "Ann@One.Example", "tanstaaf", &["--tenant", "acme", "--messages-per-hour", "100"])?;
    for part in ["ann@one.example\n", "sends as  ann@one.example", "100 messages an hour", "tenant    acme"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!said.contains("tanstaaf") && !relay.log().contains("tanstaaf"));
    let again = user(&relay, &["add", "ann@one.example", "--password-file", "-"], "other")?;
    let complaint = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && complaint.contains("there is an account `ann@one.example` already"));
    assert!(add(&relay, "bob", "secret", &[])?.contains("may send in nobody's name"));
    assert!(offer(&relay)?.contains("AUTH SCRAM-SHA-256 PLAIN LOGIN"), "{}", offer(&relay)?);

    // Everything is on disk, and nothing that could be read.
    relay.signal(rustix::process::Signal::KILL)?;
    relay.wait_for_end()?;
    relay.start_again()?;
    let listed = relay.said(&["user", "list"])?;
    let notes = listed.lines().filter(|line| line.contains("note: there is no tenant `acme`")).count();
    assert_eq!((listed.lines().count(), notes), (3, 1), "{listed}");
    authenticated(&relay, "ANN@one.example", "tanstaaf")?;

    let changed = user(&relay, &["passwd", "ann@one.example", "--password-file", "-"], "new one")?;
    assert!(changed.status.success());
    assert_eq!(plain(&mut client(&relay)?, "ann@one.example", "tanstaaf")?.code, 535);
    authenticated(&relay, "ann@one.example", "new one")?;
    relay.said(&["user", "disable", "ann@one.example"])?;
    assert_eq!(plain(&mut client(&relay)?, "ann@one.example", "new one")?.code, 535);
    relay.said(&["user", "enable", "ann@one.example"])?;
    authenticated(&relay, "ann@one.example", "new one")?;
    relay.said(&["user", "remove", "ann@one.example"])?;
    assert_eq!(plain(&mut client(&relay)?, "ann@one.example", "new one")?.code, 535);
    let gone = relay.run(&["user", "remove", "ann@one.example"])?;
    assert!(String::from_utf8_lossy(&gone.stderr).contains("there is no account `ann@one.example`"));
    Ok(())
}

#[test]
fn a_password_comes_from_a_file_or_the_standard_input_and_never_from_the_command_line() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink))?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("password");
    std::fs::write(&file, "from a file\r\nand no second line\n")?;
    relay.said(&["user", "add", "ann", "--sender", "*", "--password-file", &file.display().to_string()])?;
    authenticated(&relay, "ann", "from a file")?;
    let none = relay.run(&["user", "add", "bob"])?;
    assert!(String::from_utf8_lossy(&none.stderr).contains("--password-file"), "{none:?}");
    let empty = user(&relay, &["add", "bob", "--password-file", "-"], "")?;
    assert!(String::from_utf8_lossy(&empty.stderr).contains("the password is empty"), "{empty:?}");
    assert!(!relay.run(&["user", "add", "bob", "--password", "x"])?.status.success());
    relay.said(&["user", "add", "token", "--no-password", "--sender", "@one.example"])?;
    for password in ["", "x"] {
        assert_eq!(plain(&mut client(&relay)?, "token", password)?.code, 535);
    }
    Ok(())
}

#[test]
fn smtplib_and_swaks_authenticate_by_plain_and_login() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink))?;
    add(&relay, "ann@one.example", "tanst aaf\u{fc}", &[])?;
    let port = relay.listener("users")?.port().to_string();
    for mechanism in ["PLAIN", "LOGIN"] {
        // smtplib speaks ASCII only, so the other password is swaks's.
        let mut command = Command::new("swaks");
        command.args(["--server", "127.0.0.1", "--port", &port, "--auth", mechanism]);
        command.args(["--auth-user", "ann@one.example", "--auth-password", "tanst aaf\u{fc}"]);
        command.args(["--from", "ann@one.example", "--to", "bo@dest.example", "--helo", "client.example"]);
        command.args(["--h-From", "ann@one.example"]);
        let output = output_within(command, wait::LONG)?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let changed = user(&relay, &["passwd", "ann@one.example", "--password-file", "-"], "plain words")?;
    assert!(changed.status.success());
    for mechanism in ["PLAIN", "LOGIN"] {
        let mut command = Command::new("python3");
        command.args(["-c", SMTPLIB, &port, "ann@one.example", "plain words", mechanism]);
        let output = output_within(command, wait::LONG)?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let received = sink.wait_for(4)?;
    assert!(received.iter().all(|one| one.text().contains(" with ESMTPA ")), "{}", received[0].text());
    let metrics = relay.metrics()?;
    for mechanism in ["PLAIN", "LOGIN"] {
        let line =
            format!("baton_session_authentications_total{{mechanism=\"{mechanism}\",result=\"ok\"}} 2");
        assert!(metrics.contains(&line), "{line}");
    }
    Ok(())
}

#[test]
fn what_is_no_password_is_refused_with_the_right_code() -> Result<()> {
    let sink = Sink::start()?;
    let relay =
        Relay::start(settings(&sink).set("session.auth_failures_max", 100).set("session.errors_max", 100))?;
    add(&relay, "ann", "tanstaaf", &["--sender", "*"])?;
    let mut client = client(&relay)?;
    let long = base64("x".repeat(3_000));
    for (line, code, enhanced) in [
        (format!("AUTH PLAIN {}", base64("\0ann\0wrong")), 535, "5.7.8"),
        (format!("AUTH PLAIN {}", base64("\0nobody\0wrong")), 535, "5.7.8"),
        (format!("AUTH PLAIN {}", base64("bob\0ann\0tanstaaf")), 535, "5.7.8"),
        (format!("AUTH PLAIN {}", base64("\0ann\0")), 535, "5.7.8"),
        (format!("AUTH PLAIN {}", base64("\0\0tanstaaf")), 535, "5.7.8"),
        (format!("AUTH PLAIN {}", base64("\0ann\0tanstaaf\0")), 535, "5.7.8"),
        (format!("AUTH PLAIN {}", base64([0, 0xff, 0, 0xfe])), 535, "5.7.8"),
        (format!("AUTH PLAIN {}", base64(format!("\0ann\0{}", "x".repeat(2_000)))), 535, "5.7.8"),
        ("AUTH PLAIN =".to_owned(), 535, "5.7.8"),
        ("AUTH PLAIN not*base64".to_owned(), 501, "5.5.2"),
        (format!("AUTH PLAIN {long}{long}{long}{long}"), 500, "5.5.2"),
        ("AUTH CRAM-MD5".to_owned(), 504, "5.5.4"),
        ("AUTH XOAUTH2 eA==".to_owned(), 504, "5.5.4"),
        ("AUTH".to_owned(), 501, "5.5.4"),
    ] {
        let answer = client.command(&line)?;
        let shown = line.get(..60).unwrap_or(&line);
        assert!(answer.code == code && answer.text().starts_with(enhanced), "{shown}: {answer}");
    }
    for (prompts, code) in [(vec!["*"], 501), (vec!["YW5u", "*"], 501), (vec!["YW5u", "d3Jvbmc="], 535)] {
        client.expect("AUTH LOGIN", 334)?;
        let mut last = None;
        for prompt in prompts {
            last = Some(client.command(prompt)?);
        }
        assert_eq!(last.context("an answer")?.code, code);
    }
    // A line that is too long inside the exchange (RFC 4954 6).
    client.expect("AUTH PLAIN", 334)?;
    assert!(client.command(&format!("{long}{long}{long}{long}"))?.text().starts_with("5.5.6"));
    // After all this the session is still good.
    assert_eq!(plain(&mut client, "ann", "tanstaaf")?.code, 235);
    assert_eq!(plain(&mut client, "ann", "tanstaaf")?.code, 503);
    client.expect("MAIL FROM:<ann@one.example> AUTH=ann+40one.example", 250)?;
    client.expect("RSET", 250)?;
    client.expect("MAIL FROM:<ann@one.example> AUTH=a+0Ab", 501)?;
    Ok(())
}

#[test]
fn plugins_judge_whom_the_store_does_not_know() -> Result<()> {
    let sink = Sink::start()?;
    let auth = program::plugin("baton-plugin-auth-static")?;
    let relay = Relay::start(
        settings(&sink)
            .plugin("auth-static", &auth)
            .set("session.auth_failures_max", 100)
            .with(&format!("[plugins.auth-static.config.users]\nzoe = '{HASH}'\nann = '{HASH}'")),
    )?;
    // Before there are accounts the plugin judges alone.
    authenticated(&relay, "zoe", "open sesame")?;
    authenticated(&relay, "ann", "open sesame")?;
    add(&relay, "ann", "tanstaaf", &["--sender", "ann@one.example"])?;
    authenticated(&relay, "zoe", "open sesame")?;
    authenticated(&relay, "ann", "tanstaaf")?;
    let answer = plain(&mut client(&relay)?, "ann", "open sesame")?;
    assert_eq!(answer.code, 535, "the store knows ann, so nobody else is asked");
    relay.said(&["user", "disable", "ann"])?;
    assert_eq!(plain(&mut client(&relay)?, "ann", "open sesame")?.code, 535);
    Ok(())
}

/// Begins to type a password on a terminal of its own and presses Ctrl-C; tells the exit status, and whether the terminal
/// shows again what is typed.
const TERMINAL: &str = "\
import os, pty, sys, termios, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b''
while b'Password for' not in seen:
    seen += os.read(terminal, 1024)
shows = lambda: bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
while shows():
    time.sleep(0.01)
os.write(terminal, b'secr\\x03')
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status), shows())
";

#[test]
fn who_gives_up_at_the_password_prompt_has_a_terminal_again() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink))?;
    let asked = relay.command(&["user", "add", "ann"]);
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL]).arg(asked.get_program()).args(asked.get_args());
    let output = output_within(command, wait::LONG)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.trim(), "130 True", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(relay.said(&["user", "list"])?.starts_with("There is no account yet"));
    Ok(())
}

#[test]
fn guessing_is_stopped_by_network_and_by_account() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(
        settings(&sink)
            .set("session.relay_networks", Vec::<String>::new())
            .set("accounts.failures_per_network_max", 5)
            .set("accounts.failures_per_account_max", 3),
    )?;
    add(&relay, "ann", "tanstaaf", &["--sender", "*"])?;
    let address = relay.listener("users")?;
    let from = |source: &str| -> Result<Client> {
        let mut client = Client::connect_from(source.parse()?, address)?;
        client.expect_reply(220)?;
        client.expect("EHLO client.example", 250)?;
        Ok(client)
    };
    // Each network of 256 addresses counts for itself, as [clients] has it by default; the right password forgives.
    assert_eq!(plain(&mut from("127.9.9.1")?, "ann", "tanstaaf")?.code, 235);
    for source in ["127.0.1.1", "127.0.2.1", "127.0.3.1"] {
        assert_eq!(plain(&mut from(source)?, "Ann", "wrong")?.code, 535);
    }
    let answer = plain(&mut from("127.0.4.1")?, "ann", "tanstaaf")?;
    assert!(answer.code == 454 && answer.text().starts_with("4.7.0"), "{answer}");
    // Where ann succeeded nobody locks her out.
    assert_eq!(plain(&mut from("127.9.9.77")?, "ann", "tanstaaf")?.code, 235);
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(plain(&mut from("127.0.5.5")?, name, "wrong")?.code, 535);
    }
    let mut blocked = from("127.0.5.99")?;
    let answer = plain(&mut blocked, "f", "wrong")?;
    assert!(answer.code == 421 && answer.text().starts_with("4.7.0"), "{answer}");
    assert!(blocked.is_closed());
    assert_eq!(plain(&mut from("127.0.6.1")?, "f", "wrong")?.code, 535);
    let metrics = relay.metrics()?;
    for result in ["blocked-network", "blocked-account"] {
        let line =
            format!("baton_session_authentications_total{{mechanism=\"PLAIN\",result=\"{result}\"}} 1");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    Ok(())
}

#[test]
fn auth_waits_for_tls_and_is_not_offered_to_other_servers() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(
        settings(&sink).with("[listeners.strict]\naddress = \"127.0.0.1:0\"\nkind = \"submission\"").with(
            "[listeners.chosen]\naddress = \"127.0.0.1:0\"\nauth_without_tls = true\nmechanisms = [\"SCRAM-SHA-256\"]",
        ),
    )?;
    add(&relay, "ann", "tanstaaf", &["--sender", "*"])?;
    let mut strict = Client::greeted(relay.listener("strict")?)?;
    assert!(!strict.expect("EHLO c", 250)?.text().contains("AUTH"));
    let answer = plain(&mut strict, "ann", "tanstaaf")?;
    assert_eq!(answer.code, 530, "{answer}");
    // Accounts are for users: a listener for other servers says nothing of them unless it is told to.
    let mut other = relay.client()?;
    assert!(!other.expect("EHLO c", 250)?.text().contains("AUTH"));
    assert_eq!(plain(&mut other, "ann", "tanstaaf")?.code, 502);
    let mut chosen = Client::greeted(relay.listener("chosen")?)?;
    assert!(chosen.expect("EHLO c", 250)?.text().contains("AUTH SCRAM-SHA-256\n"));
    assert_eq!(plain(&mut chosen, "ann", "tanstaaf")?.code, 504);
    Ok(())
}

/// A hash takes memory: only so many at once, and nobody waits for ever for his turn.
#[test]
fn hashes_are_computed_a_few_at_a_time() -> Result<()> {
    let sink = Sink::start()?;
    let settings = settings(&sink)
        .set("accounts.hashes_at_once_max", 1)
        .set("accounts.hash_wait_ms", 1)
        .set("accounts.hash_passes", 20)
        .set("accounts.failures_per_account_max", 100_000)
        .set("session.auth_failures_max", 1_000)
        .set("session.errors_max", 100_000);
    let relay = Relay::start(settings)?;
    add(&relay, "ann", "correct horse", &[])?;
    let mut crowd: Vec<Client> = (0..8).map(|_| client(&relay)).collect::<Result<_>>()?;
    let attempt = format!("AUTH PLAIN {}\r\n", base64("\0ann\0wrong"));
    wait::until("somebody who can not wait", || {
        for one in &mut crowd {
            one.write(attempt.as_bytes())?;
        }
        let codes: Vec<u16> = crowd.iter_mut().map(|one| Ok(one.reply()?.code)).collect::<Result<_>>()?;
        assert!(codes.iter().all(|code| [535, 454].contains(code)), "{codes:?}");
        Ok(codes.contains(&454).then_some(()))
    })
}

/// Failures count for a while, and not longer.
#[test]
fn failures_are_forgotten_after_their_time() -> Result<()> {
    let sink = Sink::start()?;
    let settings = settings(&sink).set("accounts.failures_per_account_max", 2);
    let relay =
        Relay::start(settings.set("accounts.failures_window_s", 1).set("session.auth_failures_max", 100))?;
    add(&relay, "ann", "correct horse", &[])?;
    wait::until("the account to be blocked", || {
        Ok((plain(&mut client(&relay)?, "ann", "wrong")?.code == 454).then_some(()))
    })?;
    wait::until("the account to be free again", || {
        Ok((plain(&mut client(&relay)?, "ann", "correct horse")?.code == 235).then_some(()))
    })
}
