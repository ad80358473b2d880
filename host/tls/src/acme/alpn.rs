//! The answers to tls-alpn-01 challenges (RFC 8737): a handshake with a certificate that holds the proof, and nothing in it.

use std::io;
use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::Challenges;
use crate::TlsError;

/// A self-signed certificate that proves a name by the digest of the challenge's answer (RFC 8737 3).
pub(super) fn certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, TlsError> {
    let not_made = |why: String| TlsError::NotMade { name: name.to_owned(), why };
    let made = || -> Result<_, rcgen::Error> {
        let mut parameters = CertificateParams::new(vec![name.to_owned()])?;
        parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        Ok((parameters.self_signed(&key)?, key))
    };
    let (certificate, key) = made().map_err(|error| not_made(error.to_string()))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Nobody but an authority understands the certificate, so it is not read again to see whether the key fits.
    let key = aws_lc_rs::sign::any_ecdsa_type(&key).map_err(|error| not_made(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// One handshake, after which there is nothing to say.
pub(super) async fn serve(stream: TcpStream, challenges: Challenges) -> io::Result<()> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Proving(challenges)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    TlsAcceptor::from(Arc::new(config)).accept(stream).await?.shutdown().await
}

/// Shows the proof of a name to who asks for proofs, and nothing to anybody else.
#[derive(Debug)]
struct Proving(Challenges);

impl ResolvesServerCert for Proving {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks = hello.alpn()?.any(|protocol| protocol == PROTOCOL);
        if asks { self.0.certificate(hello.server_name()?) } else { None }
    }
}

/// RFC 8737 6.2.
const PROTOCOL: &[u8] = b"acme-tls/1";
