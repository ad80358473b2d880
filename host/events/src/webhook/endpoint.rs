//! An endpoint: where events of a tenant are posted, which, and with which secrets they are signed.

use std::fmt;

use baton_hooks::HttpUrl;
use baton_identity::WebhookKey;
use baton_mail::UnixMs;
use baton_store::catalog::{CatalogError, Key, Kind as RecordKind};
use baton_store::feed::ConsumerName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::filter::EventFilter;
use crate::kind::Kind;

/// Endpoints, in the catalog: of a tenant or of the relay, by name.
pub const WEBHOOK: RecordKind = RecordKind::new("webhook", 50);
/// What the names of endpoints in the feed begin with.
pub(crate) const CONSUMERS: &str = "webhook/";
/// Octets of a URL, of a name, of a description; entries of a list.
const URL_OCTETS_MAX: usize = 2_048;
const NAME_OCTETS_MAX: usize = 63;
const ABOUT_OCTETS_MAX: usize = 500;
const STREAMS_MAX: usize = 100;
/// Secrets that count at once.
const SECRETS_MAX: usize = 5;

/// An endpoint as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it is.
    pub url: String,
    /// Which kinds of events; empty for all that those who send want to know.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// Which streams; empty for all, and for mail of none.
    #[serde(default)]
    pub streams: Vec<String>,
    /// What it is for, in the words of who made it.
    #[serde(default)]
    pub about: String,
    /// Nothing is posted while this says why.
    #[serde(default)]
    pub paused: Option<String>,
    /// The newest first.
    pub(super) secrets: Vec<Secret>,
}

/// What posts are signed with, and until when.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Secret {
    pub(super) text: String,
    /// From then on it does not count any more; none for the newest.
    pub(super) until: Option<UnixMs>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret until {:?}", self.until)
    }
}

/// What somebody may say about an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointChange {
    /// Where it is.
    pub url: Option<String>,
    /// Which kinds of events.
    pub kinds: Option<Vec<Kind>>,
    /// Which streams.
    pub streams: Option<Vec<String>>,
    /// What it is for.
    pub about: Option<String>,
    /// Whether nothing is to be posted.
    pub paused: Option<bool>,
}

/// What is wrong with an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Unfit {
    /// The member at fault.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

fn unfit(field: &'static str, why: impl Into<String>) -> Unfit {
    Unfit { field, why: why.into() }
}

impl Endpoint {
    /// A new one, with a new secret.
    pub(super) fn new(change: EndpointChange) -> Result<Endpoint, Unfit> {
        let text = WebhookKey::generate().map_err(|why| unfit("secret", why))?;
        let endpoint = Endpoint {
            url: String::new(),
            kinds: Vec::new(),
            streams: Vec::new(),
            about: String::new(),
            paused: None,
            secrets: vec![Secret { text, until: None }],
        };
        endpoint.changed(change)
    }

    /// As somebody wants it now.
    pub(super) fn changed(mut self, change: EndpointChange) -> Result<Endpoint, Unfit> {
        let EndpointChange { url, kinds, streams, about, paused } = change;
        self.url = url.unwrap_or(self.url);
        self.kinds = kinds.unwrap_or(self.kinds);
        self.streams = streams.unwrap_or(self.streams);
        self.about = about.unwrap_or(self.about);
        match paused {
            Some(true) => self.paused = self.paused.or(Some("asked for".to_owned())),
            Some(false) => self.paused = None,
            None => {}
        }
        if self.url.len() > URL_OCTETS_MAX {
            return Err(unfit("url", format!("has more than {URL_OCTETS_MAX} octets")));
        }
        HttpUrl::parse(&self.url).map_err(|why| unfit("url", format!("{why}; write https://host/path")))?;
        if self.streams.len() > STREAMS_MAX {
            return Err(unfit("streams", format!("has more than {STREAMS_MAX} entries")));
        }
        if self.about.len() > ABOUT_OCTETS_MAX || self.about.chars().any(char::is_control) {
            return Err(unfit("about", format!("is one line of {ABOUT_OCTETS_MAX} octets at most")));
        }
        Ok(self)
    }

