//! Sources: what mail leaves by. A source is an address or two with the name that is said there, directly or through a
//! proxy; a pool is some of them, with weights.
//!
//! Invariant: mail never leaves by another address than its source has. Where a source has none of a family, hosts of that
//! family are not tried.

mod listed;
mod open;
mod pool;
mod warmup;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use baton_mail::status::SentFrom;
use baton_mail::{Domain, Envelope};
use baton_store::Tenants;

pub(crate) use listed::Listings;
pub use listed::{BlocklistSettings, Listing, ListingRow};
pub(crate) use open::open;
pub use pool::Pool;
pub(crate) use warmup::Warmups;
pub use warmup::{Position, WarmupPlan, WarmupRow, WarmupState};

use crate::next_hop::HostPort;
use crate::routes::DomainTable;

/// What mail leaves by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Its name in the settings; empty for the one that is there when they name none.
    pub name: String,
    /// At most one of each family. Empty: the system chooses.
    pub addresses: Vec<IpAddr>,
    /// What is said in EHLO; the relay's host name without.
    pub ehlo: Option<Domain>,
    /// Who connects for it.
    pub proxy: Option<Proxy>,
}

/// Who connects for a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// A SOCKS server (RFC 1928); it has the source's addresses.
    Socks5(HostPort),
    /// A balancer that takes a PROXY header (version 2) and connects from the source's address.
    Haproxy(HostPort),
}

impl Source {
    /// The source that is there when the settings name none.
    pub fn unnamed(addresses: Vec<IpAddr>) -> Source {
        Source { name: String::new(), addresses, ehlo: None, proxy: None }
    }

    /// The address for targets of a family, and whether there can be one.
    pub(crate) fn address_for(&self, target: IpAddr) -> Option<IpAddr> {
        self.addresses.iter().find(|own| own.is_ipv4() == target.is_ipv4()).copied()
    }

    /// Whether hosts of this address can be reached by it.
    pub(crate) fn reaches(&self, target: IpAddr) -> bool {
        self.addresses.is_empty() || self.address_for(target).is_some()
    }

    /// What is said in EHLO.
    pub(crate) fn ehlo<'a>(&'a self, hostname: &'a Domain) -> &'a str {
        self.ehlo.as_ref().unwrap_or(hostname).as_str()
    }

    /// As outcomes tell of it; nothing when the settings name no sources.
    pub(crate) fn sent_from(&self, hostname: &Domain, target: IpAddr) -> Option<Arc<SentFrom>> {
        if self.name.is_empty() {
            return None;
        }
        Some(Arc::new(SentFrom {
            name: self.name.clone(),
            ehlo: self.ehlo(hostname).to_owned(),
            address: self.address_for(target),
        }))
    }
}

/// All sources, and which mail leaves by which.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// What mail leaves by of which nothing else is said.
    pub default: Arc<Pool>,
    /// By the name of a tenant.
    pub by_tenant: HashMap<String, Arc<Pool>>,
    /// By the name of a stream, or `tenant/stream`.
    pub by_stream: HashMap<String, Arc<Pool>>,
    /// By its own name: streams of the catalog may choose one.
    pub by_name: HashMap<String, Arc<Pool>>,
    /// The streams of the catalog; none where nobody looks.
    pub catalog: Option<Tenants>,
    /// By the recipients' domain.
    pub by_domain: DomainTable<Option<Arc<Pool>>>,
    /// Plans of sources that are not warm yet, by the source's name.
    pub warmups: HashMap<String, Arc<WarmupPlan>>,
    /// For what stays on this machine or next to it: LMTP.
    pub local: Arc<Source>,
}

impl Default for SourceSettings {
    fn default() -> SourceSettings {
        SourceSettings::of_addresses(Vec::new())
    }
}

impl SourceSettings {
    /// One source with these addresses for all mail.
    pub fn of_addresses(addresses: Vec<IpAddr>) -> SourceSettings {
        let only = Arc::new(Source::unnamed(addresses));
        SourceSettings {
            default: Arc::new(Pool::new("default", vec![(only, 1)])),
            by_tenant: HashMap::new(),
            by_stream: HashMap::new(),
            by_name: HashMap::new(),
            catalog: None,
            by_domain: DomainTable::default(),
            warmups: HashMap::new(),
            local: Arc::new(Source::unnamed(Vec::new())),
        }
    }

