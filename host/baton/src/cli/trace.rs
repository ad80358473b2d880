//! `baton trace`: what can be typed.

use std::net::IpAddr;

use clap::{Args, ValueEnum};

use super::Target;

/// Which dialogues; all conditions must hold.
#[derive(Args, Debug)]
pub(crate) struct TraceOptions {
    /// Only sessions of clients, or only those with next hops
    #[arg(long, value_name = "SIDE")]
    pub(crate) side: Option<TraceSide>,
    /// The peer's address
    #[arg(long)]
    pub(crate) ip: Option<IpAddr>,
    /// The listener
    #[arg(long)]
    pub(crate) listener: Option<String>,
    /// The sender's address, or @domain
    #[arg(long)]
    pub(crate) sender: Option<String>,
    /// A recipient's address, or @domain
    #[arg(long)]
    pub(crate) recipient: Option<String>,
    /// The site, as `baton shaping sites` names it
    #[arg(long)]
    pub(crate) site: Option<String>,
    /// The next hop's host, .example for all hosts below it
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// The message id
    #[arg(long, value_name = "MESSAGE-ID")]
    pub(crate) message: Option<String>,
    /// Show the content of messages too
    #[arg(long)]
    pub(crate) data: bool,
    /// End after so many lines
    #[arg(long, value_name = "COUNT")]
    pub(crate) lines: Option<u64>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Who connected to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceSide {
    /// Clients to the relay
    In,
    /// The relay to next hops
    Out,
}

impl TraceOptions {
    /// The conditions by their names in the interface.
    pub(crate) fn conditions(&self) -> Vec<(&'static str, String)> {
        let side = self.side.map(|side| match side {
            TraceSide::In => "in".to_owned(),
            TraceSide::Out => "out".to_owned(),
        });
        let conditions = [
            ("side", side),
            ("ip", self.ip.map(|ip| ip.to_string())),
            ("listener", self.listener.clone()),
            ("sender", self.sender.clone()),
            ("recipient", self.recipient.clone()),
            ("site", self.site.clone()),
            ("host", self.host.clone()),
            ("message", self.message.clone()),
            ("data", self.data.then(|| true.to_string())),
        ];
        conditions.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
