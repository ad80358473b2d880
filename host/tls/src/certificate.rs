//! One certificate with its key: read, checked, described.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::aws_lc_rs::digest;
use baton_mail::UnixMs;
use baton_mail::text::sanitize;
use baton_mail::tls::Certificate;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::{TlsError, pem};

/// What is known of a certificate that the relay shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The file it was read from.
    pub file: PathBuf,
    /// The DNS names that it is for, in lower case; the first label may be `*`.
    pub names: Vec<String>,
    /// When it begins to be valid.
    pub begins_at: UnixMs,
    /// When it ends to be valid.
    pub expires_at: UnixMs,
    /// What its operator should look after.
    pub advice: Vec<String>,
}

/// A certificate that can be shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) info: CertificateInfo,
}

impl Shown {
    /// Reads a certificate and its key.
    pub(crate) fn read(chain: &Path, key: &Path, now: UnixMs) -> Result<Shown, TlsError> {
        let certificates = pem::read_certificates(chain)?;
        let private = pem::read_key(key)?;
        let mut info = certificates
            .first()
            .ok_or_else(|| "there is none".to_owned())
            .and_then(|leaf| describe(chain, leaf))
            .map_err(|why| TlsError::BadCertificate { path: chain.to_owned(), why })?;
        let certified = CertifiedKey::from_der(certificates, private, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|cause| TlsError::BadKey {
            key: key.to_owned(),
            chain: chain.to_owned(),
            cause,
        })?;
        info.advice.extend(lifetime_advice(chain, info.expires_at, now));
        info.advice.extend(secrecy_advice(key));
        Ok(Shown { key: Arc::new(certified), info })
    }

    /// True when it is for this name (RFC 6125 6.4.3: a wildcard stands for one label).
    pub(crate) fn is_for(&self, name: &str) -> bool {
        self.info.names.iter().any(|known| match known.strip_prefix("*.") {
            Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
            None => known.eq_ignore_ascii_case(name),
        })
    }
}

fn describe(file: &Path, leaf: &CertificateDer<'_>) -> Result<CertificateInfo, String> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let moment = |seconds: i64| UnixMs(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000));
    let validity = parsed.validity();
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        names.extend(common_name(&parsed).map(|name| name.to_ascii_lowercase()));
    }
    Ok(CertificateInfo {
        file: file.to_owned(),
        names,
        begins_at: moment(validity.not_before.timestamp()),
        expires_at: moment(validity.not_after.timestamp()),
        advice: Vec::new(),
    })
}

/// A certificate that ended is shown all the same: most servers take mail from a relay whose certificate ended, and
/// none from a relay that is not there.
fn lifetime_advice(file: &Path, expires_at: UnixMs, now: UnixMs) -> Option<String> {
    if expires_at <= now {
        return Some(format!("{}: the certificate is expired; renew it", file.display()));
    }
    let left = expires_at.since(now);
    let days = left.as_secs() / 86_400;
    (left < EXPIRY_WARNING)
        .then(|| format!("{}: the certificate expires in {days} days; renew it", file.display()))
}

/// A key that others may read protects nothing.
fn secrecy_advice(key: &Path) -> Option<String> {
    let mode = std::fs::metadata(key).ok()?.mode();
    (mode & 0o007 != 0).then(|| {
        format!("{0}: every user of this machine may read or write the key; chmod o= {0}", key.display())
    })
}

/// Whom another side's certificate names.
pub(crate) fn identify(leaf: &CertificateDer<'_>, distrust: Option<String>) -> Certificate {
    let digest = digest::digest(&digest::SHA256, leaf);
    let sha256 = digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    let subject = X509Certificate::from_der(leaf).ok().and_then(|(_, parsed)| subject(&parsed));
    Certificate {
        subject: sanitize(&subject.unwrap_or_else(|| "nobody".to_owned()), SUBJECT_OCTETS_MAX),
        sha256,
        distrust: distrust.map(|why| sanitize(&why, SUBJECT_OCTETS_MAX)),
    }
}

fn subject(parsed: &X509Certificate<'_>) -> Option<String> {
    common_name(parsed).map(ToOwned::to_owned).or_else(|| {
        let alternatives = parsed.subject_alternative_name().ok()??;
        alternatives.value.general_names.iter().find_map(|name| match name {
            GeneralName::RFC822Name(name) | GeneralName::DNSName(name) | GeneralName::URI(name) => {
                Some((*name).to_owned())
            }
            GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string()),
            _ => None,
        })
    })
}

fn common_name<'a>(parsed: &'a X509Certificate<'_>) -> Option<&'a str> {
    parsed
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .filter(|name| !name.is_empty())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from).ok();
    four.or_else(|| <[u8; 16]>::try_from(octets).map(IpAddr::from).ok())
}

/// From here on an operator is told that a certificate ends.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 86_400);
/// A subject in logs, records and hooks.
const SUBJECT_OCTETS_MAX: usize = 256;
