//! Certificates of clients, and clients that trust every server.

use std::io;
use std::path::Path;
use std::sync::Arc;

use baton_mail::event::What;
use baton_tls::ClientCertificates;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion, version,
};

use super::super::{Client, Relay, id_in};
use super::ready_for_tls;
use crate::{ListenerKind, TlsMode};

/// A client's certificate with its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Trusts every server, as opportunistic clients do.
#[derive(Debug)]
struct TrustsAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
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

/// A client that shows this certificate, or none.
pub(super) fn client_config(
    identity: Option<Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsAll(provider)));
    Arc::new(match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

/// The handshake as a client.
pub(super) async fn connect(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config.clone()).connect("mx.example".try_into().unwrap(), stream).await
}

/// An authority.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// The certificate of `ann`, signed by an authority.
fn ann(authority: &CertifiedIssuer<'static, KeyPair>) -> Identity {
    let mut parameters = CertificateParams::new(vec!["ann.example".to_owned()]).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "ann");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, authority).unwrap();
    (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

async fn relay(clients: ClientCertificates) -> Relay {
    Relay::start(ListenerKind::Mx, |settings, _| {
        settings.listeners[0].tls = TlsMode::Offered;
        settings.listeners[0].tls_server.clients = clients;
    })
    .await
}

/// Delivers a message, and tells what the story says of the client's certificate: whom it names, and why not to
/// believe it.
async fn told(relay: &Relay, config: &Arc<ClientConfig>) -> io::Result<Option<(String, Option<String>)>> {
    let mut client = Client::over(connect(ready_for_tls(relay).await, config).await?);
    // In TLS 1.3 a client learns of the refusal only behind its own part of the handshake.
    client.stream.get_mut().write_all(b"EHLO client.example\r\n").await?;
    let hello = client.reply().await;
    if hello.is_empty() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let reply = client.deliver("b@us.example", "x").await;
    let What::Accepted { origin, .. } = relay.story(id_in(&reply)).await.remove(0) else { panic!() };
    let certificate = origin.protocol.tls.unwrap().certificate.clone();
    Ok(certificate.map(|found| (found.subject, found.distrust)))
}

fn write(folder: &Path, authority: &CertifiedIssuer<'static, KeyPair>) -> std::path::PathBuf {
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    file
}

#[tokio::test]
async fn a_required_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (known, unknown) = (authority(), authority());
    let relay = relay(ClientCertificates::Required(write(folder.path(), &known))).await;
    for version in [&version::TLS13, &version::TLS12] {
        let with = |identity| client_config(identity, &[version]);
        let named = told(&relay, &with(Some(ann(&known)))).await.unwrap();
        assert_eq!(named, Some(("ann".to_owned(), None)));
        assert!(told(&relay, &with(Some(ann(&unknown)))).await.is_err());
        assert!(told(&relay, &with(None)).await.is_err());
    }
    assert_eq!(relay.handshakes("bad-certificate"), 4);
}

/// Where a certificate is offered, an authority that nobody knows costs no mail.
#[tokio::test]
async fn an_offered_certificate_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (known, unknown) = (authority(), authority());
    let relay = relay(ClientCertificates::Offered(Some(write(folder.path(), &known)))).await;
    let with = |identity| client_config(identity, &[&version::TLS13, &version::TLS12]);
    assert_eq!(told(&relay, &with(None)).await.unwrap(), None);
    assert_eq!(told(&relay, &with(Some(ann(&known)))).await.unwrap(), Some(("ann".to_owned(), None)));
    let (subject, distrust) = told(&relay, &with(Some(ann(&unknown)))).await.unwrap().unwrap();
    assert_eq!(subject, "ann");
    assert!(distrust.is_some(), "an authority that nobody knows vouches for nobody");
}
