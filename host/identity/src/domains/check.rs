//! What the DNS says about a domain in whose name we send, and what it should say.

use std::net::IpAddr;

use baton_dns::{DnsError, Resolver, Reverse};
use baton_mail::Domain;
use serde::Serialize;
use utoipa::ToSchema;

use super::file::{DomainFile, KeyRecord, KeyState};
use super::publish::DnsRecord;
use crate::Verdict;
use crate::spf::{SpfQuery, check_host};
use crate::tags::{Tags, without_blanks};

/// The host that mail leaves from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: Domain,
    /// The addresses that it sends from, and its name there: what it says in EHLO.
    pub addresses: Vec<(IpAddr, Domain)>,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// What it is about, such as `DKIM r20261127`.
    pub what: String,
    /// How it is.
    pub state: FindingState,
    /// Mail suffers without it; what is not required is advice.
    pub required: bool,
    /// What was found, in words.
    pub detail: String,
    /// What to publish.
    pub publish: Option<DnsRecord>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// As it should be.
    Right,
    /// Not there.
    Missing,
    /// There, and not as it should be.
    Wrong,
    /// The DNS did not say.
    Unknown,
}

impl Finding {
    fn new(
        what: impl Into<String>,
        required: bool,
        state: FindingState,
        detail: impl Into<String>,
    ) -> Finding {
        Finding { what: what.into(), state, required, detail: detail.into(), publish: None }
    }

    fn with(mut self, record: DnsRecord) -> Finding {
        self.publish = Some(record);
        self
    }
}

impl DomainFile {
    /// Looks at everything. Nothing is changed by it.
    pub async fn check(&self, resolver: &Resolver, host: &Host) -> Vec<Finding> {
        let look = Look { resolver, domain: &self.domain, host };
        let mut findings = Vec::new();
        for key in self.keys.iter().filter(|key| key.state != KeyState::Old) {
            findings.push(look.key(key).await);
        }
        findings.extend([look.spf().await, look.dmarc().await, look.mail_hosts().await]);
        for (address, name) in &host.addresses {
            findings.push(look.reverse(*address, name.as_str()).await);
        }
        if host.addresses.is_empty() {
            let detail = format!("{} has no address in the DNS; set delivery.source_addresses", host.name);
            findings.push(Finding::new("reverse DNS", true, FindingState::Unknown, detail));
        }
        findings.extend([look.mta_sts().await, look.tls_reports().await]);
        findings
    }

    /// True when these findings show that the records of all new keys are published.
    pub fn new_keys_are_seen(&self, findings: &[Finding]) -> bool {
        let new = self.keys.iter().filter(|key| key.state == KeyState::New);
        let is_right =
            |what: String| findings.iter().any(|one| one.what == what && one.state == FindingState::Right);
        new.map(name_of).all(is_right)
    }
}

fn name_of(key: &KeyRecord) -> String {
    format!("DKIM {}", key.selector)
}

/// Looks at one domain.
struct Look<'a> {
    resolver: &'a Resolver,
    domain: &'a Domain,
    host: &'a Host,
}

