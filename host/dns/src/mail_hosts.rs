//! Which hosts take mail for a domain (RFC 5321 5.1, RFC 7505).

use std::net::IpAddr;

use baton_mail::Domain;
use hickory_proto::rr::{RData, Record, RecordType};

use crate::resolver::{DnsError, Found, Resolver, absolute};

/// Mail hosts of one domain that are looked at; the most preferred ones are kept.
pub const MAIL_HOSTS_MAX: usize = 100;

/// One host that takes mail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailHost {
    /// The preference of its MX record; lower ones are tried first.
    pub preference: u16,
    /// Its name in lower case, without a dot at the end.
    pub name: String,
}

/// What the DNS says about mail for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailHosts {
    /// Hosts by rising preference, each name once; at least one.
    Hosts(Vec<MailHost>),
    /// The domain says that it takes no mail (RFC 7505).
    NullMx,
    /// The domain does not exist, or has neither MX nor address records.
    NoSuchDomain,
}

/// The mail hosts of a domain, and how well that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundMailHosts {
    /// What the DNS says.
    pub hosts: MailHosts,
    /// The names are proved by signatures (RFC 7672 2.2.1).
    pub secure: bool,
}

impl Resolver {
    /// The hosts that take mail for `domain`; the domain itself when it has an address but no MX record. Signatures are
    /// checked where that is possible.
    ///
    /// A literal such as `[192.0.2.1]` is its own only host (RFC 5321 4.1.3).
    ///
    /// # Errors
    /// When the DNS gives no answer, or a forged one; all of these are transient.
    pub async fn mail_hosts(&self, domain: &Domain) -> Result<FoundMailHosts, DnsError> {
        if let Some(address) = domain.as_literal() {
            let hosts = MailHosts::Hosts(vec![MailHost { preference: 0, name: address.to_string() }]);
            return Ok(FoundMailHosts { hosts, secure: false });
        }
        let name = absolute(domain.as_str())?;
        let (found, secure) = self.within_deadline(self.find_checked(name, RecordType::MX)).await?;
        match found {
            Found::Records { records, .. } => match read_mail_hosts(&records) {
                Some(hosts) => Ok(FoundMailHosts { hosts, secure }),
                None => self.implicit_mail_host(domain).await,
            },
            Found::NoSuchName => Ok(FoundMailHosts { hosts: MailHosts::NoSuchDomain, secure: false }),
            Found::NoSuchType => self.implicit_mail_host(domain).await,
        }
    }

    /// Without any MX record, a domain with an address is its own mail host (RFC 5321 5.1).
    async fn implicit_mail_host(&self, domain: &Domain) -> Result<FoundMailHosts, DnsError> {
        let found = self.host_addresses(domain.as_str()).await?;
        if found.addresses.is_empty() {
            return Ok(FoundMailHosts { hosts: MailHosts::NoSuchDomain, secure: false });
        }
        let hosts = MailHosts::Hosts(vec![MailHost { preference: 0, name: domain.as_str().to_owned() }]);
        Ok(FoundMailHosts { hosts, secure: found.secure })
    }
}

/// Reads MX records; `None` when there are none.
fn read_mail_hosts(records: &[Record]) -> Option<MailHosts> {
    let mut hosts = Vec::new();
    let mut any = false;
    for record in records {
        let RData::MX(mx) = &record.data else { continue };
        any = true;
        // A root name among real hosts says nothing; alone it is the null MX (RFC 7505 3).
        // What can not be a host name, such as an address or a name with a port, is no host to connect to.
        if let Ok(name) = mx.exchange.to_ascii().trim_end_matches('.').parse::<Domain>()
            && name.as_literal().is_none()
            && name.as_str().parse::<IpAddr>().is_err()
        {
            hosts.push(MailHost { preference: mx.preference, name: name.as_str().to_owned() });
        }
    }
    if !any {
        return None;
    }
    if hosts.is_empty() {
        return Some(MailHosts::NullMx);
    }
    Some(MailHosts::Hosts(by_preference(hosts)))
}

/// Sorts, keeps each name once at its best preference, and cuts to [`MAIL_HOSTS_MAX`].
fn by_preference(mut hosts: Vec<MailHost>) -> Vec<MailHost> {
    hosts.sort();
    let mut seen = std::collections::HashSet::new();
    hosts.retain(|host| seen.insert(host.name.clone()));
    hosts.truncate(MAIL_HOSTS_MAX);
    hosts
}
