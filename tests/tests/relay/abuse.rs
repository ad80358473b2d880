//! Clients that ask for too much, do not wait, or guess: what each of them meets, and that others are served meanwhile.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use baton_tests::client::{Answer, Client};
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::wait;

/// A relay to which everybody is a stranger who may write to us.example.
fn for_strangers() -> Settings {
    Settings::new()
        .set("session.relay_networks", Vec::<String>::new())
        .set("local_domains", vec!["us.example"])
        .hop("hold", ([127, 0, 0, 1], 9).into())
}

fn from(relay: &Relay, source: &str) -> Result<Client> {
    Client::connect_from(source.parse::<IpAddr>()?, relay.smtp()?)
}

fn greeted(relay: &Relay, source: &str) -> Result<Client> {
    let mut client = from(relay, source)?;
    client.expect_reply(220)?;
    client.expect("EHLO client.example", 250)?;
    Ok(client)
}

/// Checks a counter of the metrics.
fn counted(relay: &Relay, metric: &str, reason: &str, count: u64) -> Result<()> {
    let metrics = relay.metrics()?;
    let line = format!("{metric}_total{{reason=\"{reason}\"}} {count}");
    ensure!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    Ok(())
}

/// Tries before a bound of a few is missed.
const TRIES: usize = 60;

fn refused(answer: &Answer, code: u16, start: &str) {
    assert!(answer.code == code && answer.text().starts_with(start), "{answer}");
}

#[test]
fn who_talks_before_the_greeting_is_refused() -> Result<()> {
    let relay = Relay::start(for_strangers().set("clients.greet_delay_ms", 1_500))?;
    let mut early = from(&relay, "127.0.0.9")?;
    early.write(b"EHLO early.example\r\nMAIL FROM:<a@sender.example>\r\n")?;
    refused(&early.reply()?, 554, "5.5.1 ");
    assert!(early.is_closed());
    counted(&relay, "baton_session_limited", "early-talk", 1)?;
    // Whoever waits is served.
    greeted(&relay, "127.0.0.9")?.expect("MAIL FROM:<a@sender.example>", 250)?;
    Ok(())
}

#[test]
fn nobody_of_ours_waits_or_is_refused_for_talking() -> Result<()> {
    let settings = for_strangers()
        .set("session.relay_networks", vec!["127.0.0.9/32"])
        .set("clients.greet_delay_ms", 30_000);
    let relay = Relay::start(settings)?;
    let mut ours = from(&relay, "127.0.0.9")?;
    ours.write(b"EHLO ours.example\r\nNOOP\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<b@us.example>\r\n")?;
    let codes: Vec<_> = (0..5).map_while(|_| ours.reply().ok().map(|answer| answer.code)).collect();
    assert_eq!(codes, [220, 250, 250, 250, 250]);
    Ok(())
}

