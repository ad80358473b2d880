//! Servers that prove to have the key of their certificate, whatever authorities think of it.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{DigitallySignedStruct, Error, SignatureScheme};

use crate::dane::Dane;

/// Takes every certificate whose key the server has, or of those only what the DNS names.
#[derive(Debug)]
pub(crate) struct KeyHolder {
    named: Option<Arc<Dane>>,
    provider: Arc<CryptoProvider>,
}

impl KeyHolder {
    pub(crate) fn anybody(provider: &Arc<CryptoProvider>) -> KeyHolder {
        KeyHolder { named: None, provider: provider.clone() }
    }

    pub(crate) fn named(dane: &Arc<Dane>, provider: &Arc<CryptoProvider>) -> KeyHolder {
        KeyHolder { named: Some(dane.clone()), provider: provider.clone() }
    }
}

impl ServerCertVerifier for KeyHolder {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(dane) = &self.named {
            dane.check(own, rest, now, &self.provider)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
