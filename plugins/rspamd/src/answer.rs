//! The answer of `/checkv2`, as far as it is used. What is new in it does no harm.

use std::collections::BTreeMap;

use baton_sdk::prelude::*;

/// What rspamd found.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    /// `no action`, `greylist`, `add header`, `rewrite subject`, `soft reject`, `reject`, `quarantine`, `discard`.
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) score: f64,
    #[serde(default)]
    pub(crate) symbols: BTreeMap<String, Symbol>,
    /// The new subject.
    pub(crate) subject: Option<String>,
    #[serde(default)]
    messages: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    pub(crate) milter: Milter,
}

/// A rule that held.
#[derive(Debug, Deserialize)]
pub(crate) struct Symbol {
    #[serde(default)]
    pub(crate) score: f64,
}

/// Changes to the header.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Milter {
    #[serde(default)]
    pub(crate) add_headers: BTreeMap<String, Headers>,
    #[serde(default)]
    pub(crate) remove_headers: BTreeMap<String, serde_json::Value>,
}

/// One field of a name, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Headers {
    One(Header),
    Many(Vec<Header>),
}

/// A field: its value, or its value and its place.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Header {
    Plain(String),
    At { value: String, order: Option<i64> },
}

impl Headers {
    pub(crate) fn all(&self) -> &[Header] {
        match self {
            Headers::One(header) => std::slice::from_ref(header),
            Headers::Many(headers) => headers,
        }
    }
}

impl Answer {
    /// What the client is to be told, when rspamd says.
    pub(crate) fn text(&self) -> Option<&str> {
        self.messages.get("smtp_message").and_then(serde_json::Value::as_str).filter(|text| !text.is_empty())
    }
}
