//! Counts of connections by TLS policy, and the report of them (RFC 8460 4).

use baton_mail::text::sanitize;
use baton_mail::tls::TlsFlaw;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{FAILURES_MAX, Heading, Kept, POLICIES_MAX};

/// Connections for the mail of one domain on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsCounts {
    policies: Vec<PolicyCounts>,
}

/// What kind of policy a domain or host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsPolicyKind {
    /// MTA-STS.
    #[serde(rename = "sts")]
    Sts,
    /// TLSA records.
    #[serde(rename = "tlsa")]
    Tlsa,
    /// None.
    #[default]
    #[serde(rename = "no-policy-found")]
    Missing,
}

/// A policy by which connections were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPolicyName {
    kind: TlsPolicyKind,
    domain: String,
    lines: Vec<String>,
    hosts: Vec<String>,
}

impl TlsPolicyName {
    /// A policy of `domain`: the recipients', or of TLSA records the host's name.
    pub fn new(kind: TlsPolicyKind, domain: &str) -> TlsPolicyName {
        TlsPolicyName { kind, domain: domain.to_owned(), ..TlsPolicyName::default() }
    }

    /// The same with its text, line by line or record by record, and the mail hosts that it lists. The first few are told.
    pub fn with_text<'a>(
        self,
        lines: impl IntoIterator<Item = String>,
        hosts: impl IntoIterator<Item = &'a str>,
    ) -> TlsPolicyName {
        let lines = lines.into_iter().take(LINES_MAX).map(|line| sanitize(&line, LINE_OCTETS_MAX)).collect();
        let hosts = hosts.into_iter().take(LINES_MAX).map(|host| sanitize(host, HOST_OCTETS_MAX)).collect();
        TlsPolicyName { lines, hosts, ..self }
    }
}

/// Why a connection was not as its policy asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFault {
    /// What was wrong.
    pub kind: TlsFlaw,
    /// Our address, when the settings say which.
    pub from: Option<String>,
    /// The mail host.
    pub host: String,
    /// Its address, when it was tried.
    pub to: Option<String>,
    /// More about it.
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PolicyCounts {
    policy: TlsPolicyName,
    good: u64,
    bad: u64,
    faults: Vec<(TlsFault, u64)>,
}

impl TlsCounts {
    /// Counts one connection: as the policy asks, or why not. What was not there before only if there `is_room`; true when
    /// it is such.
    pub fn add(&mut self, policy: &TlsPolicyName, fault: Option<TlsFault>, is_room: bool) -> bool {
        let sum = if fault.is_none() { (1, 0) } else { (0, 1) };
        self.count(policy, sum, fault.map(|fault| (fault, 1)), is_room)
    }

    fn count(
        &mut self,
        policy: &TlsPolicyName,
        (good, bad): (u64, u64),
        faults: impl IntoIterator<Item = (TlsFault, u64)>,
        is_room: bool,
    ) -> bool {
        let told: usize = self.policies.iter().map(|one| one.faults.len()).sum();
        let mut room = if is_room { FAILURES_MAX.saturating_sub(told) } else { 0 };
        let before = (self.policies.len(), room);
        let at = self.policies.iter().position(|one| one.policy == *policy);
        if at.is_none() && (self.policies.len() == POLICIES_MAX || !is_room) {
            return false;
        }
        let at = at.unwrap_or_else(|| {
            let policy = policy.clone();
            self.policies.push(PolicyCounts { policy, good: 0, bad: 0, faults: Vec::new() });
            self.policies.len() - 1
        });
        let Some(own) = self.policies.get_mut(at) else { return false };
        own.good = own.good.saturating_add(good);
        own.bad = own.bad.saturating_add(bad);
        for (mut fault, count) in faults {
            fault.host = sanitize(&fault.host, HOST_OCTETS_MAX);
            fault.detail = sanitize(&fault.detail, DETAIL_OCTETS_MAX);
            if let Some((_, known)) = own.faults.iter_mut().find(|(known, _)| *known == fault) {
                *known = known.saturating_add(count);
            } else if room > 0 {
                room -= 1;
                own.faults.push((fault, count));
            }
        }
        before != (self.policies.len(), room)
    }

    /// The report as JSON.
    pub fn to_json(&self, heading: &Heading) -> Vec<u8> {
        let policies: Vec<Value> = self.policies.iter().map(PolicyCounts::to_json).collect();
        let report = json!({
            "organization-name": heading.submitter.as_str(),
            "date-range": { "start-datetime": moment(heading.begin_s), "end-datetime": moment(heading.end_s) },
            "contact-info": heading.contact,
            "report-id": heading.id,
            "policies": policies,
        });
        report.to_string().into_bytes()
    }
}

impl Kept for TlsCounts {
    fn merge(&mut self, newer: TlsCounts) {
        for PolicyCounts { policy, good, bad, faults } in newer.policies {
            self.count(&policy, (good, bad), faults, true);
        }
    }
}

impl PolicyCounts {
    fn to_json(&self) -> Value {
        let mut policy = json!({ "policy-type": self.policy.kind, "policy-domain": self.policy.domain });
        if let Value::Object(fields) = &mut policy {
            if !self.policy.lines.is_empty() {
                fields.insert("policy-string".to_owned(), json!(self.policy.lines));
            }
            if !self.policy.hosts.is_empty() {
                fields.insert("mx-host".to_owned(), json!(self.policy.hosts));
            }
        }
        let faults: Vec<Value> = self.faults.iter().map(|(fault, count)| fault.to_json(*count)).collect();
        json!({
            "policy": policy,
            "summary": { "total-successful-session-count": self.good, "total-failure-session-count": self.bad },
            "failure-details": faults,
        })
    }
}

impl TlsFault {
    fn to_json(&self, count: u64) -> Value {
        let mut fields = serde_json::Map::new();
        fields.insert("result-type".to_owned(), json!(self.kind));
        let optional = [
            ("sending-mta-ip", self.from.as_deref()),
            ("receiving-mx-hostname", Some(self.host.as_str())),
            ("receiving-ip", self.to.as_deref()),
            ("failure-reason-code", Some(self.detail.as_str())),
        ];
        for (name, value) in optional {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                fields.insert(name.to_owned(), json!(value));
            }
        }
        fields.insert("failed-session-count".to_owned(), json!(count));
        Value::Object(fields)
    }
}

fn moment(seconds: u64) -> String {
    let moment =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Lines of a policy that are told, and hosts.
const LINES_MAX: usize = 6;
/// Octets of a line.
const LINE_OCTETS_MAX: usize = 200;
/// Octets of a name in the DNS, with its dots.
const HOST_OCTETS_MAX: usize = 254;
/// Octets of what is told of a failure.
const DETAIL_OCTETS_MAX: usize = 120;
