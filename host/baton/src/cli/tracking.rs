//! The commands about tracked links.

use clap::{Args, Subcommand};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct TrackingOptions {
    #[command(subcommand)]
    pub(crate) command: TrackingCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrackingCommand {
    /// Make a new key that seals links from now on; links of before work as long as they would have
    Rotate(Target),
}
