//! The certificates that the relay shows: the one whose name the client asks for, else the first.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use baton_mail::{Clock, Domain};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::certificate::{CertificateInfo, Shown};
use crate::{TlsError, self_signed};

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSettings {
    /// The files, in the order of preference. Without any, a self-signed certificate is made.
    pub files: Vec<CertificateFiles>,
    /// What an authority signs for us by ACME, once it is there; behind the files.
    pub obtained: Option<CertificateFiles>,
    /// Where the relay keeps what it makes itself.
    pub folder: PathBuf,
    /// The relay's name.
    pub hostname: Domain,
}

/// One certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that signed it, as PEM.
    pub chain: PathBuf,
    /// The private key, as PEM; may be the same file.
    pub key: PathBuf,
}

/// Certificates that were read and checked. Which one is shown, [`Certificates`] decides.
#[derive(Debug)]
pub struct CertificateSet {
    shown: Vec<Shown>,
}

impl CertificateSet {
    /// Reads them, or says everything that is wrong.
    pub fn load(settings: &CertificateSettings, clock: &dyn Clock) -> Result<CertificateSet, Vec<TlsError>> {
        let obtained = settings.obtained.iter().filter(|files| files.chain.exists());
        let mut files: Vec<_> = settings.files.iter().chain(obtained).cloned().collect();
        if files.is_empty() {
            files.push(self_signed::provide(settings, clock.now()).map_err(|error| vec![error])?);
        }
        let (mut shown, mut errors) = (Vec::new(), Vec::new());
        for file in &files {
            match Shown::read(&file.chain, &file.key, clock.now()) {
                Ok(one) => shown.push(one),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(CertificateSet { shown }) } else { Err(errors) }
    }

    /// What is known of each of them.
    pub fn infos(&self) -> impl Iterator<Item = &CertificateInfo> {
        self.shown.iter().map(|shown| &shown.info)
    }

    /// The certificate for a client: by the name that it asks for and the signatures that it understands.
    fn choose(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let understood = |shown: &&Shown| shown.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello
            .server_name()
            .and_then(|name| self.shown.iter().filter(|shown| shown.is_for(name)).find(understood));
        let chosen = named.or_else(|| self.shown.iter().find(understood)).or_else(|| self.shown.first());
        chosen.map(|shown| Arc::clone(&shown.key))
    }
}

/// The certificates in force; shared by all listeners.
#[derive(Debug)]
pub struct Certificates(ArcSwap<CertificateSet>);

impl Certificates {
    /// Shows these from now on.
    pub fn new(set: CertificateSet) -> Arc<Certificates> {
        Arc::new(Certificates(ArcSwap::from_pointee(set)))
    }

    /// Shows these from the next handshake on.
    pub fn replace(&self, set: CertificateSet) {
        self.0.store(Arc::new(set));
    }

    /// What is known of those in force.
    pub fn infos(&self) -> Vec<CertificateInfo> {
        self.0.load().infos().cloned().collect()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().choose(&hello)
    }
}
