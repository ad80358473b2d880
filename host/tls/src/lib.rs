//! Transport security: certificates of ours, checks of theirs.
//!
//! Invariant: a private key that this crate writes is readable by the relay's user only, from its first octet on.
//!
//! Invariant: certificates are replaced as a whole, or not at all: when one of the new ones can not be used, the old
//! ones stay.
//!
//! Invariant: nothing that a client says before its handshake is complete is obeyed: early data (RFC 8446 2.3) is off.
//!
//! Invariant: a session ticket of one [`TlsServer`] is worth nothing at another: each has its own keys.
//!
//! Deliberately absent: TLS below 1.2 (RFC 8996), renegotiation, compression, export suites.

pub mod acme;
mod certificate;
mod certificates;
mod client;
mod client_certificates;
mod dane;
mod error;
mod handshake;
mod key_holder;
mod pem;
mod self_signed;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod words;

pub use certificate::CertificateInfo;
pub use certificates::{CertificateFiles, CertificateSet, CertificateSettings, Certificates};
pub use client::{Authorities, ClientStream, TlsClient, TlsClientSettings, Trust};
pub use dane::Dane;
pub use error::TlsError;
pub use handshake::{HandshakeFailure, flaw_of_distrust};
pub use server::{ServerStream, TlsServer, channel_binding};
pub use settings::{ClientCertificates, Suites, TlsServerSettings, TlsVersion};
pub use words::{in_words, io_in_words};
