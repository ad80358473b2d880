//! Delivery against real sockets: next hops that behave, that misbehave, and that die at the worst moment.

#![allow(clippy::unwrap_used)]

mod endings;
mod hostile;
mod login;
mod peer;
mod questions;
mod relay;
mod shaping;
mod sources;
mod tls;
mod transactions;
