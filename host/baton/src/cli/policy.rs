//! The commands of those who write scripted policies.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub(crate) struct PolicyOptions {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Load scripts as the relay would, and name their hooks; mistakes are told with file, line and column
    Check(CheckScripts),
    /// Run the hooks of a script on a mail file, without a server: decisions, edits, log lines, cost
    Run(RunScript),
    /// Print the types of all that scripts find, for editors: baton.d.ts
    Types,
}

#[derive(Args, Debug)]
pub(crate) struct CheckScripts {
    /// The scripts: .js or .ts
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Their settings: JSON, or a TOML or JSON file
    #[arg(long, value_name = "JSON|FILE", default_value = "{}")]
    pub(crate) config: String,
}

#[derive(Args, Debug)]
pub(crate) struct RunScript {
    /// The script: .js or .ts
    pub(crate) file: PathBuf,
    /// The mail; its line ends may be LF
    pub(crate) mail: PathBuf,
    /// A recipient; may be given several times
    #[arg(long, value_name = "ADDRESS", default_value = "recipient@example.org")]
    pub(crate) rcpt: Vec<String>,
    /// The sender; empty for the null sender
    #[arg(long, value_name = "ADDRESS", default_value = "sender@example.net")]
    pub(crate) sender: String,
    /// The client's address
    #[arg(long, default_value = "192.0.2.1")]
    pub(crate) ip: String,
    /// What the client calls itself
    #[arg(long, value_name = "NAME", default_value = "client.example.net")]
    pub(crate) helo: String,
    /// The account that the client authenticated as
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// The script's settings: JSON, or a TOML or JSON file
    #[arg(long, value_name = "JSON|FILE", default_value = "{}")]
    pub(crate) config: String,
    /// Run only this hook; may be given several times. Unset: connect, rcpt, data and route, as far as the script has them
    #[arg(long, value_name = "HOOK")]
    pub(crate) hook: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
