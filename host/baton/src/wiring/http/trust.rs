//! Whose certificates are believed: the system's, and those of the settings.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use baton_hooks::host::HttpError;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The roots. Those of the system are read when the first plugin speaks TLS: most relays have none that does.
pub(super) struct Trust {
    extra: Vec<CertificateDer<'static>>,
    connector: OnceCell<TlsConnector>,
}

impl Trust {
    /// Reads the certificates of the settings.
    pub(super) fn new(ca_file: Option<&Path>) -> anyhow::Result<Trust> {
        let extra = match ca_file {
            Some(path) => read_certificates(path)?,
            None => Vec::new(),
        };
        Ok(Trust { extra, connector: OnceCell::new() })
    }

    /// True when the certificates of the settings are the same.
    pub(super) fn is_like(&self, other: &Trust) -> bool {
        self.extra == other.extra
    }

    /// What begins TLS.
    pub(super) async fn connector(&self) -> Result<&TlsConnector, HttpError> {
        let make = || async {
            let extra = self.extra.clone();
            let made = tokio::task::spawn_blocking(move || make_connector(extra)).await;
            made.unwrap_or_else(|error| Err(error.into()))
        };
        let made = self.connector.get_or_try_init(make).await;
        made.map_err(|error: anyhow::Error| HttpError::Failed(format!("{error:#}")))
    }
}

/// The certificates of a PEM file; at least one.
pub(crate) fn read_certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let explain = || format!("{} is not a file of certificates (PEM)", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).with_context(explain)?.collect();
    let found = found.with_context(explain)?;
    anyhow::ensure!(!found.is_empty(), "{} holds no certificate (PEM)", path.display());
    Ok(found)
}

fn make_connector(extra: Vec<CertificateDer<'static>>) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    // Some systems hold certificates that nobody can read; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in extra {
        roots.add(certificate).context("http.ca_file holds a certificate that can not be trusted")?;
    }
    anyhow::ensure!(
        !roots.is_empty(),
        "no certificate is trusted: install ca-certificates, or set http.ca_file"
    );
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
