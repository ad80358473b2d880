//! TLS with a registry. All else is in the end-to-end tests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A registry that has nothing, for `localhost`.
async fn empty_registry() -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(fixture("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<Vec<_>, _>>().unwrap(), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust us goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

fn fixture(name: &str) -> PathBuf {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the crate's folder");
    Path::new(&folder).join("src/wiring/http/fixtures").join(name)
}

#[tokio::test]
async fn a_registry_is_believed_by_its_certificate() {
    let address = empty_registry().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = RegistrySettings {
        plain_http: Vec::new(),
        ca_file: None,
        credentials_file: None,
        connect_ms: 10_000,
        pull_ms: 30_000,
        component_octets_max: 1 << 20,
        folder: folder.path().to_owned(),
        folder_octets_max: 1 << 20,
    };
    let source: Source = format!("oci://localhost:{}/team/guard:1", address.port()).parse().unwrap();
    let unknown = Registry::new(settings.clone()).pull(&source).await.unwrap_err().to_string();
    assert!(unknown.contains("can not be asked") && unknown.contains("registry.ca_file"), "{unknown}");
    let trusting = RegistrySettings { ca_file: Some(fixture("authority.pem")), ..settings };
    let asked = Registry::new(trusting).pull(&source).await.unwrap_err().to_string();
    assert!(asked.contains("the registry has no tag `1`"), "{asked}");
}
