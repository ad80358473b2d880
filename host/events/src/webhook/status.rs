//! How the delivery to an endpoint goes, for those who look, and what they ask of it.

use baton_mail::UnixMs;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use utoipa::ToSchema;

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointStatus {
    /// Events that were posted and taken since the relay's start.
    pub posted: u64,
    /// Events that were too old before they could be posted.
    pub expired: u64,
    /// Numbers of the feed that were not kept any more when they were to be read.
    pub missed: u64,
    /// Failures one after the other.
    pub failures: u32,
    /// Since when nothing was taken; none while it is well.
    #[schema(value_type = Option<u64>)]
    pub failing_since: Option<UnixMs>,
    /// Why the last post failed.
    pub last_error: Option<String>,
    /// The last answer that was a success, and when it came.
    pub last_status: Option<u16>,
    /// When the last post was taken.
    #[schema(value_type = Option<u64>)]
    pub last_taken_at: Option<UnixMs>,
    /// When it is tried again, while it fails.
    #[schema(value_type = Option<u64>)]
    pub next_try_at: Option<UnixMs>,
    /// Where in the feed it is.
    pub at: u64,
}

/// What a delivery and those who look share.
#[derive(Default)]
pub(super) struct State {
    status: Mutex<EndpointStatus>,
    replay: Mutex<Option<u64>>,
    poke: Notify,
}

impl State {
    /// That begins here.
    pub(super) fn at(next: u64) -> State {
        let state = State::default();
        state.status.lock().at = next;
        state
    }

    pub(super) fn status(&self) -> EndpointStatus {
        self.status.lock().clone()
    }

    pub(super) fn failures(&self) -> u32 {
        self.status.lock().failures
    }

    pub(super) fn note_at(&self, next: u64) {
        self.status.lock().at = next;
    }

    pub(super) fn note_missed(&self, missed: u64) {
        self.status.lock().missed += missed;
    }

    pub(super) fn note_expired(&self, events: u64) {
        self.status.lock().expired += events;
    }

    pub(super) fn note_taken(&self, events: usize, answer: u16, now: UnixMs) {
        let mut status = self.status.lock();
        status.posted += events as u64;
        (status.failures, status.failing_since, status.last_error, status.next_try_at) =
            (0, None, None, None);
        (status.last_status, status.last_taken_at) = (Some(answer), Some(now));
    }

    /// Returns how many failures there were one after the other.
    pub(super) fn note_failed(&self, why: &str, now: UnixMs) -> u32 {
        let mut status = self.status.lock();
        status.failures = status.failures.saturating_add(1);
        status.failing_since.get_or_insert(now);
        status.last_error = Some(why.to_owned());
        status.failures
    }

    pub(super) fn note_next_try(&self, at: UnixMs) {
        self.status.lock().next_try_at = Some(at);
    }

    /// From this number on, again.
    pub(super) fn ask_replay(&self, from: u64) {
        *self.replay.lock() = Some(from);
        self.poke.notify_one();
    }

    pub(super) fn is_replay_asked(&self) -> bool {
        self.replay.lock().is_some()
    }

    pub(super) fn take_replay(&self) -> Option<u64> {
        self.replay.lock().take()
    }

    /// Returns when something is asked of the delivery.
    pub(super) async fn poked(&self) {
        self.poke.notified().await;
    }
}
