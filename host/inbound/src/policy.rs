//! What a reload may change while sessions run: a new policy holds from the next command on.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use baton_identity::CheckSettings;
use baton_mail::mime::MimeLimits;
use baton_mail::tenant::Requirements;
use baton_mail::{Domain, Mailbox};
use ipnet::IpNet;
use tokio::time::Instant;

use crate::pressure::PressureLimits;
use crate::returned::ReturnSettings;
use crate::{ClientLimits, ListenerKind};

/// Rules and bounds of all sessions.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Domains that this relay is responsible for: anybody may send to them.
    pub local_domains: HashSet<Domain>,
    /// Networks whose clients may send to every domain.
    pub relay_networks: Vec<IpNet>,
    /// Who reads mail for `<postmaster>` without a domain (RFC 5321 4.5.1); none is `postmaster` at the relay's name.
    pub postmaster: Option<Mailbox>,
    /// How long a message may wait in the queue, in seconds.
    pub lifetime_s: u64,
    /// `Received` fields of a message at most; more is a loop (RFC 5321 6.3).
    pub received_max: usize,
    /// Content that all sessions together may hold while it is received, in octets; beyond it 452 4.3.1.
    pub memory_octets_max: u64,
    /// Refused recipients that one session may write to the history.
    pub rejections_recorded_max: u32,
    /// Failed AUTH commands before the client is told 421.
    pub auth_failures_max: u32,
    /// How long the answer to a failed AUTH is held back, in milliseconds.
    pub auth_failure_delay_ms: u64,
    /// Look up the client's name before the first transaction (before the greeting when a plugin is asked there).
    pub reverse_dns: bool,
    /// Ask the DNS whether domains of strangers' return paths take mail, and refuse those that say no (RFC 7505 4.2).
    pub null_mx_senders: bool,
    /// Ask the DNS whether domains that somebody relays to take mail, and refuse those that say no (RFC 7505 4.1).
    pub null_mx_recipients: bool,
    /// Bounds on header and MIME structure.
    pub mime: MimeLimits,
    /// What happens to a message beyond those bounds.
    pub too_complex: TooComplexPolicy,
    /// How mail of strangers is checked; none when it is not.
    pub checks: Option<Checks>,
    /// Where reports about mail in our domains' names come in.
    pub reports: ReportSettings,
    /// Mail of users and relay networks is signed, where the domain in `From` has keys.
    pub sign: bool,
    /// What is signed is put into seven bits before (RFC 6376 5.3).
    pub sign_seven_bit: bool,
    /// The domain in whose name checked mail of strangers is sealed (RFC 8617); none when it is not.
    pub seal: Option<Domain>,
    /// Whose mail may go before that of others when it asks for it.
    pub priority_from: PriorityFrom,
    /// Users send only in the name of domains whose records were seen in the DNS.
    pub verified_senders: bool,
    /// What RCPT is told of a recipient on a suppression list.
    pub suppressed_at_rcpt: AtRcpt,
    /// Where bounces and feedback come in.
    pub returns: ReturnSettings,
    /// What mail of a stream must have, by its name.
    pub streams: HashMap<String, Requirements>,
    /// How much strangers may ask for.
    pub clients: ClientLimits,
    /// How much the relay may take before it refuses mail.
    pub pressure: PressureLimits,
    /// How long things may take.
    pub deadlines: Deadlines,
}

/// The checks of mail from strangers: clients outside of the relay networks, without an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// How they are done.
    pub settings: CheckSettings,
    /// The names of the listeners where they are done; none is all listeners for mail of other servers.
    pub listeners: Option<Vec<String>>,
}

impl Checks {
    /// True when mail at this listener is checked.
    pub(crate) fn covers(&self, name: &str, kind: ListenerKind) -> bool {
        match &self.listeners {
            Some(names) => names.iter().any(|own| own == name),
            None => matches!(kind, ListenerKind::Mx | ListenerKind::Relay),
        }
    }
}

/// Where reports of others come in, and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// The mailboxes whose mail is read. The case of their local parts does not count.
    pub mailboxes: Vec<Mailbox>,
    /// How long a report is kept, in seconds. Default 400 days: the same month of last year can be looked at.
    pub keep_s: u64,
    /// Where our own reports come from.
    pub from: Option<Mailbox>,
}

impl Default for ReportSettings {
    fn default() -> ReportSettings {
        ReportSettings { mailboxes: Vec::new(), keep_s: 400 * 86_400, from: None }
    }
}

/// What RCPT is told of a recipient on a suppression list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtRcpt {
    /// 550 with the list and the reason.
    #[default]
    Refuse,
    /// 250; before the first attempt the copy ends, and the history says why.
    Accept,
}

