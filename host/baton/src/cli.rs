//! What can be typed: the commands and their options.

pub(crate) mod domain;
pub(crate) mod operator;
pub(crate) mod person;
pub(crate) mod plugin;
pub(crate) mod policy;
pub(crate) mod queue;
pub(crate) mod reports;
pub(crate) mod search;
pub(crate) mod shaping;
pub(crate) mod simulate;
pub(crate) mod suppression;
pub(crate) mod template;
pub(crate) mod tenants;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod tracking;
pub(crate) mod user;
pub(crate) mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use domain::DomainOptions;
use operator::OperatorOptions;
use person::PersonOptions;
use plugin::PluginOptions;
use policy::PolicyOptions;
use queue::QueueOptions;
use reports::ReportsOptions;
use search::{EventsOptions, FollowersOptions, SearchOptions};
use shaping::{ShapingOptions, WarmupOptions};
use simulate::SimulateOptions;
use suppression::SuppressionOptions;
use template::TemplateOptions;
use tenants::{StreamOptions, TenantOptions, TokenOptions};
use top::TopOptions;
use trace::TraceOptions;
use tracking::TrackingOptions;
use user::UserOptions;
use webhook::{ReportOptions, WebhookOptions};

/// Baton, a programmable SMTP relay.
#[derive(Debug, Parser)]
#[command(name = "baton", version, about, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the relay until SIGTERM or SIGINT; SIGHUP reloads the settings
    Serve(ServeOptions),
    /// Check the settings and load the plugins; nothing runs
    Check(CheckOptions),
    /// Make the running relay read its settings again; bad ones change nothing
    Reload(Target),
    /// Look at the queue of the running relay and operate on it
    Queue(QueueOptions),
    /// Tell the story of a message: who decided what, attempts, replies, what comes next
    Explain(ExplainOptions),
    /// Find messages, also after they left the queue, and what became of each copy
    Search(SearchOptions),
    /// Print what happens, a line of JSON for each event
    Events(EventsOptions),
    /// Show who follows what happens, how far each is behind and what fails
    Followers(FollowersOptions),
    /// Keep the endpoints that events are posted to
    Webhook(WebhookOptions),
    /// Tell what became of mail, in sums over time
    Report(ReportOptions),
    /// Play traffic against modelled providers on a clock of its own: what would these settings do?
    Simulate(SimulateOptions),
    /// Watch the relay at work in the terminal: traffic, sites, sources, times, errors, queue
    Top(TopOptions),
    /// Show what is said in sessions with clients and next hops while it is said
    Trace(TraceOptions),
    /// Look at what holds mail back or slows it down, and lift it
    Shaping(ShapingOptions),
    /// Show what DNS blocklists say about the addresses that mail leaves by
    Blocklists(Target),
    /// Look at how new sources come along
    Warmup(WarmupOptions),
    /// Make keys for domains to send from, and check what the DNS says about them
    Domain(DomainOptions),
    /// Show what others reported about your domains, and send ours about theirs
    Reports(ReportsOptions),
    /// Look at, change, import and export the lists of whom nothing is sent to
    Suppression(SuppressionOptions),
    /// Tell or forget all that is kept of a person
    Person(PersonOptions),
    /// Make, change and list the accounts of the running relay
    User(UserOptions),
    /// Make, change and list those who use the console of the running relay
    Operator(OperatorOptions),
    /// Make, change and list the customers of the running relay
    Tenant(TenantOptions),
    /// Make, change and list streams: messages of one purpose, and what holds for them
    Stream(StreamOptions),
    /// Make, change and list the tokens by which programs use the API
    Token(TokenOptions),
    /// Write, look at, check and try the templates of messages
    Template(TemplateOptions),
    /// Change the key that seals tracked links
    Tracking(TrackingOptions),
    /// List the plugins of the running relay and the order in which each hook asks them
    Plugins(Target),
    /// Write, check, test and measure plugins
    Plugin(PluginOptions),
    /// Write, check and try scripted policies
    Policy(PolicyOptions),
    /// Compile the component on standard input for a relay that started this process
    #[command(name = crate::compiling::COMMAND, hide = true)]
    CompileForRelay,
    /// Show a relay at work: real mail through all six hooks, checked at the end
    Demo(DemoOptions),
    /// Run an SMTP server that stores or counts what it gets, for tests and measurements
    Sink(SinkOptions),
    /// Send messages by SMTP or the API, from files or made up, and measure
    Send(SendOptions),
}

/// Which settings.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SettingsOption {
    /// The settings file; without one everything is at its default
    #[arg(long, short, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
}

