//! What an operator sets: the engine's size, and per plugin its file, hooks, limits, grants and own config.

mod running;
mod switch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Hook;
use crate::trust::Trust;

pub use running::{
    BreakerSettings, EventSettings, GuardSettings, Instances, Mode, NextMode, NextSettings, PoolSettings,
    RunSettings, SessionSettings, Thresholds,
};
pub use switch::{NextSwitch, Switch};

/// The size of the machine that runs plugins. One per process; a change needs a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineSettings {
    /// Calls that run at once; further ones wait within their wall time. Each has a slot of the instance pool.
    pub concurrent_calls_max: u32,
    /// Instances that rest between calls at once, all plugins together. Each has a slot of the instance pool too.
    pub kept_instances_max: u32,
    /// The largest memory that any plugin may be given, in octets.
    pub memory_octets_max: usize,
    /// The largest table that any plugin may be given, in elements.
    pub table_elements_max: usize,
    /// The largest component that is loaded, in octets. Compile time grows with it.
    pub component_octets_max: u64,
    /// The most memory that compiling one component may take, in octets, where it is compiled in a process of its own.
    pub compile_octets_max: u64,
    /// The longest time that it may take, in milliseconds.
    pub compile_ms: u32,
    /// Time that the self-tests of one plugin may take at load, in milliseconds.
    pub self_test_ms: u32,
    /// Octets of compiled functions that are kept in memory, so that what is compiled again costs only what is new. 0
    /// keeps none.
    pub functions_octets_max: u64,
}

impl Default for EngineSettings {
    fn default() -> EngineSettings {
        EngineSettings {
            concurrent_calls_max: 256,
            kept_instances_max: 256,
            memory_octets_max: 256 << 20,
            table_elements_max: 20_000,
            component_octets_max: 32 << 20,
            compile_octets_max: 1 << 30,
            compile_ms: 120_000,
            self_test_ms: 60_000,
            functions_octets_max: 32 << 20,
        }
    }
}

/// One plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSettings {
    /// Its name: lower-case letters, digits and hyphens, at most 64; unique; not `shared`.
    pub name: String,
    /// The component's file.
    pub source: PathBuf,
    /// The SHA-256 that the file must have.
    pub sha256: Option<[u8; 32]>,
    /// The self-tests that it brings along must pass.
    pub self_test: bool,
    /// Whose signature it must or may have.
    pub trust: Trust,
    /// When its file can not be loaded by a reload, the version that serves goes on; otherwise the reload changes nothing.
    pub keeps_last: bool,
    /// The hooks it is asked at; all that it exports when none.
    pub hooks: Option<Vec<Hook>>,
    /// What happens when it fails.
    pub on_failure: OnFailure,
    /// What one call may use.
    pub limits: Limits,
    /// What it may do.
    pub grants: Grants,
    /// How it runs.
    pub run: RunSettings,
    /// What an operator switched of that.
    pub switch: Option<Switch>,
    /// Its own settings, which it reads as JSON.
    pub config: serde_json::Value,
    /// Where its secrets are, by name. Read at each load.
    pub secrets: BTreeMap<String, SecretSource>,
}

/// Where a secret comes from. The secret itself is never part of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The content of a file, without the line end at its end.
    File(PathBuf),
    /// A variable of the relay's environment.
    Environment(String),
    /// Made up by a self-test case. Settings can not say this.
    MadeUp(String),
}

impl PluginSettings {
    /// A plugin at its defaults: no grants, no config.
    pub fn new(name: &str, source: impl Into<PathBuf>) -> PluginSettings {
        PluginSettings {
            name: name.to_owned(),
            source: source.into(),
            sha256: None,
            self_test: true,
            trust: Trust::default(),
            keeps_last: false,
            hooks: None,
            on_failure: OnFailure::default(),
            limits: Limits::default(),
            grants: Grants::default(),
            run: RunSettings::default(),
            switch: None,
            config: serde_json::Value::Object(serde_json::Map::new()),
            secrets: BTreeMap::new(),
        }
    }
}

/// What happens when a plugin fails: it traps, uses up a limit, or answers what it may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Ask the peer, or the queue, to try again later. Loses nothing and lets nothing through.
    #[default]
    Tempfail,
    /// Go on as if the plugin had said `next`.
    Open,
    /// Refuse.
    Closed,
    /// Go on, and hold the message for an operator.
    Quarantine,
}

