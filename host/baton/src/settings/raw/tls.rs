//! TLS, for all listeners.

use std::path::PathBuf;

use crate::settings::field::section;

section! {
    /// TLS, for all listeners.
    RawTls {
        /// The certificates of this relay. A client gets the first one that is for the name it asks for, else the first. The files are read again by a reload, and when they change. Unset: a self-signed one, made at the first start and kept in `tls` below `store.path`; enough for mail between servers, which mostly check nothing.
        certificates: Vec<RawCertificate> = Vec::new(),
        /// A certificate of an ACME authority.
        acme: RawAcme = RawAcme::default(),
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

section! {
    /// A certificate of an ACME authority (RFC 8555), such as Let's Encrypt: ordered at the start, renewed before it ends. Until the first one is there, the certificates of before are shown.
    RawAcme {
        /// Where the authority's directory is, such as `https://acme-v02.api.letsencrypt.org/directory`. Unset: none is asked.
        directory: Option<String> = None,
        /// Says that its operator agrees to the authority's terms.
        agree_to_terms: bool = false,
        /// The names that the certificate is for. Empty: the hostname.
        names: Vec<String> = Vec::new(),
        /// Whom the authority may write to, such as `mailto:postmaster@example.org`.
        contacts: Vec<String> = Vec::new(),
        /// How the authority is shown that the names are ours: `http-01` at their port 80, or `tls-alpn-01` at their port 443.
        challenge: String = "http-01".to_owned(),
        /// Where the authority asks. Nothing else is served there. Unset: `0.0.0.0:80` or `0.0.0.0:443`.
        listen: Option<String> = None,
        /// A PEM file of who vouches for the authority's server. Unset: the system's authorities.
        ca_file: Option<PathBuf> = None,
        /// How long before its end a certificate is renewed, in days; one that is short-lived in the last third of its time.
        renew_days: u64 = 30,
        /// The wait after a failed order, in seconds; it doubles with each further failure, up to six hours.
        retry_s: u64 = 60,
        /// How long one order may take, in seconds.
        order_s: u64 = 300,
    }
}
