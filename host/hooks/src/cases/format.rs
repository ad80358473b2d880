//! The case file as it is written: one struct a table, nothing checked but names and types.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Grants;

/// One call: a case, or a step of it laid over its case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStep {
    pub(super) name: String,
    pub(super) hook: String,
    pub(super) config: Value,
    pub(super) session: RawSession,
    pub(super) envelope: RawEnvelope,
    pub(super) rcpt: Option<String>,
    pub(super) params: RawParameters,
    /// A file beside the case file.
    pub(super) message: Option<PathBuf>,
    pub(super) message_text: Option<String>,
    pub(super) auth: Option<RawAuth>,
    pub(super) attempt: RawAttempt,
    pub(super) failure: RawFailure,
    pub(super) now: Option<String>,
    pub(super) dns: BTreeMap<String, RawName>,
    /// Bucket, key, value.
    pub(super) kv: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) events: Vec<RawEvent>,
    pub(super) http: Vec<RawExchange>,
    /// Recipient, what its next hop says: a reply, or `timeout`.
    pub(super) verify: BTreeMap<String, String>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) grants: Option<Grants>,
    pub(super) advance_ms: u64,
    pub(super) expect: Expect,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSession {
    pub(super) ip: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) name: Option<String>,
    pub(super) helo: Option<String>,
    pub(super) listener: Option<String>,
    pub(super) account: Option<String>,
    /// A word of RFC 8601 2.7.3. Left out: `pass` with a name, else what the DNS of the case says.
    pub(super) iprev: Option<String>,
    /// Left out: plain text.
    pub(super) tls: Option<RawTls>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) version: Option<String>,
    pub(super) cipher: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) certificate: Option<RawCertificate>,
}

/// One without `distrust` is trusted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawCertificate {
    pub(super) subject: String,
    pub(super) sha256: Option<String>,
    pub(super) distrust: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawEnvelope {
    pub(super) sender: Option<String>,
    pub(super) recipients: Option<Vec<String>>,
    pub(super) tenant: Option<String>,
    pub(super) stream: Option<String>,
    pub(super) priority: i8,
}

/// `NAME` or `NAME=VALUE` each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawParameters {
    pub(super) mail: Vec<String>,
    pub(super) rcpt: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAuth {
    pub(super) mechanism: Option<String>,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) token: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAttempt {
    pub(super) number: u32,
    pub(super) age_ms: u64,
    pub(super) last_error: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawFailure {
    pub(super) permanent: Option<bool>,
    pub(super) phase: Option<String>,
    pub(super) class: Option<String>,
    pub(super) host: Option<String>,
    pub(super) reply: Option<String>,
}

/// Records by type, or what becomes of every question about the name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawName {
    Word(String),
    Records(BTreeMap<String, Vec<String>>),
}

/// Something that happened, as observers are told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawEvent {
    pub(super) kind: String,
    pub(super) message: Option<String>,
    pub(super) session: Option<String>,
    pub(super) fields: BTreeMap<String, String>,
}

/// A request, and what comes back.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawExchange {
    pub(super) method: Option<String>,
    pub(super) url: String,
    pub(super) status: Option<u16>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
    /// Instead of a response: `timeout`, `denied`, `too-large`, or what went wrong in words.
    pub(super) error: Option<String>,
}

/// What must have come of a call. What is not named is not compared, but a failure that is not named is always one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The decision's word: `next`, `reject`, …
    pub decision: Option<String>,
    /// The code of its reply.
    pub code: Option<u16>,
    /// The enhanced code of its reply, such as `5.7.1`.
    pub enhanced: Option<String>,
    /// A part of its reply's text.
    pub text: Option<String>,
    /// A part of the reason (discard, quarantine, hold).
    pub reason: Option<String>,
    /// The delay of `retry`, in milliseconds.
    pub retry_ms: Option<u64>,
    /// The account of `allow`.
    pub account: Option<String>,
    /// Header fields afterwards: the first value of each name, decoded.
    pub headers: BTreeMap<String, String>,
    /// Header fields that are not there afterwards.
    pub headers_absent: Vec<String>,
    /// The return path afterwards; empty is the null sender.
    pub sender: Option<String>,
    /// All recipients afterwards.
    pub recipients: Option<Vec<String>>,
    /// The stream afterwards.
    pub stream: Option<String>,
    /// The priority afterwards.
    pub priority: Option<i8>,
    /// Tags afterwards.
    pub tags: BTreeMap<String, String>,
    /// The sum of all points afterwards.
    pub score: Option<f64>,
    /// A part of the reason for which the message is held.
    pub quarantine: Option<String>,
    /// What was set about the route, in order, as `baton explain` shows it: `route=mx of x.example`.
    pub route: Option<Vec<String>>,
    /// The class that the failure was put into.
    pub class: Option<String>,
    /// Parts of the body afterwards.
    pub body_contains: Vec<String>,
    /// Values of buckets afterwards.
    pub kv: BTreeMap<String, BTreeMap<String, String>>,
    /// All HTTP requests of the call, in order: `POST http://…`.
    pub http_requests: Option<Vec<String>>,
    /// Parts of lines that were logged.
    pub log: Vec<String>,
    /// Names of metrics that were counted.
    pub metrics: Vec<String>,
    /// `init`: the keys of the settings that it complains about.
    pub problems: Option<Vec<String>>,
    /// The kind of the failure: `trap`, `cpu-budget`, …
    pub failure: Option<String>,
    /// Calls of host functions at most.
    pub host_calls_max: Option<u32>,
    /// Instructions at most; counted by `baton plugin test` only.
    pub fuel_max: Option<u64>,
}
