//! What can be asked about webhooks, by operators and by tenants.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use baton_hooks::host::HttpBackend;
use baton_mail::{Clock, UnixMs};
use baton_store::Store;
use baton_store::catalog::{CatalogError, Edit, EditError, Expect, Key, Query, Record};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use utoipa::ToSchema;

use super::endpoint::{Endpoint, EndpointChange, Unfit, WEBHOOK, consumer, key};
use super::post::{Answer, Posted, post};
use super::{Deps, WebhookMetrics, WebhookSettings, of_store};
use crate::kind::Kind;
use crate::status::EndpointStatus;

/// The webhooks of the relay. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(pub(super) Arc<Deps>);

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A member makes no sense.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// There is no such endpoint.
    #[error("there is no such webhook")]
    NotFound,
    /// There is one of that name.
    #[error("there is a webhook of that name already")]
    Exists,
    /// The catalog can not be read or changed.
    #[error(transparent)]
    Catalog(CatalogError),
}

impl From<CatalogError> for WebhookError {
    fn from(error: CatalogError) -> WebhookError {
        match error {
            CatalogError::Conflict { found: Some(_), .. } => WebhookError::Exists,
            CatalogError::Conflict { found: None, .. } => WebhookError::NotFound,
            other => WebhookError::Catalog(other),
        }
    }
}

/// An endpoint as it is shown: all but its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointView {
    /// Whose it is; none is the relay's own, which gets everybody's events.
    pub tenant: Option<String>,
    /// Its name there.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Which kinds of events; empty for all that those who send want to know.
    pub kinds: Vec<Kind>,
    /// Which streams; empty for all, and for mail of none.
    pub streams: Vec<String>,
    /// What it is for.
    pub about: String,
    /// Nothing is posted while this says why.
    pub paused: Option<String>,
    /// Until when each of its secrets counts, in milliseconds since 1970; none for the newest.
    #[schema(value_type = Vec<Option<u64>>)]
    pub secrets_until: Vec<Option<UnixMs>>,
    /// The new secret: shown once, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How the delivery goes.
    pub status: EndpointStatus,
    /// So many numbers of the feed are still to be read.
    pub behind: u64,
}

/// What came of a post that tells of nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tested {
    /// They took it.
    pub taken: bool,
    /// Their answer in words.
    pub answer: String,
}

