//! In whose name an account sends, how much, and whose mail it is.

use anyhow::{Context, Result};
use baton_tests::program;
use baton_tests::relay::Relay;
use baton_tests::sink::Sink;

use super::*;

#[test]
fn an_account_sends_in_its_own_name_only() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink))?;
    add(&relay, "ann@one.example", "tanstaaf", &[])?;
    add(&relay, "bob", "tanstaaf", &["--sender", "@.two.example", "--sender", "bob@three.example"])?;
    add(&relay, "any", "tanstaaf", &["--sender", "*"])?;
    let own = message("Ann <ann@one.example>");
    let no_from = b"Subject: x\r\n\r\nbody\r\n".to_vec();
    let twice = [b"From: ann@one.example\r\n", &message("ann@one.example")[..]].concat();
    for (account, sender, message, code, enhanced) in [
        ("ann@one.example", "ann@one.example", own.clone(), 250, "2"),
        ("ann@one.example", "ANN@ONE.EXAMPLE", own.clone(), 250, "2"),
        ("ann@one.example", "", own.clone(), 250, "2"),
        ("ann@one.example", "bob@one.example", own.clone(), 553, "5.7.1"),
        ("ann@one.example", "ann@one.example", message("eve@evil.example"), 550, "5.7.1"),
        ("ann@one.example", "", message("eve@evil.example"), 550, "5.7.1"),
        ("ann@one.example", "ann@one.example", message("ann@one.example, eve@evil.example"), 550, "5.7.1"),
        (
            "ann@one.example",
            "ann@one.example",
            message("\"ann@one.example\" <eve@evil.example>"),
            550,
            "5.7.1",
        ),
        ("ann@one.example", "ann@one.example", no_from.clone(), 550, "5.7.1"),
        ("ann@one.example", "ann@one.example", twice.clone(), 550, "5.7.1"),
        ("bob", "x@sub.two.example", message("y@two.example"), 250, "2"),
        ("bob", "bob@three.example", message("bob@three.example"), 250, "2"),
        ("bob", "eve@three.example", own.clone(), 553, "5.7.1"),
        ("any", "x@anywhere.example", no_from, 250, "2"),
        ("any", "x@anywhere.example", twice, 250, "2"),
    ] {
        let mut client = authenticated(&relay, account, "tanstaaf")?;
        let answer = client.send(sender, &["bo@dest.example"], &message)?;
        let text = String::from_utf8_lossy(&message).into_owned();
        assert!(
            answer.code == code && answer.text().starts_with(enhanced),
            "{account} {sender} {text}: {answer}"
        );
    }
    Ok(())
}

#[test]
fn quotas_hold_over_sessions_and_restarts() -> Result<()> {
    let sink = Sink::start()?;
    let mut relay = Relay::start(settings(&sink))?;
    add(&relay, "ann", "tanstaaf", &["--sender", "*", "--messages-per-hour", "2"])?;
    add(&relay, "bob", "tanstaaf", &["--sender", "*", "--recipients-per-day", "3"])?;
    let send = |relay: &Relay, account: &str, recipients: &[&str]| {
        authenticated(relay, account, "tanstaaf")?.send(
            "a@one.example",
            recipients,
            &message("a@one.example"),
        )
    };
    assert_eq!(send(&relay, "ann", &["x@dest.example", "y@dest.example"])?.code, 250);
    // What was refused anyway costs nothing.
    let mut refused = authenticated(&relay, "ann", "tanstaaf")?;
    refused.expect("MAIL FROM:<a@one.example>", 250)?;
    refused.expect("RSET", 250)?;
    assert_eq!(send(&relay, "ann", &["x@dest.example"])?.code, 250);
    let answer = send(&relay, "ann", &["x@dest.example"])?;
    assert!(answer.code == 451 && answer.text().starts_with("4.7.1"), "{answer}");
    assert!(answer.text().contains("2 messages in an hour; try again in"), "{answer}");
    relay.stop()?;
    relay.start_again()?;
    assert_eq!(send(&relay, "ann", &["x@dest.example"])?.code, 451);

    // Recipients beyond the bound are refused one by one, and the others go out.
    let mut client = authenticated(&relay, "bob", "tanstaaf")?;
    client.expect("MAIL FROM:<b@one.example>", 250)?;
    for name in ["x", "y", "z"] {
        client.expect(&format!("RCPT TO:<{name}@dest.example>"), 250)?;
    }
    let answer = client.command("RCPT TO:<w@dest.example>")?;
    assert!(answer.code == 452 && answer.text().starts_with("4.5.3"), "{answer}");
    assert_eq!(client.data(&message("b@one.example"))?.code, 250);
    assert_eq!(send(&relay, "bob", &["x@dest.example"])?.code, 452);
    relay.said(&["user", "set", "bob", "--recipients-per-day", "0"])?;
    assert_eq!(send(&relay, "bob", &["x@dest.example"])?.code, 250);
    assert!(relay.metrics()?.contains("baton_session_quota_refusals_total{what=\"recipients\"}"));
    Ok(())
}

