//! The commands of those who write plugins.

use clap::{Args, Subcommand};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct PluginOptions {
    #[command(subcommand)]
    pub(crate) command: PluginCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Print the plugins that each hook asks, in order: by the settings, or of the running relay
    Order(OrderOptions),
}

#[derive(Args, Debug)]
pub(crate) struct OrderOptions {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Ask the running relay instead of loading the plugins of the settings
    #[arg(long)]
    pub(crate) running: bool,
}