impl Webhooks {
    /// Of this store. Nothing is delivered before [`Webhooks::run`].
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        http: Arc<dyn HttpBackend>,
        settings: WebhookSettings,
        registry: &mut Registry,
    ) -> Webhooks {
        let metrics = WebhookMetrics::default();
        metrics.register(registry);
        let (states, changed) = (Mutex::new(HashMap::new()), Notify::new());
        Webhooks(Arc::new(Deps { store, clock, http, settings, metrics, states, changed }))
    }

    /// The endpoints of one tenant, or of all with the relay's own.
    pub async fn list(&self, tenant: Option<&str>) -> Result<Vec<EndpointView>, WebhookError> {
        let records = match tenant {
            Some(_) => self.0.store.catalog().list(&Query::of(WEBHOOK).tenant(tenant)).await?.records,
            None => self.all().await?,
        };
        records.iter().map(|record| self.view(record)).collect()
    }

    /// One endpoint.
    pub async fn show(&self, tenant: Option<&str>, name: &str) -> Result<EndpointView, WebhookError> {
        let key = key(tenant, name)?;
        let record = self.0.store.catalog().get(&key).await?.ok_or(WebhookError::NotFound)?;
        self.view(&record)
    }

    /// A new endpoint, for what happens from now on, and what is written `beside` it. Its secret is in the answer and never
    /// again.
    pub async fn add(
        &self,
        tenant: Option<&str>,
        name: &str,
        change: EndpointChange,
        beside: Vec<Edit>,
    ) -> Result<EndpointView, WebhookError> {
        let key = key(tenant, name)?;
        let endpoint = Endpoint::new(change)?;
        let make = |record: Option<Record>| -> Result<Option<Edit>, WebhookError> {
            if record.is_some() {
                return Err(WebhookError::Exists);
            }
            // What was there before under this name has nothing to do with it.
            self.begin_at(&key, self.0.store.feed().head())?;
            Ok(Some(Edit::put_json(key.clone(), &endpoint)?))
        };
        let made = self.0.store.catalog().change(&key, make, beside).await.map_err(refused)?;
        let record = made.ok_or(WebhookError::NotFound)?;
        self.0.changed.notify_one();
        let secret = endpoint.newest_secret().map(str::to_owned);
        Ok(EndpointView { secret, ..self.view(&record)? })
    }

    /// Changes an endpoint.
    pub async fn set(
        &self,
        tenant: Option<&str>,
        name: &str,
        change: EndpointChange,
        beside: Vec<Edit>,
    ) -> Result<EndpointView, WebhookError> {
        let key = key(tenant, name)?;
        self.view(&self.change(&key, |endpoint| endpoint.changed(change), beside).await?)
    }

    /// A new secret for an endpoint; those of before count for a day. It is in the answer and never again.
    pub async fn rotate(
        &self,
        tenant: Option<&str>,
        name: &str,
        beside: Vec<Edit>,
    ) -> Result<EndpointView, WebhookError> {
        let key = key(tenant, name)?;
        let now = self.0.clock.now();
        let until = now.plus(Duration::from_secs(self.0.settings.secret_overlap_s));
        let mut secret = None;
        let rotate = |endpoint: Endpoint| {
            let (endpoint, text) = endpoint.rotated(now, until)?;
            secret = Some(text);
            Ok(endpoint)
        };
        let record = self.change(&key, rotate, beside).await?;
        Ok(EndpointView { secret, ..self.view(&record)? })
    }

    /// Removes an endpoint; what it was not told it never is.
    pub async fn remove(
        &self,
        tenant: Option<&str>,
        name: &str,
        beside: Vec<Edit>,
    ) -> Result<(), WebhookError> {
        let key = key(tenant, name)?;
        let edit = Edit::remove(key.clone()).expecting(Expect::Something);
        self.0.store.catalog().apply(std::iter::once(edit).chain(beside).collect()).await?;
        // Its cursor goes when its delivery has ended: see `forget_removed`.
        self.0.states.lock().remove(&key.to_string());
        self.0.changed.notify_one();
        Ok(())
    }

    /// Posts again what happened since then, and all that follows. Returns how many numbers of the feed that are.
    pub async fn replay(&self, tenant: Option<&str>, name: &str, since: UnixMs) -> Result<u64, WebhookError> {
        let key = key(tenant, name)?;
        self.0.store.catalog().get(&key).await?.ok_or(WebhookError::NotFound)?;
        let feed = self.0.store.feed();
        let from = feed.at(since).await.map_err(of_store)?;
        let state = self.0.states.lock().get(&key.to_string()).cloned();
        match state {
            Some(state) => state.ask_replay(from),
            // It is paused: it begins there when it goes on.
            None => self.begin_at(&key, from)?,
        }
        Ok(feed.head().saturating_sub(from))
    }

    /// Posts at once something that tells of nothing, and says what came of it.
    pub async fn test(&self, tenant: Option<&str>, name: &str) -> Result<Tested, WebhookError> {
        let key = key(tenant, name)?;
        let record = self.0.store.catalog().get(&key).await?.ok_or(WebhookError::NotFound)?;
        let endpoint: Endpoint = record.json()?;
        let now = self.0.clock.now();
        let bound = Duration::from_millis(self.0.settings.timeout_ms);
        let keys = endpoint.keys(now);
        let answer = post(&*self.0.http, &endpoint.url, &keys, Posted::test(now), now, bound).await;
        Ok(match answer {
            Answer::Taken { status } => Tested { taken: true, answer: format!("HTTP {status}") },
            Answer::Gone => Tested { taken: false, answer: "HTTP 410".to_owned() },
            Answer::Failed { why, .. } => Tested { taken: false, answer: why },
        })
    }

    fn begin_at(&self, key: &Key, number: u64) -> Result<(), WebhookError> {
        match consumer(key) {
            Some(consumer) => self.0.store.feed().acknowledge(&consumer, number).map_err(of_store),
            None => Err(WebhookError::NotFound),
        }
    }

    pub(super) async fn change(
        &self,
        key: &Key,
        change: impl FnOnce(Endpoint) -> Result<Endpoint, Unfit>,
        beside: Vec<Edit>,
    ) -> Result<Record, WebhookError> {
        let edit = |record: Option<Record>| -> Result<Option<Edit>, WebhookError> {
            let record = record.ok_or(WebhookError::NotFound)?;
            let endpoint = change(record.json()?)?;
            Ok(Some(Edit::put_json(record.key, &endpoint)?))
        };
        let changed = self.0.store.catalog().change(key, edit, beside).await.map_err(refused)?;
        self.0.changed.notify_one();
        changed.ok_or(WebhookError::NotFound)
    }

    fn view(&self, record: &Record) -> Result<EndpointView, WebhookError> {
        let endpoint: Endpoint = record.json()?;
        let state = self.0.states.lock().get(&record.key.to_string()).cloned();
        let status = state.map(|state| state.status());
        let head = self.0.store.feed().head();
        let behind = status.as_ref().map_or(0, |status| head.saturating_sub(status.at));
        let secrets_until = endpoint.secrets_until(self.0.clock.now());
        let Endpoint { url, kinds, streams, about, paused, .. } = endpoint;
        Ok(EndpointView {
            tenant: record.key.tenant().map(str::to_owned),
            name: record.key.name().to_owned(),
            url,
            kinds,
            streams,
            about,
            paused,
            secrets_until,
            secret: None,
            status: status.unwrap_or_default(),
            behind,
        })
    }
}

fn refused(error: EditError<WebhookError>) -> WebhookError {
    match error {
        EditError::Refused(error) => error,
        EditError::Catalog(error) => error.into(),
    }
}
