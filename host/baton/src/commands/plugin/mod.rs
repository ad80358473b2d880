//! `baton plugin`: the tools of those who write plugins.

mod keygen;
mod order;
mod sign;
mod verify;

use crate::cli::plugin::PluginCommand;

pub(crate) async fn run(command: PluginCommand) -> anyhow::Result<()> {
    match command {
        PluginCommand::Order(options) => order::run(options).await,
        PluginCommand::Keygen(options) => keygen::run(&options),
        PluginCommand::Sign(options) => sign::run(&options),
        PluginCommand::Verify(options) => verify::run(&options),
    }
}
