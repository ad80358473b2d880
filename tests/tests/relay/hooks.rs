//! Plugins at the six hooks: the ones that ship, in a real relay.

mod compiling;
mod failures;
mod reach;
mod reload;
mod running;
mod scripts;
mod switches;

use anyhow::{Context, Result};
use baton_tests::client::Client;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::zone::Zone;
use baton_tests::{message, program, wait};

/// `open sesame`, hashed with parameters that are cheap enough for tests.
const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$qOeDkc0QMHiUu6N+tlcskqjgE1DGFvsKpDFla7aoXGA";

/// A plugin that ships, under the name of its crate.
fn with_plugin(settings: Settings, name: &str, config: &str) -> Result<Settings> {
    let settings = settings.plugin(name, &program::plugin(&format!("baton-plugin-{name}"))?);
    Ok(settings.with(config))
}

#[test]
fn connect_refuses_a_listed_client_and_no_other() -> Result<()> {
    let zone = Zone::serve("66.0.0.127.bl.example. 60 IN A 127.0.0.2\nbl.example. 60 IN A 127.0.0.9\n")?;
    let settings = with_plugin(
        Settings::new().names_from(zone.address()),
        "dnsbl",
        "[plugins.dnsbl]\ngrants.dns = true\nconfig.exempt_networks = []\nconfig.zones = [{ zone = 'bl.example', reject = true }]",
    )?;
    let relay = Relay::start(settings)?;
    let mut listed = Client::connect_from("127.0.0.66".parse()?, relay.smtp()?)?;
    let answer = listed.reply()?;
    assert_eq!(answer.code, 554, "{answer}");
    assert!(answer.text().contains("127.0.0.66 is listed by bl.example"), "{answer}");
    relay.client()?.expect("NOOP", 250)?;
    Ok(())
}

#[test]
fn auth_opens_the_relay_for_users() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new()
        .all_to(sink.address())
        .set("session.relay_networks", Vec::<String>::new())
        .set("session.auth_failure_delay_ms", 1)
        .set("listeners.smtp.kind", "submission")
        .set("listeners.smtp.auth_without_tls", true);
    let settings =
        with_plugin(settings, "auth-static", &format!("[plugins.auth-static.config.users]\nada = '{HASH}'"))?;
    let relay = Relay::start(settings)?;
    let mut client = relay.client()?;
    assert_eq!(client.command("MAIL FROM:<ada@sender.example>")?.code, 530);
    // ada, "wrong": 535; no user at all: the same.
    for given in ["AGFkYQB3cm9uZw==", "AGJvYgB3cm9uZw=="] {
        assert_eq!(client.command(&format!("AUTH PLAIN {given}"))?.code, 535);
    }
    client.expect("AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ==", 235)?;
    let bare = b"From: ada@sender.example\r\nSubject: submitted\r\n\r\nHello.\r\n";
    let answer = client.send("ada@sender.example", &["b@dest.example"], bare)?;
    assert_eq!(answer.code, 250, "{answer}");
    let received = sink.wait_for(1)?.pop().context("a message")?;
    // Submission completes a message (RFC 6409 8); a relay port would not.
    assert!(
        received.header("Date").is_some() && received.header("Message-ID").is_some(),
        "{}",
        received.text()
    );
    assert!(received.header("Received").context("Received")?.contains("ESMTPA"), "{}", received.text());
    let mut login = relay.client()?;
    login.expect("AUTH LOGIN", 334)?;
    login.expect("YWRh", 334)?;
    login.expect("b3BlbiBzZXNhbWU=", 235)?;
    Ok(())
}

#[test]
fn rcpt_rejects_aliases_discards_and_grants() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new()
        .all_to(sink.address())
        .set("session.relay_networks", Vec::<String>::new())
        .set("local_domains", vec!["us.example"]);
    let config = "\
[plugins.recipient-policy.grants]
relay = true
edit = ['recipients']
[plugins.recipient-policy.config]
accept = ['partner.example']
discard = ['null@us.example']
reject = { 'gone@us.example' = '550 5.1.1 no such user' }
alias = { 'team@us.example' = ['ada@us.example', 'bo@us.example'] }
";
    let relay = Relay::start(with_plugin(settings, "recipient-policy", config)?)?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    assert_eq!(client.command("RCPT TO:<gone@us.example>")?.code, 550);
    assert_eq!(client.command("RCPT TO:<b@foreign.example>")?.code / 100, 5);
    for recipient in ["b@partner.example", "team@us.example", "null@us.example", "plain@us.example"] {
        client.expect(&format!("RCPT TO:<{recipient}>"), 250)?;
    }
    assert_eq!(client.data(&message::plain("policy"))?.code, 250);
    relay.wait_until_empty()?;
    let mut taken: Vec<_> = sink.messages().into_iter().flat_map(|message| message.recipients).collect();
    taken.sort();
    assert_eq!(taken, ["ada@us.example", "b@partner.example", "bo@us.example", "plain@us.example"]);
    Ok(())
}

