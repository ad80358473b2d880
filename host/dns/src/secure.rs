//! Lookups whose answers are proved by signatures (DNSSEC, RFC 4035): of mail hosts, their addresses and TLSA records.
//!
//! The relay checks signatures itself, with the trust anchors of the root, so that the way to the name servers need not
//! be believed. The servers must pass signatures on, as all resolvers made for servers do.
//!
//! Invariant: an answer is called secure only when every record of it, aliases included, is proved by a chain of
//! signatures from a trust anchor. One that should be signed and is not proved is [`DnsError::Bogus`], never an answer.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_proto::dnssec::{Proof, TrustAnchors};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError as Answered, NetError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::resolver::{
    ADDRESSES_MAX, DnsError, Found, RECORDS_MAX, Resolver, absolute, address_of, understand,
};
use crate::settings::Dnssec;

/// What the lookup of a host's addresses brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddresses {
    /// The addresses, IPv6 and IPv4, at most [`ADDRESSES_MAX`].
    pub addresses: Vec<IpAddr>,
    /// The name that has them, when the host is proved to be an alias of it; else the host.
    pub name: String,
    /// All of it is proved.
    pub secure: bool,
}

/// A TLSA record (RFC 6698 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsaRecord {
    /// The certificate usage.
    pub usage: u8,
    /// What of the certificate is compared.
    pub selector: u8,
    /// How it is compared.
    pub matching: u8,
    /// What it is compared with.
    pub data: Vec<u8>,
}

/// The resolver that checks.
pub(crate) struct Validator {
    inner: TokioResolver,
    mode: Dnssec,
    /// The name servers were seen to pass signatures on.
    is_proved: AtomicBool,
    /// When they were seen not to.
    failed_at: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Validator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Validator").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Validator {
    pub(crate) fn new(inner: TokioResolver, mode: Dnssec) -> Validator {
        Validator { inner, mode, is_proved: AtomicBool::new(false), failed_at: Mutex::new(None) }
    }

    /// One question. An answer through aliases is proved as a whole, or alias by alias: the library takes what a server
    /// says about the end of a chain, that there is nothing, for no proof about its beginning.
    async fn find(&self, name: Name, wanted: RecordType) -> Result<(Found, bool), DnsError> {
        let (mut name, mut is_secure) = (name, true);
        for _ in 0..ALIASES_MAX {
            match self.find_at_once(name.clone(), wanted).await {
                Err(DnsError::Bogus) => {}
                found => return found.map(|(found, secure)| (found, secure && is_secure)),
            }
            let (Found::Records { records, .. }, secure) =
                self.find_at_once(name.clone(), RecordType::CNAME).await?
            else {
                return Err(DnsError::Bogus);
            };
            let alias = records.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == name => Some(target.0.clone()),
                _ => None,
            });
            name = alias.ok_or(DnsError::Bogus)?;
            is_secure &= secure;
        }
        Err(DnsError::Bogus)
    }

    async fn find_at_once(&self, name: Name, wanted: RecordType) -> Result<(Found, bool), DnsError> {
        match self.inner.lookup(name, wanted).await {
            Ok(lookup) => {
                let answers = &lookup.message().answers;
                let mut counted =
                    answers.iter().filter(|record| record.record_type() != RecordType::RRSIG).peekable();
                let secure = counted.peek().is_some() && counted.all(|record| record.proof == Proof::Secure);
                let records = answers.clone();
                Ok((Found::Records { records, authenticated: secure }, secure))
            }
            Err(NetError::Dns(Answered::DnssecBogus)) => Err(DnsError::Bogus),
            // Proved not to be provable, as below a delegation that opts out (RFC 5155 6).
            Err(NetError::Dns(Answered::Nsec { proof: Proof::Insecure, response, .. })) => {
                Ok((nothing(response.metadata.response_code), false))
            }
            Err(NetError::Dns(Answered::Nsec { .. })) => Err(DnsError::Bogus),
            Err(error) => understand(error).map(|found| (found, false)),
        }
    }

    /// Whether answers can be proved here. Where signatures do not come through, each answer of a signed zone would look
    /// forged, and no mail would go out at all.
    async fn is_usable(&self, deadline: Duration) -> bool {
        if self.mode == Dnssec::Validate || self.is_proved.load(Ordering::Relaxed) {
            return true;
        }
        let mut failed_at = self.failed_at.lock().await;
        if self.is_proved.load(Ordering::Relaxed) {
            return true;
        }
        if failed_at.is_some_and(|at| at.elapsed() < LOOK_AGAIN_AFTER) {
            return false;
        }
        let asked = tokio::time::timeout(deadline, self.find(Name::root(), RecordType::DNSKEY)).await;
        let is_proved = matches!(asked, Ok(Ok((Found::Records { .. }, true))));
        self.is_proved.store(is_proved, Ordering::Relaxed);
        *failed_at = (!is_proved).then(Instant::now);
        is_proved
    }
}

