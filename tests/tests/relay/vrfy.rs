//! VRFY and EXPN: silent by default; else what RCPT would be told, and nothing that it would not.

use anyhow::Result;
use baton_tests::client::Client;
use baton_tests::message;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};

const SCRIPT: &str = "\
export function onRcpt(rcpt) {
  if (rcpt.local === 'gone') return reject(550, '5.1.1', 'no such user');
  if (rcpt.local === 'grey') return tempfail(450, '4.7.1', 'come back');
  if (rcpt.local === 'team') envelope.redirect(rcpt, ['ann@us.example', 'bob@them.example']);
  return next();
}
";

/// A relay to which everybody is a stranger who may write to us.example.
fn for_strangers(sink: &Sink, vrfy: &str) -> Settings {
    Settings::new()
        .all_to(sink.address())
        .set("session.relay_networks", Vec::<String>::new())
        .set("local_domains", vec!["us.example"])
        .set("session.vrfy", vrfy)
}

fn with_script(settings: Settings) -> Result<Relay> {
    let mut relay = Relay::prepare(settings.clone())?;
    let script = relay.folder().join("who.js");
    std::fs::write(&script, SCRIPT)?;
    relay
        .write_settings(settings.plugin("who", &script).set("plugins.who.grants.edit", vec!["recipients"]))?;
    relay.start_again()?;
    Ok(relay)
}

fn told(client: &mut Client, expected: &[(&str, u16, &str)]) -> Result<()> {
    for (command, code, text) in expected {
        let answer = client.command(command)?;
        assert!(answer.code == *code && answer.text().contains(text), "{command}: {answer}");
    }
    Ok(())
}

#[test]
fn by_default_nothing_is_told() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_script(for_strangers(&sink, "silent"))?;
    let mut client = relay.client()?;
    let hello = client.command("EHLO client.example")?.text();
    assert!(!hello.contains("VRFY") && !hello.contains("EXPN"), "{hello}");
    told(
        &mut client,
        &[
            ("VRFY gone@us.example", 252, "2.5.0"),
            ("VRFY a@foreign.example", 252, "2.5.0"),
            ("EXPN team@us.example", 502, "5.5.1"),
        ],
    )
}

#[test]
fn what_rcpt_would_be_told_is_told_without_mail() -> Result<()> {
    let sink = Sink::start()?;
    let relay = with_script(for_strangers(&sink, "recipients").set("clients.refused_recipients_max", 4))?;
    let mut client = relay.client()?;
    let hello = client.command("EHLO client.example")?.text();
    assert!(hello.contains("VRFY") && hello.contains("EXPN"), "{hello}");
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    told(
        &mut client,
        &[
            ("VRFY <ann@us.example>", 250, "2.1.5 <ann@us.example>"),
            ("VRFY ann", 252, "2.5.0"),
            ("VRFY grey@us.example", 252, "2.5.0"),
            ("EXPN team@us.example", 250, "<ann@us.example>\n2.1.5 <bob@them.example>"),
            ("EXPN ann@us.example", 550, "5.2.0 That is a mailbox"),
            ("RCPT TO:<ann@us.example>", 250, "2.1.5"),
            ("VRFY gone@us.example", 550, "5.1.1 no such user"),
            ("VRFY a@foreign.example", 550, "5.7.1 Relaying denied"),
        ],
    )?;
    // The transaction went on meanwhile, and knows of its own recipient only.
    client.expect("DATA", 354)?;
    client.write(b"Subject: x\r\n\r\nbody\r\n.\r\n")?;
    client.expect_reply(250)?;
    assert_eq!(
        sink.wait_for(1)?.first().map(|received| received.recipients.clone()),
        Some(vec!["ann@us.example".to_owned()])
    );
    // Names that are tried one after the other count as at RCPT, also those from before.
    told(&mut client, &[("VRFY gone@us.example", 550, "5.1.1"), ("VRFY gone@us.example", 421, "4.7.1")])
}

#[test]
fn the_next_hop_is_asked_where_the_settings_say_so() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
        (Step::Rcpt, "left@us.example") => Say::Line("551 5.1.6 moved away".into()),
        (Step::Rcpt, "full@us.example") => Say::Line("452 4.2.2 full".into()),
        _ => Say::Yes,
    }))?;
    let relay = Relay::start(for_strangers(&sink, "next-hop"))?;
    told(
        &mut relay.client()?,
        &[
            ("VRFY ann@us.example", 250, "<ann@us.example>"),
            ("VRFY left@us.example", 551, "moved away"),
            ("VRFY full@us.example", 252, "2.5.0"),
        ],
    )?;
    assert!(sink.messages().is_empty());
    Ok(())
}

/// Who may not send learns nothing.
#[test]
fn users_log_in_before_they_ask() -> Result<()> {
    let sink = Sink::start()?;
    let settings = for_strangers(&sink, "recipients")
        .set("listeners.smtp.kind", "submission")
        .set("listeners.smtp.tls", "off")
        .set("listeners.smtp.auth_without_tls", true);
    let relay = Relay::start(settings)?;
    let password = relay.folder().join("password");
    std::fs::write(&password, "correct horse")?;
    relay.said(&[
        "user",
        "add",
        "ann",
        "--sender",
        "*",
        "--password-file",
        &password.display().to_string(),
    ])?;
    let mut client = relay.client()?;
    told(&mut client, &[("VRFY ann@us.example", 530, "5.7.0"), ("EXPN ann@us.example", 530, "5.7.0")])?;
    told(&mut client, &[("AUTH PLAIN AGFubgBjb3JyZWN0IGhvcnNl", 235, "2.7.0")])?;
    told(&mut client, &[("VRFY ann@us.example", 250, "<ann@us.example>")])?;
    assert_eq!(client.send("ann@us.example", &["b@far.example"], &message::plain("x"))?.code, 250);
    Ok(())
}
