//! "Mail is stuck: what now" of the README: each entry of its table on a relay that is stuck in that way, seen and cured by its
//! words.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result, ensure};
use baton_tests::dns::Fault;
use baton_tests::message;
use baton_tests::pki::Pki;
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::wait;
use baton_tests::zone::Zone;
use serde_json::Value;

use super::smart_host;

const README: &str = include_str!("../../../README.md");

/// Nobody may keep the names.
const ZONE: &str = "dest.example. 0 IN MX 10 mx.dest.example.\nmx.dest.example. 0 IN A 127.0.0.1\n";

/// Nothing is tried again by itself, and no host is taken for mended.
fn patient() -> Settings {
    let settings = Settings::new().set("delivery.retry_first_s", 600.0).set("delivery.retry_max_s", 600.0);
    settings.set("delivery.host_failure_ms", 600_000)
}

/// Sends a message that will be stuck; returns its id when it is.
fn stuck(relay: &Relay) -> Result<String> {
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("stuck"))?;
    relay.wait_for_event(&id, "deferred")?;
    Ok(id)
}

/// Waits until the queue says so, and looks for the same in a row of the README's table; returns what it says to do.
fn says(relay: &Relay, text: &str, row: &str) -> Result<&'static str> {
    wait::until(&format!("the queue to say {text}"), || {
        Ok(relay.said(&["queue", "ls"])?.contains(text).then_some(()))
    })
    .with_context(|| relay.said(&["queue", "ls"]).unwrap_or_default())?;
    let rows = README.lines().skip_while(|line| *line != "## Mail is stuck: what now").skip(1);
    let mut rows = rows.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| "));
    let row = rows.find(|line| line.split(" | ").next().is_some_and(|says| says.contains(row)));
    row.and_then(|row| row.rsplit(" | ").next()).with_context(|| format!("the README has no row for {text}"))
}

/// Runs a command that a row of the README gives.
fn does(relay: &Relay, advice: &str, command: &str, words: &[&str]) -> Result<String> {
    ensure!(advice.contains(&format!("`{command}")), "{command} is not in the row: {advice}");
    relay.said(words)
}

/// An address where nobody listens.
fn nobody() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn reroute(relay: &Relay, advice: &str, sink: &Sink) -> Result<()> {
    let words = ["queue", "reroute", "--to", &sink.address().to_string(), "--domain", "dest.example"];
    does(relay, advice, "baton queue reroute --to HOST:PORT --domain D", &words)?;
    sink.wait_for(1)?;
    relay.wait_until_empty()
}

#[test]
fn nobody_listens() -> Result<()> {
    let address = nobody()?;
    let relay = Relay::start(patient().all_to(address))?;
    let says_so = "4.4.1 no connection: Connection refused";
    stuck(&relay)?;
    let advice = says(&relay, says_so, says_so)?;
    // Another way.
    reroute(&relay, advice, &Sink::start()?)?;
    // The host is mended.
    stuck(&relay)?;
    says(&relay, says_so, says_so)?;
    let mended = Sink::at(address, Behaviour::default())?;
    does(&relay, advice, "baton queue retry --domain D", &["queue", "retry", "--domain", "dest.example"])?;
    mended.wait_for(1)?;
    relay.wait_until_empty()
}

#[test]
fn the_host_says_nothing() -> Result<()> {
    let mute = Sink::with(Behaviour::script(|moment| match moment.step {
        Step::Greeting => Say::Stall(600_000),
        _ => Say::Yes,
    }))?;
    let relay = Relay::start(patient().all_to(mute.address()).set("delivery.greeting_ms", 300))?;
    stuck(&relay)?;
    let says_so = "4.4.2 no answer in time: waiting for the greeting";
    assert!(says(&relay, says_so, says_so)?.contains("the same"));
    let advice = says(&relay, says_so, "4.4.1 no connection")?;
    reroute(&relay, advice, &Sink::start()?)
}

