//! HTTP for plugins: one client for all, that connects to the address that it checked and nowhere else.
//!
//! Invariant: a connection goes to an address of a public network, of a network that the settings allow, or to the one
//! that the plugin's grant names itself. A name is resolved and checked for each request, also when a connection is
//! there already; no redirect is followed, no proxy is asked.
//!
//! Invariant: requests at once, idle connections, header fields and octets of responses are bounded. The caller bounds
//! the time; when it gives up, the connection is closed.

mod connection;
mod networks;
mod pieces;
mod pool;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use baton_dns::Resolver;
use baton_hooks::host::{HttpBackend, HttpError, HttpRequest, HttpResponse};
use baton_hooks::{HttpHost, HttpUrl};
use baton_mail::text::sanitize_octets;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, USER_AGENT};
use hyper::{Request, Response};
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use connection::{Connection, open};
use pieces::Pieces;
use pool::{Place, Pool};
use trust::Trust;

pub(crate) use trust::read_certificates;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Octets of a response header's value that a plugin gets.
const VALUE_OCTETS_MAX: usize = 8_192;

/// What an operator may say about HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpSettings {
    /// Requests of all plugins at once; more wait within their time.
    pub(crate) requests_max: usize,
    /// Requests of one plugin at once.
    pub(crate) requests_per_plugin_max: usize,
    /// How long opening a connection may take, TLS included.
    pub(crate) connect_ms: u64,
    /// Connections without work that are kept.
    pub(crate) idle_connections_max: usize,
    /// How long they are kept.
    pub(crate) idle_ms: u64,
    /// Certificates that are trusted beside those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// Networks that are not public and may be asked all the same.
    pub(crate) allowed_networks: Vec<IpNet>,
}

/// The client.
pub(crate) struct PluginHttp {
    settings: HttpSettings,
    resolver: Resolver,
    trust: Trust,
    pool: Pool,
    all: Semaphore,
    plugins: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl PluginHttp {
    /// A client without connections.
    pub(crate) fn new(settings: HttpSettings, resolver: Resolver) -> anyhow::Result<PluginHttp> {
        let trust = Trust::new(settings.ca_file.as_deref()).context("http.ca_file")?;
        Ok(PluginHttp {
            trust,
            resolver,
            pool: Pool::new(settings.idle_connections_max, Duration::from_millis(settings.idle_ms)),
            all: Semaphore::new(settings.requests_max),
            plugins: Mutex::default(),
            settings,
        })
    }

    /// True when it is made by the same settings and trusts the same certificates.
    pub(crate) fn is_like(&self, other: &PluginHttp) -> bool {
        self.settings == other.settings && self.trust.is_like(&other.trust)
    }

    async fn fetch(&self, plugin: &str, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let own = self.share_of(plugin);
        let closed = |_| HttpError::Failed("the relay is stopping".to_owned());
        let _own = own.acquire().await.map_err(closed)?;
        let _all = self.all.acquire().await.map_err(closed)?;
        let addresses = self.addresses(&request).await?;
        let octets_max = request.response_octets_max;
        let url = request.url.clone();
        let mut message = to_message(request)?;
        let mut trouble = HttpError::Failed("the host has no address".to_owned());
        for address in addresses {
            let place = Place { is_tls: url.is_tls, host: url.host.to_string(), address };
            let (connection, response) = match self.exchange(&place, &url, message).await {
                Ok(exchanged) => exchanged,
                Err(Unanswered { trouble, message: None }) => return Err(trouble),
                Err(Unanswered { trouble: why, message: Some(unsent) }) => {
                    (trouble, message) = (why, *unsent);
                    continue;
                }
            };
            let response = take(response, octets_max).await?;
            self.pool.keep(place, connection);
            return Ok(response);
        }
        Err(trouble)
    }

    /// The requests of that plugin that may run at once. Plugins are few, and named by the operator.
    fn share_of(&self, plugin: &str) -> Arc<Semaphore> {
        let mut plugins = self.plugins.lock();
        let make = || Arc::new(Semaphore::new(self.settings.requests_per_plugin_max));
        Arc::clone(plugins.entry(plugin.to_owned()).or_insert_with(make))
    }

    /// The addresses that may be asked, at most a few.
    async fn addresses(&self, request: &HttpRequest) -> Result<Vec<SocketAddr>, HttpError> {
        let (found, is_named) = match &request.url.host {
            HttpHost::Address(address) => (vec![*address], request.host_is_granted),
            // RFC 6761 6.3: never asked of the DNS, which could answer anything.
            HttpHost::Name(name) if name == "localhost" || name.ends_with(".localhost") => {
                let here = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                (here, request.host_is_granted)
            }
            HttpHost::Name(name) => (self.resolve(name).await?, false),
        };
        let may_be_asked = |address: &IpAddr| is_named || self.is_allowed(*address);
        let allowed: Vec<IpAddr> = found.iter().copied().filter(may_be_asked).collect();
        if allowed.is_empty() && !found.is_empty() {
            return Err(HttpError::Denied);
        }
        let port = request.url.port;
        Ok(allowed.into_iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(address, port)).collect())
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, HttpError> {
        self.resolver.addresses(name).await.map_err(|error| match error {
            baton_dns::DnsError::Timeout => HttpError::Timeout,
            other => HttpError::Failed(format!("address of {name}: {other}")),
        })
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let allowed = &self.settings.allowed_networks;
        networks::is_public(address)
            || allowed.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// Sends the request over a kept connection, or a new one when none is usable.
    async fn exchange(
        &self,
        place: &Place,
        url: &HttpUrl,
        mut message: Request<Pieces>,
    ) -> Result<(Connection, Response<Incoming>), Unanswered> {
        while let Some(mut kept) = self.pool.take(place) {
            let again = message.method().is_idempotent().then(|| message.clone());
            match (kept.send(message).await, again) {
                (Ok(response), _) => return Ok((kept, response)),
                // The server closed it meanwhile and saw nothing of this request.
                (Err(Unanswered { message: Some(unsent), .. }), _) => message = *unsent,
                // It closed it at this very moment: what may be asked twice is asked again (RFC 9110 9.2.2).
                (Err(_), Some(again)) => message = again,
                (Err(unanswered), None) => return Err(unanswered),
            }
        }
        let bound = Duration::from_millis(self.settings.connect_ms);
        let opening = open(place.address, url, &self.trust);
        let opened = tokio::time::timeout(bound, opening).await.unwrap_or(Err(HttpError::Timeout));
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(trouble) => return Err(Unanswered { trouble, message: Some(Box::new(message)) }),
        };
        let response = connection.send(message).await?;
        Ok((connection, response))
    }
}

impl HttpBackend for PluginHttp {
    fn fetch<'a>(
        &'a self,
        plugin: &'a str,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpResponse, HttpError>> {
        PluginHttp::fetch(self, plugin, request).boxed()
    }
}

