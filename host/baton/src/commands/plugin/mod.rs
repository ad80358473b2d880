//! `baton plugin`: the tools of those who write plugins.

mod artefact;
mod bench;
mod build;
mod check;
mod dev;
mod inspect;
mod keygen;
mod new;
mod order;
mod pack;
mod project;
mod registry;
mod replay;
mod sign;
mod switch;
mod test;
mod verify;

use anyhow::bail;

use crate::cli::plugin::PluginCommand;
use artefact::Artefact;
use check::Fit;

pub(crate) async fn run(command: PluginCommand) -> anyhow::Result<()> {
    match command {
        PluginCommand::New(options) => new::run(&options),
        PluginCommand::Build(options) => build::run(options).await,
        PluginCommand::Pack(options) => pack::run(options).await,
        PluginCommand::Check(options) => check::run(options).await,
        PluginCommand::Inspect(options) => inspect::run(options).await,
        PluginCommand::Test(options) => test::run(options).await,
        PluginCommand::Bench(options) => bench::run(options).await,
        PluginCommand::Dev(options) => dev::run(options).await,
        PluginCommand::Replay(options) => replay::run(options).await,
        PluginCommand::Pull(options) => registry::pull(options).await,
        PluginCommand::Push(options) => registry::push(options).await,
        PluginCommand::Order(options) => order::run(options).await,
        PluginCommand::Ls(target) => super::plugins::run(target).await,
        PluginCommand::Switch(options) => switch::run(&options).await,
        PluginCommand::Clear(options) => switch::clear(&options).await,
        PluginCommand::Keygen(options) => keygen::run(&options),
        PluginCommand::Sign(options) => sign::run(&options),
        PluginCommand::Verify(options) => verify::run(&options),
    }
}

/// The error that ends a command about a component which the relay would refuse.
fn refuse(artefact: &Artefact, fit: &Fit) -> anyhow::Result<()> {
    match fit {
        Fit::Refused(_) => bail!("{} can not be loaded by this relay", artefact.path.display()),
        Fit::Loaded(_) | Fit::WantsSettings(_) => Ok(()),
    }
}
