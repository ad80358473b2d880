//! What is fixed when the listeners are bound. What a reload may change is in [`crate::Policy`].

use std::fmt;
use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use baton_mail::Domain;
use baton_smtp::server::{AuthOffer, BareLineEnding, Mechanism, Mechanisms, ServerSettings, StartTls, Vrfy};
use baton_tls::TlsServerSettings;
use ipnet::IpNet;

use crate::NetworkSettings;

/// The listeners and what they share.
#[derive(Clone, Debug)]
pub struct InboundSettings {
    /// Where to listen; at least one.
    pub listeners: Vec<ListenerSettings>,
    /// The relay's own name in greetings and trace fields.
    pub hostname: Domain,
    /// Sessions open at once over all listeners; more are told 421 4.7.0.
    pub sessions_max: usize,
    /// How long running transactions may go on after a stop was asked for, in seconds.
    pub drain_s: u64,
    /// TLS handshakes at once over all listeners; more are told 454 4.7.0.
    pub handshakes_max: usize,
}

impl InboundSettings {
    /// The addresses of all listeners that are not UNIX sockets.
    pub fn tcp_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let all = self.listeners.iter().flat_map(|listener| &listener.addresses);
        all.filter_map(|address| match address {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Inherited(_) | ListenAddress::Unix(_) => None,
        })
    }

    /// Settings for one listener with every other default.
    pub fn new(hostname: Domain, listeners: Vec<ListenerSettings>) -> InboundSettings {
        InboundSettings {
            listeners,
            hostname,
            sessions_max: SESSIONS_MAX,
            drain_s: DRAIN_S,
            handshakes_max: HANDSHAKES_MAX,
        }
    }
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Mail from other servers, and from the relay networks.
    Mx,
    /// Mail from the relay networks only: everybody else is refused at the greeting.
    Relay,
    /// Mail from users: no MAIL without authentication (RFC 6409 4.3).
    Submission,
    /// LMTP: one reply per recipient (RFC 2033).
    Lmtp,
}

