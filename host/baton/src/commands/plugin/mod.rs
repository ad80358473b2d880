//! `baton plugin`: the tools of those who write plugins.

mod order;

use crate::cli::plugin::PluginCommand;

pub(crate) async fn run(command: PluginCommand) -> anyhow::Result<()> {
    match command {
        PluginCommand::Order(options) => order::run(options).await,
    }
}
