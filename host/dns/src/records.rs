//! Records as they are, for those who read a protocol out of them: SPF, DKIM, DMARC, and the checks of an own domain.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use baton_mail::text::sanitize;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::resolver::{DnsError, Found, RECORDS_MAX, Resolver};

/// What the DNS says about a name, for one type of record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<T> {
    /// The records, at most [`RECORDS_MAX`]; none when there are none of the type.
    pub records: Vec<T>,
    /// False when the name does not exist at all (NXDOMAIN), nor anything below it (RFC 8020).
    pub name_exists: bool,
}

/// What the DNS says about the way back from an address (RFC 8601 2.7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reverse {
    /// This name of the address has the address.
    Confirmed(String),
    /// It has names, and none of them has the address.
    Unconfirmed,
    /// It has no name.
    Nameless,
}

impl Resolver {
    /// The texts at `name`, the strings of each record joined (RFC 7208 3.3). They may hold any octet.
    ///
    /// # Errors
    /// When the DNS gives no answer, or the name is none.
    pub async fn texts(&self, name: &str) -> Result<Records<Vec<u8>>, DnsError> {
        self.records(exact(name)?, RecordType::TXT, |data| match data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        })
        .await
    }

    /// The IPv4 addresses of `name`.
    ///
    /// # Errors
    /// As [`Resolver::texts`].
    pub async fn four(&self, name: &str) -> Result<Records<Ipv4Addr>, DnsError> {
        self.records(exact(name)?, RecordType::A, |data| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
        .await
    }

    /// The IPv6 addresses of `name`.
    ///
    /// # Errors
    /// As [`Resolver::texts`].
    pub async fn six(&self, name: &str) -> Result<Records<Ipv6Addr>, DnsError> {
        self.records(exact(name)?, RecordType::AAAA, |data| match data {
            RData::AAAA(address) => Some(address.0),
            _ => None,
        })
        .await
    }

    /// The mail hosts of `name` with their preferences, as they stand in its MX records: no address in their place, and
    /// names that no mail can go to among them.
    ///
    /// # Errors
    /// As [`Resolver::texts`].
    pub async fn exchanges(&self, name: &str) -> Result<Records<(u16, String)>, DnsError> {
        let mut found = self
            .records(exact(name)?, RecordType::MX, |data| match data {
                RData::MX(mx) => Some((mx.preference, plain(&mx.exchange))),
                _ => None,
            })
            .await?;
        found.records.sort();
        Ok(found)
    }

    /// The names that an address has, unconfirmed.
    ///
    /// # Errors
    /// When the DNS gives no answer.
    pub async fn names(&self, address: IpAddr) -> Result<Records<String>, DnsError> {
        self.records(Name::from(address), RecordType::PTR, |data| match data {
            RData::PTR(name) => Some(plain(name)),
            _ => None,
        })
        .await
    }

    /// The way back from an address, for the check that RFC 8601 calls `iprev`.
    ///
    /// # Errors
    /// When the DNS gives no answer that decides.
    pub async fn reverse(&self, address: IpAddr) -> Result<Reverse, DnsError> {
        if let Some(name) = self.reverse_name(address).await? {
            return Ok(Reverse::Confirmed(name));
        }
        let names = self.names(address).await?.records;
        Ok(if names.is_empty() { Reverse::Nameless } else { Reverse::Unconfirmed })
    }

    async fn records<T>(
        &self,
        name: Name,
        wanted: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Records<T>, DnsError> {
        Ok(match self.within_deadline(self.find(name, wanted)).await? {
            Found::Records { records, .. } => {
                let read = |record: &Record| read(&record.data);
                Records {
                    records: records.iter().filter_map(read).take(RECORDS_MAX).collect(),
                    name_exists: true,
                }
            }
            Found::NoSuchName => Records { records: Vec::new(), name_exists: false },
            Found::NoSuchType => Records { records: Vec::new(), name_exists: true },
        })
    }
}

/// The name as it stands, whatever octets its labels have: names of SPF and DKIM are no host names.
fn exact(name: &str) -> Result<Name, DnsError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels = name.split('.').map(str::as_bytes);
    if labels.clone().any(<[u8]>::is_empty) {
        return Err(DnsError::BadName);
    }
    let mut name = Name::from_labels(labels).map_err(|_| DnsError::BadName)?;
    name.set_fqdn(true);
    Ok(name)
}

/// A name in lower case, without a dot at its end and without the escapes of zone files, so that it can be asked for again.
fn plain(name: &Name) -> String {
    let labels: Vec<_> =
        name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    sanitize(&labels.join("."), NAME_OCTETS_MAX)
}

/// Three octets stand for one that is no text.
const NAME_OCTETS_MAX: usize = 3 * 255;
