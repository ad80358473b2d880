//! Where a copy goes: MX and its exceptions, routes of the settings, the kinds of next hops.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use baton_tests::dns::Fault;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::wait;
use baton_tests::zone::Zone;
use socket2::{Domain, Socket, Type};

/// Mail hosts of one port on addresses of their own: the zone names them, the system chose the port.
struct Hosts {
    sinks: Vec<Sink>,
    port: u16,
}

impl Hosts {
    fn start(behaviours: Vec<Behaviour>) -> Result<Hosts> {
        let first = Sink::at("127.0.0.10:0".parse()?, behaviours.first().cloned().context("a behaviour")?)?;
        let port = first.address().port();
        let mut sinks = vec![first];
        for (at, behaviour) in behaviours.into_iter().enumerate().skip(1) {
            let address: SocketAddr = format!("127.0.0.{}:{port}", 10 + at).parse()?;
            sinks.push(Sink::at(address, behaviour)?);
        }
        Ok(Hosts { sinks, port })
    }

    fn sink(&self, at: usize) -> Result<&Sink> {
        self.sinks.get(at).context("a sink")
    }

    fn settings(&self, zone: &Zone) -> Settings {
        Settings::new().names_from(zone.address()).set("delivery.smtp_port", i64::from(self.port))
    }
}

const ZONE: &str = "\
dest.example.     60 IN MX 20 backup.dest.example.
dest.example.     60 IN MX 10 first.dest.example.
first.dest.example.  60 IN A 127.0.0.10
backup.dest.example. 60 IN A 127.0.0.11
bare.example.     60 IN A 127.0.0.10
null.example.     60 IN MX 0 .
broken.example.   60 IN MX 10 mx.broken.example.
self.example.     60 IN MX 10 relay.example.
relay.example.    60 IN A 127.0.0.10
";

#[test]
fn the_preferred_mail_host_gets_the_mail() -> Result<()> {
    let zone = Zone::serve(ZONE)?;
    let hosts = Hosts::start(vec![Behaviour::default(), Behaviour::default()])?;
    let relay = Relay::start(hosts.settings(&zone))?;
    for number in 0..5 {
        relay.send("a@sender.example", &["b@dest.example"], &message::plain(&format!("mx-{number}")))?;
    }
    hosts.sink(0)?.wait_for(5)?;
    assert!(hosts.sink(1)?.messages().is_empty());
    Ok(())
}

#[test]
fn the_next_mail_host_stands_in() -> Result<()> {
    let zone = Zone::serve(ZONE)?;
    let refusing = Behaviour::script(|moment| match moment.step {
        Step::Greeting => Say::Line("421 4.3.2 not now".into()),
        _ => Say::Yes,
    });
    let hosts = Hosts::start(vec![refusing, Behaviour::default()])?;
    let relay = Relay::start(hosts.settings(&zone))?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("backup"))?;
    hosts.sink(1)?.wait_for(1)?;
    Ok(())
}

#[test]
fn a_domain_without_mx_is_its_own_host() -> Result<()> {
    let zone = Zone::serve(ZONE)?;
    let hosts = Hosts::start(vec![Behaviour::default()])?;
    let relay = Relay::start(hosts.settings(&zone))?;
    relay.send("a@sender.example", &["b@bare.example"], &message::plain("bare"))?;
    hosts.sink(0)?.wait_for(1)?;
    Ok(())
}

#[test]
fn null_mx_and_unknown_domains_fail_at_once() -> Result<()> {
    let zone = Zone::serve(ZONE)?;
    let hosts = Hosts::start(vec![Behaviour::default()])?;
    let relay = Relay::start(hosts.settings(&zone))?;
    for (recipient, enhanced) in [("b@null.example", "5.1.10"), ("b@unknown.example", "5.1.2")] {
        let id = relay.send("", &[recipient], &message::plain("fails"))?;
        let failed = relay.wait_for_event(&id, "failed")?;
        assert!(code_of(&failed) == enhanced, "{recipient}: {failed}");
    }
    Ok(())
}

