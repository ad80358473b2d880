//! The commands of those who write plugins.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{SettingsOption, Target};

#[derive(Args, Debug)]
pub(crate) struct PluginOptions {
    #[command(subcommand)]
    pub(crate) command: PluginCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Print the plugins that each hook asks, in order: by the settings, or of the running relay
    Order(OrderOptions),
    /// Make a key that signs plugins: NAME.key, to be kept secret, and NAME.pub
    Keygen(KeygenOptions),
    /// Sign a plugin: its signature is put beside it, as FILE.sig
    Sign(SignOptions),
    /// Check the signature of a plugin, by a public key or by the keys of the settings
    Verify(VerifyOptions),
}

#[derive(Args, Debug)]
pub(crate) struct OrderOptions {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Ask the running relay instead of loading the plugins of the settings
    #[arg(long)]
    pub(crate) running: bool,
}

#[derive(Args, Debug)]
pub(crate) struct KeygenOptions {
    /// What to call the key; the files get this name
    #[arg(value_name = "NAME")]
    pub(crate) name: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct SignOptions {
    /// The secret key, a file of `baton plugin keygen`
    #[arg(value_name = "KEY")]
    pub(crate) key: PathBuf,
    /// The plugins
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyOptions {
    /// The plugins
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// A public key, or a file with one; without it the keys of the settings count
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) file: SettingsOption,
}
