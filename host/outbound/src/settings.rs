//! What an operator may say about delivery. Checked values only: names are resolved, numbers are in range.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use baton_mail::classify::Classes;
use baton_mail::lane::{LANE_WEIGHTS, LaneWeights};
use baton_mail::mime::MimeLimits;
use baton_mail::{Domain, Mailbox};
use ipnet::IpNet;

use crate::retry::RetryByClass;
use crate::routes::RouteTable;
use crate::security::TlsSettings;
use crate::shaping::ShapingSettings;
use crate::sources::{BlocklistSettings, SourceSettings};
use crate::sts::StsSettings;

/// All settings of delivery. A reload replaces the whole; running deliveries keep what they began with.
#[derive(Clone, Debug)]
pub struct OutboundSettings {
    /// Our name in EHLO and in reports.
    pub hostname: Domain,
    /// Which next hop takes which mail.
    pub routes: RouteTable,
    /// When a failed delivery is tried again.
    pub retry: RetrySettings,
    /// What goes for failures of some classes.
    pub retry_by_class: RetryByClass,
    /// What kind of failure a reply means.
    pub classes: Classes,
    /// How much at once.
    pub limits: LimitSettings,
    /// How long each step may take.
    pub timeouts: TimeoutSettings,
    /// How connections are protected.
    pub tls: TlsSettings,
    /// How the policies of domains are found.
    pub sts: StsSettings,
    /// What would be a loop.
    pub loops: LoopSettings,
    /// Reports about failed mail.
    pub dsn: DsnSettings,
    /// What happens to content that a next hop can not take as it is.
    pub convert: Convert,
    /// How complex a message may be to be converted. What listeners let in is within it.
    pub mime: MimeLimits,
    /// The port of mail hosts found by MX. Default 25.
    pub smtp_port: u16,
    /// How much goes where, how fast.
    pub shaping: Arc<ShapingSettings>,
    /// What mail leaves by.
    pub sources: Arc<SourceSettings>,
    /// Which blocklists are asked about it.
    pub blocklists: BlocklistSettings,
}

impl OutboundSettings {
    /// The defaults, for a relay of this name.
    pub fn new(hostname: Domain) -> OutboundSettings {
        let from = Mailbox::new("mailer-daemon", hostname.clone()).expect("the local part is an atom");
        OutboundSettings {
            hostname,
            routes: RouteTable::default(),
            retry: RetrySettings::default(),
            retry_by_class: RetryByClass::default(),
            classes: Classes::default(),
            limits: LimitSettings::default(),
            timeouts: TimeoutSettings::default(),
            tls: TlsSettings::default(),
            sts: StsSettings::default(),
            loops: LoopSettings::default(),
            dsn: DsnSettings::new(from),
            convert: Convert::WhenNeeded,
            mime: MimeLimits::default(),
            smtp_port: 25,
            shaping: Arc::default(),
            sources: Arc::new(SourceSettings::default()),
            blocklists: BlocklistSettings::default(),
        }
    }
}

/// What happens to content that a next hop can not take as it is: 8-bit where there is no 8BITMIME, binary where there is no
/// BINARYMIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convert {
    /// Bodies of parts are put into a transfer encoding. Signatures over them, such as DKIM, no longer hold then.
    #[default]
    WhenNeeded,
    /// Nothing: the message goes back to its sender (5.6.3).
    Never,
}

/// Exponential back-off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrySettings {
    /// The wait after the first failed attempt, in milliseconds. Default 300,000: five minutes.
    pub first_ms: u64,
    /// Each further wait is this many times longer; at least 1. Default 2.
    pub factor: f64,
    /// The longest wait, in milliseconds. Default 14,400,000: four hours.
    pub max_ms: u64,
    /// Each wait is moved by up to this part of itself, so that a burst does not come back as one. Default 0.2.
    pub jitter: f64,
}

impl Default for RetrySettings {
    fn default() -> RetrySettings {
        RetrySettings { first_ms: 300_000, factor: 2.0, max_ms: 14_400_000, jitter: 0.2 }
    }
}

