//! The commands about webhooks.

use clap::{Args, Subcommand};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct WebhookOptions {
    #[command(subcommand)]
    pub(crate) command: WebhookCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// List endpoints, and how the delivery to each goes
    Ls(WhoseOptions),
    /// Show one endpoint
    Show(NameOptions),
    /// Add an endpoint for what happens from now on; its secret is shown once
    Add(AddOptions),
    /// Change an endpoint
    Set(SetOptions),
    /// Remove an endpoint
    Remove(NameOptions),
    /// Make a new secret; the one before counts for a while
    Rotate(NameOptions),
    /// Post something that tells of nothing, and say what came of it
    Test(NameOptions),
    /// Post again what happened since then
    Replay(ReplayOptions),
}

#[derive(Args, Debug)]
pub(crate) struct WhoseOptions {
    /// Whose endpoints; without it those of all tenants and the relay's own
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct NameOptions {
    /// The endpoint: 1 to 63 lower case letters, digits and hyphens
    pub(crate) name: String,
    /// Whose it is; without it the relay's own, which gets the events of all
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct AddOptions {
    #[command(flatten)]
    pub(crate) endpoint: NameOptions,
    /// Where it is
    #[arg(long)]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) wants: WantOptions,
}

#[derive(Args, Debug)]
pub(crate) struct SetOptions {
    #[command(flatten)]
    pub(crate) endpoint: NameOptions,
    /// Where it is
    #[arg(long)]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) wants: WantOptions,
    /// Post nothing for now; what happens meanwhile is posted later
    #[arg(long, conflicts_with = "resume")]
    pub(crate) pause: bool,
    /// Go on
    #[arg(long)]
    pub(crate) resume: bool,
}

#[derive(Args, Debug)]
pub(crate) struct WantOptions {
    /// Kinds of events, with commas between, such as delivered,bounced; `all` for all that those who send want to know
    #[arg(long, value_name = "KINDS")]
    pub(crate) kinds: Option<String>,
    /// Streams of the tenant, with commas between; `all` for all
    #[arg(long, value_name = "STREAMS")]
    pub(crate) streams: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) about: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayOptions {
    #[command(flatten)]
    pub(crate) endpoint: NameOptions,
    /// From then on: 2h, 3d, or a time such as 2026-11-27T18:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: String,
}

#[derive(Args, Debug)]
pub(crate) struct ReportOptions {
    /// From then on: 2h, 3d, or a time such as 2026-11-27T18:00:00Z; by default a day ago
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until then; by default now
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Tell hours or days apart
    #[arg(long, value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// By what rows are told apart: tenant, stream, tag, domain, provider, source, template, reason; commas between
    #[arg(long, value_name = "GROUPS")]
    pub(crate) by: Option<String>,
    /// Only mail of this tenant
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Only mail of this stream
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// Only this value of another group, as domain=example.org
    #[arg(long, value_name = "GROUP=VALUE")]
    pub(crate) only: Vec<String>,
    /// Print a table with commas
    #[arg(long)]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}