#[test]
fn what_is_taken_from_an_account_is_taken_from_open_sessions() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink))?;
    add(&relay, "ann", "tanstaaf", &["--sender", "*"])?;
    let mut open: Vec<_> = (0..4).map(|_| authenticated(&relay, "ann", "tanstaaf")).collect::<Result<_>>()?;
    let mut next = || open.pop().expect("a session for each case");
    relay.said(&["user", "set", "ann", "--sender", "@one.example"])?;
    let mut changed = next();
    changed.expect("MAIL FROM:<x@one.example>", 250)?;
    changed.expect("RSET", 250)?;
    changed.expect("MAIL FROM:<x@two.example>", 553)?;
    assert!(user(&relay, &["passwd", "ann", "--password-file", "-"], "new")?.status.success());
    next().expect("MAIL FROM:<x@one.example>", 421)?;
    let mut again = authenticated(&relay, "ann", "new")?;
    relay.said(&["user", "disable", "ann"])?;
    let answer = again.expect("MAIL FROM:<x@one.example>", 421)?;
    assert!(answer.text().starts_with("4.7.0") && again.is_closed(), "{answer}");
    relay.said(&["user", "remove", "ann"])?;
    next().expect("MAIL FROM:<x@one.example>", 421)?;
    Ok(())
}

#[test]
fn mail_of_an_account_is_its_tenants() -> Result<()> {
    let sink = Sink::start()?;
    let header_rules = program::plugin("baton-plugin-header-rules")?;
    let settings = settings(&sink).plugin("acme", &header_rules).with(
        "[plugins.acme]\nwhen = \"tenant == 'acme' && stream == 'codes'\"\ngrants.edit = ['headers']\n\
         [[plugins.acme.config.rules]]\nname = 'mark'\nthen = { set = { X-Of = 'acme' } }",
    );
    let relay = Relay::start(settings)?;
    add(&relay, "ann", "tanstaaf", &["--sender", "*", "--tenant", "acme", "--stream", "codes"])?;
    add(&relay, "bob", "tanstaaf", &["--sender", "*"])?;
    for (number, (account, mark)) in [("ann", Some("acme")), ("bob", None)].into_iter().enumerate() {
        let mut client = authenticated(&relay, account, "tanstaaf")?;
        let answer = client.send("a@one.example", &["bo@dest.example"], &message("a@one.example"))?;
        let story = relay.admin("GET", &format!("/v1/messages/{}", answer.message_id()?), "")?.to_string();
        assert!(story.contains(&format!("\"account\":\"{account}\"")), "{story}");
        let received = sink.wait_for(number + 1)?.pop().context("a message")?;
        assert_eq!(received.header("X-Of").as_deref(), mark, "{account}");
    }
    Ok(())
}

