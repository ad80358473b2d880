//! Certificates of clients: who shows one proves that it has the key; whether an authority vouches for it is judged
//! apart, so that an unknown authority costs no mail where a certificate is only offered.

use std::sync::Arc;

use baton_mail::Clock;
use baton_mail::tls::Certificate;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::certificate::identify;
use crate::{ClientCertificates, TlsError, pem};

/// What a listener asks of its clients.
#[derive(Debug)]
pub(crate) enum ClientPolicy {
    Off,
    Offered { asks: Arc<dyn ClientCertVerifier>, judge: Option<Arc<dyn ClientCertVerifier>> },
    Required(Arc<dyn ClientCertVerifier>),
}

impl ClientPolicy {
    pub(crate) fn new(
        settings: &ClientCertificates,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ClientPolicy, TlsError> {
        let judge = |roots: Arc<RootCertStore>| {
            let built = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
            built.map_err(|error| TlsError::Settings(error.to_string()))
        };
        Ok(match settings {
            ClientCertificates::Off => ClientPolicy::Off,
            ClientCertificates::Offered(file) => ClientPolicy::Offered {
                asks: Arc::new(AnyCertificate(provider.clone())),
                judge: file.as_ref().map(|file| judge(pem::read_roots(file)?)).transpose()?,
            },
            ClientCertificates::Required(file) => ClientPolicy::Required(judge(pem::read_roots(file)?)?),
        })
    }

    /// What the handshake checks; none when no certificate is asked for.
    pub(crate) fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        match self {
            ClientPolicy::Off => None,
            ClientPolicy::Offered { asks, .. } => Some(asks.clone()),
            ClientPolicy::Required(judge) => Some(judge.clone()),
        }
    }

    /// Who the client is, judged now: a ticket may outlive a certificate.
    pub(crate) fn judge(&self, chain: &[CertificateDer<'_>], clock: &dyn Clock) -> Option<Certificate> {
        let (leaf, rest) = chain.split_first()?;
        let judge = match self {
            ClientPolicy::Off => return None,
            ClientPolicy::Offered { judge, .. } => judge.as_ref(),
            ClientPolicy::Required(judge) => Some(judge),
        };
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_millis(clock.now().0));
        let distrust = match judge.map(|judge| judge.verify_client_cert(leaf, rest, now)) {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.to_string()),
            None => Some("no authority is trusted".to_owned()),
        };
        Some(identify(leaf, distrust))
    }
}

/// Takes every certificate whose key the client has.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
