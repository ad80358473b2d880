//! May this client send for that domain? SPF by RFC 7208.
//!
//! Invariant: a check asks the DNS a bounded number of times: [`LOOKUPS_MAX`] terms, [`VOIDS_MAX`] of them in vain, ten
//! names each. A name server that does not answer yields `temperror`, never a match and never "no match".

mod macros;
mod record;

use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

use baton_dns::{DnsError, Records, Resolver};
use baton_mail::text::sanitize;

use crate::Verdict;
pub(crate) use macros::Values;
use macros::{Grammar, MacroText};
use record::{Directive, Mechanism, Record, Target, is_record};

/// Terms that may ask the DNS (RFC 7208 4.6.4).
pub const LOOKUPS_MAX: u32 = 10;
/// Questions that may be in vain: no such name, or no record of the type (RFC 7208 4.6.4).
pub const VOIDS_MAX: u32 = 2;

/// Who asks to send what.
#[derive(Clone, Copy, Debug)]
pub struct SpfQuery<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// What it called itself.
    pub helo: &'a str,
    /// The domain to check.
    pub domain: &'a str,
    /// Local part and domain. For the check of HELO it is `postmaster@` the domain.
    pub sender: &'a str,
    /// Our own name, for explanations.
    pub receiver: &'a str,
    /// The time, in seconds since 1970, for explanations.
    pub now_s: i64,
}

/// How a check ended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpfOutcome {
    /// How.
    pub verdict: Verdict,
    /// The domain that was checked.
    pub domain: String,
    /// What decided: the mechanism, or what was wrong.
    pub reason: String,
    /// What the domain says about a failure (RFC 7208 6.2): text of a stranger, without control characters.
    pub explanation: Option<String>,
}

/// Reads a record, and gives each text with macros in it as it comes out with these values.
pub(crate) fn read_and_expand(octets: &[u8], values: &Values<'_>) -> Vec<String> {
    let Ok(record) = Record::read(octets) else { return Vec::new() };
    let names = record.directives.iter().filter_map(|directive| directive.mechanism.name());
    let names = names.chain(&record.redirect).chain(&record.explanation);
    names.flat_map(|name| [name.expand(values), name.expand_name(values)]).collect()
}

/// Checks one identity (RFC 7208 4: `check_host`).
pub async fn check_host(resolver: &Resolver, query: SpfQuery<'_>) -> SpfOutcome {
    let query = SpfQuery { client: query.client.to_canonical(), ..query };
    let mut check = Check { resolver, query, lookups: 0, voids: 0, client_name: None };
    let end = match check.evaluate(query.domain.to_owned(), true).await {
        Ok(end) => end,
        Err(Stop::Temporary(reason)) => End::new(Verdict::TempError, reason),
        Err(Stop::Permanent(reason)) => End::new(Verdict::PermError, reason),
    };
    SpfOutcome {
        verdict: end.verdict,
        domain: query.domain.to_owned(),
        reason: sanitize(&end.reason, REASON_OCTETS_MAX),
        explanation: end.explanation.map(|text| sanitize(&text, EXPLANATION_OCTETS_MAX)),
    }
}

/// A check under way.
struct Check<'a> {
    resolver: &'a Resolver,
    query: SpfQuery<'a>,
    lookups: u32,
    voids: u32,
    /// A confirmed name of the client, once it was looked for.
    client_name: Option<String>,
}

/// How one record ended.
struct End {
    verdict: Verdict,
    reason: String,
    explanation: Option<String>,
}

impl End {
    fn new(verdict: Verdict, reason: impl Into<String>) -> End {
        End { verdict, reason: reason.into(), explanation: None }
    }
}

/// What ends the whole check.
enum Stop {
    Temporary(String),
    Permanent(String),
}

type Evaluation<'b> = Pin<Box<dyn Future<Output = Result<End, Stop>> + Send + 'b>>;

