//! TLS, for all listeners.

use std::path::PathBuf;

use crate::settings::field::section;

section! {
    /// TLS, for all listeners.
    RawTls {
        /// The certificates of this relay. A client gets the first one that is for the name it asks for, else the first. The files are read again by a reload, and when they change. Unset: a self-signed one, made at the first start and kept in `tls` below `store.path`; enough for mail between servers, which mostly check nothing.
        certificates: Vec<RawCertificate> = Vec::new(),
        /// The oldest version that is spoken: `1.2` or `1.3`.
        minimum_version: String = "1.2".to_owned(),
        /// The cipher suites by their registered names, the preferred one first. Empty: all of TLS 1.3, and those of TLS 1.2 with forward secrecy and authenticated encryption.
        cipher_suites: Vec<String> = Vec::new(),
        /// How long a handshake may take, in seconds.
        handshake_s: u64 = 30,
        /// Handshakes at once over all listeners; more are told 454.
        handshakes_max: usize = 1_000,
    }
}

section! {
    /// One certificate.
    RawCertificate {
        /// A PEM file: the certificate, and behind it those that signed it.
        chain: PathBuf = PathBuf::new(),
        /// A PEM file: its private key, without a password.
        key: PathBuf = PathBuf::new(),
    }
}