/// When TLS begins on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    #[default]
    Off,
    /// By STARTTLS, when the client wants it (RFC 3207).
    Offered,
    /// By STARTTLS; there is no mail and no AUTH before it.
    Required,
    /// With the connection (RFC 8314 3.3).
    Implicit,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A socket that the service manager opened, by the name that it gave it.
    Inherited(String),
    /// The path of a socket. Its clients count as clients at 127.0.0.1.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = AddrParseError;

    /// Reads `address:port`, `unix:/path` or `systemd:name`.
    fn from_str(text: &str) -> Result<ListenAddress, AddrParseError> {
        match text.split_once(':') {
            Some(("unix", path)) => Ok(ListenAddress::Unix(PathBuf::from(path))),
            Some(("systemd", name)) => Ok(ListenAddress::Inherited(name.to_owned())),
            _ => text.parse().map(ListenAddress::Tcp),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => write!(formatter, "{address}"),
            ListenAddress::Inherited(name) => write!(formatter, "systemd:{name}"),
            ListenAddress::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// One listener. The limits on the protocol hold per session.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Its name in logs, metrics, plugins and trace facts.
    pub name: String,
    /// Where it listens; at least one.
    pub addresses: Vec<ListenAddress>,
    /// What it is for.
    pub kind: ListenerKind,
    /// When TLS begins.
    pub tls: TlsMode,
    /// How TLS is spoken.
    pub tls_server: TlsServerSettings,
    /// Networks of balancers: connections from there begin with a PROXY header, others never do.
    pub proxy_networks: Vec<IpNet>,
    /// Networks of clients that may say by XCLIENT for whom they speak.
    pub xclient_networks: Vec<IpNet>,
    /// Sessions open at once on this listener; more are told 421 4.7.0.
    pub connections_max: usize,
    /// Sessions open at once from one IPv4 address or one IPv6 /64 network; clients of the relay networks do not count.
    pub connections_per_address_max: usize,
    /// Connections that the kernel holds until they are accepted.
    pub backlog: u32,
    /// AUTH is offered at all, where somebody can judge credentials.
    pub auth: bool,
    /// AUTH is offered although the connection has no TLS. Only for networks that nobody else can read.
    pub auth_without_tls: bool,
    /// The mechanisms of AUTH that may be offered, where somebody can judge them. Unset: all of them for users; elsewhere
    /// PLAIN and LOGIN, and those only where plugins judge.
    pub mechanisms: Option<Mechanisms>,
    /// Octets of one message; announced by SIZE (RFC 1870). 0 is no limit.
    pub size_octets_max: u64,
    /// Recipients of one message (RFC 5321 4.5.3.1.8 asks for 100 at least).
    pub recipients_max: usize,
    /// Octets of one command line with its CRLF.
    pub command_octets_max: usize,
    /// Octets of one line of content without its CRLF; 0 is no limit.
    pub line_octets_max: usize,
    /// Mistakes of the client since its last message before it is told 421.
    pub errors_max: u32,
    /// Commands that move no mail (NOOP, RSET, HELP, VRFY, EHLO) since its last message before the client is told 421.
    pub junk_commands_max: u32,
    /// Transactions before the client is told 421.
    pub transactions_max: u32,
    /// BDAT chunks of one message.
    pub chunks_max: u32,
    /// What happens to a bare CR or LF in content.
    pub bare_line_ending: BareLineEnding,
    /// What holds for clients of some networks instead.
    pub networks: Vec<NetworkSettings>,
    /// Seconds that users may have a message held (FUTURERELEASE, RFC 4865); 0 offers it to nobody.
    pub hold_s_max: u32,
    /// What VRFY and EXPN are told.
    pub vrfy: VrfyPolicy,
    /// Offers BINARYMIME (RFC 3030).
    pub binary_mime: bool,
}

impl ListenerSettings {
    /// A listener with every other default.
    pub fn new(name: impl Into<String>, address: SocketAddr, kind: ListenerKind) -> ListenerSettings {
        ListenerSettings {
            name: name.into(),
            addresses: vec![ListenAddress::Tcp(address)],
            kind,
            tls: TlsMode::Off,
            tls_server: TlsServerSettings::default(),
            proxy_networks: Vec::new(),
            xclient_networks: Vec::new(),
            connections_max: CONNECTIONS_MAX,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
            backlog: BACKLOG,
            auth: true,
            auth_without_tls: false,
            mechanisms: None,
            size_octets_max: SIZE_OCTETS_MAX,
            recipients_max: RECIPIENTS_MAX,
            command_octets_max: COMMAND_OCTETS_MAX,
            line_octets_max: 0,
            errors_max: ERRORS_MAX,
            junk_commands_max: JUNK_COMMANDS_MAX,
            transactions_max: TRANSACTIONS_MAX,
            chunks_max: CHUNKS_MAX,
            bare_line_ending: BareLineEnding::Refuse,
            networks: Vec::new(),
            hold_s_max: HOLD_S_MAX,
            vrfy: VrfyPolicy::Silent,
            binary_mime: true,
        }
    }

    /// The mechanisms to offer, of those which somebody here can judge.
    pub(crate) fn mechanisms(&self, judges: Judges) -> Mechanisms {
        let is_for_users = self.kind == ListenerKind::Submission;
        let is_open = judges.plugins || is_for_users || self.mechanisms.is_some();
        let allowed = match self.mechanisms {
            Some(mechanisms) => mechanisms,
            None if is_for_users => Mechanisms::ALL,
            None => Mechanisms::NONE.with(Mechanism::Plain).with(Mechanism::Login),
        };
        let can = |mechanism: &Mechanism| match mechanism {
            Mechanism::Plain | Mechanism::Login => judges.plugins || judges.accounts,
            Mechanism::ScramSha256 => judges.accounts,
            Mechanism::ScramSha256Plus => judges.accounts && judges.binding,
            Mechanism::OauthBearer | Mechanism::Xoauth2 => judges.tokens,
        };
        if self.auth && is_open { allowed.iter().filter(can).collect() } else { Mechanisms::NONE }
    }

    /// The settings of the protocol machine, for a connection that is protected or not, with mechanisms that somebody can
    /// judge.
    pub(crate) fn to_server(
        &self,
        hostname: &Domain,
        is_protected: bool,
        mechanisms: Mechanisms,
    ) -> ServerSettings {
        let starttls = match self.tls {
            TlsMode::Offered if !is_protected => StartTls::Offered,
            TlsMode::Required if !is_protected => StartTls::Required,
            _ => StartTls::None,
        };
        let auth = match starttls {
            _ if mechanisms.is_empty() => AuthOffer::None,
            _ if is_protected || self.auth_without_tls => AuthOffer::Offered(mechanisms),
            StartTls::None => AuthOffer::None,
            StartTls::Offered | StartTls::Required => AuthOffer::AfterTls,
        };
        ServerSettings {
            size_octets_max: self.size_octets_max,
            recipients_max: self.recipients_max,
            command_octets_max: self.command_octets_max,
            errors_max: self.errors_max,
            junk_commands_max: self.junk_commands_max,
            transactions_max: self.transactions_max,
            chunks_max: self.chunks_max,
            line_octets_max: self.line_octets_max,
            bare_line_ending: self.bare_line_ending,
            // It promises that the way was protected so far (RFC 8689 3).
            require_tls: is_protected,
            hold_s_max: if self.kind == ListenerKind::Submission { self.hold_s_max } else { 0 },
            vrfy: match self.vrfy {
                VrfyPolicy::Off => Vrfy::Off,
                VrfyPolicy::Silent => Vrfy::Silent,
                VrfyPolicy::Recipients | VrfyPolicy::NextHop => Vrfy::Ask,
            },
            binary_mime: self.binary_mime,
            lmtp: self.kind == ListenerKind::Lmtp,
            auth,
            starttls,
            ..ServerSettings::new(hostname.clone())
        }
    }
}

/// What clients learn who ask about a mailbox without mail for it (RFC 5321 3.5, 7.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VrfyPolicy {
    /// Nothing: 502.
    Off,
    /// Nothing: VRFY is 252, EXPN is 502.
    #[default]
    Silent,
    /// What RCPT would be told.
    Recipients,
    /// That, and what the next hop says about the mailbox.
    NextHop,
}

