//! Plugins that decide about senders and recipients.

use std::fs;

use anyhow::{Context, Result};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::{message, wait};

use super::shipped;

#[test]
fn greylist_takes_who_comes_again() -> Result<()> {
    let sink = Sink::start()?;
    let config = "grants.kv = ['greylist']\nconfig = { delay_s = 1, exempt_networks = [] }";
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "greylist", config)?)?;
    let mut client = relay.client()?;
    let send = |client: &mut baton_tests::client::Client| {
        client.send("a@sender.example", &["b@dest.example"], &message::plain("grey"))
    };
    let first = send(&mut client)?;
    assert!(first.code == 451 && first.text().contains("4.7.1 greylisted"), "{first}");
    wait::until(
        "the retry to be taken",
        || Ok(Some(send(&mut client)?).filter(|answer| answer.code == 250)),
    )?;
    let known = send(&mut client)?;
    assert_eq!(known.code, 250, "{known}");
    let other = client.send("c@sender.example", &["b@dest.example"], &message::plain("grey"))?;
    assert_eq!(other.code, 451, "{other}");
    Ok(())
}

#[test]
fn recipient_verify_asks_the_next_hop_once() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
        (Step::Rcpt, "gone@us.example") => Say::Line("550 5.1.1 no such user here".into()),
        _ => Say::Yes,
    }))?;
    let config = "grants = { kv = ['recipient-verify'], verify = true }\nconfig.recipients = ['us.example']";
    let relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "recipient-verify", config)?)?;
    let mut client = relay.client()?;
    for _ in 0..3 {
        let gone = client.send("a@sender.example", &["gone@us.example"], &message::plain("gone"))?;
        assert!(gone.code == 550 && gone.text().contains("no such user here"), "{gone}");
    }
    assert_eq!(sink.times(Step::Rcpt), 1, "the answer is remembered");
    assert!(sink.messages().is_empty());
    let known = client.send("a@sender.example", &["ada@us.example"], &message::plain("known"))?;
    assert_eq!(known.code, 250, "{known}");
    let foreign = client.send("a@sender.example", &["gone@else.example"], &message::plain("foreign"))?;
    assert_eq!(foreign.code, 250, "{foreign}");
    sink.wait_for(2)?;
    Ok(())
}

#[test]
fn duplicate_filter_delivers_a_message_once() -> Result<()> {
    let sink = Sink::start()?;
    let config = "grants = { kv = ['duplicate-filter'], edit = ['recipients'] }";
    let mut relay =
        Relay::start(shipped(Settings::new().all_to(sink.address()), "duplicate-filter", config)?)?;
    let first = relay.send("a@sender.example", &["b@dest.example"], &message::plain("twice"))?;
    relay.wait_for_event(&first, "delivered")?;
    assert!(relay.stop()?.success());
    relay.start_again()?;
    // Again for the one who has it, and for another one.
    let again = ["b@dest.example", "c@dest.example"];
    let second = relay.send("a@sender.example", &again, &message::plain("twice"))?;
    relay.wait_for_event(&second, "delivered")?;
    let third = relay.client()?.send("a@sender.example", &again, &message::plain("twice"))?;
    assert_eq!(third.code, 250, "{third}");
    relay.send("a@sender.example", &["b@dest.example"], &message::plain("another"))?;
    sink.wait_for(3)?;
    relay.wait_until_empty()?;
    let mut taken: Vec<_> = sink
        .messages()
        .iter()
        .map(|message| (message.header("Subject").unwrap_or_default(), message.recipients.join(",")))
        .collect();
    taken.sort();
    let pair = |subject: &str, recipients: &str| (subject.to_owned(), recipients.to_owned());
    let expected =
        [pair("another", "b@dest.example"), pair("twice", "b@dest.example"), pair("twice", "c@dest.example")];
    assert_eq!(taken, expected);
    Ok(())
}

#[test]
fn srs_rewrites_what_is_forwarded_and_takes_its_bounce_back() -> Result<()> {
    let sink = Sink::start()?;
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("srs.key");
    fs::write(&secret, "correct horse battery staple\n")?;
    let config = format!(
        "grants.edit = ['recipients', 'sender']\nsecrets.key.file = '{}'\n\
         config = {{ domain = 'forward.example', local_domains = ['us.example'] }}",
        secret.display()
    );
    let settings = Settings::new()
        .all_to(sink.address())
        .set("session.relay_networks", Vec::<String>::new())
        .set("local_domains", vec!["us.example", "forward.example"]);
    let relay = Relay::start(shipped(settings, "srs", &config)?.with(
        // The forwarding itself: an alias that leads elsewhere.
        &format!(
            "[plugins.recipient-policy]\nsource = '{}'\ngrants.edit = ['recipients']\n\
             config.alias = {{ 'team@us.example' = 'ann@elsewhere.example' }}",
            baton_tests::program::plugin("baton-plugin-recipient-policy")?.display()
        ),
    ))?;
    relay.send("bob@sender.example", &["team@us.example"], &message::plain("forwarded"))?;
    let forwarded = sink.wait_for(1)?.pop().context("a message")?;
    assert_eq!(forwarded.recipients, ["ann@elsewhere.example"]);
    let (local, domain) = forwarded.sender.rsplit_once('@').context("a sender")?;
    assert!(local.starts_with("SRS0=") && local.ends_with("=sender.example=bob"), "{local}");
    assert_eq!(domain, "forward.example");
    relay.send("", &[&forwarded.sender], &message::plain("bounce"))?;
    let bounce = sink.wait_for(2)?.pop().context("a message")?;
    assert_eq!(bounce.recipients, ["bob@sender.example"]);
    let forged = forwarded.sender.replace("=bob@", "=eve@");
    let refused = relay.client()?.send("", &[&forged], &message::plain("forged"))?;
    assert!(refused.code == 550 && refused.text().contains("not a rewritten address of ours"), "{refused}");
    // Mail that stays in the house keeps its sender.
    relay.send("bob@sender.example", &["ada@us.example"], &message::plain("local"))?;
    assert_eq!(sink.wait_for(3)?.pop().context("a message")?.sender, "bob@sender.example");
    Ok(())
}

#[test]
fn tenant_quota_counts_over_sessions_and_restarts() -> Result<()> {
    let sink = Sink::start()?;
    let config = "\
grants.kv = ['tenant-quota']
[[plugins.tenant-quota.config.limits]]
name = 'recipients'
per = 'sender-domain'
count = 'recipients'
limit = 3
window = 'day'
overrides = { 'large.example' = 100 }
";
    let mut relay = Relay::start(shipped(Settings::new().all_to(sink.address()), "tenant-quota", config)?)?;
    let two = ["b@dest.example", "c@dest.example"];
    relay.send("a@shop.example", &two, &message::plain("first"))?;
    assert!(relay.stop()?.success());
    relay.start_again()?;
    let over = relay.client()?.send("b@shop.example", &two, &message::plain("second"))?;
    assert!(over.code == 452 && over.text().contains("quota of shop.example"), "{over}");
    relay.send("a@shop.example", &["b@dest.example"], &message::plain("third"))?;
    let over = relay.client()?.send("a@shop.example", &["b@dest.example"], &message::plain("fourth"))?;
    assert_eq!(over.code, 452, "{over}");
    for _ in 0..3 {
        relay.send("a@large.example", &two, &message::plain("large"))?;
    }
    Ok(())
}