impl Resolver {
    /// One question, with signatures checked where that is possible; and whether the answer is proved.
    pub(crate) async fn find_checked(
        &self,
        name: Name,
        wanted: RecordType,
    ) -> Result<(Found, bool), DnsError> {
        match &self.validator {
            Some(validator) if validator.is_usable(self.deadline).await => validator.find(name, wanted).await,
            _ => self.find(name, wanted).await.map(|found| (found, false)),
        }
    }

    /// Whether answers are checked: for `auto`, whether the name servers pass signatures on.
    pub async fn validates(&self) -> bool {
        match &self.validator {
            Some(validator) => validator.is_usable(self.deadline).await,
            None => false,
        }
    }

    /// The addresses of a mail host, and whether they are proved. An address stands for itself, unproved.
    ///
    /// # Errors
    /// As [`Resolver::addresses`], and [`DnsError::Bogus`].
    pub async fn host_addresses(&self, host: &str) -> Result<HostAddresses, DnsError> {
        if let Ok(address) = host.parse() {
            return Ok(HostAddresses { addresses: vec![address], name: host.to_owned(), secure: false });
        }
        let name = absolute(host)?;
        let both = async {
            Ok(tokio::join!(
                self.find_checked(name.clone(), RecordType::AAAA),
                self.find_checked(name.clone(), RecordType::A)
            ))
        };
        let (six, four) = self.within_deadline(both).await?;
        let mut found = HostAddresses { addresses: Vec::new(), name: host.to_owned(), secure: true };
        let mut failure = None;
        for one in [six, four] {
            match one {
                Ok((Found::Records { records, .. }, secure)) => found.add(&records, secure),
                Ok((Found::NoSuchName | Found::NoSuchType, _)) => {}
                Err(error) => failure = Some(error),
            }
        }
        found.secure &= !found.addresses.is_empty();
        found.addresses.truncate(ADDRESSES_MAX);
        match failure {
            // Forged answers about one family make the host doubtful as a whole (RFC 7672 2.1.2).
            Some(error) if found.addresses.is_empty() || error == DnsError::Bogus => Err(error),
            _ => Ok(found),
        }
    }

    /// The TLSA records for SMTP at this host and port. None where none are published, or where they are not proved.
    ///
    /// # Errors
    /// When it is not known for sure: the host must not be used then (RFC 7672 2.1.2).
    pub async fn tlsa(&self, host: &str, port: u16) -> Result<Vec<TlsaRecord>, DnsError> {
        let name = absolute(&format!("_{port}._tcp.{host}"))?;
        let (Found::Records { records, .. }, true) =
            self.within_deadline(self.find_checked(name, RecordType::TLSA)).await?
        else {
            return Ok(Vec::new());
        };
        Ok(records.iter().filter_map(read_tlsa).take(RECORDS_MAX).collect())
    }
}

impl HostAddresses {
    fn add(&mut self, records: &[Record], secure: bool) {
        let before = self.addresses.len();
        for record in records {
            let Some(address) = address_of(record) else { continue };
            self.addresses.push(address);
            if secure {
                self.name = record.name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
            }
        }
        if self.addresses.len() > before {
            self.secure &= secure;
        }
    }
}

/// Reads the trust anchors of a file, DNSKEY records as in a zone; without a file, those of the root as IANA published
/// them.
pub(crate) fn trust_anchors(file: Option<&Path>) -> Result<Arc<TrustAnchors>, DnsError> {
    let Some(path) = file else { return Ok(Arc::new(TrustAnchors::default())) };
    let shown = path.display();
    let read = TrustAnchors::from_file(path);
    read.map(Arc::new)
        .map_err(|error| DnsError::Settings(format!("{shown} holds no DNSKEY records: {error}")))
}

fn read_tlsa(record: &Record) -> Option<TlsaRecord> {
    let RData::TLSA(tlsa) = &record.data else { return None };
    Some(TlsaRecord {
        usage: tlsa.cert_usage.into(),
        selector: tlsa.selector.into(),
        matching: tlsa.matching.into(),
        data: tlsa.cert_data.clone(),
    })
}

fn nothing(code: ResponseCode) -> Found {
    if code == ResponseCode::NXDomain { Found::NoSuchName } else { Found::NoSuchType }
}

/// Aliases that are followed one by one.
const ALIASES_MAX: usize = 6;
/// Name servers that were seen not to pass signatures on are asked again after this time.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(600);
