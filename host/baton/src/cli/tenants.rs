//! The commands about tenants, streams and tokens.

use baton_mail::Domain;
use baton_mail::tenant::{Label, Scope};
use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct TenantOptions {
    #[command(subcommand)]
    pub(crate) command: TenantCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant
    Add(SetTenant),
    /// List the tenants
    List(Target),
    /// Show a tenant
    Show(OneTenant),
    /// Change a tenant; what is not given stays
    Set(SetTenant),
    /// Remove a tenant that has nothing of its own any more: streams, tokens, templates, webhooks, accounts, operators
    Remove(OneTenant),
}

#[derive(Args, Debug)]
pub(crate) struct OneTenant {
    /// Its name: lower case letters, digits, hyphens
    pub(crate) name: Label,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Bounds on what is sent; what is not given stays as it is.
#[derive(Args, Debug)]
pub(crate) struct QuotaOptions {
    /// Messages within an hour; 0 for any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) messages_per_hour: Option<u32>,
    /// Messages within a day; 0 for any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) messages_per_day: Option<u32>,
    /// Recipients within an hour; 0 for any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) recipients_per_hour: Option<u32>,
    /// Recipients within a day; 0 for any number
    #[arg(long, value_name = "COUNT")]
    pub(crate) recipients_per_day: Option<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct SetTenant {
    #[command(flatten)]
    pub(crate) one: OneTenant,
    /// A domain in whose name it sends, and in those below it. Several are given one by one and replace those before
    #[arg(long = "domain", value_name = "DOMAIN")]
    pub(crate) domains: Vec<Domain>,
    /// Take all domains away: it sends in nobody's name
    #[arg(long, conflicts_with = "domains")]
    pub(crate) no_domains: bool,
    #[command(flatten)]
    pub(crate) quota: QuotaOptions,
    /// Take no more mail of it, and say why; an empty text takes mail again
    #[arg(long, value_name = "REASON")]
    pub(crate) suspend: Option<String>,
    /// What is to be remembered
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct StreamOptions {
    #[command(subcommand)]
    pub(crate) command: StreamCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StreamCommand {
    /// Make a stream
    Add(SetStream),
    /// List the streams of a tenant, or those of the relay itself
    List(ListOfTenant),
    /// Show a stream
    Show(OneStream),
    /// Change a stream; what is not given stays
    Set(SetStream),
    /// Remove a stream; what it has in the queue is delivered
    Remove(OneStream),
}

#[derive(Args, Debug)]
pub(crate) struct ListOfTenant {
    /// Whose; without it those of the relay itself
    #[arg(long)]
    pub(crate) tenant: Option<Label>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct OneStream {
    /// Its name: lower case letters, digits, hyphens
    pub(crate) name: Label,
    /// Whose; without it the relay's own
    #[arg(long)]
    pub(crate) tenant: Option<Label>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindWord {
    /// One person waits for each message
    Transactional,
    /// The same for many
    Bulk,
}

#[derive(Args, Debug)]
pub(crate) struct SetStream {
    #[command(flatten)]
    pub(crate) one: OneStream,
    /// What it is for
    #[arg(long)]
    pub(crate) kind: Option<KindWord>,
    /// How urgent its messages are, -9 to 9
    #[arg(long, allow_hyphen_values = true, value_parser = clap::value_parser!(i8).range(-9..=9))]
    pub(crate) priority: Option<i8>,
    /// The pool of [pools] by which it leaves; an empty text is as the settings say
    #[arg(long, value_name = "POOL")]
    pub(crate) pool: Option<String>,
    #[command(flatten)]
    pub(crate) quota: QuotaOptions,
    /// Follow whether messages are opened
    #[arg(long, value_name = "BOOL")]
    pub(crate) track_opens: Option<bool>,
    /// Follow which links are clicked
    #[arg(long, value_name = "BOOL")]
    pub(crate) track_clicks: Option<bool>,
    /// Take only mail with a List-Unsubscribe field
    #[arg(long, value_name = "BOOL")]
    pub(crate) require_unsubscribe: Option<bool>,
    /// Take only mail whose text names this postal address; an empty text asks for none
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) postal_address: Option<String>,
    /// Days for which content is kept after the message left
    #[arg(long, value_name = "DAYS")]
    pub(crate) bodies_days: Option<u32>,
    /// Days for which stories are kept
    #[arg(long, value_name = "DAYS")]
    pub(crate) events_days: Option<u32>,
    /// Days for which recipients' addresses are kept
    #[arg(long, value_name = "DAYS")]
    pub(crate) addresses_days: Option<u32>,
    /// Take nothing for it, or take mail again
    #[arg(long, value_name = "BOOL")]
    pub(crate) disabled: Option<bool>,
    /// What is to be remembered
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct TokenOptions {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for the API; it is printed this once
    Add(AddToken),
    /// List the tokens of a tenant, or those of the relay itself
    List(ListOfTenant),
    /// Show what is known of a token
    Show(OneToken),
    /// Change a token; what is not given stays
    Set(SetToken),
    /// Remove a token: it is worth nothing from now on
    Remove(OneToken),
}

#[derive(Args, Debug)]
pub(crate) struct OneToken {
    /// Its id: 16 hexadecimal digits
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct AddToken {
    /// Whose it is; without it, it is the relay's and sees all tenants
    #[arg(long)]
    pub(crate) tenant: Option<Label>,
    /// The only stream that it is good for
    #[arg(long)]
    pub(crate) stream: Option<Label>,
    /// What it may be used for: send, read, suppress, templates, webhooks or admin (all of it). Several are given one by one
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub(crate) scopes: Vec<Scope>,
    #[command(flatten)]
    pub(crate) bounds: TokenBounds,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What holds for a token.
#[derive(Args, Debug)]
pub(crate) struct TokenBounds {
    /// A network that it may be used from, such as 192.0.2.0/24. Several are given one by one; without any, from everywhere
    #[arg(long = "from", value_name = "NETWORK")]
    pub(crate) networks: Vec<IpNet>,
    /// Requests within a minute; without it, what the settings say
    #[arg(long, value_name = "COUNT")]
    pub(crate) requests_per_minute: Option<u32>,
    /// It ends after so long: such as 90d
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_in: Option<String>,
    /// What is to be remembered
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SetToken {
    #[command(flatten)]
    pub(crate) one: OneToken,
    #[command(flatten)]
    pub(crate) bounds: TokenBounds,
    /// Let it be used from everywhere
    #[arg(long, conflicts_with = "networks")]
    pub(crate) from_everywhere: bool,
    /// Let it not be used, or be used again
    #[arg(long, value_name = "BOOL")]
    pub(crate) disabled: Option<bool>,
}
