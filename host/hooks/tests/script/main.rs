//! Scripted policies through the real interpreter.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod abuse;
mod api;
mod loading;
mod support;
mod types;
