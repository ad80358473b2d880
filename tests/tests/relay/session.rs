//! The dialogue with a client: framing, limits, who may relay, what is added to a message.

use anyhow::{Context, Result};
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::wait;

fn with_sink(settings: Settings) -> Result<(Relay, Sink)> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings.all_to(sink.address()))?;
    Ok((relay, sink))
}

/// A relay that trusts nobody and takes mail for `us.example` only.
fn for_strangers() -> Settings {
    Settings::new()
        .set("session.relay_networks", Vec::<String>::new())
        .set("local_domains", vec!["us.example"])
}

#[test]
fn every_message_of_the_corpus_arrives_octet_for_octet() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let names = ["plain", "multipart", "eight-bit", "several-recipients", "bounce"];
    for (at, name) in names.iter().enumerate() {
        let sent = message::corpus(&format!("{name}.eml"))?;
        let mut client = relay.client()?;
        client.expect("MAIL FROM:<ada@sender.example> BODY=8BITMIME", 250)?;
        client.expect("RCPT TO:<bo@dest.example>", 250)?;
        let answer = client.data(&sent)?;
        assert_eq!(answer.code, 250, "{name}: {answer}");
        let received = sink.wait_for(at + 1)?.pop().context("a message")?;
        assert!(received.content.ends_with(&sent), "{name} was changed");
        let added = received.content.len() - sent.len();
        let trace = String::from_utf8_lossy(received.content.get(..added).unwrap_or_default()).into_owned();
        assert!(trace.starts_with("Received: from client.example"), "{name}: {trace}");
        assert!(
            trace.contains("by relay.example") && trace.contains(&answer.message_id()?),
            "{name}: {trace}"
        );
        assert!(!trace.to_ascii_lowercase().contains("return-path"), "{name}: {trace}");
    }
    Ok(())
}

#[test]
fn ten_mebibytes_and_long_lines_arrive() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let large = message::large("ten-mebibytes", 10 << 20);
    relay.send("a@sender.example", &["b@dest.example"], &large)?;
    let long = message::corpus("long-lines.eml")?;
    relay.send("a@sender.example", &["b@dest.example"], &long)?;
    let messages = sink.wait_for(2)?;
    assert!(messages.iter().any(|message| message.content.ends_with(&large)));
    assert!(messages.iter().any(|message| message.content.ends_with(&long)));
    Ok(())
}

#[test]
fn internationalised_mail_passes_with_smtputf8() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let sent = message::corpus("smtputf8.eml")?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<õpetaja@sender.example> BODY=8BITMIME SMTPUTF8", 250)?;
    client.expect("RCPT TO:<山田@dest.example>", 250)?;
    assert_eq!(client.data(&sent)?.code, 250);
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(
        (received.sender.as_str(), received.recipients.join(",").as_str()),
        ("õpetaja@sender.example", "山田@dest.example")
    );
    assert!(received.parameters.contains("SMTPUTF8"), "{}", received.parameters);
    assert!(received.content.ends_with(&sent));
    Ok(())
}

#[test]
fn an_address_beyond_ascii_needs_smtputf8() -> Result<()> {
    let (relay, _sink) = with_sink(Settings::new())?;
    let mut client = relay.client()?;
    let answer = client.command("MAIL FROM:<õ@sender.example>")?;
    assert!(matches!(answer.code, 501 | 550 | 553), "{answer}");
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    let answer = client.command("RCPT TO:<山田@dest.example>")?;
    assert!(matches!(answer.code, 501 | 550 | 553), "{answer}");
    assert_eq!(client.command("DATA")?.code / 100, 5);
    Ok(())
}

#[test]
fn chunks_make_one_message() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let sent = message::plain("chunks");
    let (first, second) = sent.split_at(37);
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    client.write(format!("BDAT {}\r\n", first.len()).as_bytes())?;
    client.write(first)?;
    client.expect_reply(250)?;
    client.write(format!("BDAT {} LAST\r\n", second.len()).as_bytes())?;
    client.write(second)?;
    client.expect_reply(250)?.message_id()?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert!(received.content.ends_with(&sent));
    Ok(())
}

