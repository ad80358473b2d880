//! The command about reports of others.

use baton_mail::Domain;
use clap::{Args, Subcommand};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct ReportsOptions {
    #[command(subcommand)]
    pub(crate) command: ReportsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportsCommand {
    /// Aggregate reports of DMARC: who sent in the names of your domains, and what passed
    Dmarc(ReportFilter),
    /// Reports about TLS of mail to your domains
    Tls(ReportFilter),
    /// Send our own reports about others now, those of the running day too, instead of after their day
    Send(SendOptions),
}

#[derive(Args, Debug)]
pub(crate) struct SendOptions {
    /// Says that this is meant: who gets reports expects one a day
    #[arg(long, required = true)]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct ReportFilter {
    /// Only reports about this domain
    #[arg(long)]
    pub(crate) domain: Option<Domain>,
    /// How many reports at most
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
    /// From the page after this, as the page before said
    #[arg(long)]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}
