//! What the relay speaks: versions, cipher suites, what it asks of clients.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::TlsError;
use crate::client_certificates::ClientPolicy;

/// The server side of one listener.
#[derive(Clone, Debug, Default)]
pub struct TlsServerSettings {
    /// The oldest version that is spoken.
    pub minimum: TlsVersion,
    /// The cipher suites.
    pub suites: Suites,
    /// What clients show of themselves.
    pub clients: ClientCertificates,
}

impl TlsServerSettings {
    /// Whether connections can be protected so; reads the file of authorities.
    pub fn check(&self) -> Result<(), TlsError> {
        ClientPolicy::new(&self.clients, &provider(&self.suites, self.minimum)?).map(drop)
    }
}

/// A version of the protocol. Older ones are broken (RFC 8996) and not spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with forward secrecy and authenticated encryption only (RFC 9325 4.2).
    #[default]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// What clients show of themselves in the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nothing is asked for.
    #[default]
    Off,
    /// A certificate is asked for. Whether it leads to an authority of the file is noted, and decides nothing.
    Offered(Option<PathBuf>),
    /// Without a certificate that leads to an authority of the file, the handshake fails.
    Required(PathBuf),
}

/// Cipher suites, in the order of preference.
#[derive(Clone, Debug, PartialEq)]
pub struct Suites(Vec<SupportedCipherSuite>);

impl Default for Suites {
    /// All of TLS 1.3, and those of TLS 1.2 with forward secrecy and authenticated encryption.
    fn default() -> Suites {
        Suites(aws_lc_rs::DEFAULT_CIPHER_SUITES.to_vec())
    }
}

impl Suites {
    /// The suites of these registered names; the first name that is not known, otherwise.
    pub fn named(names: &[String]) -> Result<Suites, String> {
        let find = |name: &String| {
            let is_it = |suite: &&SupportedCipherSuite| registered_name(**suite) == *name;
            aws_lc_rs::ALL_CIPHER_SUITES.iter().find(is_it).copied().ok_or_else(|| name.clone())
        };
        names.iter().map(find).collect::<Result<Vec<_>, _>>().map(Suites)
    }

    /// The names of all suites that can be chosen.
    pub fn known() -> Vec<String> {
        aws_lc_rs::ALL_CIPHER_SUITES.iter().copied().map(registered_name).collect()
    }
}

/// The name by which a suite is registered (IANA): the library's names for those of TLS 1.3 are its own.
pub(crate) fn registered_name(suite: SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or("unknown").replace("TLS13_", "TLS_")
}

impl TlsVersion {
    /// This version and the later ones.
    pub(crate) fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        static LAST: [&SupportedProtocolVersion; 1] = [&version::TLS13];
        match self {
            TlsVersion::V1_2 => &BOTH,
            TlsVersion::V1_3 => &LAST,
        }
    }
}

/// The cryptography behind these suites; an error when they fit none of the versions.
pub(crate) fn provider(suites: &Suites, minimum: TlsVersion) -> Result<Arc<CryptoProvider>, TlsError> {
    let fits = |suite: &SupportedCipherSuite| {
        minimum.and_later().iter().any(|version| version.version == suite.version().version)
    };
    let cipher_suites: Vec<_> = suites.0.iter().filter(|suite| fits(suite)).copied().collect();
    if cipher_suites.is_empty() {
        return Err(TlsError::Settings("no cipher suite belongs to an allowed version".to_owned()));
    }
    Ok(Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_their_registered_names() {
        let names = ["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"].map(str::to_owned);
        let suites = Suites::named(&names).unwrap();
        assert_eq!(suites.0.iter().copied().map(registered_name).collect::<Vec<_>>(), names);
        assert_eq!(Suites::named(&["RC4-SHA".to_owned()]), Err("RC4-SHA".to_owned()));
        assert!(Suites::known().iter().all(|name| name.starts_with("TLS_")));
    }

    #[test]
    fn suites_must_fit_a_version() {
        let old = Suites::named(&["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384".to_owned()]).unwrap();
        assert!(provider(&old, TlsVersion::V1_2).is_ok());
        assert!(matches!(provider(&old, TlsVersion::V1_3), Err(TlsError::Settings(_))));
    }
}
