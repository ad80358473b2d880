//! The client side: opportunistic towards anybody, verified where that is asked for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baton_mail::{Clock, TlsFacts};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};

use crate::certificate::identify;
use crate::dane::Dane;
use crate::key_holder::KeyHolder;
use crate::server::facts;
use crate::settings::provider;
use crate::{CertificateFiles, HandshakeFailure, Suites, TlsError, TlsVersion, in_words, pem};

/// A protected connection to a server.
pub type ClientStream<S> = tokio_rustls::client::TlsStream<S>;

/// What the client side speaks.
#[derive(Clone, Debug, Default)]
pub struct TlsClientSettings {
    /// The oldest version that is spoken.
    pub minimum: TlsVersion,
    /// The cipher suites.
    pub suites: Suites,
}

/// Which certificates of a server are good enough.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Every one: encryption without knowing for whom (RFC 7435). Whether the system's authorities vouch for it is noted.
    Anybody,
    /// One that is for the name, and that these authorities vouch for.
    Verified(Authorities),
    /// One that the DNS names.
    Dane(Arc<Dane>),
}

/// Who vouches for servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authorities {
    /// Those that the system trusts.
    #[default]
    System,
    /// Those of this PEM file, and no others.
    File(PathBuf),
}

/// Begins TLS as a client.
#[derive(Debug)]
pub struct TlsClient {
    provider: Arc<CryptoProvider>,
    minimum: TlsVersion,
    clock: Arc<dyn Clock>,
    anybody: Arc<ClientConfig>,
    /// Made when they are needed first: most relays verify nobody, and reading the system's authorities takes a while.
    judges: Mutex<HashMap<Authorities, Arc<Judge>>>,
}

/// Certificates are judged by these authorities.
#[derive(Debug)]
struct Judge {
    config: Arc<ClientConfig>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl TlsClient {
    /// A client that speaks so.
    pub fn new(settings: &TlsClientSettings, clock: Arc<dyn Clock>) -> Result<TlsClient, TlsError> {
        let provider = provider(&settings.suites, settings.minimum)?;
        let anybody = config(&provider, settings.minimum, Arc::new(KeyHolder::anybody(&provider)))?;
        let judges = Mutex::default();
        Ok(TlsClient { provider, minimum: settings.minimum, clock, anybody, judges })
    }

    /// Reads the authorities now, so that mistakes show early.
    pub fn prepare(&self, authorities: &Authorities) -> Result<(), TlsError> {
        self.judge(authorities).map(drop)
    }

    /// Reads the certificate that is shown to servers now, so that mistakes show early.
    pub fn prepare_identity(&self, identity: &CertificateFiles) -> Result<(), TlsError> {
        self.with_identity(Arc::new(KeyHolder::anybody(&self.provider)), identity).map(drop)
    }

    /// The handshake with a server of this name or address, to which `identity` is shown when it asks for a certificate.
    /// Its deadline is the caller's.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &str,
        trust: &Trust,
        identity: Option<&CertificateFiles>,
    ) -> Result<(ClientStream<S>, TlsFacts), HandshakeFailure> {
        let unfit = || Error::General(format!("{host} is no name that a certificate could have"));
        let name = ServerName::try_from(host.to_owned()).map_err(|_| unfit())?;
        let config = self
            .config(trust, identity)
            .map_err(|error| HandshakeFailure::from(Error::General(error.to_string())))?;
        let stream = TlsConnector::from(config).connect(name.clone(), stream).await?;
        let (_, connection) = stream.get_ref();
        let mut facts = facts(connection);
        facts.server_name = Some(host.to_owned());
        if let Some((leaf, rest)) = connection.peer_certificates().and_then(<[_]>::split_first) {
            let distrust = match trust {
                Trust::Verified(_) | Trust::Dane(_) => None,
                Trust::Anybody => self.distrust(leaf, rest, &name),
            };
            facts.certificate = Some(identify(leaf, distrust));
        }
        Ok((stream, facts))
    }

    /// How a library that makes its connections itself is to speak TLS.
    pub fn config(
        &self,
        trust: &Trust,
        identity: Option<&CertificateFiles>,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let verifier: Arc<dyn ServerCertVerifier> = match (trust, identity) {
            (Trust::Anybody, None) => return Ok(self.anybody.clone()),
            (Trust::Verified(authorities), None) => return Ok(self.judge(authorities)?.config.clone()),
            (Trust::Anybody, Some(_)) => Arc::new(KeyHolder::anybody(&self.provider)),
            (Trust::Verified(authorities), Some(_)) => self.judge(authorities)?.verifier.clone(),
            (Trust::Dane(dane), _) => Arc::new(KeyHolder::named(dane, &self.provider)),
        };
        match identity {
            Some(identity) => self.with_identity(verifier, identity),
            None => config(&self.provider, self.minimum, verifier),
        }
    }

    /// The files are read for each connection, so that a renewed certificate is shown at once.
    fn with_identity(
        &self,
        verifier: Arc<dyn ServerCertVerifier>,
        identity: &CertificateFiles,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let (chain, key) = (pem::read_certificates(&identity.chain)?, pem::read_key(&identity.key)?);
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(self.minimum.and_later())
            .map_err(|error| TlsError::Settings(in_words(&error)))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let made = builder.with_client_auth_cert(chain, key).map_err(|cause| TlsError::BadKey {
            key: identity.key.clone(),
            chain: identity.chain.clone(),
            cause,
        })?;
        Ok(Arc::new(made))
    }

    /// Why the system's authorities do not vouch for a certificate.
    fn distrust(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Option<String> {
        let judge = match self.judge(&Authorities::System) {
            Ok(judge) => judge,
            Err(error) => return Some(error.to_string()),
        };
        let now = UnixTime::since_unix_epoch(Duration::from_millis(self.clock.now().0));
        judge.verifier.verify_server_cert(leaf, rest, name, &[], now).err().map(|error| in_words(&error))
    }

    fn judge(&self, authorities: &Authorities) -> Result<Arc<Judge>, TlsError> {
        if let Some(judge) = self.judges.lock().get(authorities) {
            return Ok(judge.clone());
        }
        let roots = match authorities {
            Authorities::System => system_roots(),
            Authorities::File(path) => pem::read_roots(path)?,
        };
        let built = WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone()).build();
        let verifier =
            built.map_err(|error| TlsError::Settings(format!("{}: {error}", authorities.shown())))?;
        let config = config(&self.provider, self.minimum, verifier.clone())?;
        let judge = Arc::new(Judge { config, verifier });
        self.judges.lock().insert(authorities.clone(), judge.clone());
        Ok(judge)
    }
}

impl Authorities {
    fn shown(&self) -> String {
        match self {
            Authorities::System => "the system's authorities (Debian: ca-certificates)".to_owned(),
            Authorities::File(path) => Path::display(path).to_string(),
        }
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    minimum: TlsVersion,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(minimum.and_later())
        .map_err(|error| TlsError::Settings(in_words(&error)))?;
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// Some systems hold certificates that nobody can read; the others count.
fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}
