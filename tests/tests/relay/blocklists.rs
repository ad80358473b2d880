//! Blocklists that are asked about our own addresses.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_tests::relay::Relay;
use baton_tests::settings::Settings;
use baton_tests::wait;
use baton_tests::zone::Zone;
use toml::Value;

const ZONE: &str = "$ORIGIN .\n$TTL 0\n\
    1.0.0.127.bl.test. IN A 127.0.0.2\n1.0.0.127.bl.test. IN TXT \"spam came from 127.0.0.1\"\n\
    ok.clean.test. IN A 127.0.0.2\n\
    1.0.0.127.closed.test. IN A 127.255.255.254\n\
    1.0.0.127.gone.test. IN A 192.0.2.1\n";

fn asking(lists: &[&str]) -> Settings {
    Settings::new().set("blocklists.lists", lists.iter().copied().map(Value::from).collect::<Vec<_>>())
}

#[test]
fn our_addresses_on_blocklists_are_shown_told_and_measured() -> Result<()> {
    let zone = Zone::serve(ZONE)?;
    let settings = asking(&["bl.test", "clean.test", "closed.test", "gone.test"])
        .names_from(zone.address())
        .set("sources.front.addresses", vec![Value::from("127.0.0.1")])
        .set("api.metrics_address", "127.0.0.1:0");
    let relay = Relay::start(settings)?;
    let said = wait::until("the first round", || {
        let said = relay.said(&["blocklists"])?;
        Ok(said.contains("gone.test").then_some(said))
    })?;
    for part in [
        "listed   127.0.0.1 (front) at bl.test: 127.0.0.2 spam came from 127.0.0.1",
        "clear    127.0.0.1 (front) at clean.test",
        "unknown  127.0.0.1 (front) at closed.test: the list refuses to answer: 127.255.255.254",
        "unknown  127.0.0.1 (front) at gone.test: 192.0.2.1 is no answer of a blocklist",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(said.starts_with("listed"), "{said}");
    let metrics = relay.metrics()?;
    let gauge = |list: &str| format!("listed{{source=\"front\",address=\"127.0.0.1\",list=\"{list}\"}}");
    assert!(metrics.contains(&format!("{} 1", gauge("bl.test"))), "{metrics}");
    assert!(metrics.contains(&format!("{} 0", gauge("clean.test"))), "{metrics}");
    assert!(!metrics.contains(&gauge("closed.test")), "{metrics}");
    assert!(relay.log().contains("our address is on a blocklist"), "{}", relay.log());
    Ok(())
}

#[test]
fn what_a_reload_adds_is_asked_at_once_and_nothing_else() -> Result<()> {
    let zone = Zone::serve(ZONE)?;
    let sources = |addresses: &[&str]| {
        let addresses: Vec<Value> = addresses.iter().copied().map(Value::from).collect();
        Settings::new().names_from(zone.address()).set("sources.front.addresses", addresses)
    };
    let lists = |settings: Settings| settings.set("blocklists.lists", vec![Value::from("bl.test")]);
    let relay = Relay::start(sources(&["127.0.0.1"]))?;
    assert!(relay.said(&["blocklists"])?.starts_with("No blocklist is asked"));
    let rows = |count: usize| -> Result<Vec<serde_json::Value>> {
        // The interval is an hour.
        let began = Instant::now();
        let rows = wait::until("answers", || {
            let view = relay.admin("GET", "/v1/blocklists", "")?;
            Ok(view["listings"]
                .as_array()
                .cloned()
                .filter(|rows| rows.len() == count && view["awaited"] == 0))
        })?;
        ensure!(began.elapsed() < Duration::from_secs(20), "only after {:?}", began.elapsed());
        Ok(rows)
    };
    relay.write_settings(lists(sources(&["127.0.0.1"])))?;
    relay.said(&["reload"])?;
    let first = rows(1)?;
    assert_eq!((&first[0]["state"], &first[0]["address"]), (&"listed".into(), &"127.0.0.1".into()));
    relay.write_settings(lists(sources(&["127.0.0.1", "::1"])))?;
    relay.said(&["reload"])?;
    let second = rows(2)?;
    assert_eq!(second[0], first[0], "it is not asked again before its time");
    assert_eq!((&second[1]["state"], &second[1]["address"]), (&"clear".into(), &"::1".into()));
    relay.write_settings(sources(&["127.0.0.1", "::1"]))?;
    relay.said(&["reload"])?;
    rows(0).map(drop)
}

#[test]
fn without_addresses_there_is_nothing_to_ask() -> Result<()> {
    let relay = Relay::prepare(asking(&["bl.test"]))?;
    let output = relay.run(&["check"])?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("blocklists.lists"), "{said}");
    Ok(())
}
