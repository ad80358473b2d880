//! What the host does for plugins: one module per interface of the contract, and the services behind them.

mod clock;
mod config;
mod digest;
mod dns;
mod envelope;
mod failure;
mod http;
pub(crate) mod kv;
mod log;
mod message;
mod metrics;
pub(crate) mod new_body;
mod part;
mod routing;
mod session;
mod verify;

use std::net::IpAddr;
use std::sync::Arc;

use baton_mail::Clock;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::NameCheck;
use crate::metrics::Metrics;

pub use http::{HttpBackend, HttpError, HttpRequest, HttpResponse};
pub(crate) use log::emit_line;
pub(crate) use routing::matches as matches_pattern;
pub use verify::{VerifyAnswer, VerifyBackend, VerifyError};

/// The types have no functions.
impl crate::bindings::baton::relay::types::Host for crate::state::State {}

/// The services that plugins reach through the host. The binary provides them over the store, the resolver,
/// the HTTP client and delivery.
#[derive(Clone)]
pub struct Capabilities {
    /// Key-value buckets.
    pub kv: Arc<dyn KvBackend>,
    /// DNS.
    pub dns: Arc<dyn DnsBackend>,
    /// HTTP.
    pub http: Arc<dyn HttpBackend>,
    /// Questions to next hops.
    pub verify: Arc<dyn VerifyBackend>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Where calls, failures and the plugins' own metrics are counted.
    pub metrics: Arc<Metrics>,
}

impl Capabilities {
    /// True when both lead to the same services.
    pub(crate) fn are_same(&self, other: &Capabilities) -> bool {
        Arc::ptr_eq(&self.kv, &other.kv)
            && Arc::ptr_eq(&self.dns, &other.dns)
            && Arc::ptr_eq(&self.http, &other.http)
            && Arc::ptr_eq(&self.verify, &other.verify)
            && Arc::ptr_eq(&self.clock, &other.clock)
            && Arc::ptr_eq(&self.metrics, &other.metrics)
    }
}

/// Key-value buckets. A bucket is named `plugin/name` or `shared/name`; grants were checked before.
pub trait KvBackend: Send + Sync + 'static {
    /// The value, when it is set and did not expire.
    fn get<'a>(&'a self, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, KvError>>;
    /// Sets a value, for so many milliseconds or for good.
    fn set<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<(), KvError>>;
    /// Sets a value when there is none; true when it was set.
    fn set_if_absent<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, KvError>>;
    /// Sets or deletes a value when it is what was expected; true when it was done.
    fn compare_and_set<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<bool, KvError>>;
    /// Deletes a value.
    fn delete<'a>(&'a self, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<(), KvError>>;
    /// Adds to a number and answers the sum; the life time is set when the key is made.
    fn increment<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> BoxFuture<'a, Result<i64, KvError>>;
    /// Takes from a token bucket of `burst` tokens that refill over `period_ms`.
    fn take<'a>(
        &'a self,
        bucket: &'a str,
        key: &'a str,
        cost: u32,
        burst: u32,
        period_ms: u64,
    ) -> BoxFuture<'a, Result<Taken, KvError>>;
    /// Keys with that prefix, in order, at most `limit`.
    fn scan<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
        cursor: Option<String>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Page, KvError>>;
}

/// Answer of a token bucket.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The tokens were there.
    pub allowed: bool,
    /// Tokens left.
    pub remaining: u32,
    /// When not allowed: after so many milliseconds it will be.
    pub retry_after_ms: u64,
}

/// A page of keys.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<String>,
    /// Where the next page begins.
    pub cursor: Option<String>,
}

/// Why a bucket did not answer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The bucket is full.
    #[error("the bucket is full")]
    Quota,
    /// Key or value is too large.
    #[error("key or value is too large")]
    TooLarge,
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
}

/// The resolver.
pub trait DnsBackend: Send + Sync + 'static {
    /// One query, by IANA type number.
    fn lookup<'a>(&'a self, name: &'a str, rr_type: u16) -> BoxFuture<'a, Result<DnsAnswer, DnsError>>;
    /// The name of an address that leads back to it, and what came of looking for it.
    fn reverse(&self, address: IpAddr) -> BoxFuture<'_, (Option<String>, NameCheck)>;
}

/// An answer of the resolver.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsAnswer {
    /// The response code; 0 is success, 3 no such name.
    pub rcode: u16,
    /// DNSSEC says that it is right.
    pub authenticated: bool,
    /// For how many seconds it is good.
    pub ttl_s: u32,
    /// The records in presentation form.
    pub records: Vec<String>,
}

/// Why the resolver did not answer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// Not a domain name.
    #[error("not a domain name")]
    BadName,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}
