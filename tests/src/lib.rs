//! What the end-to-end tests are made of: the real relay as a child process, a sink for its next hop, a raw SMTP
//! client that sends any octets at any time, and a DNS server fed with zone text.
//!
//! Invariant: nothing here shares code with the relay's own SMTP, so that an error of one is seen by the other.
//!
//! Invariant: a process that a test started ends with the test, by its own id.

pub mod api;
pub mod certificate;
pub mod client;
pub mod dns;
pub mod http;
pub mod message;
pub mod nats;
pub mod pki;
pub mod program;
pub mod registry;
pub mod relay;
pub mod settings;
pub mod sink;
pub mod suite;
pub mod vault;
pub mod wait;
pub mod web;
pub mod zone;