    /// With a new secret; those of before count for some time yet. Returns it.
    pub(super) fn rotated(mut self, now: UnixMs, until: UnixMs) -> Result<(Endpoint, String), Unfit> {
        let text = WebhookKey::generate().map_err(|why| unfit("secret", why))?;
        self.secrets.retain(|secret| secret.until.is_none_or(|until| until > now));
        for secret in &mut self.secrets {
            secret.until = Some(secret.until.map_or(until, |before| before.min(until)));
        }
        self.secrets.insert(0, Secret { text: text.clone(), until: None });
        self.secrets.truncate(SECRETS_MAX);
        Ok((self, text))
    }

    /// The secret that counts from now on; shown when it is new and never again.
    pub(super) fn newest_secret(&self) -> Option<&str> {
        self.secrets.first().map(|secret| secret.text.as_str())
    }

    /// Until when each secret counts; none for the newest.
    pub fn secrets_until(&self, now: UnixMs) -> Vec<Option<UnixMs>> {
        self.live(now).map(|secret| secret.until).collect()
    }

    fn live(&self, now: UnixMs) -> impl Iterator<Item = &Secret> {
        self.secrets.iter().filter(move |secret| secret.until.is_none_or(|until| until > now))
    }

    /// The keys that count now.
    pub(super) fn keys(&self, now: UnixMs) -> Vec<WebhookKey> {
        self.live(now).filter_map(|secret| WebhookKey::read(&secret.text).ok()).collect()
    }

    /// Which events it gets.
    pub(super) fn filter(&self, tenant: Option<&str>) -> EventFilter {
        EventFilter {
            tenant: tenant.map(str::to_owned),
            streams: self.streams.clone(),
            kinds: self.kinds.clone(),
            ..EventFilter::default()
        }
    }
}

/// The record of an endpoint.
pub(super) fn key(tenant: Option<&str>, name: &str) -> Result<Key, CatalogError> {
    let is_fit = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    if name.is_empty() || name.len() > NAME_OCTETS_MAX || !name.bytes().all(is_fit) {
        let why = format!("a name is 1 to {NAME_OCTETS_MAX} lower case letters, digits and hyphens");
        return Err(CatalogError::Unfit(why));
    }
    Key::new(WEBHOOK, tenant, name)
}

/// Who an endpoint is in the feed.
pub(super) fn consumer(key: &Key) -> Option<ConsumerName> {
    format!("{CONSUMERS}{}/{}", key.tenant().unwrap_or_default(), key.name()).parse().ok()
}

/// The record of the endpoint that is this in the feed.
pub(super) fn key_of(consumer: &ConsumerName) -> Option<Key> {
    let name = consumer.to_string();
    let (tenant, name) = name.strip_prefix(CONSUMERS)?.split_once('/')?;
    key(Some(tenant).filter(|tenant| !tenant.is_empty()), name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        let url = Some("https://hooks.example/x".to_owned());
        Endpoint::new(EndpointChange { url, ..EndpointChange::default() }).unwrap()
    }

    #[test]
    fn secrets_are_replaced_with_time_to_change() {
        let (first, now) = (endpoint(), UnixMs(1_000));
        assert_eq!((first.keys(now).len(), first.secrets_until(now)), (1, vec![None]));
        let (second, text) = first.clone().rotated(now, UnixMs(5_000)).unwrap();
        assert_eq!(second.newest_secret(), Some(text.as_str()));
        assert_eq!(second.secrets_until(now), [None, Some(UnixMs(5_000))]);
        assert_eq!(second.keys(UnixMs(5_000)).len(), 1);
        let (third, _) = second.rotated(UnixMs(2_000), UnixMs(9_000)).unwrap();
        assert_eq!(third.secrets_until(now), [None, Some(UnixMs(9_000)), Some(UnixMs(5_000))]);
        let shown = format!("{third:?}");
        assert!(!shown.contains("whsec_") && !shown.contains(&text), "{shown}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        let refused = |change| endpoint().changed(change).unwrap_err().field;
        let url = |url: &str| EndpointChange { url: Some(url.to_owned()), ..EndpointChange::default() };
        for bad in
            ["", "ftp://a.example/", "hooks.example", "http://", &format!("https://a/{}", "x".repeat(2_048))]
        {
            assert_eq!(refused(url(bad)), "url", "{bad}");
        }
        let about = Some("two\nlines".to_owned());
        assert_eq!(refused(EndpointChange { about, ..EndpointChange::default() }), "about");
        for bad in ["", "A", "a b", "a/b", &"x".repeat(64)] {
            assert!(key(None, bad).is_err(), "{bad}");
        }
    }
}
