//! What authors of plugins for the Baton mail relay depend on, and the only thing they need besides serde.
//!
//! A plugin is a type with settings ([`Plugin`]) and one trait per hook that it wants to answer ([`Connect`],
//! [`Auth`], [`Rcpt`], [`Data`], [`Route`], [`Bounce`], [`Events`]). Everything else a hook can see, ask or change is reached
//! from the [`Context`] that is passed to it.
//!
//! Invariant: a hook which is not implemented is not exported, so the relay never calls it.
//! Invariant: an `Err` from a hook ends the call as a failure; the relay drops its edits and the operator's failure
//! policy decides.
//! Invariant: settings are read once per instance. Where the relay takes its snapshot after `init`, that is once per load.
//! Invariant: there are no globals besides the loaded plugin itself; in native tests every [`testing::TestHost`] is
//! a world of its own.
#![cfg_attr(not(target_family = "wasm"), doc = include_str!("../README.md"))]

mod address;
#[cfg(target_family = "wasm")]
mod bindings;
mod context;
mod decision;
mod dns;
mod envelope;
mod error;
mod event;
#[cfg(target_family = "wasm")]
mod export;
mod failure;
mod host;
pub mod http;
mod kv;
mod message;
mod metrics;
pub mod net;
mod part;
pub mod pattern;
mod plugin;
#[cfg(feature = "regex")]
pub mod regex;
mod reply;
mod routing;
mod session;
pub mod setting;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod verify;

pub use address::{Address, Parameter};
pub use baton_sdk_macros::{hook, plugin};
pub use context::{Clock, Context, Level};
pub use decision::{
    Accepts, AuthDecision, BounceDecision, ConnectDecision, Credential, DataDecision, Disconnects, Passes,
    RcptDecision, Rejects, RouteDecision, Tempfails, accept, disconnect, next, reject, tempfail,
};
pub use dns::{Answer, Dns, DnsError, Query, rr_type};
pub use envelope::Envelope;
pub use error::{Error, Refused, Result};
pub use event::Event;
pub use failure::Failure;
pub use kv::{Bucket, KvError, Page, Taken};
pub use message::{Body, Digest, Message};
pub use metrics::Metrics;
pub use part::Part;
pub use plugin::{Auth, Bounce, Connect, Data, Events, NoConfig, Plugin, Problem, Problems, Rcpt, Route};
pub use reply::Reply;
pub use routing::Routing;
pub use session::{Certificate, Session, Tls};
pub use verify::{Verified, Verify, VerifyError};

/// What nearly every plugin imports.
pub mod prelude {
    pub use crate::{
        Accepts as _, Address, Auth, AuthDecision, Bounce, BounceDecision, Connect, ConnectDecision, Context,
        Credential, Data, DataDecision, Disconnects as _, Error, Event, Events, NoConfig, Passes as _,
        Plugin, Problems, Rcpt, RcptDecision, Rejects as _, Reply, Result, Route, RouteDecision,
        Tempfails as _, accept, disconnect, next, reject, tempfail,
    };
    pub use serde::Deserialize;
}

/// What the attribute macros expand to; not for authors.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod rt {
    pub use crate::bindings::{auth, bounce, connect, data, events, lifecycle, rcpt, route};
    pub use crate::export::{Exported, Instance, Loaded};
}