#[test]
fn the_name_server_fails() -> Result<()> {
    let sink = Sink::start()?;
    let port = i64::from(sink.address().port());
    let faults = [(Fault::Silence, "the DNS did not answer in time"), (Fault::Failure, "the DNS failed")];
    for (count, (fault, says_so)) in (1..).zip(faults) {
        let zone = Zone::serve(ZONE)?;
        let relay = Relay::start(patient().names_from(zone.address()).set("delivery.smtp_port", port))?;
        zone.server().set_fault("dest.example", Some(fault));
        stuck(&relay)?;
        let says_so = format!("4.4.3 mail hosts of dest.example: {says_so}");
        let advice = says(&relay, &says_so, "4.4.3 mail hosts")?;
        assert!(advice.contains("dig MX D @SERVER") && advice.contains("then retry"), "{advice}");
        zone.server().set_fault("dest.example", None);
        relay.said(&["queue", "retry", "--domain", "dest.example"])?;
        sink.wait_for(count)?;
        relay.wait_until_empty()?;
    }
    Ok(())
}

#[test]
fn tls_is_required_and_not_to_be_had() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(patient().all_to(sink.address()).set("next_hops.sink.tls", "required"))?;
    stuck(&relay)?;
    let says_so = "4.7.5 the peer offers no STARTTLS";
    let advice = says(&relay, says_so, says_so)?;
    assert!(advice.contains("`reroute` if you know a safe way"), "{advice}");
    let advice = says(&relay, says_so, "4.4.1 no connection")?;
    reroute(&relay, advice, &Sink::start()?)?;
    assert!(sink.messages().is_empty());
    Ok(())
}

#[test]
fn the_login_is_refused() -> Result<()> {
    let (pki, sink) = (Pki::make()?, Sink::start()?);
    let smart = smart_host::smart_host(&pki, &sink)?;
    let password = smart.settings_path().with_file_name("password");
    fs::write(&password, "shut sesame\n")?;
    let settings = smart_host::settings(&pki, &smart, "users", "required")?
        .set("next_hops.sink.login.user", "out")
        .set("next_hops.sink.login.password.file", password.display().to_string())
        .set("delivery.retry_first_s", 600.0)
        .set("delivery.retry_max_s", 600.0);
    let relay = Relay::start(settings)?;
    stuck(&relay)?;
    let advice = says(&relay, "the peer refuses the login: 535", "for AUTH`, `535`")?;
    fs::write(&password, "open sesame\n")?;
    does(&relay, advice, "baton reload", &["reload"])?;
    relay.said(&["queue", "retry", "--domain", "dest.example"])?;
    sink.wait_for(1)?;
    relay.wait_until_empty()
}

#[test]
fn their_server_wants_less() -> Result<()> {
    let sink = Sink::with(Behaviour::script(|moment| match (moment.step, moment.times_before) {
        (Step::Rcpt, 0) => Say::Line("451 4.7.0 slow down".into()),
        _ => Say::Yes,
    }))?;
    let zone = Zone::serve(ZONE)?;
    let rule = "[shaping.providers.lab]\nmx_hosts = ['mx.dest.example']\n[[shaping.providers.lab.rules]]\n\
                name = 'rests'\ncodes = [451]\ntext = 'slow down'\naction = 'suspend'\nlasts = '1h'";
    let port = i64::from(sink.address().port());
    let settings = Settings::new().names_from(zone.address()).set("delivery.smtp_port", port);
    let relay = Relay::start(settings.with(rule))?;
    stuck(&relay)?;
    let advice = says(&relay, "slow down", "451 … slow down")?;
    let listed = does(&relay, advice, "baton shaping ls", &["shaping", "ls"])?;
    assert!(listed.contains("rests") && listed.contains("slow down"), "{listed}");
    let view = relay.admin("GET", "/v1/shaping", "")?;
    let id = view.pointer("/measures/0/id").and_then(Value::as_str).context("a measure")?;
    does(&relay, advice, "baton shaping clear ID", &["shaping", "clear", id])?;
    sink.wait_for(1)?;
    relay.wait_until_empty()
}