#[test]
fn who_does_not_wait_where_it_must_is_cut_off() -> Result<()> {
    let relay = Relay::start(for_strangers())?;
    let mut client = from(&relay, "127.0.0.9")?;
    client.expect_reply(220)?;
    client.write(b"EHLO client.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<b@us.example>\r\n")?;
    refused(&client.reply()?, 503, "5.5.1 ");
    assert!(client.is_closed());
    // A group of commands is no haste (RFC 2920 3.1).
    let mut client = greeted(&relay, "127.0.0.9")?;
    client.write(b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@us.example>\r\nRSET\r\n")?;
    for _ in 0..3 {
        client.expect_reply(250)?;
    }
    let lenient = Relay::start(for_strangers().set("clients.early_commands", "allow"))?;
    let mut client = from(&lenient, "127.0.0.9")?;
    client.expect_reply(220)?;
    client.write(b"EHLO client.example\r\nMAIL FROM:<a@sender.example>\r\n")?;
    client.expect_reply(250)?;
    client.expect_reply(250)?;
    Ok(())
}

/// Asks until the answer is a refusal; how often it was none. Rates let one more through now and then on a slow machine.
fn taken(mut ask: impl FnMut() -> Result<Answer>) -> Result<(usize, Answer)> {
    for taken in 0..TRIES {
        let answer = ask()?;
        if answer.code >= 400 {
            return Ok((taken, answer));
        }
    }
    bail!("{TRIES} times, and no bound was met")
}

#[test]
fn connections_have_a_rate_by_address_and_by_network() -> Result<()> {
    let settings = for_strangers()
        .set("clients.connections_per_minute_max", 3)
        .set("clients.network_connections_per_minute_max", 8);
    let relay = Relay::start(settings)?;
    let (count, answer) = taken(|| from(&relay, "127.0.0.9")?.reply())?;
    assert!(count >= 3, "{count}");
    refused(&answer, 421, "4.7.0 Too many connections, slow down");
    let mut host = 20;
    let (count, answer) = taken(|| {
        host += 1;
        from(&relay, &format!("127.0.0.{host}"))?.reply()
    })?;
    assert!(count >= 1, "{count}");
    refused(&answer, 421, "4.7.0 ");
    // The next network has its own.
    assert_eq!(from(&relay, "127.0.1.9")?.reply()?.code, 220);
    let metrics = relay.metrics()?;
    for bound in ["connections-per-minute", "network-connections-per-minute"] {
        let line = format!("baton_listener_turned_away_total{{listener=\"smtp\",bound=\"{bound}\"}} 1");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    Ok(())
}

#[test]
fn open_sessions_of_one_network_are_bounded() -> Result<()> {
    let relay = Relay::start(for_strangers().set("clients.connections_per_network_max", 2))?;
    let kept = (greeted(&relay, "127.0.0.9")?, greeted(&relay, "127.0.0.8")?);
    refused(&from(&relay, "127.0.0.7")?.reply()?, 421, "4.7.0 ");
    greeted(&relay, "127.0.1.7")?;
    drop(kept);
    wait::until("a place in the network", || Ok(greeted(&relay, "127.0.0.7").ok()))?;
    Ok(())
}

#[test]
fn messages_and_recipients_have_rates() -> Result<()> {
    let settings = for_strangers()
        .set("clients.messages_per_minute_max", 3)
        .set("clients.network_recipients_per_minute_max", 4);
    let relay = Relay::start(settings)?;
    let mut client = greeted(&relay, "127.0.0.9")?;
    let (count, answer) = taken(|| {
        let answer = client.command("MAIL FROM:<a@sender.example>")?;
        client.expect("RSET", 250)?;
        Ok(answer)
    })?;
    assert!(count >= 3, "{count}");
    refused(&answer, 450, "4.7.1 Too many messages");
    let mut other = greeted(&relay, "127.0.0.8")?;
    other.expect("MAIL FROM:<a@sender.example>", 250)?;
    let (count, answer) = taken(|| other.command("RCPT TO:<b@us.example>"))?;
    assert!(count >= 4, "{count}");
    refused(&answer, 450, "4.7.1 Too many recipients");
    counted(&relay, "baton_session_limited", "messages-per-minute", 1)?;
    counted(&relay, "baton_session_limited", "network-recipients-per-minute", 1)?;
    Ok(())
}

#[test]
fn who_tries_names_learns_few() -> Result<()> {
    let settings = for_strangers()
        .set("clients.refused_recipients_max", 3)
        .set("clients.refused_recipients_per_hour_max", 5)
        .set("clients.mistake_delay_ms", 0);
    let relay = Relay::start(settings)?;
    let ask = |client: &mut Client, name: &str| client.command(&format!("RCPT TO:<{name}@other.example>"));
    let mut client = greeted(&relay, "127.0.0.9")?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    assert_eq!((ask(&mut client, "a")?.code, ask(&mut client, "b")?.code), (550, 550));
    refused(&ask(&mut client, "c")?, 421, "4.7.1 Too many refused recipients");
    assert!(client.is_closed());
    let mut client = greeted(&relay, "127.0.0.9")?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    assert_eq!((ask(&mut client, "d")?.code, ask(&mut client, "e")?.code), (550, 550));
    // From now on nobody looks, not even at one that exists.
    assert_eq!(ask(&mut client, "f")?.code, 450);
    assert_eq!(client.command("RCPT TO:<real@us.example>")?.code, 450);
    counted(&relay, "baton_session_limited", "refused-recipients", 1)?;
    counted(&relay, "baton_session_limited", "refused-recipients-per-hour", 2)?;
    let mut other = greeted(&relay, "127.0.0.8")?;
    other.expect("MAIL FROM:<a@sender.example>", 250)?;
    other.expect("RCPT TO:<real@us.example>", 250)?;
    Ok(())
}

#[test]
fn answers_to_mistakes_are_held_back() -> Result<()> {
    let settings = for_strangers().set("clients.mistakes_free", 2).set("clients.mistake_delay_ms", 50);
    let relay = Relay::start(settings)?;
    let mut client = greeted(&relay, "127.0.0.9")?;
    for _ in 0..2 {
        assert_eq!(client.command("NONSENSE")?.code, 500);
    }
    assert!(!relay.metrics()?.contains("held-back"), "the first ones cost nothing");
    for _ in 0..3 {
        assert_eq!(client.command("NONSENSE")?.code, 500);
    }
    counted(&relay, "baton_session_limited", "held-back", 3)?;
    // What is right is answered at once, and refused recipients are mistakes too.
    client.expect("NOOP", 250)?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@other.example>", 550)?;
    counted(&relay, "baton_session_limited", "held-back", 4)?;
    Ok(())
}

/// R6 and more: what the relay is short of is told to clients, each with its reason in the metrics, and it recovers.
#[test]
fn a_relay_under_pressure_says_so_and_recovers() -> Result<()> {
    let sink = Sink::start()?;
    let short = |process: u64, jobs: u64| {
        for_strangers()
            .all_to(sink.address())
            .set("session.relay_networks", vec!["127.0.0.1/32"])
            .set("pressure.process_octets_max", i64::try_from(process).unwrap_or(0))
            .set("pressure.queue_jobs_max", i64::try_from(jobs).unwrap_or(0))
    };
    let relay = Relay::start(short(1, 0))?;
    refused(&from(&relay, "127.0.0.9")?.reply()?, 421, "4.3.2 ");
    refused(&relay.client()?.command("MAIL FROM:<a@sender.example>")?, 452, "4.3.1 ");
    counted(&relay, "baton_session_pressed", "memory", 1)?;
    relay.write_settings(short(0, 1).route("late.example", "hold"))?;
    relay.said(&["reload"])?;
    relay.send("a@sender.example", &["b@late.example"], &message::plain("waits"))?;
    wait::until("the message in the queue", || Ok((relay.queue()?.len() == 1).then_some(())))?;
    refused(&relay.client()?.command("MAIL FROM:<a@sender.example>")?, 452, "4.3.1 The queue is full");
    counted(&relay, "baton_session_pressed", "queue", 1)?;
    relay.write_settings(short(0, 2).route("late.example", "hold"))?;
    relay.said(&["reload"])?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("goes"))?;
    sink.wait_for(1)?;
    Ok(())
}

#[test]
fn every_bound_is_checked_before_it_holds() -> Result<()> {
    let settings = Settings::new()
        .set("clients.ipv4_network_bits", 33)
        .set("clients.ipv6_network_bits", 65)
        .set("clients.greet_delay_ms", 30_001)
        .set("clients.mistake_delay_ms", 60_000)
        .set("clients.early_talkers", "maybe")
        .set("clients.early_commands", "maybe");
    let relay = Relay::prepare(settings)?;
    let output = relay.run(&["check"])?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for key in [
        "ipv4_network_bits",
        "ipv6_network_bits",
        "greet_delay_ms",
        "mistake_delay_ms",
        "early_talkers",
        "early_commands",
    ] {
        said.contains(&format!("clients.{key}")).then_some(()).with_context(|| format!("{key}: {said}"))?;
    }
    Ok(())
}