/// Whose mail may go before that of others (MT-PRIORITY above 0, RFC 6710).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriorityFrom {
    /// Nobody's.
    Nobody,
    /// That of accounts and of the relay networks.
    #[default]
    Trusted,
    /// Everybody's.
    All,
}

/// What happens to a message whose structure exceeds the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooComplexPolicy {
    /// It is relayed without being parsed; plugins are told.
    Accept,
    /// It is refused with 554 5.6.0.
    Refuse,
}

/// Deadlines of a session. They run per request: octets that complete nothing extend nothing.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// One command, from the reply before it to its last octet, in seconds (RFC 5321 4.5.3.2.7 asks for 300).
    pub command_s: u64,
    /// One TLS handshake, in seconds.
    pub handshake_s: u64,
    /// The time that content may take beyond what the lowest rate allows for, in seconds.
    pub data_s: u64,
    /// The lowest rate of content: octets in one second.
    pub data_octets_per_s: u64,
    /// What the relay itself may take for one answer, plugins and queue included, in seconds. Well below the 600 that
    /// a client waits for the end of data (RFC 5321 4.5.3.2.6): whoever gives up earlier sends the message twice.
    pub answer_s: u64,
    /// Writing the replies of one batch, in seconds.
    pub write_s: u64,
    /// A session outside a transaction, from its beginning, in seconds.
    pub session_s: u64,
    /// What a running transaction may take beyond that, in seconds.
    pub transaction_s: u64,
    /// How long a session keeps the plugins of its beginning, in seconds; after it the next MAIL takes the current ones.
    pub generation_s: u64,
}

impl Policy {
    /// True when mail for this mailbox is read for reports.
    pub(crate) fn is_report_mailbox(&self, address: &Mailbox) -> bool {
        let is_same = |own: &Mailbox| {
            own.domain() == address.domain() && own.local().eq_ignore_ascii_case(address.local())
        };
        self.reports.mailboxes.iter().any(is_same)
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            local_domains: HashSet::new(),
            relay_networks: loopback_networks(),
            postmaster: None,
            lifetime_s: 5 * 86_400,
            received_max: 50,
            memory_octets_max: 256 << 20,
            rejections_recorded_max: 20,
            auth_failures_max: 3,
            auth_failure_delay_ms: 1_000,
            reverse_dns: false,
            null_mx_senders: false,
            null_mx_recipients: false,
            mime: MimeLimits::default(),
            too_complex: TooComplexPolicy::Accept,
            checks: None,
            reports: ReportSettings::default(),
            sign: true,
            sign_seven_bit: true,
            priority_from: PriorityFrom::Trusted,
            seal: None,
            verified_senders: false,
            suppressed_at_rcpt: AtRcpt::default(),
            returns: ReturnSettings::default(),
            streams: HashMap::new(),
            clients: ClientLimits::default(),
            pressure: PressureLimits::default(),
            deadlines: Deadlines::default(),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            command_s: 300,
            handshake_s: 30,
            data_s: 180,
            data_octets_per_s: 500,
            answer_s: 300,
            write_s: 60,
            session_s: 3_600,
            transaction_s: 3_600,
            generation_s: 900,
        }
    }
}

/// The moment `seconds` after `moment`; no setting is so large that time ends before it.
pub(crate) fn after(moment: Instant, seconds: u64) -> Instant {
    moment + Duration::from_secs(seconds.min(SECONDS_MAX))
}

/// Ten years: as good as for ever, and far from the end of the clock.
const SECONDS_MAX: u64 = 10 * 365 * 86_400;

impl Policy {
    /// True when clients at `address` may send to every domain.
    pub fn is_relay_network(&self, address: IpAddr) -> bool {
        // A client of a dual-stack socket comes as ::ffff:192.0.2.1; the rules speak of 192.0.2.1.
        let address = address.to_canonical();
        self.relay_networks.iter().any(|network| network.contains(&address))
    }

    /// True when the relay is responsible for `domain`.
    pub fn is_local(&self, domain: &Domain) -> bool {
        self.local_domains.contains(domain)
    }
}

/// `127.0.0.0/8` and `::1`.
fn loopback_networks() -> Vec<IpNet> {
    let four = std::net::Ipv4Addr::new(127, 0, 0, 0);
    let six = std::net::Ipv6Addr::LOCALHOST;
    vec![IpNet::new_assert(four.into(), 8), IpNet::new_assert(six.into(), 128)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_relay_by_default() {
        let policy = Policy::default();
        for (address, expected) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("::", false),
        ] {
            assert_eq!(policy.is_relay_network(address.parse().unwrap()), expected, "{address}");
        }
        assert!(!policy.is_local(&"example.org".parse().unwrap()));
    }
}
