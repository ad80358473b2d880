//! What holds for some networks only: parameters of their own, and XCLIENT for those that are trusted.

use anyhow::{Context, Result};
use baton_tests::client::Client;
use baton_tests::dns::Fault;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::Sink;
use baton_tests::zone::Zone;

/// A relay to which everybody is a stranger who may write to us.example.
fn for_strangers() -> Settings {
    Settings::new()
        .set("session.relay_networks", Vec::<String>::new())
        .set("local_domains", vec!["us.example"])
}

fn from(relay: &Relay, source: &str) -> Result<Client> {
    let mut client = Client::connect_from(source.parse()?, relay.smtp()?)?;
    client.expect_reply(220)?;
    Ok(client)
}

/// What is offered to a client at this address.
fn offered(relay: &Relay, source: &str) -> Result<Vec<String>> {
    Ok(from(relay, source)?.expect("EHLO client.example", 250)?.lines)
}

fn has(offers: &[String], offer: &str) -> bool {
    offers.iter().any(|found| found == offer)
}

#[test]
fn the_most_specific_network_says_what_holds() -> Result<()> {
    let settings = for_strangers().with(
        "
        [[listeners.smtp.networks]]
        members = ['127.0.0.0/8']
        size_octets_max = 1000
        tls = 'off'
        [[listeners.smtp.networks]]
        members = ['127.0.7.0/24', '127.0.8.0/24']
        size_octets_max = 2000
        tls = 'required'
        recipients_max = 1
        [[listeners.smtp.networks]]
        members = ['127.0.7.9/32']
        size_octets_max = 3000
        ",
    );
    let relay = Relay::start(settings)?;
    let plain = offered(&relay, "127.0.0.9")?;
    assert!(has(&plain, "SIZE 1000") && !has(&plain, "STARTTLS"), "{plain:?}");
    let middle = offered(&relay, "127.0.8.1")?;
    assert!(has(&middle, "SIZE 2000") && has(&middle, "STARTTLS"), "{middle:?}");
    let mut client = from(&relay, "127.0.7.1")?;
    client.expect("EHLO client.example", 250)?;
    client.expect("MAIL FROM:<a@sender.example>", 530)?;
    // Alone: nothing of the wider networks holds here.
    let narrow = offered(&relay, "127.0.7.9")?;
    assert!(has(&narrow, "SIZE 3000") && has(&narrow, "STARTTLS"), "{narrow:?}");
    let mut client = from(&relay, "127.0.7.9")?;
    client.expect("EHLO client.example", 250)?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    client.expect("RCPT TO:<b@us.example>", 250)?;
    client.expect("RCPT TO:<c@us.example>", 250)?;
    client.expect("RCPT TO:<c@other.example>", 550)?;
    Ok(())
}

#[test]
fn a_network_may_be_exempt_or_bound_whoever_may_relay() -> Result<()> {
    let settings = for_strangers()
        .set("session.relay_networks", vec!["127.0.7.0/24"])
        .set("clients.refused_recipients_max", 1)
        .with(
            "
            [[listeners.smtp.networks]]
            members = ['127.0.0.9/32']
            exempt = true
            [[listeners.smtp.networks]]
            members = ['127.0.7.9/32']
            exempt = false
            connections_per_address_max = 1
            ",
        );
    let relay = Relay::start(settings)?;
    let mut exempt = from(&relay, "127.0.0.9")?;
    exempt.expect("EHLO client.example", 250)?;
    exempt.expect("MAIL FROM:<a@sender.example>", 250)?;
    // Exempt from bounds, and no relay client for it.
    exempt.expect("RCPT TO:<b@other.example>", 550)?;
    exempt.expect("RCPT TO:<b@other.example>", 550)?;
    let mut bound = from(&relay, "127.0.7.9")?;
    bound.expect("EHLO client.example", 250)?;
    bound.expect("MAIL FROM:<a@sender.example>", 250)?;
    bound.expect("RCPT TO:<b@other.example>", 250)?;
    let mut second = Client::connect_from("127.0.7.9".parse()?, relay.smtp()?)?;
    second.expect_reply(421)?;
    Ok(())
}