    /// The pool for a message to this domain: that which its stream chose in the catalog, else that of its stream in the
    /// settings, else of its tenant, else of the route, else the default.
    pub(crate) fn pool(&self, envelope: &Envelope, domain: Option<&Domain>) -> &Arc<Pool> {
        let chosen = || {
            let catalog = self.catalog.as_ref().filter(|_| !self.by_name.is_empty())?;
            let row = catalog.stream(envelope.tenant.as_deref(), envelope.stream.as_deref()?)?;
            // A name that the settings do not know any more chooses nothing.
            self.by_name.get(row.value.pool.as_deref()?)
        };
        let of_stream = || {
            let stream = envelope.stream.as_deref().filter(|_| !self.by_stream.is_empty())?;
            let of_tenant = envelope.tenant.as_deref().map(|tenant| format!("{tenant}/{stream}"));
            of_tenant.and_then(|name| self.by_stream.get(&name)).or_else(|| self.by_stream.get(stream))
        };
        let of_tenant = || self.by_tenant.get(envelope.tenant.as_deref()?);
        let of_domain = || self.by_domain.find(domain?).as_ref();
        chosen().or_else(of_stream).or_else(of_tenant).or_else(of_domain).unwrap_or(&self.default)
    }

    /// The source of questions about recipients: the first of the default pool.
    pub(crate) fn for_questions(&self) -> &Source {
        self.default.sources().next().unwrap_or(&self.local)
    }

    /// Every source of every pool, by name.
    pub fn all(&self) -> Vec<Arc<Source>> {
        let pools = [&self.default].into_iter().chain(self.by_tenant.values()).chain(self.by_stream.values());
        let pools = pools.chain(self.by_domain.values().flatten()).chain(self.by_name.values());
        let mut all: Vec<Arc<Source>> = pools.flat_map(|pool| pool.sources().cloned()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.dedup_by(|one, other| one.name == other.name);
        all
    }

    /// The addresses of all sources.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.all().iter().flat_map(|source| source.addresses.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use baton_mail::{MessageId, Origin, ReversePath, UnixMs};

    use super::*;

    fn pool(name: &str) -> Arc<Pool> {
        let source = Source { name: format!("of-{name}"), ..Source::unnamed(Vec::new()) };
        Arc::new(Pool::new(name, vec![(Arc::new(source), 1)]))
    }

    #[test]
    fn the_most_particular_pool_is_taken() {
        let mut settings = SourceSettings { default: pool("default"), ..SourceSettings::default() };
        settings.by_tenant.insert("acme".to_owned(), pool("tenant"));
        settings.by_stream.insert("news".to_owned(), pool("stream"));
        settings.by_stream.insert("acme/codes".to_owned(), pool("codes"));
        let routed: Domain = "far.example".parse().unwrap();
        settings.by_domain.insert(crate::DomainPattern::Exactly(routed.clone()), Some(pool("route")));
        let now = UnixMs(1);
        let mut envelope = Envelope::new(
            MessageId::new(now),
            now,
            Duration::from_secs(1),
            ReversePath::Null,
            Origin::internal(),
        );
        let near: Domain = "near.example".parse().unwrap();
        assert_eq!(settings.pool(&envelope, Some(&near)).name, "default");
        assert_eq!(settings.pool(&envelope, Some(&routed)).name, "route");
        envelope.tenant = Some("acme".to_owned());
        assert_eq!(settings.pool(&envelope, Some(&routed)).name, "tenant");
        envelope.stream = Some("news".to_owned());
        assert_eq!(settings.pool(&envelope, Some(&routed)).name, "stream");
        envelope.stream = Some("codes".to_owned());
        assert_eq!(settings.pool(&envelope, Some(&routed)).name, "codes");
        envelope.tenant = None;
        assert_eq!(settings.pool(&envelope, Some(&near)).name, "default", "of another tenant's stream");
        assert_eq!(settings.all().len(), 5);
    }

    #[test]
    fn a_source_without_a_family_does_not_reach_its_hosts() {
        let four: IpAddr = [192, 0, 2, 1].into();
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        let source = Source::unnamed(vec![four]);
        assert!(source.reaches([198, 51, 100, 1].into()) && !source.reaches(six));
        assert!(Source::unnamed(Vec::new()).reaches(six));
    }
}
