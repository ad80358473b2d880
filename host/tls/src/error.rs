//! What can be wrong with certificates and settings, and what to do about it.

use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls;

/// Why certificates or settings can not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can not be read.
    #[error("{}: {cause}; give a PEM file that the relay's user may read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file is no PEM file, or holds nothing of what is looked for.
    #[error("{}: {found}; give a PEM file with {wanted}", .path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The certificate can not be used.
    #[error("{}: the certificate can not be used: {why}", .path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The key does not belong to the certificate, or is of a kind that is not known.
    #[error("{}: the key can not be used with {}: {}; give the key that the certificate was made for", .key.display(), .chain.display(), crate::in_words(.cause))]
    BadKey {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        chain: PathBuf,
        /// What was found.
        cause: rustls::Error,
    },
    /// A file of the relay's own can not be written.
    #[error("{}: {cause}; let the relay's user write there", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A self-signed certificate can not be made.
    #[error("no self-signed certificate can be made for {name}: {why}")]
    NotMade {
        /// The name.
        name: String,
        /// Why.
        why: String,
    },
    /// The settings leave nothing to speak.
    #[error("no connection could be protected: {0}")]
    Settings(String),
}
