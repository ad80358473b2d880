//! The resolver: questions to servers, answers as our own types.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use baton_mail::text::sanitize;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Answered, NetError};
use hickory_resolver::{TokioResolver, system_conf};

use crate::secure::{Validator, trust_anchors};
use crate::settings::{DnsSettings, Dnssec};

/// Addresses of one host that are looked at.
pub const ADDRESSES_MAX: usize = 100;
/// Records of one answer to a plugin at most.
pub const RECORDS_MAX: usize = 256;
/// Octets of text of one record at most.
pub const RECORD_OCTETS_MAX: usize = 8_192;
/// Names of one address that are checked for a way back.
const REVERSE_NAMES_MAX: usize = 5;
/// No answer is kept longer than this, so that a moved host is found again within the hour.
const CACHED_MAX: Duration = Duration::from_secs(3_600);
/// "No such name" is not kept longer than this (RFC 2308 5 advises one to three hours at most).
const CACHED_NEGATIVE_MAX: Duration = Duration::from_secs(900);

/// Asks the DNS and remembers the answers. Clones share servers and cache.
#[derive(Clone, Debug)]
pub struct Resolver {
    inner: Arc<TokioResolver>,
    /// Checks signatures, unless that is off.
    pub(crate) validator: Option<Arc<Validator>>,
    pub(crate) deadline: Duration,
}

/// The DNS gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// No server answered in time.
    #[error("the DNS did not answer in time")]
    Timeout,
    /// Servers answered that they can not, or answered nonsense.
    #[error("the DNS failed: {0}")]
    Failed(String),
    /// The answer should be signed, and no signature proves it: it is forged, or the zone is broken.
    #[error("the DNS gave an answer whose signatures do not prove it (DNSSEC)")]
    Bogus,
    /// The text can not be a name; the only permanent error.
    #[error("this can not be a name in the DNS")]
    BadName,
    /// The resolver could not be set up: the system's configuration is not usable.
    #[error("the resolver can not be set up: {0}; name servers can be given in the settings")]
    Settings(String),
}

/// An answer as plugins see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The response code: 0 is success, 3 says that the name does not exist (RFC 1035 4.1.1).
    pub rcode: u16,
    /// The server said that it checked the answer's signatures (RFC 4035 3.2.3).
    pub authenticated: bool,
    /// How long the answer holds, in seconds; 0 when there are no records.
    pub ttl_s: u32,
    /// The data of each record of the asked type, in presentation form; TXT strings joined, without quotes.
    pub records: Vec<String>,
}

/// What a server said about a name.
pub(crate) enum Found {
    /// Records, aliases followed; they may be of other types too.
    Records { records: Vec<Record>, authenticated: bool },
    /// The name does not exist.
    NoSuchName,
    /// The name exists, without records of the type.
    NoSuchType,
}

