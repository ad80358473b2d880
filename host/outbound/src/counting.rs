//! What is counted of a connection for the report to the recipients' domain (RFC 8460): by which policy it was made, and
//! what was wrong.
//!
//! Invariant: nothing is counted of hosts that the settings name, of mail that the relay wrote itself, which may carry a
//! report, and of mail whose sender waives TLS.

use std::net::IpAddr;

use baton_dns::TlsaRecord;
use baton_identity::reports::outgoing::{Tally, TlsCounts, TlsFault, TlsPolicyKind, TlsPolicyName};
use baton_mail::Domain;
use baton_mail::tls::{Security, TlsFlaw};
use baton_tls::flaw_of_distrust;

use crate::connect::{Purpose, Reach};
use crate::link::{Link, Refusal};
use crate::protection::Withheld;
use crate::security::{Sts, TlsUse};
use crate::settings::OutboundSettings;
use crate::site::Candidate;
use crate::sts::Flaw;

/// Where counts of a connection go.
pub(crate) struct Counting<'a> {
    tally: &'a Tally<TlsCounts>,
    reach: &'a Reach,
    settings: &'a OutboundSettings,
    domain: &'a Domain,
    candidate: &'a Candidate,
    purpose: Purpose<'a>,
}

/// What was wrong, with more about it.
type Fault = (TlsFlaw, String);

/// What came of a connection as far as TLS has to do with it.
pub(crate) enum Came {
    /// It is open.
    Open(Option<Security>),
    /// It is not.
    Failed(Fault),
}

impl Came {
    /// None when it failed for other reasons.
    pub(crate) fn of(opened: &Result<Link, Refusal>) -> Option<Came> {
        match opened {
            Ok(link) => Some(Came::Open(link.security().cloned())),
            Err(Refusal { status, flaw, .. }) => {
                (*flaw).map(|flaw| Came::Failed((flaw, status.text.clone())))
            }
        }
    }
}

impl<'a> Counting<'a> {
    /// None when nobody is told of the connection.
    pub(crate) fn of(
        reach: &'a Reach,
        settings: &'a OutboundSettings,
        candidate: &'a Candidate,
        purpose: Purpose<'a>,
    ) -> Option<Counting<'a>> {
        let tally = reach.tally.as_deref().filter(|tally| tally.is_on() && purpose.is_counted)?;
        let is_counted = !candidate.trusted && candidate.tls.mode != TlsUse::Off;
        let domain = purpose.domain.filter(|_| is_counted)?;
        Some(Counting { tally, reach, settings, domain, candidate, purpose })
    }

    /// Counts that a host gets no mail now.
    pub(crate) async fn withheld(&self, why: &Withheld) {
        let policy = match &why.tlsa_of {
            Some(base) => Some((tlsa_policy(base, &[]), None)),
            None => self.domain_policy().await,
        };
        if let Some((policy, _)) = policy {
            self.count(&policy, None, Some((why.flaw, why.status.text.clone())));
        }
    }

    /// Counts a connection to this address: how it is protected, or what was wrong with its TLS.
    pub(crate) async fn connected(&self, to: IpAddr, tlsa: Option<&(String, Vec<TlsaRecord>)>, came: Came) {
        let policy = match tlsa {
            Some((base, records)) => Some((tlsa_policy(base, records), None)),
            None => self.domain_policy().await,
        };
        let Some((policy, without)) = policy else { return };
        let fault = match came {
            Came::Open(security) => without.or_else(|| self.fault_of(security.as_ref())),
            Came::Failed(fault) => Some(fault),
        };
        self.count(&policy, Some(to), fault);
    }

    /// The MTA-STS policy of the domain, or that it has none, maybe because it could not be had. None when the connection was
    /// not made by it.
    async fn domain_policy(&self) -> Option<(TlsPolicyName, Option<Fault>)> {
        let found = self.reach.policies.find(self.domain, &self.settings.sts).await;
        let name = |kind| TlsPolicyName::new(kind, self.domain.as_str());
        match (found.policy, self.candidate.tls.published.sts) {
            (Some(policy), Some(_)) => {
                let hosts = policy.hosts.iter().map(String::as_str);
                Some((name(TlsPolicyKind::Sts).with_text(policy.lines(), hosts), None))
            }
            (None, None) => Some(match found.flaw {
                Some(flaw) => (name(TlsPolicyKind::Sts), Some(fault_of_policy(flaw))),
                None => (name(TlsPolicyKind::Missing), None),
            }),
            _ => None,
        }
    }

    /// Why an open connection is not as the policy asks.
    fn fault_of(&self, security: Option<&Security>) -> Option<Fault> {
        let facts = match security {
            Some(Security::Protected(facts)) => facts,
            Some(Security::Plain(why)) => return Some((TlsFlaw::StarttlsNotSupported, why.clone())),
            None => return Some((TlsFlaw::StarttlsNotSupported, String::new())),
        };
        match self.candidate.tls.published.sts {
            Some(Sts::Tested { listed: false }) => {
                Some((TlsFlaw::ValidationFailure, "the policy does not list the host".to_owned()))
            }
            Some(Sts::Tested { listed: true }) => {
                let why = facts.certificate.as_ref()?.distrust.clone()?;
                Some((flaw_of_distrust(&why), why))
            }
            _ => None,
        }
    }

    fn count(&self, policy: &TlsPolicyName, to: Option<IpAddr>, fault: Option<Fault>) {
        let from = to.and_then(|to| self.purpose.source.address_for(to));
        let fault = fault.map(|(kind, detail)| TlsFault {
            kind,
            from: from.map(|address| address.to_string()),
            host: self.candidate.host.host.clone(),
            to: to.map(|address| address.to_string()),
            detail,
        });
        self.tally.count(self.domain, |counts, is_room| counts.add(policy, fault, is_room));
    }
}

fn tlsa_policy(base: &str, records: &[TlsaRecord]) -> TlsPolicyName {
    let line = |record: &TlsaRecord| {
        let data: String = record.data.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("{} {} {} {data}", record.usage, record.selector, record.matching)
    };
    TlsPolicyName::new(TlsPolicyKind::Tlsa, base).with_text(records.iter().map(line), [])
}

fn fault_of_policy(flaw: Flaw) -> Fault {
    match flaw {
        Flaw::Fetch(why) => (TlsFlaw::StsPolicyFetchError, why),
        Flaw::Certificate(why) => (TlsFlaw::StsWebpkiInvalid, why),
        Flaw::Invalid(why) => (TlsFlaw::StsPolicyInvalid, why),
    }
}
