//! Certificates that the DNS vouches for (RFC 6698, RFC 7671, and RFC 7672 for mail).
//!
//! Invariant: records of the usages PKIX-TA and PKIX-EE, and of what is not registered, are no records here (RFC 7672
//! 3.1.3): mail servers have no authorities in common.

use std::sync::Arc;

use ::aws_lc_rs::digest;
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, Error, OtherError, RootCertStore};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// What the DNS says about the certificates of a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dane {
    records: Vec<DaneRecord>,
    /// The names that a certificate may be for, where an authority vouches for it.
    names: Vec<String>,
}

/// A TLSA record that is of use to mail (RFC 7672 3.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct DaneRecord {
    usage: Usage,
    selector: Selector,
    matching: Matching,
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Usage {
    /// DANE-TA: an authority, which must have signed.
    Authority,
    /// DANE-EE: the host's own certificate. Its names and times say nothing (RFC 7672 3.1.1).
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Selector {
    Whole,
    Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Matching {
    Exact,
    Sha256,
    Sha512,
}

impl Dane {
    /// What these records (usage, selector, matching type, data) say; none when no one of them is of use. `names` are
    /// the names that the certificate may be for (RFC 7672 3.2.2).
    pub fn new(records: impl IntoIterator<Item = (u8, u8, u8, Vec<u8>)>, names: Vec<String>) -> Option<Dane> {
        let records: Vec<DaneRecord> = records.into_iter().filter_map(DaneRecord::read).collect();
        (!records.is_empty()).then_some(Dane { records, names })
    }

    /// Whether these certificates, the host's own first, are as the records say.
    pub(crate) fn check(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<(), Error> {
        if self.records.iter().any(|record| record.usage == Usage::Own && record.fits(own)) {
            return Ok(());
        }
        let mut trouble = Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NoMatch))));
        for authority in rest.iter().chain([own]) {
            let fits = |record: &DaneRecord| record.usage == Usage::Authority && record.fits(authority);
            if !self.records.iter().any(fits) {
                continue;
            }
            match self.check_signed(own, rest, authority, now, provider) {
                Ok(()) => return Ok(()),
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    /// The authority signed, directly or by way of the others, and the certificate is for one of our names.
    fn check_signed(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        authority: &CertificateDer<'_>,
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let parsed = ParsedCertificate::try_from(own)?;
        let algorithms = provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, rest, now, algorithms)?;
        let mut trouble = Error::InvalidCertificate(CertificateError::NotValidForName);
        for name in &self.names {
            let Ok(name) = ServerName::try_from(name.as_str()) else { continue };
            match verify_server_name(&parsed, &name) {
                Ok(()) => return Ok(()),
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }
}

impl DaneRecord {
    fn read((usage, selector, matching, data): (u8, u8, u8, Vec<u8>)) -> Option<DaneRecord> {
        let usage = match usage {
            2 => Usage::Authority,
            3 => Usage::Own,
            _ => return None,
        };
        let selector = match selector {
            0 => Selector::Whole,
            1 => Selector::Key,
            _ => return None,
        };
        let (matching, octets) = match matching {
            0 => (Matching::Exact, None),
            1 => (Matching::Sha256, Some(32)),
            2 => (Matching::Sha512, Some(64)),
            _ => return None,
        };
        let is_whole = octets.map_or(!data.is_empty(), |octets| data.len() == octets);
        is_whole.then_some(DaneRecord { usage, selector, matching, data })
    }

    fn fits(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let selected = match self.selector {
            Selector::Whole => certificate.as_ref(),
            Selector::Key => parsed.tbs_certificate.subject_pki.raw,
        };
        match self.matching {
            Matching::Exact => selected == self.data,
            Matching::Sha256 => digest::digest(&digest::SHA256, selected).as_ref() == self.data,
            Matching::Sha512 => digest::digest(&digest::SHA512, selected).as_ref() == self.data,
        }
    }
}

/// No certificate of the host is one of those that the DNS names.
struct NoMatch;

/// In words, as the library shows errors of others so.
impl std::fmt::Debug for NoMatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, formatter)
    }
}

impl std::fmt::Display for NoMatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("none of the host's TLSA records is about it")
    }
}

impl std::error::Error for NoMatch {}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio_rustls::rustls::crypto::aws_lc_rs;

    use super::*;

    /// An authority, and a host's certificate that it signed.
    fn chain(name: &str) -> (CertificateDer<'static>, CertificateDer<'static>) {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let own = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let own = own.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
        (authority.der().clone(), own.der().clone())
    }

    fn sha256(octets: &[u8]) -> Vec<u8> {
        digest::digest(&digest::SHA256, octets).as_ref().to_vec()
    }

    fn key_of(certificate: &CertificateDer<'_>) -> Vec<u8> {
        let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
        parsed.tbs_certificate.subject_pki.raw.to_vec()
    }

    fn check(
        record: (u8, u8, u8, Vec<u8>),
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        at: u64,
    ) -> bool {
        let dane = Dane::new([record], vec!["mx.example".to_owned()]).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at));
        dane.check(own, rest, now, &aws_lc_rs::default_provider()).is_ok()
    }

    const NOW: u64 = 1_800_000_000;
    const LONG_AGO: u64 = 1_000;

    #[test]
    fn the_own_certificate_counts_whatever_its_names_and_times() {
        let (authority, own) = chain("other.example");
        let (_, stranger) = chain("mx.example");
        for record in [
            (3, 0, 1, sha256(&own)),
            (3, 1, 1, sha256(&key_of(&own))),
            (3, 1, 0, key_of(&own)),
            (3, 0, 0, own.to_vec()),
        ] {
            assert!(check(record.clone(), &own, &[], LONG_AGO), "{record:?}");
            assert!(
                !check(record, &stranger, std::slice::from_ref(&own), NOW),
                "only the first is the host's own"
            );
        }
        let sha512 = digest::digest(&digest::SHA512, &own).as_ref().to_vec();
        assert!(check((3, 0, 2, sha512), &own, &[authority], NOW));
    }

    #[test]
    fn what_an_authority_signed_counts_for_the_name_and_in_its_time() {
        let (authority, own) = chain("mx.example");
        let (_, other) = chain("other.example");
        let record = (2, 0, 1, sha256(&authority));
        let rest = [authority.clone()];
        assert!(check(record.clone(), &own, &rest, NOW));
        assert!(check((2, 1, 1, sha256(&key_of(&authority))), &own, &rest, NOW));
        assert!(!check(record.clone(), &own, &rest, LONG_AGO), "not valid yet");
        assert!(!check(record.clone(), &own, &[], NOW), "the authority is not shown");
        assert!(!check(record, &other, &rest, NOW), "it did not sign");
        let (authority, elsewhere) = chain("elsewhere.example");
        assert!(!check((2, 0, 1, sha256(&authority)), &elsewhere, &[authority], NOW), "for another name");
    }

    #[test]
    fn records_that_mail_can_not_use_are_none() {
        for useless in [
            (0, 0, 1, vec![0; 32]),
            (1, 1, 1, vec![0; 32]),
            (255, 0, 1, vec![0; 32]),
            (3, 2, 1, vec![0; 32]),
            (3, 1, 3, vec![0; 32]),
            (3, 1, 1, vec![0; 31]),
            (3, 1, 2, vec![0; 32]),
            (3, 0, 0, Vec::new()),
        ] {
            assert_eq!(Dane::new([useless.clone()], Vec::new()), None, "{useless:?}");
        }
    }
}
