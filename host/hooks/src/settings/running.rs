//! How a plugin runs: in which instances, whether its answers count, when it is left alone, and what stands beside it.

use std::path::PathBuf;

use baton_mail::Reply;
use baton_mail::header::HeaderName;
use serde::{Deserialize, Serialize};

use crate::Hook;
use crate::record::RecordSettings;

/// How a plugin runs. The defaults are the safest: fresh instances, answers that count, no version beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunSettings {
    /// Whether its answers count.
    pub mode: Mode,
    /// How long an instance lives.
    pub instances: Instances,
    /// The instances of [`Instances::Pool`].
    pub pool: PoolSettings,
    /// The instances of [`Instances::Session`].
    pub session: SessionSettings,
    /// When it is left alone after failures.
    pub breaker: BreakerSettings,
    /// CEL expressions that say when it is asked; always at hooks that no guard is for.
    pub when: Vec<GuardSettings>,
    /// Where its calls are recorded, to be replayed against another build.
    pub record: Option<RecordSettings>,
    /// A new version that is tried beside it.
    pub next: Option<NextSettings>,
    /// How events are told to it, when it observes.
    pub events: EventSettings,
}

/// Whether the answers of a plugin count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// The decision log tells what it would have done; nothing is changed by it.
    Monitor,
}

impl Mode {
    /// The name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Monitor => "monitor",
        }
    }
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instances {
    /// One call: nothing that a plugin keeps in memory is seen by another call.
    #[default]
    Fresh,
    /// One SMTP session, from the first call on; queue hooks, where there is no session, get fresh ones.
    Session,
    /// Many calls, of any session.
    Pool,
}

impl Instances {
    /// The name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Instances::Fresh => "fresh",
            Instances::Session => "session",
            Instances::Pool => "pool",
        }
    }
}

/// Bounds of warm instances that serve any call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Instances that rest at once; calls beyond them get fresh ones.
    pub size_max: usize,
    /// Calls of one instance. Each draws its own number from half of it on, so that nobody relies on it.
    pub uses_max: u32,
    /// Age of an instance, in seconds.
    pub age_s: u64,
}

impl Default for PoolSettings {
    fn default() -> PoolSettings {
        PoolSettings { size_max: 16, uses_max: 1_000, age_s: 60 }
    }
}

/// Bounds of instances that belong to sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// Instances that rest at once; beyond them the one that rested longest is dropped.
    pub size_max: usize,
    /// How long one may rest, in seconds. Idle sessions hold none.
    pub idle_s: u64,
}

impl Default for SessionSettings {
    fn default() -> SessionSettings {
        SessionSettings { size_max: 128, idle_s: 5 }
    }
}

/// When a plugin that keeps failing is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures within the window that open it, if they are half of the calls at least; 0: it never opens.
    pub failures: u32,
    /// The window, in seconds.
    pub window_s: u64,
    /// How long it stays open the first time, in seconds; each failed probe doubles it.
    pub open_s: u64,
    /// How long it stays open at most, in seconds.
    pub open_max_s: u64,
}

impl Default for BreakerSettings {
    fn default() -> BreakerSettings {
        BreakerSettings { failures: 20, window_s: 60, open_s: 5, open_max_s: 300 }
    }
}

/// How events are told to a plugin that observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSettings {
    /// Events of one batch at most.
    pub batch_max: usize,
    /// How long an event waits for others, in milliseconds.
    pub batch_ms: u64,
    /// Events that wait at most; beyond them the oldest are dropped.
    pub queue_max: usize,
}

impl Default for EventSettings {
    fn default() -> EventSettings {
        EventSettings { batch_max: 100, batch_ms: 500, queue_max: 10_000 }
    }
}

/// A guard: the plugin is asked only where it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// The hook; every hook that has no guard of its own when none.
    pub hook: Option<Hook>,
    /// The CEL expression.
    pub when: String,
}

/// A new version beside the one that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextSettings {
    /// The component's file.
    pub source: PathBuf,
    /// What it is for.
    pub mode: NextMode,
    /// The share of sessions that a canary serves, in percent.
    pub percent: u8,
    /// The tenant that a canary serves, whatever the share.
    pub tenant: Option<String>,
}

/// What a new version is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NextMode {
    /// Both are asked, the old one counts, differences are logged and counted.
    Shadow,
    /// It serves a part of the mail in the place of the old one.
    Canary,
}

impl NextMode {
    /// The name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            NextMode::Shadow => "shadow",
            NextMode::Canary => "canary",
        }
    }
}

/// What the sum of the scores of a message means after the data chain, when no plugin had the last word.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// From this sum on the message gets a header field with the sum.
    pub tag: Option<f64>,
    /// From this sum on it is held for an operator.
    pub quarantine: Option<f64>,
    /// From this sum on it is refused.
    pub reject: Option<f64>,
    /// The field of `tag`; `X-Spam-Score` when none.
    pub header: Option<HeaderName>,
    /// The reply of `reject`; `550 5.7.1` when none.
    pub reply: Option<Reply>,
}