impl Check<'_> {
    /// Evaluates the record of a domain. `is_asked` is false for a record that another one includes: its explanation
    /// does not count (RFC 7208 6.2).
    fn evaluate(&mut self, domain: String, is_asked: bool) -> Evaluation<'_> {
        Box::pin(async move {
            if !is_domain(&domain) {
                return Ok(End::new(Verdict::None, "this is no domain"));
            }
            let Some(record) = self.find_record(&domain).await? else {
                return Ok(End::new(Verdict::None, format!("{domain} publishes no SPF record")));
            };
            for directive in &record.directives {
                if self.matches(directive, &domain).await? {
                    let explanation = match &record.explanation {
                        Some(name) if is_asked && directive.verdict == Verdict::Fail => {
                            self.explain(name, &domain).await
                        }
                        _ => None,
                    };
                    let reason = format!("{} of {domain}", directive.text);
                    return Ok(End { verdict: directive.verdict, reason, explanation });
                }
            }
            let Some(target) = &record.redirect else {
                return Ok(End::new(Verdict::Neutral, format!("no mechanism of {domain} fits")));
            };
            self.count_lookup()?;
            let target = self.name(target, &domain).await?;
            let end = self.evaluate(target.clone(), is_asked).await?;
            if end.verdict == Verdict::None {
                // RFC 7208 6.1.
                return Err(Stop::Permanent(format!("redirect to {target}, which has no record")));
            }
            Ok(end)
        })
    }

    /// The one record of a domain (RFC 7208 4.4, 4.5).
    async fn find_record(&mut self, domain: &str) -> Result<Option<Record>, Stop> {
        let texts = match self.resolver.texts(domain).await {
            Ok(texts) => texts.records,
            Err(DnsError::BadName) => return Ok(None),
            Err(error) => return Err(Stop::Temporary(format!("TXT of {domain}: {error}"))),
        };
        let mut records = texts.iter().filter(|text| is_record(text));
        match (records.next(), records.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => Record::read(one)
                .map(Some)
                .map_err(|term| Stop::Permanent(format!("the record of {domain} is wrong: {term}"))),
            (Some(_), Some(_)) => Err(Stop::Permanent(format!("{domain} has several SPF records"))),
        }
    }

    async fn matches(&mut self, directive: &Directive, domain: &str) -> Result<bool, Stop> {
        let client = self.query.client;
        match &directive.mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(address, bits) => Ok(shares_bits(client, (*address).into(), *bits)),
            Mechanism::Ip6(address, bits) => Ok(shares_bits(client, (*address).into(), *bits)),
            mechanism => {
                self.count_lookup()?;
                let name = match mechanism.name() {
                    Some(name) => self.name(name, domain).await?,
                    None => domain.to_owned(),
                };
                self.ask(mechanism, name).await
            }
        }
    }

    /// The mechanisms that ask the DNS.
    async fn ask(&mut self, mechanism: &Mechanism, name: String) -> Result<bool, Stop> {
        match mechanism {
            Mechanism::Include(_) => self.include(name).await,
            Mechanism::A(target) => self.has_client(&name, target).await,
            Mechanism::Mx(target) => self.has_client_in_mx(&name, target).await,
            Mechanism::Ptr(_) => Ok(self.confirmed_names().await.iter().any(|own| is_within(own, &name))),
            Mechanism::Exists(_) => {
                // Of whatever family the client is, an A record is looked for (RFC 7208 5.7).
                let found = self.resolver.four(&name).await;
                Ok(!self.found(&name, found)?.is_empty())
            }
            Mechanism::All | Mechanism::Ip4(..) | Mechanism::Ip6(..) => Ok(false),
        }
    }

    /// RFC 7208 5.2: what the included record says becomes a match or none.
    async fn include(&mut self, name: String) -> Result<bool, Stop> {
        match self.evaluate(name.clone(), false).await?.verdict {
            Verdict::Pass => Ok(true),
            Verdict::None => Err(Stop::Permanent(format!("include of {name}, which has no record"))),
            _ => Ok(false),
        }
    }

    async fn has_client(&mut self, name: &str, target: &Target) -> Result<bool, Stop> {
        let client = self.query.client;
        if client.is_ipv4() {
            let found = self.resolver.four(name).await;
            let found: Vec<Ipv4Addr> = self.found(name, found)?;
            return Ok(found.into_iter().any(|own| shares_bits(client, own.into(), target.four_bits)));
        }
        let found = self.resolver.six(name).await;
        let found: Vec<Ipv6Addr> = self.found(name, found)?;
        Ok(found.into_iter().any(|own| shares_bits(client, own.into(), target.six_bits)))
    }

    async fn has_client_in_mx(&mut self, name: &str, target: &Target) -> Result<bool, Stop> {
        let found = self.resolver.exchanges(name).await;
        let hosts = self.found(name, found)?;
        if hosts.len() > NAMES_MAX {
            return Err(Stop::Permanent(format!("{name} has more than {NAMES_MAX} mail hosts")));
        }
        for (_, host) in hosts {
            if self.has_client(&host, target).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The client's names that lead back to it. Trouble here is no match, not an error (RFC 7208 5.5).
    async fn confirmed_names(&mut self) -> Vec<String> {
        let client = self.query.client;
        let Ok(names) = self.resolver.names(client).await else { return Vec::new() };
        let mut confirmed = Vec::new();
        for name in names.records.into_iter().take(NAMES_MAX) {
            let has_client = match client {
                IpAddr::V4(four) => {
                    self.resolver.four(&name).await.is_ok_and(|found| found.records.contains(&four))
                }
                IpAddr::V6(six) => {
                    self.resolver.six(&name).await.is_ok_and(|found| found.records.contains(&six))
                }
            };
            if has_client {
                confirmed.push(name);
            }
        }
        confirmed
    }

    /// What the domain says to those it turns away. Whatever goes wrong here changes nothing (RFC 7208 6.2).
    async fn explain(&mut self, name: &MacroText, domain: &str) -> Option<String> {
        let name = self.name(name, domain).await.ok()?;
        let texts = self.resolver.texts(&name).await.ok()?.records;
        let [text] = texts.as_slice() else { return None };
        let text = MacroText::read(std::str::from_utf8(text).ok()?, Grammar::Explanation)?;
        self.find_client_name(&text, domain).await;
        Some(text.expand(&self.values(domain)))
    }

    /// A name with its macros replaced.
    async fn name(&mut self, name: &MacroText, domain: &str) -> Result<String, Stop> {
        self.find_client_name(name, domain).await;
        Ok(name.expand_name(&self.values(domain)))
    }

    /// Looks for the client's name when a text asks for it: the domain itself, else one below it, else any
    /// (RFC 7208 7.3).
    async fn find_client_name(&mut self, text: &MacroText, domain: &str) {
        if self.client_name.is_some() || !text.needs_client_name() {
            return;
        }
        let mut names = self.confirmed_names().await;
        names.sort_by_key(|own| (!own.eq_ignore_ascii_case(domain), !is_within(own, domain)));
        self.client_name = Some(names.into_iter().next().unwrap_or_else(|| UNKNOWN.to_owned()));
    }

    fn values<'b>(&'b self, domain: &'b str) -> Values<'b> {
        // Without a local part it is the postmaster who sends (RFC 7208 4.3).
        let sender = match self.query.sender.rsplit_once('@') {
            Some(("", domain)) => Cow::Owned(format!("postmaster@{domain}")),
            Some(_) => Cow::Borrowed(self.query.sender),
            None => Cow::Owned(format!("postmaster@{}", self.query.sender)),
        };
        Values {
            sender,
            domain,
            client: self.query.client,
            helo: self.query.helo,
            client_name: self.client_name.as_deref().unwrap_or(UNKNOWN),
            receiver: self.query.receiver,
            now_s: self.query.now_s,
        }
    }

    fn count_lookup(&mut self) -> Result<(), Stop> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Err(Stop::Permanent(format!("more than {LOOKUPS_MAX} terms that need a look-up")));
        }
        Ok(())
    }

    /// The records of an answer; none at all is a question in vain. What can not be a name matches nothing, and nobody
    /// was asked (RFC 7208 4.8).
    fn found<T>(&mut self, name: &str, answer: Result<Records<T>, DnsError>) -> Result<Vec<T>, Stop> {
        let records = match answer {
            Ok(found) => found.records,
            Err(DnsError::BadName) => return Ok(Vec::new()),
            Err(error) => return Err(Stop::Temporary(format!("{name}: {error}"))),
        };
        if records.is_empty() {
            self.voids += 1;
            if self.voids > VOIDS_MAX {
                return Err(Stop::Permanent(format!("more than {VOIDS_MAX} look-ups in vain")));
            }
        }
        Ok(records)
    }
}