#[test]
fn a_plugin_failed() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new().all_to(sink.address()).with("[policies]\nfolder = 'policy'");
    let mut relay = Relay::prepare(settings)?;
    let folder = relay.settings_path().with_file_name("policy");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("way.js"), "export function onRoute(rcpt) {\n  return nowhere.else;\n}\n")?;
    relay.start_again()?;
    let id = stuck(&relay)?;
    let says_so = "4.3.5 a plugin failed";
    let advice = says(&relay, says_so, says_so)?;
    let explained = relay.said(&["explain", &id])?;
    assert!(explained.contains("way@"), "`explain` names it: {explained}");
    assert!(relay.log().contains("way.js:2"), "the log has file and line: {}", relay.log());
    fs::write(folder.join("way.js"), "export function onRoute(rcpt) {\n  return next();\n}\n")?;
    does(&relay, advice, "baton reload", &["reload"])?;
    relay.said(&["queue", "retry", &id])?;
    sink.wait_for(1)?;
    relay.wait_until_empty()
}

#[test]
fn it_is_suspended() -> Result<()> {
    let sink = Sink::start()?;
    let relay = Relay::start(Settings::new().all_to(sink.address()))?;
    for (count, by_name) in [(1, true), (2, false)] {
        relay.said(&["shaping", "suspend", "--domain", "dest.example", "--reason", "they move"])?;
        relay.send("a@sender.example", &["b@dest.example"], &message::plain("suspended"))?;
        let advice = says(&relay, "domain dest.example is suspended by operator", "… is suspended …")?;
        if by_name {
            let words = ["shaping", "resume", "--domain", "dest.example"];
            does(&relay, advice, "baton shaping resume", &words)?;
        } else {
            let view = relay.admin("GET", "/v1/shaping", "")?;
            let id = view.pointer("/measures/0/id").and_then(Value::as_str).context("a measure")?;
            does(&relay, advice, "baton shaping clear ID", &["shaping", "clear", id])?;
        }
        sink.wait_for(count)?;
        relay.wait_until_empty()?;
    }
    Ok(())
}

#[test]
fn it_is_held() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new().set("next_hops.wait.hold", "for the lawyers").route("*", "wait");
    let relay = Relay::start(settings)?;
    let id = relay.send("a@sender.example", &["b@dest.example"], &message::plain("held"))?;
    let advice = says(&relay, "for the lawyers", "a state `held` with a reason")?;
    does(&relay, advice, "baton explain ID", &["explain", &id])?;
    let next_hop = sink.address().to_string();
    does(&relay, advice, "reroute", &["queue", "reroute", "--to", &next_hop, "--domain", "dest.example"])?;
    assert!(sink.messages().is_empty(), "it is still held");
    does(&relay, advice, "baton queue release ID", &["queue", "release", &id])?;
    sink.wait_for(1)?;
    relay.wait_until_empty()
}

#[test]
fn a_limit_of_the_settings_is_reached() -> Result<()> {
    let sink = Sink::start()?;
    let settings = Settings::new().all_to(sink.address());
    let relay = Relay::start(settings.clone().set("shaping.message_rate", "1/h"))?;
    for _ in 0..2 {
        relay.send("a@sender.example", &["b@dest.example"], &message::plain("paced"))?;
    }
    let advice = says(&relay, "waits for the message rate of", "waits for the message rate of")?;
    assert!(advice.contains("raise the limit that is named"), "{advice}");
    relay.write_settings(settings.set("shaping.message_rate", "1000/s"))?;
    relay.said(&["reload"])?;
    sink.wait_for(2)?;
    relay.wait_until_empty()
}
