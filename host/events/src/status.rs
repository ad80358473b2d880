//! How the delivery to an endpoint or a server goes, for those who look, and what they ask of it.

use std::sync::Arc;

use baton_mail::UnixMs;
use baton_store::feed::Trouble;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use utoipa::ToSchema;

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointStatus {
    /// Events that were sent and taken since the relay's start.
    pub posted: u64,
    /// Events that were too old before they could be posted.
    pub expired: u64,
    /// Numbers of the feed that were not kept any more when they were to be read.
    pub missed: u64,
    /// Failures one after the other since the relay's start.
    pub failures: u32,
    /// Since when nothing was taken, restarts included for webhooks; none while it is well.
    #[schema(value_type = Option<u64>)]
    pub failing_since: Option<UnixMs>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// The last answer of HTTP that was a success.
    pub last_status: Option<u16>,
    /// When something was taken last.
    #[schema(value_type = Option<u64>)]
    pub last_taken_at: Option<UnixMs>,
    /// When it is tried again, while it fails.
    #[schema(value_type = Option<u64>)]
    pub next_try_at: Option<UnixMs>,
    /// Where in the feed it is.
    pub at: u64,
}

/// How somebody whom the settings name follows, for those who look.
#[derive(Clone)]
pub struct FollowerView {
    /// The name of its cursor in the feed.
    pub consumer: String,
    pub(crate) state: Arc<State>,
}

impl FollowerView {
    /// How it goes.
    pub fn status(&self) -> EndpointStatus {
        self.state.status()
    }
}

/// What a delivery and those who look share.
#[derive(Default)]
pub(crate) struct State {
    status: Mutex<EndpointStatus>,
    replay: Mutex<Option<u64>>,
    poke: Notify,
}

impl State {
    /// That begins here, in the trouble that there was when the relay ended.
    pub(crate) fn at(next: u64, trouble: Option<Trouble>) -> State {
        let (failing_since, last_error) = trouble.map(|trouble| (trouble.since, trouble.why)).unzip();
        let status = EndpointStatus { at: next, failing_since, last_error, ..EndpointStatus::default() };
        State { status: Mutex::new(status), ..State::default() }
    }

    /// What is to outlive a restart while it fails.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let status = self.status.lock();
        Some(Trouble { since: status.failing_since?, why: status.last_error.clone().unwrap_or_default() })
    }

    pub(crate) fn status(&self) -> EndpointStatus {
        self.status.lock().clone()
    }

    pub(crate) fn failures(&self) -> u32 {
        self.status.lock().failures
    }

    pub(crate) fn note_at(&self, next: u64) {
        self.status.lock().at = next;
    }

    pub(crate) fn note_missed(&self, missed: u64) {
        self.status.lock().missed += missed;
    }

    pub(crate) fn note_expired(&self, events: u64) {
        self.status.lock().expired += events;
    }

    /// True when it failed before.
    pub(crate) fn note_taken(&self, events: usize, answer: Option<u16>, now: UnixMs) -> bool {
        let mut status = self.status.lock();
        status.posted += events as u64;
        (status.last_status, status.last_taken_at) = (answer, Some(now));
        drop(status);
        self.note_well()
    }

    /// Nothing fails now. True when it failed before.
    pub(crate) fn note_well(&self) -> bool {
        let mut status = self.status.lock();
        (status.failures, status.last_error, status.next_try_at) = (0, None, None);
        status.failing_since.take().is_some()
    }

    /// Returns how many failures there were one after the other.
    pub(crate) fn note_failed(&self, why: &str, now: UnixMs) -> u32 {
        let mut status = self.status.lock();
        status.failures = status.failures.saturating_add(1);
        status.failing_since.get_or_insert(now);
        status.last_error = Some(why.to_owned());
        status.failures
    }

    pub(crate) fn note_next_try(&self, at: UnixMs) {
        self.status.lock().next_try_at = Some(at);
    }

    /// From this number on, again.
    pub(crate) fn ask_replay(&self, from: u64) {
        *self.replay.lock() = Some(from);
        self.poke.notify_one();
    }

    pub(crate) fn is_replay_asked(&self) -> bool {
        self.replay.lock().is_some()
    }

    pub(crate) fn take_replay(&self) -> Option<u64> {
        self.replay.lock().take()
    }

    /// Returns when something is asked of the delivery.
    pub(crate) async fn poked(&self) {
        self.poke.notified().await;
    }
}
