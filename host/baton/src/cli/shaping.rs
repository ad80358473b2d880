//! The commands about how delivery is paced.

use clap::{Args, Subcommand};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct ShapingOptions {
    #[command(subcommand)]
    pub(crate) command: ShapingCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShapingCommand {
    /// List the measures that hold: what is suspended, slowed down or bounced, why, since when, until when, by which rule
    Ls(Target),
    /// Lift measures before their end
    Clear(ClearOptions),
    /// Show how each site stands: what waits, connections, what they wait for
    Sites(Target),
}

#[derive(Args, Debug)]
pub(crate) struct ClearOptions {
    /// The measures, as `baton shaping ls` names them
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct WarmupOptions {
    #[command(subcommand)]
    pub(crate) command: WarmupCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WarmupCommand {
    /// Show the plan and position of each source at each provider
    Show(Target),
    /// Count complaints about mail of a source, as a feedback loop told of them
    Complain(ComplainOptions),
}

#[derive(Args, Debug)]
pub(crate) struct ComplainOptions {
    /// The source that sent it
    pub(crate) source: String,
    /// The provider whose users complained
    pub(crate) provider: String,
    /// How many
    #[arg(long, default_value_t = 1)]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) target: Target,
}
