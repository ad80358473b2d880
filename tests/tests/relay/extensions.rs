//! What senders ask about protection, precedence, numbers and time: offered where it is kept, told to next hops that keep it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use baton_tests::certificate::Certificate;
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::relay::{Relay, output_within};
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::{program, wait};
use toml::Value;

/// A relay before a next hop that offers these extensions, too.
fn before(extensions: &[&'static str]) -> Result<(Relay, Sink)> {
    let all = [&["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE 0"], extensions].concat();
    let sink = Sink::with(Behaviour::default().offering(&all))?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    Ok((relay, sink))
}

/// Sends to one recipient with these parameters of MAIL; tells the message's id.
fn send(client: &mut Client, parameters: &str) -> Result<String> {
    client.expect(&format!("MAIL FROM:<ada@sender.example> {parameters}"), 250)?;
    client.expect("RCPT TO:<bo@dest.example>", 250)?;
    let answer = client.data(&message::plain("wish"))?;
    ensure!(answer.code == 250, "{answer}");
    answer.message_id()
}

#[test]
fn limits_are_told_and_kept() -> Result<()> {
    let (relay, sink) = before(&["LIMITS MAILMAX=1 RCPTMAX=2"])?;
    let mut client = Client::connect(relay.smtp()?)?;
    client.expect_reply(220)?;
    let offered = client.expect("EHLO client.example", 250)?;
    assert!(offered.lines.iter().any(|line| line == "LIMITS MAILMAX=1000 RCPTMAX=1000"), "{offered}");
    let recipients =
        ["a@dest.example", "b@dest.example", "c@dest.example", "d@dest.example", "e@dest.example"];
    relay.send("ada@sender.example", &recipients, &message::plain("many"))?;
    relay.wait_until_empty()?;
    let messages = sink.messages();
    let counts: Vec<usize> = messages.iter().map(|message| message.recipients.len()).collect();
    assert_eq!(counts, [2, 2, 1]);
    let mut connections: Vec<usize> = messages.iter().map(|message| message.connection).collect();
    connections.dedup();
    assert_eq!(connections.len(), 3, "one message over each connection");
    Ok(())
}

#[test]
fn recipients_of_several_domains_go_apart_where_the_next_hop_says_so() -> Result<()> {
    let sink = Sink::with(Behaviour::default().offering(&["PIPELINING", "LIMITS RCPTDOMAINMAX=1"]))?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    relay.send(
        "ada@sender.example",
        &["a@dest.example", "b@other.example", "c@dest.example"],
        &message::plain("two"),
    )?;
    relay.wait_until_empty()?;
    for message in sink.messages() {
        let mut domains: Vec<&str> =
            message.recipients.iter().filter_map(|recipient| recipient.split('@').nth(1)).collect();
        domains.dedup();
        assert_eq!(domains.len(), 1, "{:?}", message.recipients);
    }
    Ok(())
}

#[test]
fn precedence_is_for_who_may_have_it_and_goes_on() -> Result<()> {
    let sink = Sink::with(Behaviour::default().offering(&["PIPELINING", "MT-PRIORITY"]))?;
    let settings = Settings::new()
        .all_to(sink.address())
        .set("local_domains", vec![Value::from("dest.example")])
        .set("session.relay_networks", vec![Value::from("127.0.0.1/32")]);
    let relay = Relay::start(settings)?;
    let mut trusted = relay.client()?;
    assert_eq!(
        trusted.expect("MAIL FROM:<ada@sender.example> MT-PRIORITY=5", 250)?.text(),
        "2.1.0 sender ok"
    );
    trusted.expect("RSET", 250)?;
    send(&mut trusted, "MT-PRIORITY=5")?;
    let urgent = sink.wait_for(1)?.pop().context("a message")?;
    assert!(urgent.parameters.contains("MT-PRIORITY=5"), "{}", urgent.parameters);
    let mut stranger = Client::connect_from("127.0.0.9".parse()?, relay.smtp()?)?;
    stranger.expect_reply(220)?;
    stranger.expect("EHLO client.example", 250)?;
    let answer = stranger.expect("MAIL FROM:<ada@sender.example> MT-PRIORITY=9", 250)?;
    assert!(answer.text().starts_with("2.3.6 "), "{answer}");
    stranger.expect("RSET", 250)?;
    for (asked, given) in [("MT-PRIORITY=9", "MT-PRIORITY=0"), ("MT-PRIORITY=-9", "MT-PRIORITY=-9")] {
        let before = sink.messages().len();
        send(&mut stranger, asked)?;
        let got = sink.wait_for(before + 1)?.pop().context("a message")?;
        assert!(got.parameters.contains(given), "{asked}: {}", got.parameters);
    }
    Ok(())
}

#[test]
fn a_deadline_goes_on_or_the_message_comes_back() -> Result<()> {
    let (relay, sink) = before(&["DELIVERBY"])?;
    send(&mut relay.client()?, "BY=600;R")?;
    let sent = sink.wait_for(1)?.pop().context("a message")?;
    let by = sent.parameters.split("BY=").nth(1).context("a deadline")?;
    let left: i64 = by.split(';').next().unwrap_or_default().parse()?;
    assert!((1..=600).contains(&left) && by.starts_with(&format!("{left};R")), "{}", sent.parameters);

    let (relay, _sink) = before(&[])?;
    let id = send(&mut relay.client()?, "BY=600;R")?;
    let failed = relay.wait_for_event(&id, "failed")?;
    assert!(failed.to_string().contains("DELIVERBY"), "{failed}");
    let id = send(&mut relay.client()?, "BY=600;N")?;
    assert_eq!(relay.wait_for_event(&id, "reported")?["action"], "relayed", "nobody watches it from now on");
    Ok(())
}

#[test]
fn what_is_late_is_told_or_given_up() -> Result<()> {
    let never = Behaviour::script(|moment| match moment.step {
        Step::Rcpt if moment.argument.ends_with("dest.example") => Say::Line("450 4.2.1 later".into()),
        _ => Say::Yes,
    });
    let sink = Sink::with(never)?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    let told = send(&mut relay.client()?, "BY=1;N")?;
    assert_eq!(relay.wait_for_event(&told, "reported")?["action"], "delayed");
    let given_up = send(&mut relay.client()?, "BY=1;R")?;
    relay.wait_for_event(&given_up, "failed")?;
    Ok(())
}

#[test]
fn users_may_have_mail_held() -> Result<()> {
    let sink = Sink::start()?;
    let hash = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$qOeDkc0QMHiUu6N+tlcskqjgE1DGFvsKpDFla7aoXGA";
    let settings = Settings::new()
        .all_to(sink.address())
        .set("session.hold_s_max", 3_600)
        .set("listeners.users.address", "127.0.0.1:0")
        .set("listeners.users.kind", "submission")
        .set("listeners.users.auth_without_tls", true)
        .plugin("auth-static", &program::plugin("baton-plugin-auth-static")?)
        .with(&format!("[plugins.auth-static.config.users]\nann = '{hash}'"));
    let relay = Relay::start(settings)?;
    relay.client()?.expect("MAIL FROM:<ada@sender.example> HOLDFOR=5", 555)?;
    let mut client = Client::connect(relay.listener("users")?)?;
    client.expect_reply(220)?;
    let offered = client.expect("EHLO client.example", 250)?;
    assert!(offered.lines.iter().any(|line| line.starts_with("FUTURERELEASE 3600 20")), "{offered}");
    // ann, open sesame
    client.expect("AUTH PLAIN AGFubgBvcGVuIHNlc2FtZQ==", 235)?;
    for late in ["HOLDFOR=3700", "HOLDUNTIL=2999-01-01T00:00:00Z"] {
        let answer = client.expect(&format!("MAIL FROM:<ada@sender.example> {late}"), 501)?;
        assert!(answer.text().starts_with("5.5.4 Mail is not held for so long here"), "{answer}");
    }
    let held = send(&mut client, "HOLDFOR=3600")?;
    let soon = send(&mut client, "HOLDFOR=1")?;
    send(&mut client, "HOLDUNTIL=2020-01-01T00:00:00Z")?;
    sink.wait_for(2)?;
    relay.wait_for_event(&soon, "delivered")?;
    wait::quiet();
    assert_eq!(sink.messages().len(), 2);
    let story = relay.said(&["explain", &held])?;
    assert!(
        story.contains("the sender asked for HOLDUNTIL=20") && story.contains("next attempt at"),
        "{story}"
    );
    Ok(())
}

/// Sends with REQUIRETLS under TLS and prints the reply to the message.
pub(crate) const SENDER: &str = "\
import smtplib, ssl, sys
server = smtplib.SMTP('localhost', int(sys.argv[1]))
server.ehlo()
assert not server.has_extn('requiretls'), server.esmtp_features
server.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))
server.ehlo()
assert server.has_extn('requiretls'), server.esmtp_features
assert server.mail('ada@sender.example', ['REQUIRETLS'])[0] == 250
assert server.rcpt('bo@' + sys.argv[3])[0] == 250
print(server.data('Subject: safe\\r\\n\\r\\nbody\\r\\n')[1].decode())
server.quit()
";

