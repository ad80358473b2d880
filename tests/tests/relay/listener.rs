//! Where mail comes in: addresses, kinds of listeners, bounds on connections.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::wait;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

#[test]
fn a_port_in_use_is_named_with_its_remedy() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let relay = Relay::prepare(Settings::new().set("listeners.smtp.address", address.as_str()))?;
    let output = relay.start_in_vain()?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(said.contains(&address) && said.contains("smtp"), "{said}");
    assert_eq!(said.matches("Address already in use").count(), 1, "{said}");
    Ok(())
}

#[test]
fn a_submission_listener_wants_an_account() -> Result<()> {
    let settings = Settings::new()
        .set("listeners.users.address", "127.0.0.1:0")
        .set("listeners.users.kind", "submission");
    let relay = Relay::start(settings)?;
    let mut client = Client::greeted(relay.listener("users")?)?;
    let answer = client.command("MAIL FROM:<a@sender.example>")?;
    assert_eq!((answer.code, answer.text().starts_with("5.7.0")), (530, true), "{answer}");
    Ok(())
}

#[test]
fn mail_comes_in_by_a_unix_socket() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new()
        .all_to(sink.address())
        .set("listeners.local.address", "unix:in.sock")
        .set("listeners.local.kind", "lmtp");
    let mut relay = Relay::start(settings)?;
    let path = relay.folder().join("in.sock");
    let mut stream = UnixStream::connect(&path)?;
    stream.set_read_timeout(Some(wait::LONG))?;
    stream.write_all(
        b"LHLO client.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\n",
    )?;
    let mut replies = BufReader::new(stream.try_clone()?).lines();
    replies
        .by_ref()
        .find(|line| line.as_ref().is_ok_and(|line| line.starts_with("354")))
        .context("no 354")??;
    stream.write_all(b"Subject: by a socket\r\n\r\nHello.\r\n.\r\nQUIT\r\n")?;
    let answer = replies.next().context("no answer")??;
    ensure!(answer.starts_with("250"), "{answer}");
    assert_eq!(sink.wait_for(1)?.len(), 1);
    relay.stop()?;
    assert!(!path.exists(), "nobody listens there any more");
    Ok(())
}

#[test]
fn a_port_of_the_service_manager_is_taken_over() -> Result<()> {
    let settings = Settings::new().set("listeners.smtp.address", "systemd:front");
    let mut relay = Relay::prepare(settings)?;
    relay.start_activated()?;
    let mut client = relay.client()?;
    client.expect("NOOP", 250)?;
    relay.stop()?;
    let said = relay.start_in_vain()?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("systemd:front") && said.contains("FileDescriptorName"), "{said}");
    Ok(())
}

#[test]
fn an_lmtp_listener_answers_for_each_recipient() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new()
        .all_to(sink.address())
        .set("listeners.local.address", "127.0.0.1:0")
        .set("listeners.local.kind", "lmtp");
    let relay = Relay::start(settings)?;
    let mut client = Client::connect(relay.listener("local")?)?;
    client.expect_reply(220)?;
    client.expect("LHLO client.example", 250)?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    client.expect("RCPT TO:<c@dest.example>", 250)?;
    let first = client.data(&message::plain("lmtp-in"))?;
    let second = client.reply()?;
    assert_eq!((first.code, second.code), (250, 250), "{first}; {second}");
    let messages = sink.wait_for(1)?;
    assert_eq!(messages.iter().map(|message| message.recipients.len()).sum::<usize>(), 2);
    Ok(())
}

#[test]
fn connections_beyond_the_bound_are_told_421() -> Result<()> {
    let relay = Relay::start(Settings::new().set("listeners.smtp.connections_max", 2))?;
    let first = relay.client()?;
    let second = relay.client()?;
    let mut third = Client::connect(relay.smtp()?)?;
    assert_eq!(third.reply()?.code, 421);
    assert!(third.is_closed());
    drop((first, second));
    baton_tests::wait::until("room for a connection", || Ok(relay.client().ok()))?;
    Ok(())
}

#[test]
fn one_stranger_may_not_take_all_connections() -> Result<()> {
    let settings = Settings::new()
        .set("session.relay_networks", Vec::<String>::new())
        .set("listeners.smtp.connections_per_address_max", 2);
    let relay = Relay::start(settings)?;
    let kept = (relay.client()?, relay.client()?);
    let mut third = Client::connect(relay.smtp()?)?;
    assert_eq!(third.reply()?.code, 421);
    drop(kept);
    Ok(())
}

#[test]
fn a_listener_without_descriptors_waits_and_goes_on() -> Result<()> {
    let relay = Relay::start(Settings::new())?;
    let pid = Pid::from_raw(i32::try_from(relay.pid()?)?);
    let open = fs::read_dir(format!("/proc/{}/fd", relay.pid()?))?.count() as u64;
    let before = getrlimit(Resource::Nofile);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(open + 2), ..before })?;
    // The kernel completes the connections; the relay can not take them.
    let waiting = (0..20).map(|_| TcpStream::connect(relay.smtp()?).map_err(Into::into));
    let waiting = waiting.collect::<Result<Vec<_>>>()?;
    baton_tests::wait::until("the relay to say so", || {
        Ok(relay.log().contains("can not take connections").then_some(()))
    })?;
    prlimit(pid, Resource::Nofile, before)?;
    drop(waiting);
    baton_tests::wait::until("a session", || Ok(relay.client().ok()))?;
    let metrics = relay.metrics()?;
    let errors = metrics.lines().find_map(|line| line.strip_prefix("baton_listener_accept_errors_total "));
    let errors: u64 = errors.context("no count of failed accepts")?.parse()?;
    // The pauses grow to a second, so a thousand errors would take a quarter of an hour: nobody spins.
    assert!((1..1_000).contains(&errors), "{errors} failed accepts");
    Ok(())
}