#[test]
fn without_the_grant_a_plugin_opens_no_relay() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new().all_to(sink.address()).set("session.relay_networks", Vec::<String>::new());
    let config = "[plugins.recipient-policy.config]\naccept = ['partner.example']";
    let relay = Relay::start(with_plugin(settings, "recipient-policy", config)?)?;
    let answer =
        relay.client()?.send("a@sender.example", &["b@partner.example"], &message::plain("no-grant"))?;
    assert_eq!(answer.code / 100, 5, "{answer}");
    Ok(())
}

#[test]
fn data_tags_rejects_and_quarantines() -> Result<()> {
    let sink = Sink::start()?;
    let config = "\
[plugins.header-rules]
grants.edit = ['headers']
[[plugins.header-rules.config.rules]]
name = 'refuse'
match = { header = 'Subject', contains = 'forbidden' }
then = { reject = '550 5.7.1 forbidden words' }
[[plugins.header-rules.config.rules]]
name = 'hold'
match = { header = 'Subject', contains = 'doubtful' }
then = { quarantine = 'somebody should look' }
[[plugins.header-rules.config.rules]]
name = 'mark'
then = { add = { 'X-Mark' = 'größe' }, remove = ['X-Secret'], set = { Subject = 'marked' } }
";
    let relay = Relay::start(with_plugin(Settings::new().all_to(sink.address()), "header-rules", config)?)?;
    let mut client = relay.client()?;
    let refused = client.send("a@sender.example", &["b@dest.example"], &message::plain("forbidden"))?;
    assert!(refused.code == 550 && refused.text().starts_with("5.7.1 forbidden words"), "{refused}");
    // Nothing of the refused transaction is left (the next one begins with MAIL).
    assert_eq!(client.command("RCPT TO:<b@dest.example>")?.code, 503);
    let held = client.send("a@sender.example", &["b@dest.example"], &message::plain("doubtful"))?;
    assert_eq!(held.code, 250, "{held}");
    let secret = [b"X-Secret: 1\r\n".to_vec(), message::plain("ordinary")].concat();
    assert_eq!(client.send("a@sender.example", &["b@dest.example"], &secret)?.code, 250);
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("Subject").as_deref(), Some("marked"));
    assert_eq!(received.header("X-Secret"), None);
    // The value is not ASCII, so it travels as an encoded word (RFC 2047).
    let mark = received.header("X-Mark").context("X-Mark")?;
    assert!(mark.is_ascii() && mark.to_lowercase().starts_with("=?utf-8?"), "{mark}");
    let held = held.message_id()?;
    assert!(relay.wait_for_event(&held, "held")?.to_string().contains("somebody should look"));
    relay.said(&["queue", "release", &held])?;
    sink.wait_for(2)?;
    Ok(())
}

#[test]
fn route_sends_by_its_table_within_its_grants() -> Result<()> {
    let (sink, other) = (Sink::start()?, Sink::start()?);
    let config = format!(
        "[plugins.route-map]\ngrants.route = ['host:127.0.0.1']\n[plugins.route-map.config.routes]\n\
         'vip@dest.example' = '{}'\n'held.example' = 'hold:by the table'\n'gone.example' = 'fail:550 5.1.2 no such domain here'\n",
        other.address()
    );
    let relay = Relay::start(with_plugin(Settings::new().all_to(sink.address()), "route-map", &config)?)?;
    let id = relay.send(
        "",
        &["b@dest.example", "vip@dest.example", "c@held.example", "d@gone.example"],
        &message::plain("routed"),
    )?;
    let at_sink = sink.wait_for(1)?;
    let at_other = other.wait_for(1)?;
    assert_eq!(
        at_sink.iter().flat_map(|message| message.recipients.clone()).collect::<Vec<_>>(),
        ["b@dest.example"]
    );
    assert_eq!(
        at_other.iter().flat_map(|message| message.recipients.clone()).collect::<Vec<_>>(),
        ["vip@dest.example"]
    );
    relay.wait_for_event(&id, "held")?;
    assert!(relay.wait_for_event(&id, "failed")?.to_string().contains("no such domain here"));
    Ok(())
}

