//! One look at a domain: what is kept here, and what the DNS says.

use std::net::IpAddr;

use baton_dns::Resolver;
use baton_mail::{Domain, UnixMs};
use serde::Serialize;
use utoipa::ToSchema;

use super::{DomainError, DomainFile, Domains, Finding, FindingState, Host, KeyState};

/// Looks at domains, for the commands and the admin interface.
#[derive(Clone, Debug)]
pub struct Inspector {
    domains: Domains,
    resolver: Resolver,
    hostname: Domain,
    addresses: Vec<(IpAddr, Domain)>,
}

/// What was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Inspection {
    /// The domain.
    #[schema(value_type = String)]
    pub domain: Domain,
    /// When the records of its keys were first seen in the DNS.
    #[schema(value_type = Option<u64>)]
    pub seen_at: Option<UnixMs>,
    /// Everything is there that mail needs.
    pub is_ready: bool,
    /// What was found about each thing.
    pub findings: Vec<Finding>,
    /// The records of all new keys are published.
    #[serde(skip)]
    pub new_keys_are_seen: bool,
}

/// A domain in a list, without anything secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DomainRow {
    /// The domain.
    #[schema(value_type = String)]
    pub domain: Domain,
    /// When the records of its keys were first seen in the DNS.
    #[schema(value_type = Option<u64>)]
    pub seen_at: Option<UnixMs>,
    /// Its keys.
    pub keys: Vec<KeyRow>,
}

/// A key in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyRow {
    /// The name under which it is published.
    pub selector: String,
    /// `rsa-sha256` or `ed25519-sha256`.
    pub algorithm: String,
    /// Whether it signs.
    pub state: KeyState,
    /// Since when it is in that state.
    #[schema(value_type = u64)]
    pub since: UnixMs,
}

impl From<DomainFile> for DomainRow {
    fn from(file: DomainFile) -> DomainRow {
        let keys = file.keys.into_iter().map(|key| KeyRow {
            selector: key.selector,
            algorithm: key.algorithm,
            state: key.state,
            since: key.since,
        });
        DomainRow { keys: keys.collect(), domain: file.domain, seen_at: file.seen_at }
    }
}

impl Inspector {
    /// `addresses` are those that mail leaves from, each with the name in EHLO; when there are none, those that the hostname has in the DNS.
    pub fn new(
        domains: Domains,
        resolver: Resolver,
        hostname: Domain,
        addresses: Vec<(IpAddr, Domain)>,
    ) -> Inspector {
        Inspector { domains, resolver, hostname, addresses }
    }

    /// The folder of the domains.
    pub fn domains(&self) -> &Domains {
        &self.domains
    }

    /// Looks at one domain, and changes nothing.
    pub async fn inspect(&self, domain: &Domain) -> Result<Inspection, DomainError> {
        let file = self.domains.get(domain)?;
        let findings = file.check(&self.resolver, &self.host().await).await;
        let is_fine = |one: &Finding| !one.required || one.state == FindingState::Right;
        Ok(Inspection {
            domain: file.domain.clone(),
            seen_at: file.seen_at,
            is_ready: findings.iter().all(is_fine),
            new_keys_are_seen: file.new_keys_are_seen(&findings),
            findings,
        })
    }

    async fn host(&self) -> Host {
        let name = self.hostname.clone();
        let addresses = match self.addresses.as_slice() {
            // Without an answer there are none, which the findings say.
            [] => {
                let own = self.resolver.addresses(name.as_str()).await.unwrap_or_default();
                own.into_iter().map(|address| (address, name.clone())).collect()
            }
            given => given.to_vec(),
        };
        Host { name, addresses }
    }
}