/// A name of several labels, none of them empty or too long (RFC 7208 4.3).
fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label_fits = |label: &str| (1..=63).contains(&label.len());
    name.len() <= 253 && name.contains('.') && name.split('.').all(label_fits)
}

/// True when `name` is `parent` or below it.
fn is_within(name: &str, parent: &str) -> bool {
    let parent = parent.strip_suffix('.').unwrap_or(parent);
    match name.len().checked_sub(parent.len()).and_then(|at| name.split_at_checked(at)) {
        Some((before, end)) => {
            end.eq_ignore_ascii_case(parent) && (before.is_empty() || before.ends_with('.'))
        }
        None => false,
    }
}

/// True when both are of one family and their first bits are equal.
fn shares_bits(one: IpAddr, other: IpAddr, bits: u32) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            (u32::from(one) ^ u32::from(other)) & mask == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            (u128::from(one) ^ u128::from(other)) & mask == 0
        }
        _ => false,
    }
}

/// Names of one `mx` or of the client that are looked at (RFC 7208 4.6.4).
const NAMES_MAX: usize = 10;
/// What stands for a client without a confirmed name (RFC 7208 7.3).
const UNKNOWN: &str = "unknown";
/// Octets of a reason, which may quote a record.
const REASON_OCTETS_MAX: usize = 200;
/// Octets of an explanation: a few lines.
const EXPLANATION_OCTETS_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_compared_within_a_family() {
        let shares =
            |one: &str, other: &str, bits| shares_bits(one.parse().unwrap(), other.parse().unwrap(), bits);
        assert!(shares("192.0.2.1", "192.0.2.255", 24) && !shares("192.0.2.1", "192.0.3.1", 24));
        assert!(shares("192.0.2.1", "198.51.100.1", 0) && !shares("192.0.2.1", "192.0.2.2", 32));
        assert!(shares("2001:db8::1", "2001:db8::2", 64) && !shares("2001:db8::1", "2001:db8::2", 128));
        assert!(shares("2001:db8::1", "::", 0) && !shares("192.0.2.1", "::", 0));
    }

    #[test]
    fn names_are_compared_by_labels() {
        assert!(is_within("a.B.example", "b.example") && is_within("b.example", "b.example."));
        assert!(!is_within("ab.example", "b.example") && !is_within("example", "b.example"));
        assert!(is_domain("a.example") && is_domain("a.example."));
        assert!(
            !is_domain("example")
                && !is_domain("a..example")
                && !is_domain(&format!("{}.example", "a".repeat(64)))
        );
    }
}
