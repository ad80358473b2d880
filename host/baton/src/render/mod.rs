//! How the commands show things to people: pure functions from the interface's answers to text.

pub(crate) mod domain;
pub(crate) mod operator;
pub(crate) mod person;
pub(crate) mod queue;
pub(crate) mod reports;
pub(crate) mod search;
pub(crate) mod shaping;
pub(crate) mod story;
pub(crate) mod suppression;
pub(crate) mod template;
pub(crate) mod tenants;
pub(crate) mod trace;
pub(crate) mod user;
pub(crate) mod webhook;
pub(crate) mod words;