#[test]
fn a_list_of_accounts_names_what_is_wrong_with_the_question() -> Result<()> {
    let relay = Relay::start(settings(&Sink::start()?))?;
    for (question, field) in [("limit=x", "limit"), ("after=", "after"), ("colour=blue", "colour")] {
        let (code, told) = relay.admin_raw("GET", &format!("/v1/accounts?{question}"), "")?;
        assert!(code == 400 && told.contains(&format!("\"{field}\"")), "{question}: {code} {told}");
    }
    Ok(())
}

/// Whoever XCLIENT vouches for has the rights that the store gives.
#[test]
fn a_login_that_was_told_is_held_to_its_account() -> Result<()> {
    let sink = Sink::start()?;
    let settings = settings(&sink)
        .set("session.relay_networks", Vec::<String>::new())
        .set("listeners.smtp.xclient_networks", vec!["127.0.0.0/8"]);
    let relay = Relay::start(settings)?;
    add(&relay, "ann@one.example", "tanstaaf", &[])?;
    add(&relay, "eve@one.example", "tanstaaf", &[])?;
    relay.said(&["user", "disable", "eve@one.example"])?;
    let mut proxy = Client::greeted(relay.smtp()?)?;
    proxy.expect("XCLIENT ADDR=192.0.2.9 LOGIN=ann@one.example", 220)?;
    proxy.expect("EHLO client.example", 250)?;
    proxy.expect("MAIL FROM:<bob@one.example>", 553)?;
    proxy.expect("MAIL FROM:<ann@one.example>", 250)?;
    let mut proxy = Client::greeted(relay.smtp()?)?;
    let answer = proxy.command("XCLIENT ADDR=192.0.2.9 LOGIN=eve@one.example")?;
    assert!(answer.code == 421 && proxy.is_closed(), "{answer}");
    Ok(())
}

fn of_acme<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["--tenant", "acme"].into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn a_sender_outside_of_the_tenants_domains_is_told_of_when_it_is_named_and_when_it_sends() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(settings(&sink))?;
    let said = add(&relay, "early", "tanstaaf", &of_acme(&["--sender", "@acme.example"]))?;
    assert!(said.contains("note: there is no tenant `acme`"), "{said}");
    relay.said(&["tenant", "add", "acme", "--domain", "acme.example"])?;
    relay.said(&["tenant", "add", "rival", "--domain", "rival.example"])?;
    for (name, more) in [
        (
            "fits",
            &["--sender", "@acme.example", "--sender", "@.example", "--sender", "x@sub.acme.example"][..],
        ),
        ("all", &["--sender", "*"]),
        ("ann@acme.example", &[]),
    ] {
        let said = add(&relay, name, "tanstaaf", &of_acme(more))?;
        assert!(!said.contains("note:"), "{said}");
    }
    let remedy = "`baton tenant set acme --domain acme.example --domain rival.example`";
    for (name, more) in [
        ("bob", &["--sender", "bob@acme.example", "--sender", "bob@rival.example"][..]),
        ("ann@rival.example", &[]),
    ] {
        let said = add(&relay, name, "tanstaaf", &of_acme(more))?;
        let note = said.lines().find(|line| line.starts_with("note: ")).context(said.clone())?;
        assert!(note.contains("@rival.example is refused") && note.contains(remedy), "{said}");
        assert!(note.contains("the tenant `acme` has acme.example only"), "{said}");
    }
    let shown = relay.said(&["user", "list", "bob"])?;
    assert!(shown.contains(remedy), "{shown}");
    let all = relay.said(&["user", "list"])?;
    assert_eq!(all.matches("note: mail from").count(), 2, "bob and ann@rival.example: {all}");
    let mut client = authenticated(&relay, "bob", "tanstaaf")?;
    let refused = client.send("bob@rival.example", &["bo@dest.example"], &message("bob@rival.example"))?;
    let text = refused.text();
    assert!(refused.code == 553 && text.contains("a domain of its tenant"), "{refused}");
    assert!(!text.contains("rival`"), "whose domain that is, is nobody's business: {refused}");
    Ok(())
}