/// Who can judge credentials.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Judges {
    /// Plugins, by the `auth` hook.
    pub(crate) plugins: bool,
    /// The store has accounts.
    pub(crate) accounts: bool,
    /// Somebody knows what tokens are worth.
    pub(crate) tokens: bool,
    /// The connection has something to be bound to.
    pub(crate) binding: bool,
}

/// Bounds the memory of sessions: 12 KiB each when idle.
const SESSIONS_MAX: usize = 10_000;
/// As long as service managers wait by default, less a reserve.
const DRAIN_S: u64 = 30;
const CONNECTIONS_MAX: usize = 10_000;
/// A handshake costs about a millisecond of a processor: more at once only make each other late.
const HANDSHAKES_MAX: usize = 1_000;
/// As Postfix's `smtpd_client_connection_count_limit`.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 50;
const BACKLOG: u32 = 1_024;
/// 50 MiB, as the large providers take.
const SIZE_OCTETS_MAX: u64 = 50 << 20;
const RECIPIENTS_MAX: usize = 1_000;
const COMMAND_OCTETS_MAX: usize = 2_048;
const ERRORS_MAX: u32 = 20;
const JUNK_COMMANDS_MAX: u32 = 100;
const TRANSACTIONS_MAX: u32 = 1_000;
const CHUNKS_MAX: u32 = 10_000;
/// A week.
const HOLD_S_MAX: u32 = 7 * 86_400;