#[test]
fn bounce_decides_what_follows_a_failure() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| {
        match (moment.step, moment.argument.as_str(), moment.times_before) {
            (Step::Rcpt, "grey@dest.example", 0) => Say::Line("550 5.7.1 greylisted, come back".into()),
            (Step::Rcpt, "quiet@dest.example", _) => Say::Line("550 5.7.1 go away".into()),
            (Step::Rcpt, "gone@dest.example", _) => Say::Line("550 5.1.1 no such user".into()),
            _ => Say::Yes,
        }
    }))?;
    let config = "\
[[plugins.bounce-rules.config.rules]]
name = 'grey'
contains = 'greylisted'
action = 'retry'
retry_after_s = 1
set_class = 'greylist'
[[plugins.bounce-rules.config.rules]]
name = 'quiet'
contains = 'go away'
action = 'silent'
";
    let relay = Relay::start(with_plugin(Settings::new().all_to(sink.address()), "bounce-rules", config)?)?;
    let grey = relay.send("a@sender.example", &["grey@dest.example"], &message::plain("grey"))?;
    let quiet = relay.send("a@sender.example", &["quiet@dest.example"], &message::plain("quiet"))?;
    let gone = relay.send("a@sender.example", &["gone@dest.example"], &message::plain("gone"))?;
    assert!(relay.wait_for_event(&grey, "deferred")?.to_string().contains("greylist"));
    relay.wait_for_event(&grey, "delivered")?;
    relay.wait_for_event(&quiet, "failed")?;
    let failed = relay.wait_for_event(&gone, "failed")?;
    assert!(failed.to_string().to_lowercase().replace('-', "").contains("badmailbox"), "{failed}");
    relay.wait_until_empty()?;
    wait::quiet();
    let reports = sink.messages().into_iter().filter(|message| message.sender.is_empty()).count();
    assert_eq!(reports, 1, "one for gone, none for quiet");
    Ok(())
}

#[test]
fn rate_limits_count_over_sessions_and_restarts() -> Result<()> {
    let sink = Sink::start()?;
    let config = "\
[plugins.rate-limit]
grants.kv = ['rate-limit']
[[plugins.rate-limit.config.rules]]
name = 'recipients'
at = 'rcpt'
key = '{sender}'
burst = 2
period_s = 3600
";
    let mut relay = Relay::start(with_plugin(Settings::new().all_to(sink.address()), "rate-limit", config)?)?;
    for expected in [250, 250, 451] {
        let answer =
            relay.client()?.send("a@sender.example", &["b@dest.example"], &message::plain("limited"))?;
        assert_eq!(answer.code, expected, "{answer}");
    }
    let other = relay.client()?.send("c@sender.example", &["b@dest.example"], &message::plain("other"))?;
    assert_eq!(other.code, 250, "{other}");
    assert!(relay.stop()?.success());
    relay.start_again()?;
    let answer = relay.client()?.send("a@sender.example", &["b@dest.example"], &message::plain("limited"))?;
    assert_eq!(answer.code, 451, "{answer}");
    Ok(())
}

#[test]
fn a_chain_over_all_six_hooks_is_explained() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.times_before) {
        (Step::Rcpt, 0) => Say::Line("450 4.2.0 greylisted".into()),
        _ => Say::Yes,
    }))?;
    let zone = Zone::serve("bl.example. 60 IN A 127.0.0.9\n")?;
    let mut settings = Settings::new()
        .all_to(sink.address())
        .names_from(zone.address())
        .set("listeners.smtp.auth_without_tls", true)
        .set("local_domains", vec!["dest.example"]);
    let target = sink.address();
    for (name, config) in [
        ("dnsbl", "[plugins.dnsbl]\ngrants.dns = true\nconfig.exempt_networks = []\nconfig.zones = [{ zone = 'bl.example', reject = true }]".to_owned()),
        ("auth-static", format!("[plugins.auth-static.config.users]\nada = '{HASH}'")),
        ("rate-limit", "[plugins.rate-limit]\ngrants.kv = ['rate-limit']\nconfig.rules = [{ name = 'r', at = 'rcpt', key = '{sender}', burst = 9, period_s = 60 }]".to_owned()),
        ("recipient-policy", "[plugins.recipient-policy]\nconfig.accept = ['dest.example']".to_owned()),
        ("header-rules", "[plugins.header-rules]\ngrants.edit = ['headers']\nconfig.rules = [{ name = 'mark', then = { add = { X-Mark = 'yes' } } }]".to_owned()),
        ("route-map", format!("[plugins.route-map]\ngrants.route = ['*']\nconfig.routes = {{ 'dest.example' = '{target}' }}")),
        ("bounce-rules", "[plugins.bounce-rules]\nconfig.rules = [{ name = 'grey', contains = 'greylisted', action = 'retry', retry_after_s = 1 }]".to_owned()),
    ] {
        settings = with_plugin(settings, name, &config)?;
    }
    let relay = Relay::start(settings)?;
    let mut client = relay.client()?;
    client.expect("AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ==", 235)?;
    let id = client.send("a@sender.example", &["b@dest.example"], &message::plain("chain"))?.message_id()?;
    let received = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(received.header("X-Mark").as_deref(), Some("yes"));
    relay.wait_for_event(&id, "delivered")?;
    let told = relay.said(&["explain", &id])?;
    for plugin in ["header-rules", "route-map", "bounce-rules", "recipient-policy"] {
        assert!(told.contains(plugin), "no {plugin} in {told}");
    }
    let listed = relay.said(&["plugins"])?;
    for hook in ["connect", "auth", "rcpt", "data", "route", "bounce"] {
        assert!(listed.contains(hook), "no {hook} in {listed}");
    }
    Ok(())
}
