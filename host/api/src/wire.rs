//! The answers of the admin interface, as the relay writes them and its own commands read them.

use std::collections::BTreeMap;
use std::fmt;

use baton_hooks::Switch;
use baton_identity::reports::Report;
use baton_mail::event::Event;
use baton_mail::{Mailbox, MessageId, ReversePath, Status, UnixMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One entry of the queue: a message for some of its recipients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobRow {
    /// The message.
    #[schema(value_type = String)]
    pub message: MessageId,
    /// Which of its jobs.
    pub job: u16,
    /// The scheduled queue: usually the domain.
    pub queue: String,
    /// `ready`, `waiting`, `held` or `claimed`.
    pub state: String,
    /// When the next attempt is due; none when it is held.
    #[schema(value_type = Option<u64>)]
    pub due: Option<UnixMs>,
    /// Finished attempts.
    pub attempt: u16,
    /// The recipients it is for.
    #[schema(value_type = Vec<String>)]
    pub recipients: Vec<Mailbox>,
    /// The return path.
    #[schema(value_type = String)]
    pub sender: ReversePath,
    /// Octets of content.
    pub size: u64,
    /// When the message was accepted.
    #[schema(value_type = u64)]
    pub received_at: UnixMs,
    /// When it is given up.
    #[schema(value_type = u64)]
    pub expires_at: UnixMs,
    /// What the last attempt ended with.
    #[schema(value_type = Option<Object>)]
    pub last: Option<Status>,
    /// What it waits for in memory, in words.
    #[serde(default)]
    pub waits: Option<String>,
    /// Why it is held.
    pub hold: Option<String>,
    /// Whose mail it is.
    pub tenant: Option<String>,
    /// Which stream of that tenant.
    pub stream: Option<String>,
    /// -9 to 9; what is higher goes first.
    #[serde(default)]
    pub priority: i8,
    /// The next hop that an operator chose.
    pub route: Option<String>,
    /// An operator wants it returned to the sender, for this reason.
    pub give_up: Option<String>,
}

/// How many entries match, as far as they were looked at.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CountPage {
    /// Entries which may run now.
    pub ready: u64,
    /// Entries which wait for their next attempt.
    pub waiting: u64,
    /// Entries which wait for an operator.
    pub held: u64,
    /// Entries which are being delivered.
    pub claimed: u64,
    /// Octets of their messages; a message counts for each of its entries.
    pub octets: u64,
    /// By the class of the last failure.
    pub classes: BTreeMap<String, u64>,
    /// Give this as `after` to count what follows; none at the end.
    pub next: Option<String>,
}

/// A page of reports.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReportsPage {
    /// The reports, by domain and time.
    #[schema(value_type = Vec<Object>)]
    pub reports: Vec<Report>,
    /// Where the next page begins; none after the last one.
    pub next: Option<String>,
}

/// What became of our own reports about others.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReportsSent {
    /// A line for each report that somebody wants.
    pub reports: Vec<String>,
}

/// A page of the queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct QueuePage {
    /// The relay's time.
    #[schema(value_type = u64)]
    pub now: UnixMs,
    /// The entries.
    pub jobs: Vec<JobRow>,
    /// Give this as `after` to see what follows; none at the end.
    pub next: Option<String>,
}

/// The queue in figures.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SummaryView {
    /// Jobs which may run now.
    pub ready: u64,
    /// Jobs which wait for their next attempt.
    pub waiting: u64,
    /// Jobs which wait for an operator.
    pub held: u64,
    /// Jobs which are being delivered.
    pub claimed: u64,
    /// Octets of their messages; a message counts for each of its jobs.
    pub octets: u64,
    /// The longest queues, longest first.
    pub queues: Vec<QueueRow>,
    /// The queue is longer than what was counted.
    pub truncated: bool,
}

/// One scheduled queue.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueRow {
    /// Its name; empty for all those that were too many to be told apart.
    pub queue: String,
    /// Its jobs.
    pub jobs: u64,
    /// Octets of their messages.
    pub octets: u64,
}

