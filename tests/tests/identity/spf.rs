//! The SPF test suite of RFC 7208, by Stuart Gathman, Julian Mehnle, Scott Kitterman and others.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use baton_identity::{SpfOutcome, SpfQuery, check_host};
use baton_tests::dns::{DnsServer, Fault};
use baton_tests::suite;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use hickory_proto::rr::{Name, RData, Record};
use serde_json::Value;

use super::{resolver, vectors};

/// Cases that the suite has at least.
const CASES_MIN: usize = 203;

#[tokio::test]
async fn the_suite_of_rfc_7208() -> Result<()> {
    let scenarios: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(vectors("spf.json")?)?)?;
    let (mut passed, mut failed) = (0, Vec::new());
    for scenario in &scenarios {
        let server = serve(&scenario["zonedata"]).await?;
        let tests = scenario["tests"].as_object().context("tests")?;
        for (name, test) in tests {
            match run(&server, test).await? {
                Ok(()) => passed += 1,
                Err(found) => failed.push(format!("{name} ({}): {found}", test["spec"])),
            }
        }
    }
    ensure!(passed + failed.len() >= CASES_MIN, "only {} cases", passed + failed.len());
    suite::conclude("SPF, RFC 7208", passed, &failed)
}

async fn run(server: &DnsServer, test: &Value) -> Result<std::result::Result<(), String>> {
    let text = |name: &str| test[name].as_str().unwrap_or_default();
    let (helo, sender) = (text("helo"), text("mailfrom"));
    let domain =
        if sender.is_empty() { helo } else { sender.rsplit_once('@').map_or(sender, |halves| halves.1) };
    let sender = if sender.is_empty() { format!("postmaster@{helo}") } else { sender.to_owned() };
    let client: IpAddr = text("host").parse().with_context(|| text("host").to_owned())?;
    let query = SpfQuery { client, helo, domain, sender: &sender, receiver: "relay.example", now_s: 0 };
    // Cases share names with different answers: each has a resolver without memory.
    let outcome = check_host(&resolver(server.address())?, query).await;
    Ok(compare(test, &outcome))
}

fn compare(test: &Value, outcome: &SpfOutcome) -> std::result::Result<(), String> {
    let word = outcome.verdict.as_str();
    let is_expected = match &test["result"] {
        Value::Array(words) => words.iter().any(|expected| expected == word),
        expected => expected == word,
    };
    if !is_expected {
        return Err(format!("{word} ({}) instead of {}", outcome.reason, test["result"]));
    }
    match test["explanation"].as_str() {
        None => Ok(()),
        Some("DEFAULT") if outcome.explanation.is_none() => Ok(()),
        Some(expected) if outcome.explanation.as_deref() == Some(expected) => Ok(()),
        Some(expected) => Err(format!("explanation {:?} instead of {expected}", outcome.explanation)),
    }
}

async fn serve(zone: &Value) -> Result<DnsServer> {
    let zone = zone.as_object().context("zonedata")?;
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    for (name, entries) in zone {
        let entries = entries.as_array().context("entries")?;
        // Records of the old type SPF stand for TXT, unless there is TXT too.
        let has_text = entries.iter().any(|entry| entry.get("TXT").is_some());
        for entry in entries {
            if entry == "TIMEOUT" {
                gaps.push(name);
                continue;
            }
            for (kind, value) in entry.as_object().context("an entry")? {
                let kind = if kind == "SPF" && !has_text { "TXT" } else { kind };
                if kind != "SPF" && value != "NONE" {
                    records.push(Record::from_rdata(absolute(name)?, 60, data(kind, value)?));
                }
            }
        }
    }
    let server = DnsServer::start_records(records).await?;
    gaps.iter().for_each(|name| server.set_fault(name, Some(Fault::Gap)));
    Ok(server)
}

fn data(kind: &str, value: &Value) -> Result<RData> {
    let text = value.as_str().unwrap_or_default();
    Ok(match kind {
        "A" => RData::A(A(text.parse()?)),
        "AAAA" => RData::AAAA(AAAA(text.parse()?)),
        "CNAME" => RData::CNAME(CNAME(absolute(text)?)),
        "PTR" => RData::PTR(PTR(absolute(text)?)),
        "MX" => {
            let preference = value[0].as_u64().context("a preference")?;
            RData::MX(MX::new(u16::try_from(preference)?, absolute(value[1].as_str().context("a host")?)?))
        }
        "TXT" => {
            let strings = match value {
                Value::Array(strings) => strings.iter().filter_map(Value::as_str).collect(),
                _ => vec![text],
            };
            let mut pieces: Vec<&[u8]> = strings.iter().flat_map(|string| pieces(string)).collect();
            // A record without any string can not be sent (RFC 1035 3.3.14); one with an empty string says the same.
            if pieces.is_empty() {
                pieces.push(b"");
            }
            RData::TXT(TXT::from_bytes(pieces))
        }
        other => bail!("unknown type {other}"),
    })
}

/// A string of a record holds 255 octets; an empty one is one piece too.
fn pieces(string: &str) -> Vec<&[u8]> {
    if string.is_empty() { vec![b""] } else { string.as_bytes().chunks(255).collect() }
}

/// A name with whatever octets its labels have.
fn absolute(name: &str) -> Result<Name> {
    let labels = name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    Ok(Name::from_labels(labels)?)
}