impl Look<'_> {
    /// The texts at a name, or the finding that says why they are not known.
    async fn texts(&self, what: &str, required: bool, name: &str) -> Result<Vec<String>, Finding> {
        match self.resolver.texts(name).await {
            Ok(found) => {
                Ok(found.records.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
            }
            Err(error) => Err(unknown(what, required, &error)),
        }
    }

    async fn key(&self, key: &KeyRecord) -> Finding {
        let (what, record) = (name_of(key), key.dns_record(self.domain));
        let texts = match self.texts(&what, true, &record.name).await {
            Ok(texts) => texts,
            Err(finding) => return finding,
        };
        let is_same = |text: &String| {
            Tags::read(text).and_then(|tags| tags.get("p").map(without_blanks)).as_ref() == Some(&key.public)
                && Tags::read(text).is_some_and(|tags| tags.get("k").unwrap_or("rsa") == kind(key))
        };
        if texts.iter().any(is_same) {
            return Finding::new(what, true, FindingState::Right, "the key is published");
        }
        let (state, detail) = match texts.first() {
            None => (FindingState::Missing, "the key is not published".to_owned()),
            Some(other) => (FindingState::Wrong, format!("another record is published: {}", shown(other))),
        };
        Finding::new(what, true, state, detail).with(record)
    }

    async fn spf(&self) -> Finding {
        let texts = match self.texts("SPF", true, self.domain.as_str()).await {
            Ok(texts) => texts,
            Err(finding) => return finding,
        };
        let records: Vec<&String> =
            texts.iter().filter(|text| text.to_ascii_lowercase().starts_with("v=spf1")).collect();
        let all: Vec<IpAddr> = self.host.addresses.iter().map(|(address, _)| *address).collect();
        let fresh = DnsRecord::text(self.domain.to_string(), self.with_addresses("v=spf1 -all", &all).await);
        match records.as_slice() {
            [] => Finding::new("SPF", true, FindingState::Missing, "no SPF record").with(fresh),
            [one] => self.spf_record(one).await,
            _ => Finding::new(
                "SPF",
                true,
                FindingState::Wrong,
                "several SPF records, so none counts; keep one",
            )
            .with(fresh),
        }
    }

    /// Does the record let our addresses send?
    async fn spf_record(&self, record: &str) -> Finding {
        let sender = format!("postmaster@{}", self.domain);
        let (mut refused, mut details) = (Vec::new(), Vec::new());
        for (address, name) in &self.host.addresses {
            let query = SpfQuery {
                client: *address,
                helo: name.as_str(),
                domain: self.domain.as_str(),
                sender: &sender,
                receiver: self.host.name.as_str(),
                now_s: 0,
            };
            let outcome = check_host(self.resolver, query).await;
            let detail = format!("{address} gets {}: {}", outcome.verdict, outcome.reason);
            match outcome.verdict {
                Verdict::Pass => {}
                Verdict::TempError => return Finding::new("SPF", true, FindingState::Unknown, detail),
                _ => {
                    refused.push(*address);
                    details.push(detail);
                }
            }
        }
        if refused.is_empty() {
            return Finding::new("SPF", true, FindingState::Right, "our addresses may send");
        }
        let wider = DnsRecord::text(self.domain.to_string(), self.with_addresses(record, &refused).await);
        Finding::new("SPF", true, FindingState::Wrong, details.join("; ")).with(wider)
    }

    /// The record with these addresses before its last word on everybody else: by our name where that leads to them.
    async fn with_addresses(&self, record: &str, addresses: &[IpAddr]) -> String {
        let host = self.host.name.as_str();
        // Without an answer the addresses themselves are right.
        let ours = self.resolver.addresses(host).await.unwrap_or_default();
        let term = |address: &IpAddr| match address {
            named if ours.contains(named) => format!("a:{host}"),
            IpAddr::V4(four) => format!("ip4:{four}"),
            IpAddr::V6(six) => format!("ip6:{six}"),
        };
        // A host that has no address yet will have one.
        let terms = if addresses.is_empty() {
            vec![format!("a:{host}")]
        } else {
            addresses.iter().map(term).collect()
        };
        with_terms(record, terms)
    }

    async fn dmarc(&self) -> Finding {
        let name = format!("_dmarc.{}", self.domain);
        let texts = match self.texts("DMARC", true, &name).await {
            Ok(texts) => texts,
            Err(finding) => return finding,
        };
        let fresh = DnsRecord::text(name, format!("v=DMARC1; p=none; rua=mailto:dmarc@{}", self.domain));
        let records: Vec<_> = texts.iter().filter(|text| text.starts_with("v=DMARC1")).collect();
        match records.as_slice() {
            [] => Finding::new("DMARC", true, FindingState::Missing, "no DMARC record").with(fresh),
            [one] if Tags::read(one).is_some_and(|tags| tags.get("p").is_some()) => {
                Finding::new("DMARC", true, FindingState::Right, shown(one))
            }
            [one] => {
                Finding::new("DMARC", true, FindingState::Wrong, format!("no policy in: {}", shown(one)))
                    .with(fresh)
            }
            _ => {
                Finding::new("DMARC", true, FindingState::Wrong, "several records, so none counts; keep one")
                    .with(fresh)
            }
        }
    }

    /// Answers and bounces must find a way back.
    async fn mail_hosts(&self) -> Finding {
        let fresh =
            DnsRecord { name: self.domain.to_string(), kind: "MX", data: format!("10 {}.", self.host.name) };
        let found = match self.resolver.exchanges(self.domain.as_str()).await {
            Ok(found) => found.records,
            Err(error) => return unknown("MX", true, &error),
        };
        let hosts: Vec<&str> = found.iter().map(|(_, host)| host.as_str()).collect();
        match hosts.as_slice() {
            [] => {
                Finding::new("MX", true, FindingState::Missing, "no mail host: answers and bounces are lost")
                    .with(fresh)
            }
            [""] => Finding::new("MX", true, FindingState::Wrong, "the domain takes no mail (RFC 7505)")
                .with(fresh),
            hosts => Finding::new("MX", true, FindingState::Right, hosts.join(", ")),
        }
    }

    /// Many hosts take no mail from an address whose name does not lead back to it.
    async fn reverse(&self, address: IpAddr, name: &str) -> Finding {
        let what = format!("reverse DNS {address}");
        let (state, detail) = match self.resolver.reverse(address).await {
            Ok(Reverse::Confirmed(own)) if own == name => {
                return Finding::new(what, true, FindingState::Right, own);
            }
            Ok(Reverse::Confirmed(own)) => {
                (FindingState::Wrong, format!("its name is {own}, and it greets as {name}"))
            }
            Ok(Reverse::Unconfirmed) => (FindingState::Wrong, "its names do not lead back to it".to_owned()),
            Ok(Reverse::Nameless) => (FindingState::Missing, "it has no name".to_owned()),
            Err(error) => return unknown(&what, true, &error),
        };
        let record = DnsRecord { name: reverse_name(address), kind: "PTR", data: format!("{name}.") };
        Finding::new(what, true, state, format!("{detail}; whoever owns the address publishes it"))
            .with(record)
    }

    /// RFC 8461 3.1. Whether the policy itself can be fetched is not looked at.
    async fn mta_sts(&self) -> Finding {
        let name = format!("_mta-sts.{}", self.domain);
        let record = DnsRecord::text(name, "v=STSv1; id=1".to_owned());
        self.advice("MTA-STS", record, "v=STSv1;").await
    }

    /// RFC 8460 3.
    async fn tls_reports(&self) -> Finding {
        let name = format!("_smtp._tls.{}", self.domain);
        let record = DnsRecord::text(name, format!("v=TLSRPTv1; rua=mailto:tls-reports@{}", self.domain));
        self.advice("TLS-RPT", record, "v=TLSRPTv1;").await
    }

    async fn advice(&self, what: &str, record: DnsRecord, begin: &str) -> Finding {
        let texts = match self.texts(what, false, &record.name).await {
            Ok(texts) => texts,
            Err(finding) => return finding,
        };
        match texts.iter().find(|text| text.starts_with(begin)) {
            Some(found) => Finding::new(what, false, FindingState::Right, shown(found)),
            None => Finding::new(what, false, FindingState::Missing, "not published").with(record),
        }
    }
}