/// What an operation changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// Jobs that were changed.
    pub changed: usize,
    /// Give this as `after` to change what follows; none at the end.
    #[serde(default)]
    pub next: Option<String>,
}

/// The story of one message.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Story {
    /// The message.
    #[schema(value_type = String)]
    pub message: MessageId,
    /// The relay's time.
    #[schema(value_type = u64)]
    pub now: UnixMs,
    /// What happened, oldest first.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Event>,
    /// What is still in the queue.
    pub jobs: Vec<JobRow>,
}

/// The newest messages.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Recent {
    /// The relay's time.
    #[schema(value_type = u64)]
    pub now: UnixMs,
    /// First event of each, newest first.
    #[schema(value_type = Vec<Object>)]
    pub messages: Vec<Event>,
}

/// What a reload changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadReport {
    /// The number of the plugin generation that serves now.
    pub generation: u64,
    /// The plugins of it: `name@digest`.
    pub plugins: Vec<String>,
    /// Sections whose new values serve now.
    pub applied: Vec<String>,
    /// Keys whose new values wait for a restart.
    pub restart_needed: Vec<String>,
    /// What an operator should know about the plugins, each with its key.
    #[serde(default)]
    pub advice: Vec<String>,
}

/// One loaded plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginRow {
    /// Its name in the settings.
    pub name: String,
    /// The digest of its file.
    pub digest: String,
    /// The hooks it serves.
    pub hooks: Vec<String>,
    /// The version that its manifest names.
    #[serde(default)]
    pub version: Option<String>,
    /// The name of the trusted key that signed it.
    #[serde(default)]
    pub signer: Option<String>,
    /// What it may do, in words: granted, and asked for.
    pub grants: Vec<String>,
    /// What happens to mail when it fails.
    pub on_failure: String,
    /// `enforce`, or `monitor` when its answers do not count.
    pub mode: String,
    /// The same, as the settings say.
    pub set_mode: String,
    /// What an operator switched of it.
    #[schema(value_type = Option<SwitchSchema>)]
    pub switch: Option<Switch>,
    /// How long its instances live, and how many rest now.
    pub instances: String,
    /// How its breaker stands: `closed`, `open` or `half-open`, and how often it opened.
    pub breaker: String,
    /// The new version that is tried beside it.
    pub next: Option<TrialRow>,
    /// The same, as the settings say.
    pub set_next: Option<TrialRow>,
    /// What an operator should know about it, each with its key.
    #[serde(default)]
    pub advice: Vec<String>,
}

/// A new version that is tried beside a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrialRow {
    /// The digest of its file.
    pub digest: String,
    /// `shadow`: it is asked too and compared; or `canary`: it serves.
    pub mode: String,
    /// The share of sessions that a canary serves, in percent.
    pub percent: u8,
    /// The tenant that a canary serves.
    pub tenant: Option<String>,
}

impl fmt::Display for TrialRow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.mode, self.digest)?;
        match &self.tenant {
            _ if self.mode != "canary" => Ok(()),
            Some(tenant) => write!(formatter, " {} % tenant {tenant}", self.percent),
            None => write!(formatter, " {} %", self.percent),
        }
    }
}

/// What an operator switched of a plugin; what is none is as the settings say.
#[derive(ToSchema)]
#[schema(as = Switch)]
#[allow(dead_code, reason = "describes a type of another crate")]
struct SwitchSchema {
    /// `monitor` or `enforce`.
    mode: Option<String>,
    /// What the new version beside it is for.
    next: Option<crate::v1::NextChange>,
    /// Who switched.
    by: String,
    /// When, in milliseconds since 1970.
    at: u64,
}

/// The loaded plugins and the order in which each hook asks them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginsView {
    /// The number of the load: each reload counts it up.
    pub generation: u64,
    /// The plugins.
    pub plugins: Vec<PluginRow>,
    /// For each hook a pair: its name, and the plugins that it asks in order.
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    pub order: Vec<(String, Vec<String>)>,
}
