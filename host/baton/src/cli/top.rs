//! `baton top`: what can be typed.

use clap::Args;

use super::SettingsOption;
use crate::top::SortBy;

#[derive(Args, Debug)]
pub(crate) struct TopOptions {
    /// Print one frame and end
    #[arg(long)]
    pub(crate) once: bool,
    /// By what the sites are sorted; the key `s` changes it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) sort: SortBy,
    #[command(flatten)]
    pub(crate) file: SettingsOption,
    /// The admin socket of the relay; by default what the settings say
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<std::path::PathBuf>,
}