fn unknown(what: &str, required: bool, error: &DnsError) -> Finding {
    Finding::new(what, required, FindingState::Unknown, format!("{error}; try again"))
}

fn kind(key: &KeyRecord) -> &'static str {
    if key.algorithm == "rsa-sha256" { "rsa" } else { "ed25519" }
}

/// The record with what it lacks of these before its last word on everybody else.
fn with_terms(record: &str, wanted: Vec<String>) -> String {
    let is_last = |term: &&str| {
        let term = term.trim_start_matches(['+', '-', '~', '?']).to_ascii_lowercase();
        term == "all" || term.starts_with("redirect=")
    };
    let mut terms: Vec<&str> = record.split_ascii_whitespace().collect();
    let mut at = terms.iter().position(is_last).unwrap_or(terms.len());
    for one in &wanted {
        if !terms.contains(&one.as_str()) {
            terms.insert(at, one);
            at += 1;
        }
    }
    terms.join(" ")
}

/// RFC 1035 3.5, RFC 3596 2.5.
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, d] = four.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(six) => {
            let nibbles = six.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            let labels: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            format!("{}.ip6.arpa", labels.join("."))
        }
    }
}

/// A stranger's record, fit for a terminal.
fn shown(text: &str) -> String {
    baton_mail::text::sanitize(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_addresses_come_before_the_last_word_and_once() {
        for (record, wider) in [
            ("v=spf1 mx -all", "v=spf1 mx a:us.example ip4:192.0.2.1 -all"),
            ("v=spf1 redirect=x.example", "v=spf1 a:us.example ip4:192.0.2.1 redirect=x.example"),
            ("v=spf1 a:us.example", "v=spf1 a:us.example ip4:192.0.2.1"),
        ] {
            let ours = ["a:us.example", "a:us.example", "ip4:192.0.2.1"].map(str::to_owned);
            assert_eq!(with_terms(record, ours.into()), wider);
        }
    }

    #[test]
    fn addresses_have_their_names() {
        assert_eq!(reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        let six = reverse_name("2001:db8::1".parse().unwrap());
        assert!(six.starts_with("1.0.0.0.") && six.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"), "{six}");
    }
}
