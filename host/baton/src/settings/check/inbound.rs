//! Listeners and sessions.

use std::collections::HashSet;
use std::net::SocketAddr;

use baton_inbound::{Deadlines, InboundSettings, ListenerKind, ListenerSettings, Policy, TooComplexPolicy};
use baton_mail::Domain;
use baton_smtp::server::BareLineEnding;

use super::{ADDRESS_REMEDY, Checker};
use crate::settings::raw::{Raw, RawListener, RawSession};

/// A listener's or plugin's name at most: it stands in logs and metrics.
pub(super) const NAME_OCTETS_MAX: usize = 64;

impl Checker<'_> {
    pub(super) fn inbound(&mut self, raw: &Raw, hostname: &Domain) -> InboundSettings {
        let default = [("smtp".to_owned(), RawListener::default())];
        let given = if raw.listeners.0.is_empty() { &default[..] } else { &raw.listeners.0[..] };
        let listeners: Vec<_> =
            given.iter().filter_map(|(name, listener)| self.listener(name, listener, &raw.session)).collect();
        self.distinct(&listeners);
        let mut settings = InboundSettings::new(hostname.clone(), listeners);
        settings.sessions_max = self.bound("session.sessions_max", raw.session.sessions_max, 1, 10_000_000);
        settings.drain_s = self.bound("drain_s", raw.drain_s, 0, 86_400);
        settings
    }

    fn listener(&mut self, name: &str, raw: &RawListener, session: &RawSession) -> Option<ListenerSettings> {
        let key = format!("listeners.{name}");
        self.name(&key, name);
        let kinds = [
            ("relay", ListenerKind::Relay),
            ("submission", ListenerKind::Submission),
            ("lmtp", ListenerKind::Lmtp),
        ];
        let kind = self.choose(&format!("{key}.kind"), &raw.kind, &kinds);
        let address = self.parse(&format!("{key}.address"), &raw.address, ADDRESS_REMEDY);
        let bare = [("refuse", BareLineEnding::Refuse), ("repair", BareLineEnding::Repair)];
        let bare = self.choose("session.bare_line_endings", &session.bare_line_endings, &bare);
        let mut listener = ListenerSettings::new(name, address?, kind?);
        listener.connections_max =
            self.bound(&format!("{key}.connections_max"), raw.connections_max, 1, 10_000_000);
        listener.connections_per_address_max = raw.connections_per_address_max;
        listener.backlog = self.bound(&format!("{key}.backlog"), raw.backlog, BACKLOG_MIN, 65_535);
        listener.auth_without_tls = raw.auth_without_tls;
        listener.size_octets_max = raw.size_octets_max.unwrap_or(session.size_octets_max);
        listener.recipients_max = raw.recipients_max.unwrap_or(session.recipients_max);
        listener.command_octets_max = session.command_octets_max;
        listener.line_octets_max = session.line_octets_max;
        listener.errors_max = session.errors_max;
        listener.junk_commands_max = session.junk_commands_max;
        listener.transactions_max = session.transactions_max;
        listener.chunks_max = session.chunks_max;
        listener.bare_line_ending = bare?;
        self.bound(&format!("{key}.recipients_max"), listener.recipients_max, 1, 1_000_000);
        Some(listener)
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
        let mut seen: HashSet<SocketAddr> = HashSet::new();
        for listener in listeners.iter().filter(|listener| listener.address.port() != 0) {
            if !seen.insert(listener.address) {
                let key = format!("listeners.{}.address", listener.name);
                let value = Some(listener.address.to_string());
                self.problems.push(
                    &key,
                    value,
                    "another listener has this address",
                    "give each its own port",
                );
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
        let networks_remedy = "write network/length, such as \"192.0.2.0/24\" or \"2001:db8::1/128\"";
        let postmaster = session.postmaster.as_deref();
        Policy {
            local_domains: domains.into_iter().collect(),
            relay_networks: self.parse_all(
                "session.relay_networks",
                &session.relay_networks,
                networks_remedy,
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
            sign: raw.signing.enabled,
            verified_senders: raw.signing.verified_senders,
            too_complex: too_complex.unwrap_or(TooComplexPolicy::Accept),
            deadlines: self.deadlines(session),
            ..Policy::default()
        }
    }

    fn deadlines(&mut self, session: &RawSession) -> Deadlines {
        let mut seconds = |key: &str, value: u64| self.bound(&format!("session.{key}"), value, 1, 86_400);
        Deadlines {
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

/// What is right where a mailbox is meant.
pub(super) const MAILBOX_REMEDY: &str = "write an address, such as \"postmaster@example.org\"";
/// Below it, a burst of clients overflows the kernel's queue, and with SYN cookies they wait for a greeting in vain.
const BACKLOG_MIN: u32 = 64;
/// A year: longer is a mistake.
const LIFETIME_S_MAX: u64 = 366 * 86_400;
