//! Listeners and sessions.

use std::collections::HashSet;

use baton_inbound::{
    Deadlines, InboundSettings, ListenAddress, ListenerKind, ListenerSettings, Policy, PriorityFrom,
    ReportSettings, TooComplexPolicy, VrfyPolicy,
};
use baton_mail::Domain;
use baton_smtp::server::BareLineEnding;

use super::Checker;
use super::tls::SUBMISSIONS;
use crate::settings::raw::{Raw, RawListener, RawSession};

/// A listener's or plugin's name at most: it stands in logs and metrics.
pub(super) const NAME_OCTETS_MAX: usize = 64;

impl Checker<'_> {
    pub(super) fn inbound(&mut self, raw: &Raw, hostname: &Domain) -> InboundSettings {
        let default = [("smtp".to_owned(), RawListener::default())];
        let given = if raw.listeners.0.is_empty() { &default[..] } else { &raw.listeners.0[..] };
        let listeners: Vec<_> =
            given.iter().filter_map(|(name, listener)| self.listener(name, listener, raw)).collect();
        self.distinct(&listeners);
        let mut settings = InboundSettings::new(hostname.clone(), listeners);
        settings.sessions_max = self.bound("session.sessions_max", raw.session.sessions_max, 1, 10_000_000);
        settings.drain_s = self.bound("drain_s", raw.drain_s, 0, 86_400);
        settings.handshakes_max = self.bound("tls.handshakes_max", raw.tls.handshakes_max, 1, 1_000_000);
        settings
    }

    fn listener(&mut self, name: &str, raw: &RawListener, all: &Raw) -> Option<ListenerSettings> {
        let key = format!("listeners.{name}");
        self.name(&key, name);
        let kinds = [
            ("mx", ListenerKind::Mx),
            ("relay", ListenerKind::Relay),
            ("submission", ListenerKind::Submission),
            (SUBMISSIONS, ListenerKind::Submission),
            ("lmtp", ListenerKind::Lmtp),
        ];
        let kind = self.choose(&format!("{key}.kind"), &raw.kind, &kinds);
        let addresses = self.addresses(&key, raw);
        let mode = kind.and_then(|kind| self.tls_mode(&key, raw, kind));
        let tls_server = self.tls_server(&key, raw, &all.tls);
        // One mistake does not hide the next: all is read before any of them ends it.
        let mut listener = ListenerSettings::new(name, NOWHERE.into(), kind.unwrap_or(ListenerKind::Mx));
        listener.proxy_networks =
            self.parse_all(&format!("{key}.proxy_networks"), &raw.proxy_networks, NETWORKS_REMEDY);
        listener.xclient_networks =
            self.parse_all(&format!("{key}.xclient_networks"), &raw.xclient_networks, NETWORKS_REMEDY);
        listener.networks = self.networks(&key, &raw.networks, mode);
        self.session_limits(&key, raw, &all.session, &mut listener)?;
        (listener.addresses, listener.tls, listener.tls_server) = (addresses, mode?, tls_server?);
        kind.map(|_| listener)
    }

    /// All addresses of a listener.
    fn addresses(&mut self, key: &str, raw: &RawListener) -> Vec<ListenAddress> {
        let first = self.parse(&format!("{key}.address"), &raw.address, LISTEN_REMEDY);
        let more = self.parse_all(&format!("{key}.addresses"), &raw.addresses, LISTEN_REMEDY);
        let absolute = |address| match address {
            ListenAddress::Unix(path) => ListenAddress::Unix(self.folder.join(path)),
            address => address,
        };
        first.into_iter().chain(more).map(absolute).collect()
    }

    /// The limits of a listener: its own, and those of all sessions.
    fn session_limits(
        &mut self,
        key: &str,
        raw: &RawListener,
        session: &RawSession,
        listener: &mut ListenerSettings,
    ) -> Option<()> {
        let bare = [("refuse", BareLineEnding::Refuse), ("repair", BareLineEnding::Repair)];
        let bare = self.choose("session.bare_line_endings", &session.bare_line_endings, &bare);
        listener.connections_max =
            self.bound(&format!("{key}.connections_max"), raw.connections_max, 1, 10_000_000);
        listener.connections_per_address_max = raw.connections_per_address_max;
        listener.backlog = self.bound(&format!("{key}.backlog"), raw.backlog, BACKLOG_MIN, 65_535);
        listener.auth_without_tls = raw.auth_without_tls;
        listener.mechanisms = self.mechanisms(key, raw.mechanisms.as_deref());
        listener.size_octets_max = raw.size_octets_max.unwrap_or(session.size_octets_max);
        listener.recipients_max = raw.recipients_max.unwrap_or(session.recipients_max);
        listener.command_octets_max = session.command_octets_max;
        listener.line_octets_max = session.line_octets_max;
        listener.hold_s_max = self.bound("session.hold_s_max", session.hold_s_max, 0, HOLD_S_MAX);
        listener.vrfy = self.choose("session.vrfy", &session.vrfy, &VRFY).unwrap_or_default();
        listener.binary_mime = session.binary_mime;
        listener.errors_max = session.errors_max;
        listener.junk_commands_max = session.junk_commands_max;
        listener.transactions_max = session.transactions_max;
        listener.chunks_max = session.chunks_max;
        listener.bare_line_ending = bare?;
        self.bound(&format!("{key}.recipients_max"), listener.recipients_max, 1, 1_000_000);
        Some(())
    }

    /// A name that can stand in a log line, a metric and a key path.
    pub(super) fn name(&mut self, key: &str, name: &str) {
        let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
        if name.is_empty() || name.len() > NAME_OCTETS_MAX || !name.chars().all(fits) {
            let remedy = format!("use 1 to {NAME_OCTETS_MAX} letters, digits, `-` and `_`");
            self.problems.push(key, Some(name.to_owned()), "can not be a name", remedy);
        }
    }

    fn distinct(&mut self, listeners: &[ListenerSettings]) {
        let mut seen: HashSet<&ListenAddress> = HashSet::new();
        let addresses = listeners.iter().flat_map(|listener| {
            listener.addresses.iter().map(move |address| (listener.name.as_str(), address))
        });
        for (name, address) in addresses.filter(|(_, address)| !is_any_port(address)) {
            if !seen.insert(address) {
                let key = format!("listeners.{name}.addresses");
                let value = Some(address.to_string());
                self.problems.push(&key, value, "it is listened on twice", "give each listener its own port");
            }
        }
    }

    pub(super) fn policy(&mut self, raw: &Raw) -> Policy {
        let session = &raw.session;
        self.bound("session.command_octets_max", session.command_octets_max, 512, 1 << 20);
        self.bound("session.received_max", session.received_max, 1, 1_000);
        self.bound("session.transactions_max", session.transactions_max, 1, u32::MAX);
        self.bound("session.errors_max", session.errors_max, 1, u32::MAX);
        self.bound("session.memory_octets_max", session.memory_octets_max, 1 << 20, u64::MAX);
        let too_complex = [("accept", TooComplexPolicy::Accept), ("refuse", TooComplexPolicy::Refuse)];
        let too_complex = self.choose("session.too_complex", &session.too_complex, &too_complex);
        let domain_remedy = "write a domain, such as \"example.org\"";
        let domains: Vec<Domain> = self.parse_all("local_domains", &raw.local_domains, domain_remedy);
        let postmaster = session.postmaster.as_deref();
        Policy {
            local_domains: domains.into_iter().collect(),
            relay_networks: self.parse_all(
                "session.relay_networks",
                &session.relay_networks,
                NETWORKS_REMEDY,
            ),
            postmaster: postmaster.and_then(|text| self.parse("session.postmaster", text, MAILBOX_REMEDY)),
            lifetime_s: self.bound("delivery.lifetime_s", raw.delivery.lifetime_s, 1, LIFETIME_S_MAX),
            received_max: session.received_max,
            memory_octets_max: session.memory_octets_max,
            rejections_recorded_max: session.rejections_recorded_max,
            auth_failures_max: self.bound("session.auth_failures_max", session.auth_failures_max, 1, 1_000),
            auth_failure_delay_ms: self.bound(
                "session.auth_failure_delay_ms",
                session.auth_failure_delay_ms,
                0,
                60_000,
            ),
            reverse_dns: session.reverse_dns,
            null_mx_senders: session.null_mx_senders,
            null_mx_recipients: session.null_mx_recipients,
            reports: ReportSettings {
                mailboxes: self.parse_all("reports.mailboxes", &raw.reports.mailboxes, MAILBOX_REMEDY),
                keep_s: self.bound("reports.keep_days", raw.reports.keep_days, 1, 36_500) * 86_400,
                from: None,
            },
            sign: raw.signing.enabled,
            sign_seven_bit: raw.signing.seven_bit,
            priority_from: self
                .choose("session.priority_from", &session.priority_from, &PRIORITY_FROM)
                .unwrap_or_default(),
            seal: self.seal(raw),
            verified_senders: raw.signing.verified_senders,
            too_complex: too_complex.unwrap_or(TooComplexPolicy::Accept),
            clients: self.clients(&raw.clients),
            pressure: self.pressure(&raw.pressure),
            deadlines: self.deadlines(raw),
            ..Policy::default()
        }
    }

    fn deadlines(&mut self, raw: &Raw) -> Deadlines {
        let session = &raw.session;
        let handshake_s = self.bound("tls.handshake_s", raw.tls.handshake_s, 1, 86_400);
        let mut seconds = |key: &str, value: u64| self.bound(&format!("session.{key}"), value, 1, 86_400);
        Deadlines {
            handshake_s,
            command_s: seconds("command_s", session.command_s),
            data_s: seconds("data_s", session.data_s),
            answer_s: seconds("answer_s", session.answer_s),
            write_s: seconds("write_s", session.write_s),
            session_s: seconds("session_s", session.session_s),
            transaction_s: seconds("transaction_s", session.transaction_s),
            generation_s: seconds("generation_s", session.generation_s),
            data_octets_per_s: self.bound("session.data_octets_per_s", session.data_octets_per_s, 1, 1 << 30),
        }
    }
}

