//! The certificates in force: read at the start, by a reload, and when one of their files changes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use arc_swap::ArcSwap;
use baton_mail::Clock;
use baton_tls::{CertificateSet, CertificateSettings, Certificates, TlsError};
use tokio::sync::Notify;

use crate::events;
use crate::settings::check::Checked;
use crate::watch::Watch;

/// Who keeps the certificates, and what is shown.
pub(crate) type Shown = (Option<Arc<CertificateKeeper>>, Option<Arc<Certificates>>);

/// Reads the certificates, when a listener speaks TLS.
pub(crate) fn start_certificates(checked: &Checked, clock: &Arc<dyn Clock>) -> anyhow::Result<Shown> {
    let Some(settings) = checked.certificates.clone() else { return Ok((None, None)) };
    let started = CertificateKeeper::start(settings, clock.clone()).map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(|error| format!("\n  tls.certificates: {error}")).collect();
        anyhow!("the certificates can not be used:{}", lines.concat())
    })?;
    let shown = started.certificates();
    Ok((Some(Arc::new(started)), Some(shown)))
}

/// Keeps the certificates that the listeners show.
#[derive(Debug)]
pub(crate) struct CertificateKeeper {
    settings: ArcSwap<CertificateSettings>,
    certificates: Arc<Certificates>,
    clock: Arc<dyn Clock>,
    /// The settings were replaced.
    replaced: Notify,
}

impl CertificateKeeper {
    /// Reads the certificates of the settings.
    pub(crate) fn start(
        settings: CertificateSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<CertificateKeeper, Vec<TlsError>> {
        let set = CertificateSet::load(&settings, &*clock)?;
        events::certificates_shown(&set);
        Ok(CertificateKeeper {
            settings: ArcSwap::from_pointee(settings),
            certificates: Certificates::new(set),
            clock,
            replaced: Notify::new(),
        })
    }

    /// What the listeners show.
    pub(crate) fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// Reads the certificates of the next settings; nothing is changed yet.
    pub(crate) fn load(&self, settings: &CertificateSettings) -> Result<CertificateSet, Vec<TlsError>> {
        CertificateSet::load(settings, &*self.clock)
    }

    /// Reads the files again. New ones that can not be used change nothing.
    pub(crate) fn read_again(&self) {
        match self.load(&self.settings.load()) {
            Ok(set) => {
                events::certificates_shown(&set);
                self.certificates.replace(set);
            }
            Err(errors) => events::certificates_refused(&errors),
        }
    }

    /// Shows these from now on.
    pub(crate) fn replace(&self, settings: CertificateSettings, set: CertificateSet) {
        events::certificates_shown(&set);
        self.certificates.replace(set);
        self.settings.store(Arc::new(settings));
        self.replaced.notify_one();
    }

    /// Follows the files for ever. New ones that can not be used change nothing.
    pub(crate) async fn follow_files(self: Arc<Self>) {
        let mut watch = Watch::default();
        loop {
            let settings = self.settings.load_full();
            let files: Vec<PathBuf> =
                settings.files.iter().flat_map(|one| [one.chain.clone(), one.key.clone()]).collect();
            watch.follow(&files);
            tokio::select! {
                () = self.replaced.notified() => continue,
                () = watch.changed() => {}
            }
            self.read_again();
        }
    }
}