impl OnFailure {
    /// The name in settings and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            OnFailure::Tempfail => "tempfail",
            OnFailure::Open => "open",
            OnFailure::Closed => "closed",
            OnFailure::Quarantine => "quarantine",
        }
    }
}

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time on the processor, in milliseconds.
    pub cpu_ms: u32,
    /// Time in all, waiting included, in milliseconds.
    pub wall_ms: u32,
    /// Linear memory, in octets.
    pub memory_octets: usize,
    /// Table elements.
    pub table_elements: usize,
    /// Calls of host functions.
    pub host_calls_max: u32,
    /// Octets that the plugin hands over in one call of a host function.
    pub host_call_octets_max: usize,
    /// Octets of messages and config that the plugin reads in one call of a hook.
    pub read_octets_max: u64,
    /// Handles (buckets, parts, streams) that are open at once.
    pub handles_max: usize,
    /// Octets of messages and parts that the host decodes, searches and digests for it.
    pub work_octets_max: u64,
    /// Octets of all new bodies.
    pub body_octets_max: u64,
    /// DNS queries.
    pub dns_queries_max: u32,
    /// HTTP requests.
    pub http_requests_max: u32,
    /// Octets of the content of a request; a message that is posted as it is does not count.
    pub http_request_octets_max: usize,
    /// Octets of the content of a response.
    pub http_response_octets_max: usize,
    /// Questions to next hops.
    pub verify_questions_max: u32,
    /// Log records in a second, over all calls.
    pub log_lines_per_s: u32,
    /// Octets of a log record.
    pub log_line_octets_max: usize,
}

impl Limits {
    /// Each with its name in the settings.
    pub(crate) fn named(&self) -> [(&'static str, u64); 17] {
        [
            ("cpu_ms", self.cpu_ms.into()),
            ("wall_ms", self.wall_ms.into()),
            ("memory_octets", self.memory_octets as u64),
            ("table_elements", self.table_elements as u64),
            ("host_calls_max", self.host_calls_max.into()),
            ("host_call_octets_max", self.host_call_octets_max as u64),
            ("read_octets_max", self.read_octets_max),
            ("handles_max", self.handles_max as u64),
            ("work_octets_max", self.work_octets_max),
            ("body_octets_max", self.body_octets_max),
            ("dns_queries_max", self.dns_queries_max.into()),
            ("http_requests_max", self.http_requests_max.into()),
            ("http_request_octets_max", self.http_request_octets_max as u64),
            ("http_response_octets_max", self.http_response_octets_max as u64),
            ("verify_questions_max", self.verify_questions_max.into()),
            ("log_lines_per_s", self.log_lines_per_s.into()),
            ("log_line_octets_max", self.log_line_octets_max as u64),
        ]
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            cpu_ms: 20,
            wall_ms: 5_000,
            memory_octets: 64 << 20,
            table_elements: 20_000,
            host_calls_max: 10_000,
            host_call_octets_max: 4 << 20,
            read_octets_max: 64 << 20,
            handles_max: 256,
            work_octets_max: 256 << 20,
            body_octets_max: 64 << 20,
            dns_queries_max: 64,
            http_requests_max: 16,
            http_request_octets_max: 4 << 20,
            http_response_octets_max: 1 << 20,
            verify_questions_max: 4,
            log_lines_per_s: 100,
            log_line_octets_max: 8 << 10,
        }
    }
}

/// What a plugin may do beyond reading and deciding. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Which parts of a message it may change.
    pub edit: Vec<EditGrant>,
    /// Its `accept` at the rcpt hook lets a recipient in that the relay would refuse.
    pub relay: bool,
    /// Where it may send: `*`, `mx`, `host:PATTERN`, or the name of a next hop of the settings.
    pub route: Vec<String>,
    /// The buckets it may open; those that begin with `shared/` are shared between plugins.
    pub kv: Vec<String>,
    /// It may ask the DNS.
    pub dns: bool,
    /// Which URLs it may ask, see [`crate::HttpGrant`].
    pub http: Vec<String>,
    /// It may ask next hops about recipients.
    pub verify: bool,
    /// The secrets that it gets, by name.
    pub secrets: Vec<String>,
}

impl Grants {
    /// Each grant in words, for people.
    pub fn in_words(&self) -> Vec<String> {
        let mut words: Vec<_> = self.edit.iter().map(|edit| format!("edit {}", edit.as_str())).collect();
        words.extend(self.relay.then(|| "relay".to_owned()));
        words.extend(self.route.iter().map(|target| format!("route {target}")));
        words.extend(self.kv.iter().map(|bucket| format!("kv {bucket}")));
        words.extend(self.dns.then(|| "dns".to_owned()));
        words.extend(self.http.iter().map(|url| format!("http {url}")));
        words.extend(self.verify.then(|| "verify".to_owned()));
        words.extend(self.secrets.iter().map(|name| format!("secret {name}")));
        words
    }
}

/// A part of a message that a plugin may be allowed to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EditGrant {
    /// Header fields.
    Headers,
    /// `Received` fields too, by which mail loops are found (RFC 5321 6.3).
    Trace,
    /// The body.
    Body,
    /// Recipients.
    Recipients,
    /// The return path.
    Sender,
}

impl EditGrant {
    /// The name in settings and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            EditGrant::Headers => "headers",
            EditGrant::Trace => "trace",
            EditGrant::Body => "body",
            EditGrant::Recipients => "recipients",
            EditGrant::Sender => "sender",
        }
    }
}
