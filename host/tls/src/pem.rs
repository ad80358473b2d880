//! PEM files: certificates, keys, trusted authorities.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{TlsError, in_words};

/// Octets of a PEM file at most; a bound against reading what is none.
const FILE_OCTETS_MAX: u64 = 16 << 20;

/// Reads all certificates of a file, in its order; at least one.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let octets = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(not_pem(path, "it holds no certificate", "a certificate and those that signed it")),
        Err(error) => Err(not_pem(path, error, "a certificate and those that signed it")),
    }
}

/// Reads the first private key of a file.
pub(crate) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let octets = read(path)?;
    PrivateKeyDer::from_pem_slice(&octets).map_err(|error| {
        let why = match error {
            pem::Error::NoItemsFound => "it holds no private key that is not encrypted".to_owned(),
            other => other.to_string(),
        };
        not_pem(path, why, "a private key in PKCS#8, PKCS#1 or SEC1 form, without a password")
    })
}

/// Reads the authorities of a file.
pub(crate) fn read_roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::BadCertificate { path: path.to_owned(), why: in_words(&error) })?;
    }
    Ok(Arc::new(roots))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |cause| TlsError::Unreadable { path: path.to_owned(), cause };
    let octets = std::fs::metadata(path).map_err(unreadable)?.len();
    if octets > FILE_OCTETS_MAX {
        let why = format!("it has {octets} octets, more than {FILE_OCTETS_MAX}");
        return Err(unreadable(io::Error::other(why)));
    }
    std::fs::read(path).map_err(unreadable)
}

fn not_pem(path: &Path, found: impl ToString, wanted: &'static str) -> TlsError {
    TlsError::NotPem { path: path.to_owned(), found: found.to_string(), wanted }
}
