//! `baton simulate`: what can be typed.

use std::path::PathBuf;

use clap::Args;

use super::SettingsOption;

#[derive(Args, Debug)]
pub(crate) struct SimulateOptions {
    /// Traffic and providers (TOML)
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: PathBuf,
    /// The same seed gives the same story
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) file: SettingsOption,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