/// Which running relay, and how to print.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) file: SettingsOption,
    /// The admin socket of the relay; by default what the settings say
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) file: SettingsOption,
    /// Write the listeners with their real addresses into this file, a line `name address` each
    #[arg(long, value_name = "FILE")]
    pub(crate) ports_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) file: SettingsOption,
    /// Print every key with its meaning and default instead
    #[arg(long)]
    pub(crate) reference: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainOptions {
    /// The message id, as in the reply `250 2.0.0 queued as ID`
    #[arg(required_unless_present = "recent", value_name = "MESSAGE-ID")]
    pub(crate) message: Option<String>,
    /// List the newest messages instead
    #[arg(long, conflicts_with = "message", num_args = 0..=1, default_missing_value = "20", value_name = "COUNT")]
    pub(crate) recent: Option<usize>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct DemoOptions {
    /// The folder with the shipped plugins, built
    #[arg(long, value_name = "DIR")]
    pub(crate) plugins: PathBuf,
    /// The folder with the messages to send
    #[arg(long, value_name = "DIR", default_value = "tests/corpus")]
    pub(crate) corpus: PathBuf,
    /// Keep the folder with settings, spool, log and delivered mail, and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SinkOptions {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2526")]
    pub(crate) listen: SocketAddr,
    /// Write each message as NAME.eml with its envelope as NAME.json into this folder; without it they are counted
    #[arg(long, value_name = "DIR", conflicts_with = "count")]
    pub(crate) store: Option<PathBuf>,
    /// Only count messages
    #[arg(long)]
    pub(crate) count: bool,
    /// Rules for other replies than the ordinary ones (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) replies: Option<PathBuf>,
    /// Speak LMTP
    #[arg(long)]
    pub(crate) lmtp: bool,
    /// Protect connections, with a certificate made for it: offer STARTTLS, or begin with TLS
    #[arg(long, value_name = "HOW")]
    pub(crate) tls: Option<TlsStart>,
    /// Write the real address into this file, a line `sink address`
    #[arg(long, value_name = "FILE")]
    pub(crate) ports_file: Option<PathBuf>,
    /// Write the summary into this file at the end (SIGTERM) and once a second; by default it is printed at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) summary_file: Option<PathBuf>,
    /// End when so many messages came
    #[arg(long, value_name = "COUNT")]
    pub(crate) until: Option<u64>,
    /// Threads; one by default
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsStart {
    /// After STARTTLS (RFC 3207)
    Starttls,
    /// With the connection (RFC 8314)
    Implicit,
}

#[derive(Args, Debug)]
pub(crate) struct SendOptions {
    /// Messages to send; without any, messages are made up
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The server
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2525")]
    pub(crate) to: SocketAddr,
    /// The return path; empty for none
    #[arg(long, default_value = "sender@example.org")]
    pub(crate) from: String,
    /// A recipient; several share one message
    #[arg(long = "rcpt", value_name = "MAILBOX", default_value = "recipient@example.net")]
    pub(crate) recipients: Vec<String>,
    /// Messages in all; for files, rounds through them
    #[arg(long, default_value_t = 1)]
    pub(crate) count: u64,
    /// Sessions at once
    #[arg(long, default_value_t = 1)]
    pub(crate) sessions: usize,
    /// Octets of each made-up message
    #[arg(long, default_value_t = 4_096)]
    pub(crate) size: usize,
    /// Messages over one session; then a new one is opened
    #[arg(long, default_value_t = 100)]
    pub(crate) per_session: u64,
    /// Classes of made-up messages, such as `code:5000,confirmation:50000`, mixed evenly; their sum is the count. Those of the class `code` say that they bring a one-time code
    #[arg(long, value_name = "CLASS:COUNT,...")]
    pub(crate) class_mix: Option<String>,
    /// Speak LMTP
    #[arg(long)]
    pub(crate) lmtp: bool,
    /// Number of the first made-up message; ids go up from there
    #[arg(long, default_value_t = 0)]
    pub(crate) first_id: u64,
    /// Protect the connection: by STARTTLS, or from its beginning. Certificates are not checked
    #[arg(long, value_name = "HOW")]
    pub(crate) tls: Option<TlsStart>,
    /// Authenticate as NAME:PASSWORD
    #[arg(long, value_name = "NAME:PASSWORD")]
    pub(crate) auth: Option<String>,
    /// Send by the API at `--to` with this token, instead of by SMTP; made-up messages only
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["lmtp", "tls", "auth", "class_mix"])]
    pub(crate) token: Option<String>,
    /// Messages in one request to the API
    #[arg(long, default_value_t = 1, requires = "token")]
    pub(crate) batch: usize,
    /// Threads; one by default
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_story_needs_a_message_or_the_list() {
        assert!(Cli::try_parse_from(["baton", "explain"]).is_err());
        assert!(Cli::try_parse_from(["baton", "explain", "--recent", "5"]).is_ok());
        assert!(
            Cli::try_parse_from(["baton", "queue", "remove", "--domain", "example.org", "--json"]).is_ok()
        );
    }
}