#[test]
fn silent_name_servers_only_delay() -> Result<()> {
    let zone = Zone::serve(ZONE)?;
    zone.server().set_fault("dest.example.", Some(Fault::Failure));
    let hosts = Hosts::start(vec![Behaviour::default(), Behaviour::default()])?;
    let relay = Relay::start(hosts.settings(&zone))?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("servfail"))?;
    let deferred = relay.wait_for_event(&id, "deferred")?;
    assert!(code_of(&deferred).starts_with("4."), "{deferred}");
    zone.server().set_fault("dest.example.", None);
    hosts.sink(0)?.wait_for(1)?;
    Ok(())
}

#[test]
fn an_mx_that_leads_back_to_us_is_a_loop() -> Result<()> {
    let zone = Zone::serve(ZONE)?;
    let hosts = Hosts::start(vec![Behaviour::default()])?;
    let settings = hosts.settings(&zone).set("delivery.allow_loopback", false);
    let relay = Relay::start(settings)?;
    for recipient in ["b@self.example", "b@bare.example"] {
        let id = relay.send("", &[recipient], &message::plain("loop"))?;
        let failed = relay.wait_for_event(&id, "failed")?;
        assert_eq!(code_of(&failed), "5.4.6", "{recipient}: {failed}");
    }
    assert!(hosts.sink(0)?.messages().is_empty());
    Ok(())
}

#[test]
fn two_relays_that_point_at_each_other_stop() -> Result<()> {
    // The first relay's next hop is the second, whose next hop is the first.
    let first_port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let postmaster = Sink::start()?;
    let second = Relay::start(
        Settings::new()
            .hop("first", first_port)
            .hop("postmaster", postmaster.address())
            .route("sender.example", "postmaster")
            .route("*", "first")
            .set("hostname", "second.example"),
    )?;
    let first = Relay::start(
        Settings::new()
            .set("listeners.smtp.address", first_port.to_string())
            .set("hostname", "first.example")
            .hop("second", second.smtp()?)
            .hop("postmaster", postmaster.address())
            .route("sender.example", "postmaster")
            .route("*", "second"),
    )?;
    first.send("a@sender.example", &["b@dest.example"], &message::plain("ping-pong"))?;
    let reports = postmaster.wait_for(1)?;
    assert!(reports.iter().all(|report| report.sender.is_empty()));
    assert!(
        reports.iter().any(|report| report.text().contains("5.4.6")),
        "{}",
        reports.first().map(|report| report.text()).unwrap_or_default()
    );
    first.wait_until_empty()?;
    second.wait_until_empty()?;
    wait::quiet();
    assert_eq!(postmaster.messages().len(), 1);
    Ok(())
}

#[test]
fn routes_of_the_settings_send_each_domain_its_way() -> Result<()> {
    let (one, two) = (Sink::start()?, Sink::start()?);
    let settings = Settings::new()
        .hop("one", one.address())
        .hop("two", two.address())
        .route("one.example", "one")
        .route(".one.example", "two")
        .route("*", "two");
    let relay = Relay::start(settings)?;
    relay.send(
        "a@sender.example",
        &["b@one.example", "b@sub.one.example", "b@else.example"],
        &message::plain("routes"),
    )?;
    let at_one = one.wait_for(1)?;
    relay.wait_until_empty()?;
    let recipients = |messages: Vec<baton_tests::sink::Received>| {
        let mut all: Vec<_> = messages.into_iter().flat_map(|message| message.recipients).collect();
        all.sort();
        all
    };
    assert_eq!(recipients(at_one), ["b@one.example"]);
    assert_eq!(recipients(two.messages()), ["b@else.example", "b@sub.one.example"]);
    Ok(())
}