#[test]
fn an_ambiguous_end_of_data_smuggles_nothing() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    for form in ["\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r"] {
        let mut client = relay.client()?;
        client.expect("MAIL FROM:<a@sender.example>", 250)?;
        client.expect("RCPT TO:<b@dest.example>", 250)?;
        client.expect("DATA", 354)?;
        let inner = "MAIL FROM:<smuggled@sender.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n";
        client.write(format!("Subject: outer\r\n\r\nx{form}{inner}").as_bytes())?;
        let answer = client.reply()?;
        assert_eq!(answer.code / 100, 5, "{form:?}: {answer}");
        // Only what follows the real end is a command again.
        assert_eq!(client.command("NOOP")?.code, 250, "{form:?}");
    }
    wait::quiet();
    assert!(sink.messages().is_empty());
    Ok(())
}

#[test]
fn repaired_line_ends_leave_as_crlf() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new().set("session.bare_line_endings", "repair"))?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    client.expect("DATA", 354)?;
    client.write(b"Subject: repaired\r\n\r\none\ntwo\rthree\n.\nMAIL FROM:<smuggled@sender.example>\n.\r\nfour\r\n.\r\n")?;
    client.expect_reply(250)?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.bare_line_ends(), 0);
    assert!(received.text().contains("one\r\ntwo\r\nthree\r\n"), "{}", received.text());
    wait::quiet();
    assert_eq!(sink.messages().len(), 1);
    Ok(())
}

#[test]
fn a_message_without_its_end_is_not_queued() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    client.expect("DATA", 354)?;
    client.write(b"Subject: half\r\n\r\nno end\r\n.")?;
    client.close_write()?;
    assert!(client.reply().map_or(true, |answer| answer.code / 100 == 4));
    wait::quiet();
    assert!(sink.messages().is_empty() && relay.queue()?.is_empty());
    Ok(())
}

#[test]
fn a_reset_after_the_end_leaves_the_message_once_or_not_at_all() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    client.expect("DATA", 354)?;
    client.write(b"Subject: reset\r\n\r\nx\r\n.\r\n")?;
    client.reset()?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("after"))?;
    relay.wait_until_empty()?;
    wait::quiet();
    let subjects: Vec<_> = sink.messages().iter().filter_map(|message| message.header("Subject")).collect();
    assert!(subjects.iter().filter(|subject| *subject == "reset").count() <= 1, "{subjects:?}");
    assert!(subjects.contains(&"after".to_owned()));
    Ok(())
}

#[test]
fn sizes_and_counts_are_bounded() -> Result<()> {
    let settings = Settings::new()
        .set("session.size_octets_max", 2_000)
        .set("session.recipients_max", 2)
        .set("session.errors_max", 5);
    let (relay, sink) = with_sink(settings)?;
    let mut client = relay.client()?;
    assert_eq!(client.command("MAIL FROM:<a@sender.example> SIZE=2001")?.code, 552);
    let answer = client.send("a@sender.example", &["b@dest.example"], &message::large("too-large", 4_000))?;
    assert_eq!(answer.code, 552, "{answer}");
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@dest.example>", 250)?;
    client.expect("RCPT TO:<c@dest.example>", 250)?;
    assert_eq!(client.command("RCPT TO:<d@dest.example>")?.code, 452);
    assert_eq!(client.data(&message::plain("two"))?.code, 250);
    let mut client = relay.client()?;
    let codes: Vec<_> =
        (0..6).map_while(|_| client.command("NONSENSE").ok().map(|answer| answer.code)).collect();
    assert_eq!(codes.last(), Some(&421), "{codes:?}");
    assert!(client.is_closed());
    assert_eq!(sink.wait_for(1)?.len(), 1);
    Ok(())
}