/// Bounds of everything that could grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Connections to one site at once. Default 20.
    pub connections_max: usize,
    /// Messages over one connection, then it is closed. Default 1,000.
    pub deliveries_per_connection_max: u32,
    /// Recipients in one transaction (RFC 5321 4.5.3.1.8 asks servers to take 100). Default 100.
    pub recipients_per_delivery_max: usize,
    /// Jobs that wait for a connection of one site. When the site is slow as well, more are handed back to the
    /// queue, so that one slow site leaves room for others. Default 2,000.
    pub ready_max: usize,
    /// Jobs claimed from the queue and not settled, all sites together. Default 10,000.
    pub jobs_max: usize,
    /// Routing decisions (plugin calls, MX lookups) at once. Default 256.
    pub routing_max: usize,
    /// A connection without work is closed after this time, in milliseconds. Default 5,000.
    pub idle_ms: u64,
    /// Addresses that one attempt tries to connect to. Default 8.
    pub addresses_max: usize,
    /// After this time without an answer of one address of a host the next one is tried beside it, in milliseconds
    /// (RFC 8305 5). Default 250.
    pub attempt_delay_ms: u64,
    /// A host that could not be reached is not tried again for this time, in milliseconds. Default 30,000.
    pub host_failure_ms: u64,
    /// A host whose TLS failed where it is welcome but not needed is spoken to in plain text for this time, in
    /// milliseconds. Default 600,000.
    pub tls_failure_ms: u64,
    /// Resolved sites are remembered for this time, in milliseconds. Default 30,000.
    pub site_cache_ms: u64,
    /// A handed-back job comes back as soon as its site can be expected to have room, and after this time at the
    /// latest, in milliseconds. Default 10,000.
    pub overflow_ms: u64,
    /// Questions about recipients (`verify`) at once. Default 64.
    pub verify_max: usize,
    /// How long the answer about a recipient is remembered, in milliseconds. Default 60,000.
    pub verify_cache_ms: u64,
    /// How long running deliveries may take at the stop, in milliseconds. Default 20,000.
    pub drain_ms: u64,
    /// Sites that have metrics of their own, the busiest; all others share theirs. Default 50.
    pub metric_sites_max: usize,
    /// The shares of the lanes in the turns of each site; see [`baton_mail::lane`].
    pub lane_weights: LaneWeights,
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        LimitSettings {
            connections_max: 20,
            deliveries_per_connection_max: 1_000,
            recipients_per_delivery_max: 100,
            ready_max: 2_000,
            jobs_max: 10_000,
            routing_max: 256,
            idle_ms: 5_000,
            addresses_max: 8,
            attempt_delay_ms: 250,
            host_failure_ms: 30_000,
            tls_failure_ms: 600_000,
            site_cache_ms: 30_000,
            overflow_ms: 10_000,
            verify_max: 64,
            verify_cache_ms: 60_000,
            drain_ms: 20_000,
            metric_sites_max: crate::metrics::OWN_DEFAULT,
            lane_weights: LANE_WEIGHTS,
        }
    }
}

/// How long the next hop may take for each step, in milliseconds. The defaults are those of RFC 5321 4.5.3.2,
/// but for the connection, which a host that is there opens within seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// Opening the connection. Default 30,000.
    pub connect_ms: u64,
    /// The greeting. Default 300,000.
    pub greeting_ms: u64,
    /// The reply to EHLO, HELO or LHLO. Default 300,000.
    pub ehlo_ms: u64,
    /// The reply to STARTTLS, and then the TLS handshake. Default 30,000.
    pub tls_ms: u64,
    /// The reply to MAIL. Default 300,000.
    pub mail_ms: u64,
    /// The reply to each RCPT. Default 300,000.
    pub rcpt_ms: u64,
    /// The 354 after DATA. Default 120,000.
    pub data_init_ms: u64,
    /// Taking each piece of content, of 64 KiB at most. Default 180,000.
    pub data_block_ms: u64,
    /// The final reply, after the end of the content. Default 600,000.
    pub data_dot_ms: u64,
}

impl Default for TimeoutSettings {
    fn default() -> TimeoutSettings {
        TimeoutSettings {
            connect_ms: 30_000,
            greeting_ms: 300_000,
            ehlo_ms: 300_000,
            tls_ms: 30_000,
            mail_ms: 300_000,
            rcpt_ms: 300_000,
            data_init_ms: 120_000,
            data_block_ms: 180_000,
            data_dot_ms: 600_000,
        }
    }
}

/// How the relay knows itself, so that it never delivers to itself by the DNS (RFC 5321 5.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoopSettings {
    /// Names of this relay besides its host name: as MX hosts they mean us.
    pub own_names: Vec<Domain>,
    /// Where our listeners are; an unspecified address stands for every address of this machine.
    pub own_addresses: Vec<SocketAddr>,
    /// Also deliver to loopback addresses that the DNS, a recipient or a plugin names. Default no: such a name is
    /// a loop or an attack. Hosts that the settings name are always allowed.
    pub allow_loopback_next_hops: bool,
    /// Networks that are not delivered to when the DNS, a recipient or a plugin names an address there.
    pub prohibited: Vec<IpNet>,
}

/// Reports (RFC 3464, RFC 3461).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DsnSettings {
    /// The From address of reports. Default `mailer-daemon@` our host name.
    pub from: Mailbox,
    /// Octets of the original header that a report carries. Default 65,536.
    pub header_octets_max: usize,
    /// Octets of a message that a report about a failure gives back whole, when the sender asks for it; of a larger one
    /// it carries the header. Default 50,000.
    pub message_octets_max: u64,
    /// How long a report is tried, in seconds. Default 432,000: five days.
    pub lifetime_s: u64,
    /// Reports are signed when the domain in their From has keys. Default on.
    pub sign: bool,
    /// Of whose late mail is reported.
    pub delay: DelayReports,
    /// When mail is late: after this time in the queue, in seconds. Default 14,400: four hours.
    pub delay_after_s: u64,
    /// Domains of return paths that name the recipient (VERP). Default none.
    pub verp_domains: HashSet<Domain>,
}

/// Whether a sender is told that its mail is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DelayReports {
    /// No sender.
    Never,
    /// Those who asked for it by NOTIFY=DELAY.
    #[default]
    Asked,
    /// All but those who asked for something else.
    All,
}

impl DsnSettings {
    /// The defaults, from this address.
    pub fn new(from: Mailbox) -> DsnSettings {
        DsnSettings {
            from,
            header_octets_max: 65_536,
            message_octets_max: 50_000,
            lifetime_s: 5 * 86_400,
            delay: DelayReports::Asked,
            delay_after_s: 4 * 3_600,
            verp_domains: HashSet::new(),
            sign: true,
        }
    }

    /// How long a report is tried.
    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime_s)
    }
}
