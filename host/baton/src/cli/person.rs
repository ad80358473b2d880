//! The commands about what is kept of a person.

use baton_mail::Mailbox;
use baton_mail::tenant::Label;
use clap::{Args, Subcommand};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct PersonOptions {
    #[command(subcommand)]
    pub(crate) command: PersonCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PersonCommand {
    /// Print all that is kept of a person, as JSON: stories, queue, suppression lists, audit log, plugins' store
    Export(OnePerson),
    /// Forget a person: its address leaves all of these. What keeps mail from it stays, by a keyed hash
    Erase(OnePerson),
}

#[derive(Args, Debug)]
pub(crate) struct OnePerson {
    /// The address
    pub(crate) address: Mailbox,
    /// Only in the mail of this tenant
    #[arg(long)]
    pub(crate) tenant: Option<Label>,
    #[command(flatten)]
    pub(crate) target: Target,
}