#[test]
fn another_protocol_is_dropped_at_once() -> Result<()> {
    let (relay, _sink) = with_sink(Settings::new())?;
    for line in ["GET / HTTP/1.1", "POST / HTTP/1.1", "CONNECT mail:25 HTTP/1.1"] {
        let mut client = Client::connect(relay.smtp()?)?;
        client.expect_reply(220)?;
        let answer = client.command(line)?;
        assert!(matches!(answer.code, 421 | 221 | 500 | 554), "{answer}");
        assert!(client.is_closed(), "{line}");
    }
    Ok(())
}

#[test]
fn control_characters_go_nowhere() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let lines = [
        &b"EHLO cl\x1b[31mient\x07.example\r\n"[..],
        b"RCPT TO:<\"a\nX: y\"@dest.example>\r\n",
        b"RCPT TO:<\"a\rX: y\"@dest.example>\r\n",
        b"RCPT TO:<a\0b@dest.example>\r\n",
        b"RCPT TO:<\"a\x1b[2J\"@dest.example>\r\n",
        b"RCPT TO:<b@dest.example> ORCPT=rfc822;a+0D+0AX:\r\n",
    ];
    for line in lines {
        let mut client = relay.client()?;
        client.expect("MAIL FROM:<a@sender.example>", 250)?;
        client.write(line)?;
        let answer = client.reply()?;
        assert_eq!(answer.code / 100, 5, "{:?}: {answer}", String::from_utf8_lossy(line));
    }
    wait::quiet();
    assert!(sink.messages().is_empty());
    let log = relay.log();
    assert!(log.chars().all(|character| character == '\n' || !character.is_control()), "{log:?}");
    Ok(())
}

#[test]
fn strangers_reach_local_domains_only() -> Result<()> {
    let (relay, sink) = with_sink(for_strangers())?;
    // What a stranger asks for, and whether it stays within our own domain.
    let cases = [
        ("user@us.example", true),
        ("user@US.EXAMPLE", true),
        // Old ways to name a route; whoever delivers for us.example might follow them.
        ("\"a@b\"@us.example", false),
        ("user%other.example@us.example", false),
        ("other.example!user@us.example", false),
        ("@relay.other.example:user@us.example", true),
        ("user@other.example", false),
        ("@us.example:user@other.example", false),
        ("user@us.example.other.example", false),
        ("user@notus.example", false),
        ("user@sub.us.example", false),
        ("\"user@us.example\"@other.example", false),
        ("user@[127.0.0.1]", false),
        ("user@127.0.0.1", false),
        ("user@us.example:2525", false),
        ("@us.example", false),
        ("user", false),
        ("other.example!user", false),
    ];
    for (recipient, local) in cases {
        let mut client = relay.client()?;
        client.expect("MAIL FROM:<a@us.example>", 250)?;
        let answer = client.command(&format!("RCPT TO:<{recipient}>"))?;
        assert_eq!(answer.code / 100 == 2, local, "{recipient}: {answer}");
        if !local {
            assert_eq!(answer.code / 100, 5, "{recipient}: {answer}");
            assert_eq!(client.data(&message::plain("none"))?.code / 100, 5, "{recipient}");
        }
    }
    relay.wait_until_empty()?;
    assert!(sink.messages().is_empty());
    Ok(())
}

#[test]
fn a_quoted_local_part_is_kept_exactly() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let quoted = "\"a@b \\\"c\"@dest.example";
    relay.send("a@sender.example", &[quoted], &message::plain("quoted"))?;
    assert_eq!(sink.wait_for(1)?.pop().context("a message")?.recipients, [quoted]);
    Ok(())
}

#[test]
fn postmaster_needs_no_domain() -> Result<()> {
    let (relay, sink) = with_sink(for_strangers().set("session.postmaster", "boss@us.example"))?;
    let mut client = relay.client()?;
    assert_eq!(client.send("a@sender.example", &["Postmaster"], &message::plain("postmaster"))?.code, 250);
    assert_eq!(sink.wait_for(1)?.pop().context("a message")?.recipients, ["boss@us.example"]);
    Ok(())
}

