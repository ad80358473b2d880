//! Reply codes that have a meaning of their own: given where the standards ask for them, understood where others give them.
//! The whole table is in `tests/CONFORMANCE.md`.

use anyhow::{Context, Result};
use baton_tests::message;
use baton_tests::program;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Moment, Say, Sink, Step};
use baton_tests::suite;
use baton_tests::zone::Zone;
use toml::Value;

use crate::router::code_of;

const ZONE: &str = "\
null.example. 60 IN MX 0 .
mail.example. 60 IN MX 10 mx.mail.example.
mx.mail.example. 60 IN A 192.0.2.1
";

/// What each code means to us at RCPT, without an enhanced code to help.
#[test]
fn every_code_of_a_next_hop_is_understood_at_rcpt() -> Result<()> {
    let later = [421, 450, 451, 452, 552].map(|code| (code, "deferred"));
    let never = [550, 551, 553, 554, 556].map(|code| (code, "failed"));
    let expected = [later, never].concat();
    let script = |moment: &Moment| match (moment.step, moment.argument.split_once('@')) {
        (Step::Rcpt, Some((code, _))) if moment.times_before == 0 => Say::Line(format!("{code} as asked")),
        _ => Say::Yes,
    };
    let sink = Sink::with(Behaviour::script(script).offering(&["PIPELINING"]))?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    for (code, outcome) in &expected {
        let id = relay.send("", &[&format!("{code}@dest.example")], &message::plain("codes"))?;
        let event = relay.wait_for_event(&id, outcome).with_context(|| code.to_string())?;
        assert_eq!(event["status"]["code"], *code, "{event}");
    }
    suite::conclude("codes at RCPT that are understood", expected.len(), &[])
}

/// 552 is temporary only where it may mean that there were too many recipients (RFC 5321 4.5.3.1.10).
#[test]
fn a_full_mailbox_and_a_large_message_are_no_matter_of_too_many_recipients() -> Result<()> {
    for (step, line, outcome, enhanced) in [
        (Step::Rcpt, "552 5.2.2 mailbox full", "failed", "5.2.2"),
        (Step::Rcpt, "552 5.5.3 too many recipients", "deferred", "4.5.3"),
        (Step::Mail, "552 5.3.4 too large", "failed", "5.3.4"),
    ] {
        let script =
            move |moment: &Moment| if moment.step == step { Say::Line(line.into()) } else { Say::Yes };
        let sink = Sink::with(Behaviour::script(script))?;
        let relay = Relay::start(Settings::new().all_to(sink.address()))?;
        let id = relay.send("", &["b@dest.example"], &message::plain("552"))?;
        let event = relay.wait_for_event(&id, outcome).with_context(|| line.to_owned())?;
        assert_eq!(code_of(&event), enhanced, "{line}: {event}");
    }
    Ok(())
}

/// A host that never takes mail is not asked again for the same message (RFC 7504 2).
#[test]
fn a_host_that_greets_with_521_is_not_tried_again() -> Result<()> {
    let script = |moment: &Moment| match moment.step {
        Step::Greeting => Say::Line("521 mx.dest.example takes no mail".into()),
        _ => Say::Yes,
    };
    let sink = Sink::with(Behaviour::script(script))?;
    let relay = Relay::start(
        Settings::new().all_to(sink.address()).set("delivery.retry_first_s", Value::Float(0.05)),
    )?;
    let id = relay.send("", &["b@dest.example"], &message::plain("521"))?;
    let failed = relay.wait_for_event(&id, "failed")?;
    assert_eq!(failed["status"]["code"], 521, "{failed}");
    relay.wait_until_empty()?;
    assert_eq!(sink.times(Step::Greeting), 1);
    Ok(())
}

#[test]
fn domains_that_take_no_mail_are_refused_where_the_settings_say_so() -> Result<()> {
    let (sink, zone) = (Sink::start()?, Zone::serve(ZONE)?);
    let settings = Settings::new().all_to(sink.address()).names_from(zone.address());
    let relay = Relay::start(settings.clone())?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@null.example>", 250)?;
    client.expect("RCPT TO:<b@null.example>", 250)?;
    // Recipients, of those who may relay.
    let relay = Relay::start(settings.clone().set("session.null_mx_recipients", true))?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@null.example>", 250)?;
    let refused = client.expect("RCPT TO:<b@null.example>", 556)?;
    assert!(refused.text().starts_with("5.1.10 "), "{refused}");
    client.expect("RCPT TO:<b@mail.example>", 250)?;
    // A domain that nobody knows is not known to take none.
    client.expect("RCPT TO:<b@unknown.example>", 250)?;
    // Senders, of strangers.
    let strangers = settings
        .set("session.null_mx_senders", true)
        .set("session.relay_networks", Vec::<Value>::new())
        .set("local_domains", vec!["here.example"]);
    let relay = Relay::start(strangers)?;
    let mut client = relay.client()?;
    let refused = client.expect("MAIL FROM:<a@null.example>", 550)?;
    assert!(refused.text().starts_with("5.7.27 "), "{refused}");
    for sender in ["", "a@mail.example", "a@here.example", "a@unknown.example"] {
        client.expect(&format!("MAIL FROM:<{sender}>"), 250)?;
        client.expect("RSET", 250)?;
    }
    Ok(())
}

/// Where somebody went is told by 551 (RFC 5321 3.4), which a plugin does that knows it.
#[test]
fn who_moved_is_told_by_551_and_other_codes_of_plugins_stay_as_they_are() -> Result<()> {
    let sink = Sink::start()?;
    let policy = program::plugin("baton-plugin-recipient-policy")?;
    let mut settings = Settings::new().all_to(sink.address()).plugin("moved", &policy).with(
        "[plugins.moved.config.reject]\n\"ann@dest.example\" = \"551 5.1.6 User not local; please try <ann@new.example>\"\n\
         \"bob@dest.example\" = \"550 5.1.1 no such user\"\n\"cid@dest.example\" = \"553 5.1.3 no such form of address\"\n",
    );
    settings = settings.with(
        "[plugins.moved.config.tempfail]\n\"dan@dest.example\" = \"450 4.2.1 mailbox busy\"\n\
         \"eve@dest.example\" = \"451 4.3.0 local error\"\n\"fay@dest.example\" = \"452 4.2.2 mailbox full\"\n",
    );
    let relay = Relay::start(settings)?;
    let mut client = relay.client()?;
    client.expect("MAIL FROM:<a@sender.example>", 250)?;
    for (name, code) in [("ann", 551), ("bob", 550), ("cid", 553), ("dan", 450), ("eve", 451), ("fay", 452)] {
        client.expect(&format!("RCPT TO:<{name}@dest.example>"), code)?;
    }
    Ok(())
}
