//! The commands about how delivery is paced.

use baton_mail::Domain;
use baton_store::shaping::Scope;
use clap::{Args, Subcommand};

use super::Target;

#[derive(Args, Debug)]
pub(crate) struct ShapingOptions {
    #[command(subcommand)]
    pub(crate) command: ShapingCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShapingCommand {
    /// List the measures that hold: what is suspended, slowed down or bounced, why, since when, until when, by which rule
    Ls(Target),
    /// Let the mail of a tenant, stream, domain, provider, site or source wait
    Suspend(SuspendOptions),
    /// Lift the suspensions of exactly this mail, whoever took them; what waited goes at once
    Resume(ResumeOptions),
    /// Lift measures before their end; what waited goes at once
    Clear(ClearOptions),
    /// Show how each site stands: what waits, connections, what they wait for
    Sites(Target),
}

/// Which mail; all that is given must be so.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ScopeOptions {
    /// Of this tenant
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Of this stream
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// To this recipient domain
    #[arg(long)]
    pub(crate) domain: Option<Domain>,
    /// To this provider, as the settings name it
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// To this site, as `baton shaping sites` names it
    #[arg(long)]
    pub(crate) site: Option<String>,
    /// By this source, as the settings name it
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// All mail
    #[arg(long)]
    pub(crate) all: bool,
}

impl ScopeOptions {
    /// As measures have it.
    pub(crate) fn scope(&self) -> Scope {
        Scope {
            tenant: self.tenant.clone(),
            stream: self.stream.clone(),
            domain: self.domain.as_ref().map(Domain::to_string),
            provider: self.provider.clone(),
            site: self.site.clone(),
            source: self.source.clone(),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct SuspendOptions {
    #[command(flatten)]
    pub(crate) scope: ScopeOptions,
    /// For how long, such as 90s, 15m, 2h, 3d; without it until it is lifted
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) lasts: Option<String>,
    /// Why; it is shown wherever this mail is shown
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct ResumeOptions {
    #[command(flatten)]
    pub(crate) scope: ScopeOptions,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct ClearOptions {
    /// The measures, as `baton shaping ls` names them
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct WarmupOptions {
    #[command(subcommand)]
    pub(crate) command: WarmupCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WarmupCommand {
    /// Show the plan and position of each source at each provider
    Show(Target),
    /// Count complaints about mail of a source, as a feedback loop told of them
    Complain(ComplainOptions),
}

#[derive(Args, Debug)]
pub(crate) struct ComplainOptions {
    /// The source that sent it
    pub(crate) source: String,
    /// The provider whose users complained
    pub(crate) provider: String,
    /// How many
    #[arg(long, default_value_t = 1)]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) target: Target,
}