#[test]
fn too_many_received_fields_are_a_loop() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let mut looping = "Received: from a by b; Tue, 03 Nov 2026 09:00:00 +0000\r\n".repeat(100).into_bytes();
    looping.extend_from_slice(&message::plain("loop"));
    let answer = relay.client()?.send("a@sender.example", &["b@dest.example"], &looping)?;
    assert_eq!(answer.code / 100, 5, "{answer}");
    assert!(answer.text().contains("5.4.6"), "{answer}");
    wait::quiet();
    assert!(sink.messages().is_empty());
    Ok(())
}

#[test]
fn content_before_its_354_is_no_command() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let mut client = relay.client()?;
    let inner = "MAIL FROM:<inner@sender.example>\r\nRCPT TO:<b@dest.example>\r\n.\r\n";
    let outer = "MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\nSubject: early\r\n\r\n";
    client.write([outer, inner].concat().as_bytes())?;
    let codes: Vec<_> = (0..4).map_while(|_| client.reply().ok().map(|answer| answer.code)).collect();
    wait::quiet();
    let messages = sink.messages();
    assert!(messages.iter().all(|message| message.sender == "a@sender.example"), "{codes:?}");
    assert!(messages.len() <= 1, "{codes:?}");
    // Taken as content of the one message, or refused: never read as commands.
    assert!(messages.iter().all(|message| message.text().contains("MAIL FROM:<inner@")), "{codes:?}");
    Ok(())
}

#[test]
fn content_of_all_sessions_together_is_bounded() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new().set("session.memory_octets_max", 1 << 20))?;
    let answer =
        relay.client()?.send("a@sender.example", &["b@dest.example"], &message::large("much", 4 << 20))?;
    assert_eq!(answer.code, 452, "{answer}");
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("little"))?;
    sink.wait_for(1)?;
    Ok(())
}

#[test]
fn a_client_that_never_reads_holds_up_nobody() -> Result<()> {
    let (relay, sink) =
        with_sink(Settings::new().set("session.junk_commands_max", 1_000_000).set("session.write_s", 2))?;
    let mut deaf = relay.client()?;
    let lines = "NOOP a line that is answered each time\r\n".repeat(1_000);
    // Writing ends when the relay neither reads nor keeps the connection: both sides' buffers are full.
    deaf.give_up_writing_after(1)?;
    while deaf.write(lines.as_bytes()).is_ok() {}
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("meanwhile"))?;
    sink.wait_for(1)?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.pid()?))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse()?;
    assert!(resident < 300 << 10, "{resident} KiB");
    Ok(())
}

#[test]
fn hostile_headers_and_parts_pass_unparsed_or_are_refused() -> Result<()> {
    let (relay, sink) = with_sink(Settings::new())?;
    let nested =
        ["Content-Type: message/rfc822\r\n\r\n".repeat(22_000).as_str(), "Subject: x\r\n\r\nx\r\n"].concat();
    let fields = ["X: y\r\n".repeat(100_000).as_str(), "\r\nx\r\n"].concat();
    let odd = "__proto__: 1\r\nconstructor: 2\r\nSubject: odd\r\n\r\nx\r\n".to_owned();
    let name = [&"N".repeat(64 * 1024), ": 1\r\n\r\nx\r\n"].concat();
    let mut accepted = 0;
    for bomb in [nested, fields, odd, name] {
        let answer = relay.client()?.send("a@sender.example", &["b@dest.example"], bomb.as_bytes())?;
        assert!(matches!(answer.code, 250 | 552 | 554 | 550), "{answer}");
        accepted += usize::from(answer.code == 250);
    }
    assert!(accepted > 0);
    sink.wait_for(accepted)?;
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("alive"))?;
    sink.wait_for(accepted + 1)?;
    Ok(())
}
