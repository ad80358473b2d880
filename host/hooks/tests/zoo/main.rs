//! The plugin host against a plugin that misbehaves on demand (`tests/plugins/zoo`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends by a panic")]

mod artefacts;
mod beyond;
mod capabilities;
mod cases;
mod chains;
mod corpus;
mod edits;
mod events;
mod hostile;
mod instances;
mod loading;
mod matrix;
mod random;
mod reload;
mod running;
mod self_tests;
mod support;