#[test]
fn every_mistake_in_networks_is_told_at_once() -> Result<()> {
    let settings = for_strangers().set("listeners.smtp.tls", "off").with(
        "
        [[listeners.smtp.networks]]
        members = ['127.0.0.0/33', 'here']
        tls = 'required'
        [[listeners.smtp.networks]]
        tls = 'implicit'
        recipients_max = 0
        greet_delay_ms = 60000
        [[listeners.smtp.networks]]
        members = ['10.0.0.0/8']
        [[listeners.smtp.networks]]
        members = ['10.1.0.0/8']
        colour = 'blue'
        ",
    );
    let relay = Relay::prepare(settings)?;
    let output = relay.run(&["check"])?;
    assert!(!output.status.success());
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    for key in [
        "networks[0].members[0]",
        "networks[0].members[1]",
        "networks[0].tls",
        "networks[1].members",
        "networks[1].tls",
        "networks[1].recipients_max",
        "networks[1].greet_delay_ms",
        "networks[3].members",
        "networks[3].colour",
    ] {
        said.contains(&format!("listeners.smtp.{key}"))
            .then_some(())
            .with_context(|| format!("{key}: {said}"))?;
    }
    Ok(())
}

/// A20: nobody else is heard, and it is offered to nobody else.
#[test]
fn xclient_is_for_trusted_networks_only() -> Result<()> {
    let relay = Relay::start(for_strangers().set("listeners.smtp.xclient_networks", vec!["127.0.7.0/24"]))?;
    let is_offer = |line: &String| line.starts_with("XCLIENT");
    assert!(!offered(&relay, "127.0.0.9")?.iter().any(is_offer));
    assert!(offered(&relay, "127.0.7.1")?.iter().any(is_offer));
    let mut stranger = from(&relay, "127.0.0.9")?;
    for line in ["XCLIENT ADDR=127.0.7.1", "XFORWARD ADDR=127.0.7.1"] {
        let answer = stranger.command(line)?;
        assert!(answer.code == 550 && answer.text().starts_with("5.7.0 "), "{answer}");
    }
    stranger.expect("EHLO client.example", 250)?;
    Ok(())
}

#[test]
fn a_trusted_client_speaks_for_another_with_its_rights() -> Result<()> {
    let sink = Sink::start()?;
    let settings = for_strangers()
        .all_to(sink.address())
        .set("session.relay_networks", vec!["127.0.7.0/24", "192.0.2.7/32"])
        .set("listeners.smtp.xclient_networks", vec!["127.0.7.0/24"])
        .set("listeners.smtp.connections_per_address_max", 1);
    let relay = Relay::start(settings)?;
    let mut proxy = from(&relay, "127.0.7.1")?;
    proxy.expect("EHLO proxy.example", 250)?;
    // The proxy may relay; the one for whom it speaks may not.
    proxy.expect("XCLIENT ADDR=192.0.2.8 PORT=40000 NAME=host.stranger.example", 220)?;
    proxy.expect("MAIL FROM:<a@sender.example>", 503)?;
    proxy.expect("EHLO stranger.example", 250)?;
    proxy.expect("MAIL FROM:<a@sender.example>", 250)?;
    proxy.expect("XCLIENT ADDR=192.0.2.7", 503)?;
    proxy.expect("RCPT TO:<b@other.example>", 550)?;
    proxy.expect("RCPT TO:<b@us.example>", 250)?;
    assert_eq!(proxy.data(&message::plain("for a stranger"))?.code, 250);
    let trace = sink.wait_for(1)?.pop().context("a message")?.header("Received").context("a trace field")?;
    assert!(trace.contains("stranger.example (host.stranger.example [192.0.2.8])"), "{trace}");
    // Its limits are those of the one for whom it speaks.
    let mut second = from(&relay, "127.0.7.1")?;
    second.expect("XCLIENT ADDR=192.0.2.8", 421)?;
    assert!(second.is_closed());
    // Once more, for one that may relay; and for one that is not known.
    proxy.expect("XCLIENT ADDR=192.0.2.7", 220)?;
    proxy.expect("EHLO client.example", 250)?;
    proxy.expect("MAIL FROM:<a@sender.example>", 250)?;
    proxy.expect("RCPT TO:<b@other.example>", 250)?;
    proxy.expect("RSET", 250)?;
    proxy.expect("XCLIENT ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]", 220)?;
    proxy.expect("EHLO client.example", 250)?;
    proxy.expect("MAIL FROM:<a@sender.example>", 250)?;
    proxy.expect("RCPT TO:<b@other.example>", 550)?;
    // An account that was vouched for relays, as if it had authenticated.
    proxy.expect("RSET", 250)?;
    proxy.expect("XCLIENT ADDR=192.0.2.9 LOGIN=ada", 220)?;
    proxy.expect("EHLO client.example", 250)?;
    proxy.expect("MAIL FROM:<a@sender.example>", 250)?;
    proxy.expect("RCPT TO:<b@other.example>", 250)?;
    let id = proxy.data(&message::plain("for an account"))?.message_id()?;
    let story = relay.said(&["explain", &id])?;
    assert!(story.contains("ada") && story.contains("192.0.2.9"), "{story}");
    Ok(())
}

