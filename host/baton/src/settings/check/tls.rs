//! TLS of the listeners.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_inbound::{ListenerKind, ListenerSettings, TlsMode};
use baton_mail::{Domain, SystemClock};
use baton_tls::acme::{AcmeSettings, Proof};
use baton_tls::{
    CertificateFiles, CertificateSet, CertificateSettings, ClientCertificates, Suites, TlsServerSettings,
    TlsVersion,
};

use super::Checker;
use crate::settings::raw::{Raw, RawAcme, RawListener, RawTls};

/// A certificate by ACME.
#[derive(Clone, Debug)]
pub(crate) struct AcmeChecked {
    pub(crate) order: AcmeSettings,
    /// Where the authority asks.
    pub(crate) listen: SocketAddr,
    /// The wait after the first failure.
    pub(crate) retry_first: Duration,
}

impl Checker<'_> {
    /// Where certificates come from; none when nobody speaks TLS here.
    pub(super) fn certificates(
        &mut self,
        raw: &Raw,
        state_path: &Path,
        hostname: &Domain,
        listeners: &[ListenerSettings],
        acme: Option<&AcmeChecked>,
    ) -> Option<CertificateSettings> {
        let files = raw.tls.certificates.iter().enumerate().filter_map(|(index, one)| {
            let mut given =
                |name: &str, path: &Path| self.file(&format!("tls.certificates[{index}].{name}"), path);
            let (chain, key) = (given("chain", &one.chain), given("key", &one.key));
            Some(CertificateFiles { chain: chain?, key: key? })
        });
        let files: Vec<_> = files.collect();
        let (folder, hostname) = (state_path.join("tls"), hostname.clone());
        let mut settings = CertificateSettings { files, obtained: None, folder, hostname };
        if !settings.files.is_empty()
            && let Err(errors) = CertificateSet::load(&settings, &SystemClock)
        {
            for error in errors {
                self.problems.push("tls.certificates", None, error, "correct the file or the path");
            }
        }
        settings.obtained = acme.map(|acme| acme.order.files());
        let is_spoken = raw.api.tls.enabled
            || raw.tracking.tls
            || listeners.iter().any(|listener| listener.tls != TlsMode::Off);
        is_spoken.then_some(settings)
    }

    /// What is ordered of an authority; none when none is asked.
    pub(super) fn acme(
        &mut self,
        raw: &RawAcme,
        state_path: &Path,
        hostname: &Domain,
    ) -> Option<AcmeChecked> {
        let directory = raw.directory.clone()?;
        if !directory.starts_with("https://") {
            let remedy = "write the URL of the directory, with https://";
            self.problems.push("tls.acme.directory", Some(directory.clone()), "it is no https URL", remedy);
        }
        if !raw.agree_to_terms {
            let remedy = "read the authority's terms, then set it to true";
            self.problems.push("tls.acme.agree_to_terms", None, "the terms are not agreed to", remedy);
        }
        let mut names = self.parse_all("tls.acme.names", &raw.names, "write a domain");
        if names.is_empty() {
            names.push(hostname.clone());
        }
        let proofs = [Proof::Http01, Proof::TlsAlpn01].map(|proof| (proof.to_string(), proof));
        let proofs = proofs.each_ref().map(|(name, proof)| (name.as_str(), *proof));
        let proof = self.choose("tls.acme.challenge", &raw.challenge, &proofs)?;
        let listen = match &raw.listen {
            Some(text) => self.parse("tls.acme.listen", text, super::ADDRESS_REMEDY)?,
            None => SocketAddr::from(([0, 0, 0, 0], proof.port())),
        };
        let seconds = |days: u64| Duration::from_secs(days * 86_400);
        let order = AcmeSettings {
            directory,
            names,
            proof,
            contacts: raw.contacts.clone(),
            ca_file: raw.ca_file.as_ref().map(|path| self.folder.join(path)),
            folder: state_path.join("tls"),
            renew_before: seconds(self.bound("tls.acme.renew_days", raw.renew_days, 1, 365)),
            patience: Duration::from_secs(self.bound("tls.acme.order_s", raw.order_s, 1, 86_400)),
        };
        let retry_first = Duration::from_secs(self.bound("tls.acme.retry_s", raw.retry_s, 1, 86_400));
        Some(AcmeChecked { order, listen, retry_first })
    }

    /// A file that must be named.
    fn file(&mut self, key: &str, path: &Path) -> Option<PathBuf> {
        if path.as_os_str().is_empty() {
            self.problems.push(key, None, "there is no file", "give the path of a PEM file");
            return None;
        }
        Some(self.folder.join(path))
    }

    /// When TLS begins on a listener: by its own word, or as its kind needs it.
    pub(super) fn tls_mode(&mut self, key: &str, raw: &RawListener, kind: ListenerKind) -> Option<TlsMode> {
        let is_implicit = raw.kind == SUBMISSIONS;
        let Some(text) = raw.tls.as_deref() else {
            return Some(match kind {
                _ if is_implicit => TlsMode::Implicit,
                ListenerKind::Submission if !raw.auth_without_tls => TlsMode::Required,
                ListenerKind::Submission | ListenerKind::Mx | ListenerKind::Relay => TlsMode::Offered,
                // A mail store beside the relay needs none.
                ListenerKind::Lmtp => TlsMode::Off,
            });
        };
        let modes = [
            ("off", TlsMode::Off),
            ("offered", TlsMode::Offered),
            ("required", TlsMode::Required),
            ("implicit", TlsMode::Implicit),
        ];
        let mode = self.choose(&format!("{key}.tls"), text, &modes)?;
        if is_implicit && mode != TlsMode::Implicit {
            let remedy = "leave it out, or make the listener's kind \"submission\"";
            let reason = "with the kind \"submissions\", TLS begins with the connection";
            self.problems.push(&format!("{key}.tls"), raw.tls.clone(), reason, remedy);
        }
        Some(mode)
    }

    /// How TLS is spoken on a listener.
    pub(super) fn tls_server(
        &mut self,
        key: &str,
        raw: &RawListener,
        tls: &RawTls,
    ) -> Option<TlsServerSettings> {
        let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
        let minimum = self.choose("tls.minimum_version", &tls.minimum_version, &versions);
        let suites = self.suites(&tls.cipher_suites);
        let clients = self.client_certificates(key, raw);
        let settings = TlsServerSettings { minimum: minimum?, suites: suites?, clients: clients? };
        match settings.check() {
            Ok(()) => Some(settings),
            Err(error) => {
                let remedy = "correct it, or the file that it names";
                self.problems.push(&format!("{key}.client_certificates"), None, error, remedy);
                None
            }
        }
    }

    fn suites(&mut self, names: &[String]) -> Option<Suites> {
        if names.is_empty() {
            return Some(Suites::default());
        }
        match Suites::named(names) {
            Ok(suites) => Some(suites),
            Err(unknown) => {
                let remedy = format!("choose from {}", Suites::known().join(", "));
                self.problems.push("tls.cipher_suites", Some(unknown), "there is no such suite", remedy);
                None
            }
        }
    }

    fn client_certificates(&mut self, key: &str, raw: &RawListener) -> Option<ClientCertificates> {
        let at = format!("{key}.client_certificates");
        let file = raw.client_ca_file.as_ref().map(|path| self.folder.join(path));
        let asks = [("off", 0), ("offered", 1), ("required", 2)];
        match (self.choose(&at, &raw.client_certificates, &asks)?, file) {
            (0, _) => Some(ClientCertificates::Off),
            (1, file) => Some(ClientCertificates::Offered(file)),
            (_, Some(file)) => Some(ClientCertificates::Required(file)),
            (_, None) => {
                let remedy = format!("set {key}.client_ca_file to a PEM file of authorities");
                self.problems.push(&at, Some("required".to_owned()), "nobody is trusted", remedy);
                None
            }
        }
    }
}

/// The kind of a listener for users where TLS begins with the connection (RFC 8314 3.3).
pub(super) const SUBMISSIONS: &str = "submissions";
