//! The delivery to one endpoint: reads the feed from its cursor, posts, tries again, goes on.
//!
//! Invariant: the cursor moves over an event only when the endpoint has it, or the event is too old to be worth a post.

use std::sync::Arc;
use std::time::Duration;

use baton_mail::UnixMs;
use baton_store::feed::ConsumerName;
use baton_store::{Feed, StoreError};

use super::Deps;
use super::endpoint::Endpoint;
use super::post::{Answer, Batch, Posted, post};
use crate::filter::EventFilter;
use crate::status::State;

/// Records that are read from the feed at a time.
const READ_MAX: usize = 512;
/// Records that are passed over before the cursor is kept, when none of them is wanted.
const PASSED_MAX: u64 = 10_000;
/// How long to wait when the store can not be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Failures one after the other from which on an endpoint counts as failing: it is asked with one event at a time.
const FAILURES_OPEN: u32 = 5;

/// Delivers to one endpoint.
pub(super) struct Delivery {
    pub(super) deps: Arc<Deps>,
    pub(super) feed: Feed,
    pub(super) endpoint: Endpoint,
    pub(super) filter: EventFilter,
    pub(super) consumer: ConsumerName,
    pub(super) state: Arc<State>,
    /// Where to go on reading.
    pub(super) next: u64,
    /// The cursor as it is kept.
    pub(super) kept: u64,
}

/// Why a delivery ended by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The endpoint wants nothing any more.
    Gone,
}

impl Delivery {
    /// Delivers for ever. Dropping it ends it: what was not acknowledged is posted again.
    pub(super) async fn run(mut self) -> Ended {
        loop {
            match self.gather().await {
                Ok((batch, next)) if batch.is_empty() => self.pass(next).await,
                Ok((batch, next)) => {
                    if self.deliver(batch, next).await == Some(Ended::Gone) {
                        return Ended::Gone;
                    }
                }
                Err(error) => {
                    tracing::warn!(target: "events", consumer = %self.consumer, %error, "the feed can not be read");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Events that are wanted, from where we are, and where to go on after them.
    async fn gather(&mut self) -> Result<(Batch, u64), StoreError> {
        if let Some(from) = self.state.take_replay() {
            (self.next, self.kept) = (from, from);
            self.keep(from);
        }
        let settings = &self.deps.settings;
        let batch_max = if self.state.failures() >= FAILURES_OPEN { 1 } else { settings.batch_max };
        let (mut batch, mut next) = (Batch::default(), self.next);
        let mut lingered = false;
        while batch.events < batch_max && batch.octets() < settings.batch_octets_max {
            if next >= self.feed.head() {
                if batch.is_empty() || lingered {
                    break;
                }
                // What follows soon goes together.
                tokio::time::sleep(Duration::from_millis(settings.batch_ms)).await;
                lingered = true;
                continue;
            }
            let page = self.feed.read(next, READ_MAX).await?;
            self.state.note_missed(page.missed);
            next = page.next;
            let oldest = UnixMs(self.deps.clock.now().0.saturating_sub(settings.expire_after_s * 1_000));
            for told in &page.told {
                let (mut too_old, before) = (0, batch.events);
                for shown in self.filter.of(told) {
                    if shown.time.0 < oldest { too_old += 1 } else { batch.push(&shown) }
                }
                self.state.note_expired(too_old);
                if batch.events > before
                    && (batch.events >= batch_max || batch.octets() >= settings.batch_octets_max)
                {
                    next = told.number + 1;
                    break;
                }
            }
            if batch.is_empty() && next - self.next >= PASSED_MAX {
                break;
            }
        }
        Ok((batch, next))
    }

    /// Nothing of what was read is wanted: waits for more.
    async fn pass(&mut self, next: u64) {
        self.next = next;
        self.state.note_at(next);
        if next - self.kept >= PASSED_MAX {
            self.keep(next);
        }
        tokio::select! {
            () = self.feed.wait(next) => {}
            () = self.state.poked() => {}
        }
    }

    fn keep(&mut self, next: u64) {
        self.kept = next;
        let trouble = self.state.trouble();
        if let Err(error) = self.feed.acknowledge_in_trouble(&self.consumer, next, trouble.as_ref()) {
            tracing::warn!(target: "events", consumer = %self.consumer, %error, "a cursor can not be kept");
        }
    }

    /// Posts until they have it, it is too old, or something else is wanted.
    async fn deliver(&mut self, batch: Batch, next: u64) -> Option<Ended> {
        let (expire_after_s, timeout_ms) = (self.deps.settings.expire_after_s, self.deps.settings.timeout_ms);
        loop {
            let now = self.deps.clock.now();
            let is_too_old = |oldest: UnixMs| now.since(oldest).as_secs() >= expire_after_s;
            if batch.oldest.is_some_and(is_too_old) || self.state.is_replay_asked() {
                // What is too old is left out, and the rest read again.
                return None;
            }
            let keys = self.endpoint.keys(now);
            let bound = Duration::from_millis(timeout_ms);
            let posted = Posted::of(&batch, now);
            let answer = post(&*self.deps.http, &self.endpoint.url, &keys, posted, now, bound).await;
            self.deps.metrics.count(&answer);
            match answer {
                Answer::Taken { status } => {
                    self.state.note_taken(batch.events, Some(status), self.deps.clock.now());
                    self.next = next;
                    self.state.note_at(next);
                    self.keep(next);
                    return None;
                }
                Answer::Gone => return Some(Ended::Gone),
                Answer::Failed { why, wait_ms } => {
                    let was_well = self.state.trouble().is_none();
                    let failures = self.state.note_failed(&why, self.deps.clock.now());
                    if was_well {
                        self.keep(self.next);
                    }
                    if failures == FAILURES_OPEN {
                        tracing::warn!(target: "events", consumer = %self.consumer, why, "a webhook endpoint fails");
                    }
                    let wait = self.wait_after(failures, wait_ms);
                    self.state.note_next_try(self.deps.clock.now().plus(wait));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.state.poked() => {}
                    }
                    if failures >= FAILURES_OPEN && batch.events > 1 {
                        // One at a time from now on, so that one that they can not take does not hold up all.
                        return None;
                    }
                }
            }
        }
    }

    /// Doubles with each failure up to a bound, by chance a little sooner, so that many do not come at once.
    fn wait_after(&self, failures: u32, asked_ms: Option<u64>) -> Duration {
        let settings = &self.deps.settings;
        let doubled = settings.retry_first_ms.saturating_mul(1 << failures.saturating_sub(1).min(30));
        let bounded = doubled.min(settings.retry_max_ms);
        let by_chance = bounded - rand::random_range(0..=bounded / 5);
        Duration::from_millis(by_chance.max(asked_ms.unwrap_or(0)))
    }
}