impl Resolver {
    /// A resolver with an empty cache. Needs no server to be reachable yet.
    ///
    /// # Errors
    /// [`DnsError::Settings`] when no server is given and the system's configuration can not be read.
    pub fn new(settings: &DnsSettings) -> Result<Resolver, DnsError> {
        let (config, mut options) = if settings.servers.is_empty() {
            system_conf::read_system_conf().map_err(|error| DnsError::Settings(error.to_string()))?
        } else {
            let servers = settings.servers.iter().map(name_server).collect();
            (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
        };
        options.timeout = Duration::from_millis(settings.timeout_ms.max(1));
        options.attempts = settings.attempts.max(1);
        options.cache_size = u64::try_from(settings.cache_entries_max).unwrap_or(u64::MAX);
        options.use_hosts_file = ResolveHosts::Never;
        options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
        options.max_active_requests = MAX_ACTIVE_REQUESTS;
        options.try_tcp_on_error = false;
        options.positive_max_ttl = Some(CACHED_MAX);
        options.negative_max_ttl = Some(CACHED_NEGATIVE_MAX);
        let validator = match settings.dnssec {
            Dnssec::Off => None,
            mode => Some(Arc::new(Validator::new(validating(settings, &config, &options)?, mode))),
        };
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let inner = builder.build().map_err(|error| DnsError::Settings(error.to_string()))?;
        Ok(Resolver { inner: Arc::new(inner), validator, deadline: settings.deadline() })
    }

    /// The addresses of `host`, IPv6 and IPv4, at most [`ADDRESSES_MAX`]; none when it has none or does not exist.
    ///
    /// # Errors
    /// When one family gave no answer and the other no address; transient but for [`DnsError::BadName`].
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let name = absolute(host)?;
        let both = async {
            let (four, six) = tokio::join!(
                self.find(name.clone(), RecordType::A),
                self.find(name.clone(), RecordType::AAAA)
            );
            Ok((four, six))
        };
        let (four, six) = self.within_deadline(both).await?;
        let mut addresses = Vec::new();
        let mut failure = None;
        for found in [six, four] {
            match found {
                Ok(Found::Records { records, .. }) => addresses.extend(records.iter().filter_map(address_of)),
                Ok(Found::NoSuchName | Found::NoSuchType) => {}
                Err(error) => failure = Some(error),
            }
        }
        addresses.truncate(ADDRESSES_MAX);
        match failure {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }

    /// The records of any type as text. A name that does not exist is an answer, not an error.
    ///
    /// # Errors
    /// When the DNS gives no answer, or the name is none.
    pub async fn lookup(&self, name: &str, rr_type: u16) -> Result<Answer, DnsError> {
        let wanted = RecordType::from(rr_type);
        let name = absolute(name)?;
        let (rcode, authenticated, records) = match self.within_deadline(self.find(name, wanted)).await? {
            Found::Records { records, authenticated } => (ResponseCode::NoError, authenticated, records),
            Found::NoSuchName => (ResponseCode::NXDomain, false, Vec::new()),
            Found::NoSuchType => (ResponseCode::NoError, false, Vec::new()),
        };
        let wanted: Vec<&Record> = records
            .iter()
            .filter(|record| wanted == RecordType::ANY || record.record_type() == wanted)
            .take(RECORDS_MAX)
            .collect();
        Ok(Answer {
            rcode: rcode.into(),
            authenticated,
            ttl_s: wanted.iter().map(|record| record.ttl).min().unwrap_or(0),
            records: wanted.iter().map(|record| record_text(&record.data)).collect(),
        })
    }

    /// The name of an address, when one of its names leads back to it (RFC 8601 3 calls this `iprev`).
    ///
    /// # Errors
    /// When the DNS gives no answer.
    pub async fn reverse_name(&self, address: IpAddr) -> Result<Option<String>, DnsError> {
        let found = self.within_deadline(self.find(Name::from(address), RecordType::PTR)).await?;
        let Found::Records { records, .. } = found else { return Ok(None) };
        let names = records.iter().filter_map(|record| match &record.data {
            RData::PTR(name) => name.to_ascii().trim_end_matches('.').parse::<baton_mail::Domain>().ok(),
            _ => None,
        });
        let mut failure = None;
        for name in names.take(REVERSE_NAMES_MAX) {
            match self.addresses(name.as_str()).await {
                Ok(addresses) if addresses.contains(&address) => return Ok(Some(name.as_str().to_owned())),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// One question. The answer comes from the cache when it is there.
    pub(crate) async fn find(&self, name: Name, record_type: RecordType) -> Result<Found, DnsError> {
        match self.inner.lookup(name, record_type).await {
            Ok(lookup) => {
                let message = lookup.message();
                Ok(Found::Records {
                    records: message.answers.clone(),
                    authenticated: message.metadata.authentic_data,
                })
            }
            Err(error) => understand(error),
        }
    }

    /// Bounds a lookup as a whole: the library bounds each try, not aliases and further servers.
    pub(crate) async fn within_deadline<T>(
        &self,
        lookup: impl Future<Output = Result<T, DnsError>>,
    ) -> Result<T, DnsError> {
        tokio::time::timeout(self.deadline, lookup).await.unwrap_or(Err(DnsError::Timeout))
    }
}

/// What an error of the library means: that there is nothing, or that nothing is known.
pub(crate) fn understand(error: NetError) -> Result<Found, DnsError> {
    if error.is_nx_domain() {
        return Ok(Found::NoSuchName);
    }
    match error {
        NetError::Dns(Answered::NoRecordsFound(nothing))
            if nothing.response_code == ResponseCode::NoError =>
        {
            Ok(Found::NoSuchType)
        }
        NetError::Timeout => Err(DnsError::Timeout),
        other => Err(DnsError::Failed(sanitize(&other.to_string(), 200))),
    }
}

/// The resolver that checks signatures, with a cache of its own: what is kept there is proved.
fn validating(
    settings: &DnsSettings,
    config: &ResolverConfig,
    options: &ResolverOpts,
) -> Result<TokioResolver, DnsError> {
    let mut builder = TokioResolver::builder_with_config(config.clone(), TokioRuntimeProvider::default())
        .with_trust_anchor(trust_anchors(settings.trust_anchor_file.as_deref())?);
    *builder.options_mut() = options.clone();
    let options = builder.options_mut();
    options.validate = true;
    options.edns0 = true;
    // An alias that is not proved would go unseen.
    options.preserve_intermediates = true;
    builder.build().map_err(|error| DnsError::Settings(error.to_string()))
}

/// Questions in flight over one connection to a server at most; more are refused as trouble, not queued.
const MAX_ACTIVE_REQUESTS: usize = 512;

/// One server, asked by UDP, and by TCP when an answer does not fit.
fn name_server(address: &SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

/// The name as it stands, never completed with a search domain of the system.
pub(crate) fn absolute(name: &str) -> Result<Name, DnsError> {
    if name.is_empty() || name.chars().any(|character| character.is_control() || character == ' ') {
        return Err(DnsError::BadName);
    }
    let mut name = Name::from_utf8(name).map_err(|_| DnsError::BadName)?;
    name.set_fqdn(true);
    Ok(name)
}

pub(crate) fn address_of(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

/// The data of one record, made harmless. Pseudo-records that have no text form become empty.
fn record_text(data: &RData) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let written = write!(text, "{data}");
    if written.is_err() { String::new() } else { sanitize(&text, RECORD_OCTETS_MAX) }
}