#[test]
fn lmtp_answers_for_each_recipient() -> Result<()> {
    let sink = Sink::with(
        Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
            (Step::Message, "full@dest.example") => Say::Line("552 5.2.2 mailbox full".into()),
            _ => Say::Yes,
        })
        .lmtp(),
    )?;
    let settings =
        Settings::new().set("next_hops.store.lmtp", sink.address().to_string()).route("*", "store");
    let relay = Relay::start(settings)?;
    let id = relay.send("", &["b@dest.example", "full@dest.example"], &message::plain("lmtp"))?;
    let messages = sink.wait_for(1)?;
    assert_eq!(
        messages.iter().flat_map(|message| message.recipients.clone()).collect::<Vec<_>>(),
        ["b@dest.example"]
    );
    let failed = relay.wait_for_event(&id, "failed")?;
    assert!(failed.to_string().contains("full@dest.example") && code_of(&failed) == "5.2.2", "{failed}");
    // Final delivery: the return path is recorded (RFC 5321 4.4).
    let received = messages.first().context("a message")?;
    assert_eq!(received.header("Return-Path").as_deref(), Some("<>"), "{}", received.text());
    Ok(())
}

#[test]
fn a_file_sink_holds_whole_messages() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings =
        Settings::new().set("next_hops.files.file", folder.path().display().to_string()).route("*", "files");
    let relay = Relay::start(settings)?;
    let sent = message::corpus("plain.eml")?;
    relay.send("a@sender.example", &["b@dest.example"], &sent)?;
    relay.wait_until_empty()?;
    let mut files = Vec::new();
    for folder in [folder.path().to_owned(), folder.path().join("new")] {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_file() {
                files.push(fs::read(path)?);
            }
        }
    }
    assert_eq!(files.len(), 1);
    let file = files.pop().context("a file")?;
    assert!(
        file.ends_with(&sent) && file.starts_with(b"Return-Path: <a@sender.example>\r\n"),
        "{}",
        String::from_utf8_lossy(&file)
    );
    Ok(())
}

#[test]
fn hold_and_discard_are_next_hops() -> Result<()> {
    let settings = Settings::new()
        .set("next_hops.wait.hold", "for the lawyers")
        .set("next_hops.gone.discard", true)
        .route("held.example", "wait")
        .route("gone.example", "gone");
    let relay = Relay::start(settings)?;
    let held = relay.send("a@sender.example", &["b@held.example"], &message::plain("held"))?;
    let gone = relay.send("a@sender.example", &["b@gone.example"], &message::plain("gone"))?;
    assert!(relay.wait_for_event(&held, "held")?.to_string().contains("for the lawyers"));
    relay.wait_for_event(&gone, "discarded")?;
    let queue = relay.queue()?;
    assert_eq!(
        queue.iter().filter_map(|job| job.get("message")?.as_str()).collect::<Vec<_>>(),
        [held.as_str()]
    );
    Ok(())
}

/// The enhanced code in an event's status.
pub(crate) fn code_of(event: &serde_json::Value) -> String {
    let code = event.get("status").and_then(|status| status.get("enhanced"));
    match code {
        Some(serde_json::Value::Array(parts)) => {
            parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
        }
        Some(serde_json::Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}

/// A port that neither takes connections nor refuses them: the queue of those that wait is full.
struct Silent {
    _socket: Socket,
    _waiting: Vec<Socket>,
}

impl Silent {
    fn at(address: SocketAddr) -> Result<Silent> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&address.into())?;
        socket.listen(0)?;
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let one = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            one.set_nonblocking(true)?;
            // It is under way, or hangs: either is meant.
            let _ = one.connect(&address.into());
            waiting.push(one);
        }
        Ok(Silent { _socket: socket, _waiting: waiting })
    }
}

/// Without the race, the mail would wait for the deadline of the connection, which is ten minutes here.
#[test]
fn an_address_that_does_not_answer_is_overtaken_by_the_other_family() -> Result<()> {
    let zone = Zone::serve("both.example. 60 IN A 127.0.0.20\nboth.example. 60 IN AAAA ::1\n")?;
    let sink = Sink::at("[::1]:0".parse()?, Behaviour::default())?;
    let port = sink.address().port();
    let _silent = Silent::at(format!("127.0.0.20:{port}").parse()?)?;
    let settings = Settings::new()
        .names_from(zone.address())
        .set("delivery.smtp_port", i64::from(port))
        .set("delivery.connect_ms", 600_000);
    let relay = Relay::start(settings)?;
    relay.send("a@sender.example", &["b@both.example"], &message::plain("raced"))?;
    sink.wait_for(1)?;
    Ok(())
}
