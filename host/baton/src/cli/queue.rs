//! `baton queue`: what can be typed.

use clap::{Args, Subcommand};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct QueueOptions {
    #[command(subcommand)]
    pub(crate) command: QueueCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List entries, a line each
    Ls(ListOptions),
    /// Show entries in full
    Show(ListOptions),
    /// Count entries by state and by class of the last failure
    Count(CountOptions),
    /// Show the whole queue in figures: states and longest queues
    Summary(Target),
    /// Try entries at once
    Retry(OperateOptions),
    /// Keep entries until they are released
    Hold(OperateOptions),
    /// Let held entries go on
    Release(OperateOptions),
    /// Take entries out of the queue for good, without a report; the history keeps their story
    Remove(OperateOptions),
    /// Give entries up and report that to their senders, as when they had failed
    Bounce(BounceOptions),
    /// Send entries by another next hop, whatever plugins and settings say
    Reroute(RerouteOptions),
    /// Move messages, with all that is left of each, to the queue of another relay
    Move(MoveOptions),
    /// Take the messages that `baton queue move` of another relay writes to the standard input
    Take(Target),
    /// Give entries to another tenant or stream, or make them more or less urgent
    Reassign(ReassignOptions),
}

/// Which entries; all conditions must hold.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct FilterOptions {
    /// The message id
    #[arg(value_name = "MESSAGE-ID")]
    pub(crate) message: Option<String>,
    /// The recipient domain
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// The sender's address, or @domain for all of a domain; empty for reports
    #[arg(long)]
    pub(crate) sender: Option<String>,
    /// A recipient's address, or @domain
    #[arg(long)]
    pub(crate) recipient: Option<String>,
    /// ready, waiting, held or claimed
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// The tenant; empty for mail of none
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// The stream; empty for mail of none
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// A tag; one that plugins set as name=value, metadata as meta.name=value
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// The host or address of the last attempt, .example for all hosts below it, or the next hop of `reroute`
    #[arg(long, value_name = "HOST")]
    pub(crate) site: Option<String>,
    /// The source that the last attempt left by, as [sources] names it
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// In the queue for so long at least, such as 90s, 15m, 2h, 3d
    #[arg(long, value_name = "TIME")]
    pub(crate) older: Option<String>,
    /// In the queue for less than so long
    #[arg(long, value_name = "TIME")]
    pub(crate) younger: Option<String>,
    /// The last failure has this in its text, in any case
    #[arg(long, value_name = "TEXT")]
    pub(crate) error: Option<String>,
    /// The last failure is of this class, such as greylist, rate, quota, bad-mailbox, network, tls
    #[arg(long)]
    pub(crate) class: Option<String>,
}

impl FilterOptions {
    /// The conditions by their names in the interface.
    pub(crate) fn conditions(&self) -> [(&'static str, Option<&str>); 14] {
        [
            ("message", self.message.as_deref()),
            ("domain", self.domain.as_deref()),
            ("sender", self.sender.as_deref()),
            ("recipient", self.recipient.as_deref()),
            ("state", self.state.as_deref()),
            ("tenant", self.tenant.as_deref()),
            ("stream", self.stream.as_deref()),
            ("tag", self.tag.as_deref()),
            ("site", self.site.as_deref()),
            ("source", self.source.as_deref()),
            ("older", self.older.as_deref()),
            ("younger", self.younger.as_deref()),
            ("error", self.error.as_deref()),
            ("class", self.class.as_deref()),
        ]
    }
}

#[derive(Args, Debug)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    pub(crate) filter: FilterOptions,
    /// Where the page before ended
    #[arg(long)]
    pub(crate) after: Option<String>,
    /// Entries at most
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct CountOptions {
    #[command(flatten)]
    pub(crate) filter: FilterOptions,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct OperateOptions {
    #[command(flatten)]
    pub(crate) filter: FilterOptions,
    /// Every entry of the queue
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct BounceOptions {
    /// What the senders are told
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) operate: OperateOptions,
}

#[derive(Args, Debug)]
pub(crate) struct RerouteOptions {
    /// A name under [next_hops], host:port (several with commas between), mx:DOMAIN or lmtp:TARGET; `settings` for what the settings say
    #[arg(long, value_name = "NEXT-HOP")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) operate: OperateOptions,
}

#[derive(Args, Debug)]
pub(crate) struct MoveOptions {
    /// The host of the other relay. `ssh HOST baton queue take` is run, unless --via says something else
    #[arg(long, value_name = "HOST")]
    pub(crate) to: String,
    /// The command that runs `baton queue take` at the other relay, for a shell
    #[arg(long, value_name = "COMMAND")]
    pub(crate) via: Option<String>,
    #[command(flatten)]
    pub(crate) operate: OperateOptions,
}

#[derive(Args, Debug)]
pub(crate) struct ReassignOptions {
    /// The new tenant; empty for none
    #[arg(long, value_name = "TENANT")]
    pub(crate) to_tenant: Option<String>,
    /// The new stream; empty for none
    #[arg(long, value_name = "STREAM")]
    pub(crate) to_stream: Option<String>,
    /// The new priority, -9 to 9: from 4 on it goes first, up to -4 last
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) to_priority: Option<i8>,
    #[command(flatten)]
    pub(crate) operate: OperateOptions,
}
