//! The relay's HTTP faces: the admin interface on a Unix socket, the API of programs ([`v1`]) and the pages behind tracked
//! links ([`links`]) on optional listeners, and metrics and health on an optional TCP address.
//!
//! Invariant: what changes the queue is reachable over the Unix socket, whose file is readable and writable by its owner
//! alone, and with a token over the API. The face of metrics answers three paths, all of them reads.
//! Invariant: every answer is bounded: lists come in pages, request bodies and connections have limits.
//! Invariant: an error is `application/problem+json` (RFC 9457) and names the field at fault.

pub mod admin;
mod console;
pub mod figures;
mod filter;
pub mod links;
mod listener;
pub mod problem;
pub mod public;
pub mod scope;
pub mod trace;
pub mod transfers;
pub mod v1;
pub mod wire;

pub use admin::{AdminDeps, bind_admin, serve_admin};
pub use filter::read_time_ms;
pub use links::{LinkMetrics, LinksDeps, serve_links};
pub use problem::{FieldError, Problem};
pub use public::{PublicDeps, serve_public};
pub use scope::Scope;
pub use v1::{
    ApiListener, ApiSettings, ConsoleSettings, Face, FaceDeps, SendReports, TemplateSettings, Wish, accounts,
    delivery, followers, happened, persons, serve_api, sums, suppressions, switches, webhooks,
};
