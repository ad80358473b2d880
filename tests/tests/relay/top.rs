//! The view of the relay at work, and the metrics behind it.

use anyhow::{Context, Result, ensure};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::sink::{Behaviour, Say, Sink, Step};
use baton_tests::{message, program};

/// A sink that refuses one recipient for now, and one for good.
fn choosy() -> Result<Sink> {
    Sink::with(Behaviour::script(|moment| match (moment.step, moment.argument.as_str()) {
        (Step::Rcpt, text) if text.starts_with("later@") => Say::Line("450 4.2.1 later".into()),
        (Step::Rcpt, text) if text.starts_with("never@") => Say::Line("550 5.1.1 no such user".into()),
        _ => Say::Yes,
    }))
}

/// A relay with mail of every fate.
fn busy(settings: Settings, sink: &Sink) -> Result<Relay> {
    let settings = settings
        .all_to(sink.address())
        .set("delivery.retry_first_s", 600.0)
        .set("delivery.retry_max_s", 600.0)
        .set("local_domains", vec![toml::Value::from("dest.example")])
        .set("session.relay_networks", Vec::<String>::new());
    let relay = Relay::start(settings)?;
    for (name, event) in [("good", "delivered"), ("later", "deferred"), ("never", "failed")] {
        let id = relay.send("", &[&format!("{name}@dest.example")], &message::plain(name))?;
        relay.wait_for_event(&id, event)?;
    }
    let refused = relay.client()?.send("", &["a@elsewhere.example"], &message::plain("refused"))?;
    ensure!(refused.code == 550, "{refused}");
    Ok(relay)
}

#[test]
fn one_frame_shows_sites_errors_queues_and_what_holds_mail_back() -> Result<()> {
    let sink = choosy()?;
    let relay = busy(Settings::new(), &sink)?;
    relay.said(&["shaping", "suspend", "--domain", "held.example", "--reason", "on holiday"])?;
    let frame = relay.said(&["top", "--once", "--sort", "name"])?;
    for part in [
        "1 waiting",
        "domain held.example suspended by operator",
        "on holiday",
        "dest.example",
        "bad-mailbox",
        "sorted by name",
    ] {
        assert!(frame.contains(part), "{part} is not in\n{frame}");
    }
    let site = sink.address().to_string();
    assert!(frame.lines().any(|line| line.starts_with(&site)), "{frame}");
    assert!(!frame.contains('\u{1b}'), "no control sequences");
    Ok(())
}

#[test]
fn only_the_busiest_sites_have_metrics_of_their_own() -> Result<()> {
    let sink = choosy()?;
    let metrics = busy(Settings::new(), &sink)?.metrics()?;
    let site = format!("site=\"{}\"", sink.address());
    let delivered = "baton_delivery_site_recipients_total{";
    let own = metrics.lines().filter(|line| line.starts_with(delivered) && line.contains(&site));
    assert_eq!(own.count(), 3, "{metrics}");
    let metrics = busy(Settings::new().set("delivery.metric_sites_max", 0), &sink)?.metrics()?;
    assert!(!metrics.contains(&site), "{metrics}");
    let other = "{site=\"other\",source=\"other\",outcome=\"delivered\"} 1";
    assert!(metrics.contains(&format!("baton_delivery_site_recipients_total{other}")), "{metrics}");
    Ok(())
}

#[test]
fn every_metric_of_the_dashboard_exists() -> Result<()> {
    let dashboard = std::fs::read_to_string(program::repository().join("host/api/grafana.json"))?;
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let expressions = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<&str> = expressions.filter_map(|target| target["expr"].as_str()).collect();
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let names = expressions.iter().flat_map(|text| text.split(|letter| !is_part(letter)));
    let names: Vec<&str> = names.filter(|word| word.starts_with("baton_")).collect();
    assert!(names.len() > 20, "{names:?}");
    let sink = choosy()?;
    let metrics = busy(Settings::new(), &sink)?.metrics()?;
    for name in names {
        let exists = metrics.lines().any(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        });
        assert!(exists, "{name} is not among\n{metrics}");
    }
    Ok(())
}
