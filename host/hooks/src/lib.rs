//! The plugin host: WebAssembly components that decide what happens to mail, at six hooks.
//!
//! An [`Engine`] runs them, a [`Generation`] is one loaded set of them with its chains, a [`Call`] is what they see and
//! change. This is the only crate that knows wasmtime.
//!
//! Invariant: each call runs in an instance of its own that is gone afterwards, unless the settings of the plugin say
//! otherwise. Nothing a plugin keeps in memory is seen by another call, and nothing has to be repaired after a trap: an
//! instance whose call failed is never used again.
//!
//! Invariant: a call ends. It is bounded in processor time, wall time, memory, tables, handles, host calls, octets read
//! and handed over, work done for it, DNS queries, requests and questions to others, log lines and metrics, and by
//! each bound on its own.
//!
//! Invariant: a change to the mail is applied when the plugin answered what it may answer, and not at all otherwise.
//! Each text of a plugin is checked before it gets into a reply, a header, an address, a log line or a metric.
//!
//! Invariant: a plugin can do what its settings grant. It has no file, no socket, no environment. What it asks by HTTP
//! goes through the relay's client, by URL grants. A secret is in no snapshot, no log line and no `Debug` text.
//!
//! Invariant: native code is loaded from a file when this relay wrote it, and from no other.
//!
//! Invariant: a failing plugin is data. Which answer stands for it is decided in one table, by the operator's policy.

#![deny(unsafe_code)]

mod answer;
mod ask;
mod bindings;
mod breaker;
pub mod cache;
mod call;
pub mod cases;
mod chain;
mod contract;
mod edits;
mod engine;
mod events;
mod functions;
mod generation;
mod guard;
mod hook;
pub mod host;
mod instance;
mod load;
mod log_gate;
pub mod manifest;
pub mod metrics;
mod next;
mod off_thread;
mod plugin;
mod policy;
pub mod record;
pub mod replay;
mod run;
mod script;
mod secrets;
mod settings;
pub mod shape;
mod shelf;
mod state;
mod switched;
mod tape;
mod thresholds;
mod ticker;
pub mod trust;
mod url;
mod wasi;
mod witness;
mod workshop;
pub mod worlds;

pub use answer::{AuthAnswer, BounceAnswer, ConnectAnswer, DataAnswer, RcptAnswer, RouteAnswer, Verdict};
pub use ask::Credential;
pub use breaker::BreakerState;
pub use call::{
    AttemptFacts, Call, FailureFacts, MessageContent, NOTES_OCTETS_MAX, NameCheck, Parameter, SessionFacts,
    SessionNotes,
};
pub use engine::{Engine, EngineError};
pub use events::EventFeed;
pub use generation::{Generation, NextInfo, PluginInfo};
pub use hook::Hook;
pub use host::{
    Capabilities, DnsAnswer, DnsBackend, DnsError, HttpBackend, HttpError, HttpRequest, HttpResponse,
    KvBackend, KvError, Page, Taken, VerifyAnswer, VerifyBackend, VerifyError,
};
pub use load::{Advice, LoadError, is_script, prepare_interpreter};
pub use policy::{Blame, FailureKind, RETRY_AFTER_MS};
pub use settings::{
    BreakerSettings, EditGrant, EngineSettings, EventSettings, Grants, GuardSettings, Instances, Limits,
    Mode, NextMode, NextSettings, NextSwitch, OnFailure, PluginSettings, PoolSettings, RunSettings,
    SecretSource, SessionSettings, Switch, Thresholds,
};
pub use url::{HttpGrant, HttpHost, HttpUrl};
pub use witness::Cost;
pub use workshop::{Workshop, compile_for_relay};
