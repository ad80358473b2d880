//! The commands about what happened.

use clap::Args;

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct SearchOptions {
    /// A recipient's address
    #[arg(long)]
    pub(crate) recipient: Option<String>,
    /// The domain of a recipient
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// The sender's address; empty for reports
    #[arg(long)]
    pub(crate) sender: Option<String>,
    /// The sender's own name for it, as it stands in Message-ID
    #[arg(long, value_name = "TEXT")]
    pub(crate) message_id: Option<String>,
    /// Whose mail
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Which stream of that tenant
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// A tag; one that plugins set as name=value, metadata as meta.name=value
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// Not older than this: 2h, 3d, or a time such as 2026-11-27T18:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Older than this
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// How many messages at most
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// From the page after this, as the page before said
    #[arg(long)]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct EventsOptions {
    /// Kinds, with commas between: delivered,bounced; by default all that those who send want to know
    #[arg(long, value_name = "KINDS")]
    pub(crate) kind: Option<String>,
    /// Whose mail
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Which stream of that tenant
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// A tag; one that plugins set as name=value, metadata as meta.name=value
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// A recipient's address
    #[arg(long)]
    pub(crate) recipient: Option<String>,
    /// From then on: 2h, 3d, or a time such as 2026-11-27T18:00:00Z; by default what is kept
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Go on for ever, with what happens from now on unless --since says otherwise
    #[arg(long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct FollowersOptions {
    /// Forget how far this one has read: one that the settings do not name any more
    #[arg(long, value_name = "NAME")]
    pub(crate) forget: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}
