//! Reports that go to web servers (RFC 8460 5.4), and those that wait to be tried again.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_hooks::HttpUrl;
use baton_hooks::host::HttpRequest;
use baton_identity::reports::outgoing::Kind;
use baton_mail::Body;
use baton_mail::text::sanitize;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Reporter;

/// A report for a web server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Post {
    /// A name that no other one has.
    id: String,
    url: String,
    /// What is sent, in base64.
    packed: String,
    tries: u32,
}

impl Post {
    pub(super) fn new(id: &str, url: &str, packed: &[u8]) -> Post {
        Post { id: id.to_owned(), url: url.to_owned(), packed: BASE64.encode(packed), tries: 0 }
    }
}

impl Reporter {
    /// Posts a report; when that fails it is tried again later, [`TRIES_MAX`] times. Tells what became of it.
    pub(super) async fn post(&self, mut post: Post) -> String {
        let url = sanitize(&post.url, URL_OCTETS_SHOWN_MAX);
        let why = match self.try_post(&post).await {
            Ok(()) => {
                self.count(Kind::Tls, "posted");
                return format!("to {url}");
            }
            Err(why) => why,
        };
        let wait_s = FIRST_WAIT_S << post.tries;
        post.tries += 1;
        let next_s = self.0.deps.clock.now().0 / 1_000 + wait_s;
        let key = format!("{PREFIX}{next_s:012}/{}", post.id);
        let is_last = post.tries == TRIES_MAX;
        let text = serde_json::to_vec(&post).unwrap_or_default();
        if is_last || self.0.deps.store.kv().set(BUCKET, &key, &text, Some(KEPT_MS)).await.is_err() {
            self.count(Kind::Tls, "failed");
            return format!("not to {url}: {why}");
        }
        self.count(Kind::Tls, "later");
        format!("to {url} again in {wait_s} s: {why}")
    }

    /// Posts again what is due.
    pub(super) async fn post_again(&self) -> Vec<String> {
        let now_s = self.0.deps.clock.now().0 / 1_000;
        let kv = self.0.deps.store.kv();
        let mut told = Vec::new();
        let Ok(page) = kv.scan(BUCKET, PREFIX, None, PAGE).await else { return told };
        for key in page.keys {
            let due_s = key.strip_prefix(PREFIX).and_then(|rest| rest.split('/').next()?.parse::<u64>().ok());
            if due_s.is_some_and(|due_s| due_s > now_s) {
                break;
            }
            let text = kv.get(BUCKET, &key).await.ok().flatten();
            let post = text.and_then(|text| serde_json::from_slice::<Post>(&text).ok());
            if kv.delete(BUCKET, &key).await.is_ok()
                && let Some(post) = post
            {
                let id = post.id.clone();
                told.push(format!("tls report {id}: {}", self.post(post).await));
            }
        }
        told
    }

    async fn try_post(&self, post: &Post) -> Result<(), String> {
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: HttpUrl::parse(&post.url)?,
            host_is_granted: false,
            headers: vec![("content-type".to_owned(), "application/tlsrpt+gzip".to_owned())],
            body: Body::from(Bytes::from(BASE64.decode(&post.packed).unwrap_or_default())),
            response_octets_max: 64 << 10,
        };
        let http = self.0.deps.http.load_full();
        let answer = tokio::time::timeout(POST_BOUND, http.fetch(CLIENT, request)).await;
        let response = answer.map_err(|_| "no answer in time".to_owned())?;
        let response = response.map_err(|error| sanitize(&error.to_string(), WORDS_OCTETS_MAX))?;
        if (200..300).contains(&response.status) {
            return Ok(());
        }
        Err(format!("it answers {}", response.status))
    }
}

/// Stands for a plugin's name; none has a space in it.
const CLIENT: &str = "tls reports";
/// The bucket of the store where reports wait. No plugin can have one of that name.
const BUCKET: &str = "#report-posts";
/// What keys begin with; then the second in which it is tried again.
const PREFIX: &str = "tls/";
/// Seconds before the second try; then twice as long each time.
const FIRST_WAIT_S: u64 = 300;
/// Tries of one report: with these waits, the last one is about 21 hours after the first (RFC 8460 5.6: 24 hours).
const TRIES_MAX: u32 = 9;
/// Milliseconds that one is kept between tries at most: two days.
const KEPT_MS: u64 = 2 * 86_400_000;
/// How long the server may take.
const POST_BOUND: Duration = Duration::from_secs(30);
/// Reports that are tried again in one pass.
const PAGE: usize = 100;
/// Octets of a URL that are shown.
const URL_OCTETS_SHOWN_MAX: usize = 200;
/// Octets of what is told of a failure.
const WORDS_OCTETS_MAX: usize = 200;
