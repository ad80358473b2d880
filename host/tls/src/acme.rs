//! Certificates of an ACME authority (RFC 8555): ordered, proved by http-01 or tls-alpn-01, kept, renewed before they end.
//!
//! Invariant: what was obtained stays in force until its successor is whole: certificate and key are one file, put in
//! place by one rename.

mod alpn;
mod challenges;
mod http;

use std::path::PathBuf;
use std::time::Duration;

use baton_mail::{Clock, Domain};
use instant_acme::{
    Account, AuthorizationStatus, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use tokio::time::timeout;

use crate::certificate::Shown;
use crate::self_signed::{make_folder, write};
use crate::{CertificateFiles, TlsError};

pub use challenges::{Challenges, Proof, serve_challenges};

/// What is ordered, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// Where the authority's directory is; https.
    pub directory: String,
    /// The names that the certificate shall be for; at least one.
    pub names: Vec<Domain>,
    /// How it is proved that they are ours.
    pub proof: Proof,
    /// Whom the authority may write to, such as `mailto:postmaster@example.org`.
    pub contacts: Vec<String>,
    /// A PEM file of the authority that vouches for the directory's server; the system's authorities without.
    pub ca_file: Option<PathBuf>,
    /// Where account and certificate are kept.
    pub folder: PathBuf,
    /// So long before its end the certificate is renewed, but not before the last third of its time.
    pub renew_before: Duration,
    /// How long one order may take.
    pub patience: Duration,
}

/// Why no certificate was obtained.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The authority, or the way to it.
    #[error("the authority {directory}: {cause}")]
    Authority {
        /// Its directory.
        directory: String,
        /// What it said.
        cause: instant_acme::Error,
    },
    /// It wants a proof that we do not give.
    #[error("the authority offers no {proof} challenge for {name}")]
    NoChallenge {
        /// The proof.
        proof: Proof,
        /// Of what.
        name: String,
    },
    /// It does not believe that the names are ours.
    #[error("the authority did not accept the order: {status}; can it reach port {port} of each name?", port = proof.port())]
    Refused {
        /// The proof.
        proof: Proof,
        /// What became of the order.
        status: String,
    },
    /// The order took too long.
    #[error("the order was not complete within {0} s")]
    Late(u64),
    /// A file.
    #[error(transparent)]
    File(#[from] TlsError),
    /// The account that was kept is damaged.
    #[error("{}: {cause}; remove it, and a new account is made", path.display())]
    BadAccount {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: serde_json::Error,
    },
}

impl AcmeSettings {
    /// The file of the certificate and its key; there once one was obtained.
    pub fn files(&self) -> CertificateFiles {
        let file = self.folder.join("acme.pem");
        CertificateFiles { chain: file.clone(), key: file }
    }

    fn account_path(&self) -> PathBuf {
        self.folder.join("acme-account.json")
    }

    /// True when a certificate must be ordered: there is none, it is for other names, or it ends soon.
    pub fn is_due(&self, clock: &dyn Clock) -> bool {
        let files = self.files();
        let now = clock.now();
        match Shown::read(&files.chain, &files.key, now) {
            Ok(shown) => {
                let is_for_all = self.names.iter().all(|name| shown.is_for(name.as_str()));
                let info = &shown.info;
                // One that is short-lived is renewed in the last third of its time, or it would be due at once.
                let last_third = info.expires_at.since(info.begins_at) / 3;
                !is_for_all || info.expires_at.since(now) < self.renew_before.min(last_third)
            }
            Err(_) => true,
        }
    }

    /// Orders a certificate, proves that the names are ours, and puts it in place.
    pub async fn obtain(&self, challenges: &Challenges) -> Result<(), AcmeError> {
        let ordered = timeout(self.patience, self.order(challenges)).await;
        challenges.withdraw_all();
        let (chain, key) = ordered.map_err(|_| AcmeError::Late(self.patience.as_secs()))??;
        make_folder(&self.folder)?;
        Ok(write(&self.files().chain, &format!("{}\n{key}", chain.trim_end()))?)
    }

    async fn order(&self, challenges: &Challenges) -> Result<(String, String), AcmeError> {
        let failed = |cause| AcmeError::Authority { directory: self.directory.clone(), cause };
        let account = self.account().await?;
        let names: Vec<_> = self.names.iter().map(|name| Identifier::Dns(name.as_str().to_owned())).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(failed)?;
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(failed)?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let proof = self.proof;
            let challenge = authorization.challenge(proof.challenge());
            let mut challenge =
                challenge.ok_or_else(|| AcmeError::NoChallenge { proof, name: name.clone() })?;
            match proof {
                Proof::Http01 => {
                    challenges.publish_text(&challenge.token, challenge.key_authorization().as_str());
                }
                Proof::TlsAlpn01 => {
                    let digest = challenge.key_authorization().digest();
                    challenges.publish_certificate(&name, alpn::certificate(&name, digest.as_ref())?);
                }
            }
            challenge.set_ready().await.map_err(failed)?;
        }
        // The deadline is that of the whole order.
        let policy = RetryPolicy::new().timeout(self.patience);
        match order.poll_ready(&policy).await.map_err(failed)? {
            OrderStatus::Ready => {}
            status => return Err(AcmeError::Refused { proof: self.proof, status: format!("{status:?}") }),
        }
        let key = order.finalize().await.map_err(failed)?;
        Ok((order.poll_certificate(&policy).await.map_err(failed)?, key))
    }

    /// The account that was kept, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let failed = |cause| AcmeError::Authority { directory: self.directory.clone(), cause };
        let builder = match &self.ca_file {
            Some(file) => Account::builder_with_root(file),
            None => Account::builder(),
        };
        let builder = builder.map_err(failed)?;
        let path = self.account_path();
        if let Ok(text) = std::fs::read_to_string(&path) {
            let kept = serde_json::from_str(&text).map_err(|cause| AcmeError::BadAccount { path, cause })?;
            return builder.from_credentials(kept).await.map_err(failed);
        }
        let contacts: Vec<&str> = self.contacts.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) =
            builder.create(&wanted, self.directory.clone(), None).await.map_err(failed)?;
        make_folder(&self.folder)?;
        let text = serde_json::to_string(&credentials)
            .map_err(|cause| AcmeError::BadAccount { path: path.clone(), cause })?;
        write(&path, &text)?;
        Ok(account)
    }
}