#[test]
fn required_tls_goes_only_where_it_is_promised_and_proved() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kept = tempfile::tempdir()?;
    let certificate = Certificate::make(folder.path())?;
    let settings = certificate.shown_by(Settings::new());
    let authority = certificate.chain.display().to_string();
    let last = settings
        .clone()
        .set("listeners.second.address", "127.0.0.1:0")
        .set("next_hops.box.file", kept.path().display().to_string())
        .route("*", "box");
    let last = Relay::start(last)?;
    let plain = Sink::start()?;
    let port = last.smtp()?.port();
    let settings = settings
        .hop("plain", plain.address())
        .set("next_hops.safe.hosts", vec![Value::from(format!("127.0.0.1:{port}"))])
        .set("next_hops.safe.tls", "required")
        .set("next_hops.safe.tls_ca_file", authority.clone())
        .set("next_hops.safe.tls_name", "localhost")
        .hop("stranger", last.listener("second")?)
        .route("safe.example", "safe")
        .route("stranger.example", "stranger")
        .route("*", "plain");
    let relay = Relay::start(settings)?;
    relay.client()?.expect("MAIL FROM:<ada@sender.example> REQUIRETLS", 555)?;
    let send = |domain: &str| -> Result<String> {
        let mut command = Command::new("python3");
        command.args(["-c", SENDER, &relay.smtp()?.port().to_string(), &authority, domain]);
        let output = output_within(command, wait::LONG)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(said.split("queued as ").nth(1).context("an id")?.trim().to_owned())
    };
    relay.wait_for_event(&send("safe.example")?, "delivered")?;
    wait::until("the message at the last relay, which took it with the same promise", || {
        let kept = fs::read_dir(kept.path().join("new")).map_or(0, Iterator::count);
        Ok((kept == 1).then_some(()))
    })?;
    // No TLS at all; TLS of somebody whom no authority vouches for.
    for domain in ["plain.example", "stranger.example"] {
        let failed = relay.wait_for_event(&send(domain)?, "failed")?;
        assert!(failed.to_string().contains("REQUIRETLS"), "{domain}: {failed}");
        assert_eq!(failed["status"]["enhanced"].to_string(), "[5,7,30]", "{failed}");
    }
    wait::quiet();
    assert!(plain.messages().is_empty(), "not even the report goes without");
    Ok(())
}
