//! How often a token may ask: a bucket for each, and the fields that tell a client how it stands
//! (draft-ietf-httpapi-ratelimit-headers).

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use baton_mail::bucket::{Bucket, Draw};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Nanoseconds of a second.
const SECOND_NS: u128 = 1_000_000_000;
/// Seconds in which an empty bucket fills.
const WINDOW_S: u32 = 60;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// The buckets of all tokens that asked within the last minute.
pub(super) struct Pace {
    begun: Instant,
    /// When each bucket is full, in nanoseconds since then.
    full_at: Mutex<HashMap<Arc<str>, u128>>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { begun: Instant::now(), full_at: Mutex::default() }
    }
}

/// How a token stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds until the bucket is full.
    reset_s: u64,
    /// Seconds until the request may come again; none when it is allowed.
    pub(super) retry_s: Option<u64>,
}

impl Pace {
    /// Counts a request.
    pub(super) fn take(&self, token: &Arc<str>, limit: u32) -> Standing {
        self.take_at(token, limit, self.begun.elapsed().as_nanos())
    }

    fn take_at(&self, token: &Arc<str>, limit: u32, now: u128) -> Standing {
        let mut buckets = self.full_at.lock();
        if buckets.len() == buckets.capacity() {
            // One that is full is as good as one that is not there.
            buckets.retain(|_, full_at| *full_at > now);
        }
        let full_at = buckets.get(token).copied().unwrap_or(0);
        let seconds = |ns: u128| u64::try_from(ns.div_ceil(SECOND_NS)).unwrap_or(u64::MAX);
        match Bucket::per_minute(limit).draw(full_at, now, 1) {
            Draw::Taken { full_at, remaining } => {
                buckets.insert(Arc::clone(token), full_at);
                Standing { limit, remaining, reset_s: seconds(full_at - now), retry_s: None }
            }
            Draw::Wait { wait_ns, remaining } => {
                let retry_s = Some(seconds(wait_ns).max(1));
                Standing { limit, remaining, reset_s: seconds(full_at.saturating_sub(now)), retry_s }
            }
            Draw::Never => Standing { limit, remaining: 0, reset_s: 0, retry_s: Some(u64::from(WINDOW_S)) },
        }
    }
}

impl Standing {
    /// Tells the client.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        let mut tell = |name: HeaderName, value: String| {
            headers
                .insert(name, HeaderValue::try_from(value).expect("digits and words are a header's value"));
        };
        tell(POLICY, format!("\"requests\";q={};w={WINDOW_S}", self.limit));
        tell(STANDING, format!("\"requests\";r={};t={}", self.remaining, self.reset_s));
        if let Some(retry_s) = self.retry_s {
            headers.insert(header::RETRY_AFTER, retry_s.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_asks_too_often_is_told_when_to_come_again() {
        let pace = Pace::default();
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let take = |token, seconds: u128| pace.take_at(token, 3, seconds * SECOND_NS);
        for left in [2, 1, 0] {
            assert_eq!(take(&one, 0).remaining, left);
        }
        let refused = take(&one, 0);
        assert_eq!((refused.retry_s, refused.remaining, refused.reset_s), (Some(20), 0, 60));
        assert_eq!(take(&other, 0).retry_s, None);
        assert_eq!(take(&one, 20).retry_s, None);
        let mut headers = HeaderMap::new();
        take(&one, 20).tell(&mut headers);
        let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(told("ratelimit-policy"), "\"requests\";q=3;w=60");
        assert_eq!((told("ratelimit"), told("retry-after")), ("\"requests\";r=0;t=60", "20"));
        assert!(pace.take_at(&one, 0, 0).retry_s.is_some(), "no request at all is allowed");
    }
}
