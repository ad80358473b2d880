//! The commands about whom nothing is sent to.

use std::path::PathBuf;

use baton_mail::Mailbox;
use clap::{Args, Subcommand, ValueEnum};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct SuppressionOptions {
    #[command(subcommand)]
    pub(crate) command: SuppressionCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SuppressionCommand {
    /// List entries, the newest of each list first
    Ls(ListEntries),
    /// All that is kept of one address, in every list
    Show(ShowAddress),
    /// Put addresses on a list
    Add(AddEntries),
    /// Take an address off a list
    Remove(RemoveEntry),
    /// Put the addresses of a file on lists: CSV with a header as other services export it, or a JSON object in each line
    Import(ImportEntries),
    /// Write lists to the standard output
    Export(ExportEntries),
}

/// Which list: the global one, unless a tenant or a stream is named.
#[derive(Args, Debug)]
pub(crate) struct ListName {
    /// Of this tenant
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Of this stream only
    #[arg(long)]
    pub(crate) stream: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Selection {
    /// Of this tenant and its streams; empty for the global list alone
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Of this stream only
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// For this reason: hard-bounce, soft-bounce, complaint, unsubscribe, manual or spam-trap
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Whose address has this part
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Those that came to their end too
    #[arg(long)]
    pub(crate) ended: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ListEntries {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How many entries at most
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
    /// From the page after this, as the page before said
    #[arg(long)]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct ShowAddress {
    /// The address
    pub(crate) address: Mailbox,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct AddEntries {
    /// The addresses
    #[arg(required = true)]
    pub(crate) addresses: Vec<Mailbox>,
    #[command(flatten)]
    pub(crate) list: ListName,
    /// Why: hard-bounce, soft-bounce, complaint, unsubscribe, manual or spam-trap
    #[arg(long, default_value = "manual")]
    pub(crate) reason: String,
    /// For how many days, 0 for ever; by default as the settings say for the reason
    #[arg(long)]
    pub(crate) days: Option<u64>,
    /// What is to be remembered
    #[arg(long, default_value = "")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveEntry {
    /// The address
    pub(crate) address: Mailbox,
    #[command(flatten)]
    pub(crate) list: ListName,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct ImportEntries {
    /// The file; `-` is the standard input
    pub(crate) file: PathBuf,
    /// Where lines do not say it themselves: the list
    #[command(flatten)]
    pub(crate) list: ListName,
    /// Where lines do not say it themselves: the reason
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct ExportEntries {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How
    #[arg(long, default_value = "csv")]
    pub(crate) format: ExportFormat,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Comma-separated values behind a line of names
    Csv,
    /// A JSON object in each line
    Json,
}
