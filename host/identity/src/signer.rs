//! Signs what leaves, in the name of the domain in `From`.
//!
//! Signing is done when a message is accepted, after the last plugin and before the queue: once for all recipients and
//! attempts, and what is stored is what is sent. A key that goes out of use while mail waits stays published long enough
//! (see [`crate::domains`]).

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use baton_mail::Domain;
use baton_mail::body::Content;
use baton_mail::header::{HeaderIndex, HeaderLimits};
use bytes::Bytes;

use crate::ArcOutcome;
use crate::arc::{Sealing, seal_set};
use crate::dkim::{Algorithm, Form, KeyFailure, SigningKey, hash_body, signature_field};
use crate::dmarc;
use crate::domains::{Domains, FileError};

/// Signs messages with the keys of the domains. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Signer {
    domains: Arc<ArcSwap<HashMap<Domain, Arc<SigningDomain>>>>,
}

/// A domain as the signer knows it.
#[derive(Debug)]
struct SigningDomain {
    keys: Vec<SigningKey>,
    /// Its records were seen in the DNS.
    is_verified: bool,
}

/// The domains can not be used.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key.
    #[error("{domain}: {failure}; remove the domain and add it again")]
    Key {
        /// Whose key.
        domain: Domain,
        /// What was wrong.
        failure: KeyFailure,
    },
}

/// What a set of a chain is made from.
#[derive(Clone, Copy, Debug)]
pub struct Seal<'a> {
    /// In whose name.
    pub domain: &'a Domain,
    /// The name under which our results stand in the header.
    pub authserv_id: &'a Domain,
    /// What was found about the chain when the message came in.
    pub outcome: &'a ArcOutcome,
}

/// What was made for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// In whose name.
    pub domain: Domain,
    /// The fields to put before the signed ones, each with its line end.
    pub fields: Bytes,
    /// How many.
    pub count: usize,
}

impl Signer {
    /// Reads all domains anew. On an error the keys at hand stay in use.
    pub fn load(&self, domains: &Domains) -> Result<(), SignerError> {
        let mut loaded = HashMap::new();
        for file in domains.list()? {
            let domain = file.domain.clone();
            let keys = file
                .signing_keys()
                .map_err(|failure| SignerError::Key { domain: domain.clone(), failure })?;
            loaded.insert(domain, Arc::new(SigningDomain { keys, is_verified: file.seen_at.is_some() }));
        }
        self.domains.store(Arc::new(loaded));
        Ok(())
    }

    /// True when the records of the domain, or of one above it, were seen in the DNS.
    pub fn is_verified(&self, domain: &Domain) -> bool {
        self.find(domain).is_some_and(|(_, own)| own.is_verified)
    }

    /// The domain in `From` of a header; none when there is not exactly one.
    pub fn author(header: &Bytes, limits: &HeaderLimits) -> Option<Domain> {
        dmarc::author(&HeaderIndex::scan(header, limits).ok()?).ok()
    }

    /// True when a message with this header would be signed.
    pub fn has_keys_for(&self, header: &Bytes, limits: &HeaderLimits) -> bool {
        if self.domains.load().is_empty() {
            return false;
        }
        let author = Signer::author(header, limits);
        author.and_then(|author| self.find(&author)).is_some_and(|(_, own)| !own.keys.is_empty())
    }

    /// Signs a message whose header is `trace` and the content's. None when the domain in `From` has no keys, or when the
    /// header is beyond the bounds.
    ///
    /// # Errors
    /// When the cryptographic library refuses, or the thread failed.
    pub async fn sign(
        &self,
        trace: &Bytes,
        content: &Content,
        limits: &HeaderLimits,
        now_s: i64,
    ) -> Result<Option<Signed>, KeyFailure> {
        if self.domains.load().is_empty() {
            return Ok(None);
        }
        let header = Bytes::from([&trace[..], &content.header[..]].concat());
        let Ok(header) = HeaderIndex::scan(&header, limits) else { return Ok(None) };
        let Ok(author) = dmarc::author(&header) else { return Ok(None) };
        let Some((domain, own)) = self.find(&author).filter(|(_, own)| !own.keys.is_empty()) else {
            return Ok(None);
        };
        let rest = content.rest.clone();
        // A signature by RSA takes the better part of a millisecond: not on the threads that serve sessions.
        let made = tokio::task::spawn_blocking(move || make(&own, domain, &header, &rest, now_s));
        made.await.unwrap_or(Err(KeyFailure("used: its thread failed"))).map(Some)
    }

    /// Adds a set to the chain of custody of a message whose header is `trace` and the content's (RFC 8617 5.1), with the
    /// RSA key of `seal.domain`. None when that has no key in use, when the header is beyond the bounds, or when the chain
    /// can take no more.
    ///
    /// # Errors
    /// When the cryptographic library refuses, or the thread failed.
    pub async fn seal(
        &self,
        seal: &Seal<'_>,
        trace: &Bytes,
        content: &Content,
        limits: &HeaderLimits,
        now_s: i64,
    ) -> Result<Option<Signed>, KeyFailure> {
        let Some(own) = self.domains.load().get(seal.domain).map(Arc::clone) else { return Ok(None) };
        let header = Bytes::from([&trace[..], &content.header[..]].concat());
        let Ok(header) = HeaderIndex::scan(&header, limits) else { return Ok(None) };
        let (domain, authserv_id) = (seal.domain.clone(), seal.authserv_id.clone());
        let (outcome, rest) = (seal.outcome.clone(), content.rest.clone());
        let make = move || {
            let is_rsa = |key: &&SigningKey| key.secret.algorithm() == Algorithm::RsaSha256;
            let Some(key) = own.keys.iter().find(is_rsa) else { return Ok(None) };
            let body = rest.strip_prefix(b"\r\n").unwrap_or(&rest);
            let sealing = Sealing {
                domain: &domain,
                key,
                authserv_id: &authserv_id,
                outcome: &outcome,
                body_hash: &hash_body(body, Form::Relaxed, None).digest,
                now_s,
            };
            let fields = seal_set(&sealing, &header)?;
            Ok(fields.map(|fields| Signed { fields: Bytes::from(fields), count: 1, domain: domain.clone() }))
        };
        let made = tokio::task::spawn_blocking(make);
        made.await.unwrap_or(Err(KeyFailure("used: its thread failed")))
    }

    /// The nearest domain with keys, upwards: `news.example.org` signs as `example.org`, which DMARC takes as the same
    /// organization.
    fn find(&self, domain: &Domain) -> Option<(Domain, Arc<SigningDomain>)> {
        let domains = self.domains.load();
        let mut name = Some(domain.clone());
        while let Some(own) = name {
            if let Some(found) = domains.get(&own) {
                return Some((own, Arc::clone(found)));
            }
            name = own.as_str().split_once('.').and_then(|(_, parent)| parent.parse().ok());
        }
        None
    }
}

fn make(
    own: &SigningDomain,
    domain: Domain,
    header: &HeaderIndex,
    rest: &Bytes,
    now_s: i64,
) -> Result<Signed, KeyFailure> {
    let body = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    let hash = hash_body(body, Form::Relaxed, None);
    let mut fields = String::new();
    for key in &own.keys {
        fields.push_str(&signature_field(key, &domain, header, &hash.digest, now_s)?);
    }
    Ok(Signed { domain, fields: Bytes::from(fields), count: own.keys.len() })
}
