//! Domains in words: what to publish, what is missing.

use baton_identity::domains::{
    DnsRecord, DomainFile, DomainRow, Finding, FindingState, KeyRow, KeyState, OVERLAP_MS,
};
use baton_mail::UnixMs;

use super::words::moment;

/// After new keys were made for a new domain.
pub(crate) fn added(file: &DomainFile) -> String {
    let domain = &file.domain;
    format!(
        "{domain} has keys. Publish these records, then run `baton domain check {domain}`; mail is signed from then on:\n\n{}",
        zone(&file.key_records(KeyState::New))
    )
}

/// After new keys were made beside others.
pub(crate) fn rotated(file: &DomainFile) -> String {
    let domain = &file.domain;
    format!(
        "{domain} has new keys; the old ones sign until `baton domain check {domain}` has seen these records:\n\n{}",
        zone(&file.key_records(KeyState::New))
    )
}

fn zone(records: &[DnsRecord]) -> String {
    records.iter().map(|record| record.zone_line() + "\n").collect()
}

/// All domains, a line for each key.
pub(crate) fn list(rows: &[DomainRow]) -> String {
    if rows.is_empty() {
        return "No domain has keys yet; `baton domain add DOMAIN` makes them.\n".to_owned();
    }
    rows.iter().map(one).collect()
}

fn one(row: &DomainRow) -> String {
    let seen = match row.seen_at {
        Some(at) => format!("verified {}", moment(at)),
        None => "not verified yet".to_owned(),
    };
    let key = |key: &KeyRow| {
        format!(
            "  {:<12} {:<15} {} since {}\n",
            key.selector,
            key.algorithm,
            word(key.state),
            moment(key.since)
        )
    };
    format!("{} ({seen})\n{}", row.domain, row.keys.iter().map(key).collect::<String>())
}

fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::New => "new",
        KeyState::Active => "signing",
        KeyState::Old => "old",
    }
}

/// What was found, and the records to publish.
pub(crate) fn checked(file: &DomainFile, findings: &[Finding], told: Option<&str>) -> String {
    let mut text: String = findings.iter().map(finding).collect();
    for key in file.keys.iter().filter(|key| key.state == KeyState::Old) {
        let until = UnixMs(key.since.0.saturating_add(OVERLAP_MS));
        let name = key.dns_record(&file.domain).name;
        text.push_str(&format!("  keep     {name} published until {}\n", moment(until)));
    }
    if let Some(told) = told {
        text.push_str(&format!("\nThe keys of {} are in use. {told}\n", file.domain));
    }
    let publish: Vec<&DnsRecord> = findings.iter().filter_map(|one| one.publish.as_ref()).collect();
    if !publish.is_empty() {
        text.push_str("\nPublish:\n\n");
        publish.iter().for_each(|record| text.push_str(&(record.zone_line() + "\n")));
    }
    text
}

fn finding(finding: &Finding) -> String {
    let mark = match (finding.state, finding.required) {
        (FindingState::Right, _) => "ok",
        (FindingState::Missing, true) => "missing",
        (FindingState::Wrong, true) => "wrong",
        (FindingState::Unknown, _) => "unknown",
        (FindingState::Missing | FindingState::Wrong, false) => "advice",
    };
    format!("  {mark:<8} {}: {}\n", finding.what, finding.detail)
}
