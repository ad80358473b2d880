//! The keys that providers publish (RFC 7517): fetched when they are needed, kept for a while, fetched again for a key
//! that is not known, but not more often than the settings say.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use baton_mail::UnixMs;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::tokens::{IssuerSettings, KeySource, TokenAlgorithm};

/// Octets of a published set at most.
pub const KEYS_OCTETS_MAX: usize = 256 << 10;
/// Keys of a set that are read.
const KEYS_MAX: usize = 100;
/// How long a fetch may take.
const FETCH_MAX: Duration = Duration::from_secs(10);

/// Fetches what is behind an HTTP address.
#[derive(Clone)]
pub struct Fetch(pub Arc<dyn Fn(String) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>);

impl fmt::Debug for Fetch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fetch")
    }
}

/// The keys of one provider.
#[derive(Default)]
pub(crate) struct Keys {
    all: Vec<(Option<String>, TokenAlgorithm, DecodingKey)>,
    fetched_at: UnixMs,
}

/// One provider with what is known of its keys.
pub(crate) struct Issuer {
    pub(crate) settings: IssuerSettings,
    keys: ArcSwapOption<Keys>,
    /// When it was last tried to fetch them. Whoever holds it fetches; the others wait for what comes of it.
    tried_at: Mutex<Option<UnixMs>>,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a set. Keys of other kinds, or for other uses, are passed over.
    fn read(octets: &[u8], now: UnixMs) -> Result<Keys, String> {
        let published: Published = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
        let all = published.keys.into_iter().take(KEYS_MAX).filter_map(|value| {
            let key: Jwk = serde_json::from_value(value).ok()?;
            let algorithm = algorithm_of(&key)?;
            Some((key.common.key_id.clone(), algorithm, DecodingKey::from_jwk(&key).ok()?))
        });
        let keys = Keys { all: all.collect(), fetched_at: now };
        if keys.all.is_empty() { Err("it has no key for signatures".to_owned()) } else { Ok(keys) }
    }

    /// The key of that name; without a name, the only one for the algorithm.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: TokenAlgorithm) -> Option<&DecodingKey> {
        let mut fitting =
            self.all.iter().filter(|(own, of, _)| *of == algorithm && (id.is_none() || own.as_deref() == id));
        let found = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then_some(&found.2)
    }

    fn knows(&self, id: Option<&str>) -> bool {
        id.is_none() || self.all.iter().any(|(own, ..)| own.as_deref() == id)
    }

    fn is_younger(&self, seconds: u64, now: UnixMs) -> bool {
        now.0.saturating_sub(self.fetched_at.0) < seconds.saturating_mul(1_000)
    }
}

/// What a key is for. A key is of one algorithm only: nobody chooses another one for it.
fn algorithm_of(key: &Jwk) -> Option<TokenAlgorithm> {
    if !matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => TokenAlgorithm::Rs256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => TokenAlgorithm::Es256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            TokenAlgorithm::EdDsa
        }
        _ => return None,
    };
    let named = key.common.key_algorithm.map(|named| named.to_string());
    let own = TokenAlgorithm::NAMES.iter().find(|(_, one)| *one == algorithm).map(|(name, _)| *name);
    named.is_none_or(|named| Some(named.as_str()) == own).then_some(algorithm)
}

impl Issuer {
    pub(crate) fn new(settings: IssuerSettings) -> Issuer {
        Issuer { settings, keys: ArcSwapOption::empty(), tried_at: Mutex::new(None) }
    }

    /// Keys among which is the one of that name, if there is such a key at all.
    pub(crate) async fn keys(
        self: Arc<Issuer>,
        id: Option<&str>,
        fetch: &Fetch,
        now: UnixMs,
    ) -> Result<Arc<Keys>, String> {
        if let Some(keys) = self.fresh(id, now) {
            return Ok(keys);
        }
        // A task of its own: when the client goes, who waits with it must not begin anew, nor be told that it failed.
        let (id, fetch) = (id.map(str::to_owned), fetch.clone());
        let refreshed = tokio::spawn(async move { self.refresh(id.as_deref(), &fetch, now).await }).await;
        refreshed.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn fresh(&self, id: Option<&str>, now: UnixMs) -> Option<Arc<Keys>> {
        let is_fresh = |keys: &Arc<Keys>| keys.knows(id) && keys.is_younger(self.settings.refresh_s, now);
        self.keys.load_full().filter(is_fresh)
    }

    async fn refresh(&self, id: Option<&str>, fetch: &Fetch, now: UnixMs) -> Result<Arc<Keys>, String> {
        let mut tried_at = self.tried_at.lock().await;
        // Somebody else may have fetched meanwhile.
        if let Some(keys) = self.fresh(id, now) {
            return Ok(keys);
        }
        let pause_ms = self.settings.refresh_min_s.saturating_mul(1_000);
        if tried_at.is_some_and(|tried| now.0.saturating_sub(tried.0) < pause_ms) {
            return self.kept(now).ok_or_else(|| "the keys could not be fetched a moment ago".to_owned());
        }
        *tried_at = Some(now);
        match self.fetch(fetch, now).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                self.keys.store(Some(Arc::clone(&keys)));
                Ok(keys)
            }
            Err(cause) => {
                let issuer = &self.settings.name;
                tracing::warn!(target: "session", issuer, cause, "the keys of an issuer can not be fetched");
                self.kept(now).ok_or(cause)
            }
        }
    }

    /// The keys at hand, while they are not too old.
    fn kept(&self, now: UnixMs) -> Option<Arc<Keys>> {
        self.keys.load_full().filter(|keys| keys.is_younger(self.settings.stale_s, now))
    }

    async fn fetch(&self, fetch: &Fetch, now: UnixMs) -> Result<Keys, String> {
        let octets = match &self.settings.keys {
            KeySource::File(path) => {
                let read = tokio::fs::read(path).await;
                Bytes::from(read.map_err(|error| format!("{}: {error}", path.display()))?)
            }
            KeySource::Url(url) => {
                let fetched = tokio::time::timeout(FETCH_MAX, (fetch.0)(url.clone())).await;
                fetched
                    .map_err(|_| format!("{url}: no answer in time"))?
                    .map_err(|error| format!("{url}: {error}"))?
            }
        };
        if octets.len() > KEYS_OCTETS_MAX {
            return Err(format!("the set of keys is larger than {KEYS_OCTETS_MAX} octets"));
        }
        Keys::read(&octets, now)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Issuer").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

/// The issuers of these settings; one that is as before keeps its keys.
pub(crate) fn issuers(
    settings: Vec<IssuerSettings>,
    before: &HashMap<String, Arc<Issuer>>,
) -> HashMap<String, Arc<Issuer>> {
    let take = |one: IssuerSettings| {
        let kept = before.get(&one.issuer).filter(|known| known.settings == one).cloned();
        (one.issuer.clone(), kept.unwrap_or_else(|| Arc::new(Issuer::new(one))))
    };
    settings.into_iter().map(take).collect()
}