/// A request that has no response, and the request itself when nothing of it was sent.
struct Unanswered {
    trouble: HttpError,
    message: Option<Box<Request<Pieces>>>,
}

/// The request in origin form (RFC 9112 3.2.1).
fn to_message(request: HttpRequest) -> Result<Request<Pieces>, HttpError> {
    let bad = |error: hyper::http::Error| HttpError::Failed(format!("not a request: {error}"));
    let mut message = Request::builder()
        .method(request.method.as_str())
        .uri(request.url.target.as_str())
        .header(HOST, request.url.authority());
    let names_agent = request.headers.iter().any(|(name, _)| name == USER_AGENT.as_str());
    if !names_agent {
        message = message.header(USER_AGENT, concat!("baton/", env!("CARGO_PKG_VERSION")));
    }
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    let has_content = !request.body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
    if has_content {
        message = message.header(CONTENT_LENGTH, request.body.len());
    }
    message.body(Pieces::from(request.body)).map_err(bad)
}

/// Reads the response, and gives up as soon as it is too large.
async fn take(response: Response<Incoming>, octets_max: usize) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let announced =
        head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let has_content = !hyper::body::Body::is_end_stream(&body);
    if has_content && announced.is_some_and(|octets| octets > octets_max as u64) {
        return Err(HttpError::TooLarge);
    }
    let collected = Limited::new(body, octets_max).collect().await;
    let body: Bytes = match collected {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(HttpError::TooLarge),
        Err(error) => return Err(HttpError::Failed(format!("the response broke off: {error}"))),
    };
    Ok(HttpResponse { status: head.status.as_u16(), headers: to_pairs(&head.headers), body })
}

fn to_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), sanitize_octets(value.as_bytes(), VALUE_OCTETS_MAX))
    };
    headers.iter().map(pair).collect()
}
