//! The commands about domains to send from.

use baton_mail::Domain;
use clap::{Args, Subcommand};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct DomainOptions {
    #[command(subcommand)]
    pub(crate) command: DomainCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DomainCommand {
    /// Make keys for a domain, and print the records to publish
    Add(OneDomain),
    /// List the domains and their keys
    List(Target),
    /// Say what is missing or wrong in the DNS, and take new keys into use when their records are published
    Check(OneDomain),
    /// Make new keys beside the ones in use, and print the records to publish
    Rotate(OneDomain),
    /// Forget a domain with its keys: nothing is signed in its name any more
    Remove(OneDomain),
}

#[derive(Args, Debug)]
pub(crate) struct OneDomain {
    /// The domain
    pub(crate) domain: Domain,
    #[command(flatten)]
    pub(crate) target: Target,
}