/// A1: what could break a header, a log line or a reply is refused as a whole, and the session goes on as it was.
#[test]
fn malformed_xclient_changes_nothing() -> Result<()> {
    let relay = Relay::start(
        for_strangers()
            .set("session.errors_max", 100)
            .set("session.relay_networks", vec!["127.0.7.0/24"])
            .set("listeners.smtp.xclient_networks", vec!["127.0.7.0/24"]),
    )?;
    let mut proxy = from(&relay, "127.0.7.1")?;
    proxy.expect("EHLO proxy.example", 250)?;
    for arguments in [
        "",
        "ADDR",
        "ADDR=",
        "ADDR=192.0.2.1 NAME=a+0D+0AX-Evil:+201",
        "ADDR=192.0.2.1 HELO=a+00b",
        "ADDR=192.0.2.1 LOGIN=a+1B[31m",
        "ADDR=::1",
        "ADDR=IPV6:192.0.2.1",
        "ADDR=192.0.2.1 PORT=70000",
        "ADDR=192.0.2.1 COLOUR=blue",
        "ADDR=192.0.2.1 PROTO=HTTP",
    ] {
        proxy.expect(format!("XCLIENT {arguments}").trim_end(), 501)?;
    }
    // Still itself: it may relay.
    proxy.expect("MAIL FROM:<a@sender.example>", 250)?;
    proxy.expect("RCPT TO:<b@other.example>", 250)?;
    let log = relay.log();
    assert!(log.chars().all(|character| character == '\n' || !character.is_control()), "{log:?}");
    Ok(())
}

/// The way back from a client is looked for beside the session, told in the trace field and counted; a DNS that does not
/// answer costs no mail.
#[test]
fn names_of_clients_are_confirmed_or_not_used() -> Result<()> {
    let zone = Zone::serve(
        "7.2.0.192.in-addr.arpa. 60 IN PTR good.example.\n\
         good.example. 60 IN A 192.0.2.7\n\
         9.2.0.192.in-addr.arpa. 60 IN PTR liar.example.\n\
         liar.example. 60 IN A 192.0.2.77\n",
    )?;
    zone.server().set_fault("6.2.0.192.in-addr.arpa", Some(Fault::Silence));
    let sink = Sink::start()?;
    let settings = for_strangers()
        .all_to(sink.address())
        .names_from(zone.address())
        .set("session.reverse_dns", true)
        .set("dns.timeout_ms", 300)
        .set("session.relay_networks", vec!["127.0.7.0/24"])
        .set("listeners.smtp.xclient_networks", vec!["127.0.7.0/24"]);
    let relay = Relay::start(settings)?;
    let cases = [
        ("192.0.2.7", "pass", "(good.example [192.0.2.7])"),
        ("192.0.2.9", "fail", "([192.0.2.9])"),
        ("192.0.2.8", "permerror", "([192.0.2.8])"),
        ("192.0.2.6", "temperror", "([192.0.2.6])"),
    ];
    for (at, (address, result, named)) in cases.into_iter().enumerate() {
        let mut client = from(&relay, "127.0.7.1")?;
        client.expect(&format!("XCLIENT ADDR={address}"), 220)?;
        client.expect("EHLO client.example", 250)?;
        assert_eq!(client.send("a@sender.example", &["b@us.example"], &message::plain(result))?.code, 250);
        let received = sink.wait_for(at + 1)?;
        let trace = received.iter().filter_map(|message| message.header("Received"));
        assert!(trace.clone().any(|trace| trace.contains(named)), "{named}: {:?}", trace.collect::<Vec<_>>());
        let line = format!("baton_session_names_total{{reason=\"{result}\"}} ");
        assert!(relay.metrics()?.contains(&line), "{line}");
    }
    Ok(())
}