/// Port 0: the system chooses, each time another.
fn is_any_port(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Tcp(address) if address.port() == 0)
}

/// Whose mail may go before that of others.
const PRIORITY_FROM: [(&str, PriorityFrom); 3] =
    [("nobody", PriorityFrom::Nobody), ("trusted", PriorityFrom::Trusted), ("all", PriorityFrom::All)];
/// What clients learn who ask about a mailbox.
const VRFY: [(&str, VrfyPolicy); 4] = [
    ("off", VrfyPolicy::Off),
    ("silent", VrfyPolicy::Silent),
    ("recipients", VrfyPolicy::Recipients),
    ("next-hop", VrfyPolicy::NextHop),
];
/// What RFC 4865 4 can say: nine digits.
const HOLD_S_MAX: u32 = 999_999_999;
/// Stands for the address until it is set.
const NOWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
/// What is right where a listener's address is meant.
const LISTEN_REMEDY: &str = "write address:port, such as \"0.0.0.0:25\" or \"[::]:25\", or \"unix:/path\"";
/// What is right where networks are meant.
pub(super) const NETWORKS_REMEDY: &str =
    "write network/length, such as \"192.0.2.0/24\" or \"2001:db8::1/128\"";
/// What is right where a mailbox is meant.
pub(super) const MAILBOX_REMEDY: &str = "write an address, such as \"postmaster@example.org\"";
/// Below it, a burst of clients overflows the kernel's queue, and with SYN cookies they wait for a greeting in vain.
const BACKLOG_MIN: u32 = 64;
/// A year: longer is a mistake.
const LIFETIME_S_MAX: u64 = 366 * 86_400;
