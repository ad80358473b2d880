//! From what stands in the file to what the stages take: all that is wrong is found and told, not only the first.

mod accounts;
mod api;
mod body_keys;
mod checks;
mod clients;
mod delivery;
mod feed;
mod inbound;
mod nats;
mod networks;
mod plugins;
mod policies;
mod reports;
mod retry;
mod returns;
mod running;
mod security;
mod shaping;
mod sources;
mod streams;
mod suppression;
mod templates;
pub(crate) mod tls;
mod tracking;
mod trust;

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use baton_accounts::AccountSettings;
use baton_dns::{DnsSettings, Dnssec, Resolver};
use baton_hooks::trust::TrustedKey;
use baton_hooks::{EngineSettings, Hook, PluginSettings, Thresholds};
use baton_identity::domains::{Domains, Inspector};
use baton_inbound::{InboundSettings, Policy};
use baton_mail::Domain;
use baton_mail::lane::LaneWeights;
use baton_outbound::{OutboundSettings, Source};
use baton_store::StoreSettings;
use baton_store::suppression::Rules;
use baton_tls::CertificateSettings;

use self::api::ApiSettings;
use self::tls::AcmeChecked;
use super::problem::Problems;
use super::raw::{Raw, RawDns, RawLanes, RawStore};
use crate::privileges::Privileges;
use crate::registry::RegistrySettings;
use crate::reporting::ReportingSettings;
use crate::wiring::{FollowSettings, HttpSettings, TrackingSettings};

/// Settings that are fit to run with.
#[derive(Debug)]
pub(crate) struct Checked {
    /// As they stand in the file, to see what a reload changes.
    pub(crate) raw: Raw,
    /// Who the relay becomes once its ports are open.
    pub(crate) privileges: Privileges,
    /// Threads of the runtime; none is one for each processor.
    pub(crate) worker_threads: Option<usize>,
    /// The folder of all state.
    pub(crate) state_path: PathBuf,
    pub(crate) store: StoreSettings,
    pub(crate) dns: DnsSettings,
    pub(crate) inbound: InboundSettings,
    /// Where certificates come from; none when no listener speaks TLS.
    pub(crate) certificates: Option<CertificateSettings>,
    /// A certificate by ACME, where one is wanted.
    pub(crate) acme: Option<AcmeChecked>,
    pub(crate) policy: Policy,
    pub(crate) accounts: AccountSettings,
    pub(crate) outbound: OutboundSettings,
    /// Links that tell of opens and clicks.
    pub(crate) tracking: TrackingSettings,
    /// Our reports about others.
    pub(crate) reporting: ReportingSettings,
    /// To whom nothing is sent.
    pub(crate) suppression: Arc<Rules>,
    pub(crate) engine: EngineSettings,
    pub(crate) http: HttpSettings,
    /// Those who follow what happens.
    pub(crate) follow: FollowSettings,
    /// How plugins are fetched.
    pub(crate) registry: RegistrySettings,
    /// Octets of compiled plugins that are kept; 0 is none.
    pub(crate) plugin_cache_octets: u64,
    pub(crate) plugins: Vec<PluginSettings>,
    /// Whose signatures count.
    pub(crate) trusted_keys: Arc<[TrustedKey]>,
    pub(crate) order: HashMap<Hook, Vec<String>>,
    pub(crate) thresholds: Thresholds,
    /// The files whose change is a reason to load anew, beside the settings; none when they are not watched.
    pub(crate) watched: Option<Vec<PathBuf>>,
    pub(crate) log: LogSettings,
    pub(crate) api: ApiSettings,
}

impl Checked {
    /// The domains in whose name the relay signs: a folder below its state.
    pub(crate) fn domains(&self) -> Domains {
        Domains::new(self.state_path.join("domains"))
    }

    /// What looks at these domains.
    pub(crate) fn inspector(&self, resolver: Resolver) -> Inspector {
        let hostname = &self.inbound.hostname;
        let named = |source: &Arc<Source>| {
            let name = source.ehlo.as_ref().unwrap_or(hostname).clone();
            source.addresses.iter().map(|address| (*address, name.clone())).collect::<Vec<_>>()
        };
        let addresses = self.outbound.sources.all().iter().flat_map(named).collect();
        Inspector::new(self.domains(), resolver, hostname.clone(), addresses)
    }
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
    pub(crate) buffer_lines_max: usize,
    /// Addresses are written as keyed hashes.
    pub(crate) hides_addresses: bool,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Where the admin socket is, by settings that may be wrong elsewhere.
pub(crate) fn admin_socket(raw: &Raw, folder: &Path) -> PathBuf {
    api::socket_path(&raw.api, folder, &state_path(raw, folder))
}

/// The folder of all that is kept.
fn state_path(raw: &Raw, folder: &Path) -> PathBuf {
    folder.join(&raw.store.path)
}

/// Checks all; `folder` is where relative paths start.
pub(crate) fn check(raw: &Raw, folder: &Path) -> Result<Checked, Problems> {
    let mut checker = Checker { problems: Problems::default(), folder };
    let hostname = checker.hostname(raw.hostname.as_deref());
    let state_path = state_path(raw, folder);
    let inbound = checker.inbound(raw, &hostname);
    let mut policy = Policy { checks: checker.checks(raw, &hostname, &inbound), ..checker.policy(raw) };
    let store =
        StoreSettings { events_days: checker.events_days(raw), ..checker.store(&raw.store, &state_path) };
    let mut outbound = checker.outbound(raw, &hostname, &inbound);
    outbound.limits.lane_weights = store.lane_weights;
    let suppression = Arc::new(checker.suppression(&raw.suppression, &policy.local_domains));
    policy.suppressed_at_rcpt = checker.at_rcpt(&raw.suppression);
    policy.streams = checker.streams(&raw.streams);
    let streams = policy.streams.clone();
    let (verp, classes) = (&outbound.dsn.verp_domains, &outbound.classes);
    policy.returns = checker.returns(raw, &policy.local_domains, verp, classes);
    let reporting = checker.reporting(raw, &hostname, &outbound.dsn.from);
    policy.reports.from = reporting.dmarc.then(|| reporting.from.clone());
    let trusted = checker.trust(&raw.plugin_trust);
    let plugins = checker.plugins(raw, &trusted);
    let order = checker.order(raw, &plugins);
    let acme = checker.acme(&raw.tls.acme, &state_path, &hostname);
    let checked = Checked {
        certificates: checker.certificates(raw, &state_path, &hostname, &inbound.listeners, acme.as_ref()),
        acme,
        privileges: checker.privileges(raw),
        worker_threads: checker.worker_threads(raw.worker_threads),
        store,
        accounts: checker.accounts(&raw.accounts, &policy.clients),
        dns: checker.dns(&raw.dns),
        engine: checker.engine(&raw.engine),
        http: checker.http(&raw.http),
        follow: checker.follow(raw),
        registry: checker.registry(raw, &state_path),
        thresholds: checker.thresholds(&raw.hooks.thresholds),
        plugin_cache_octets: raw.engine.cache_octets_max,
        tracking: checker.tracking(raw, &state_path, &policy.local_domains, &policy.returns),
        log: checker.log(raw),
        api: checker.api(raw, &state_path, streams),
        raw: raw.clone(),
        state_path,
        inbound,
        policy,
        outbound,
        reporting,
        suppression,
        plugins,
        trusted_keys: trusted.keys,
        watched: checker.watched(raw),
        order,
    };
    if checker.problems.is_empty() { Ok(checked) } else { Err(checker.problems) }
}

/// Collects what is wrong.
pub(crate) struct Checker<'a> {
    problems: Problems,
    folder: &'a Path,
}

impl Checker<'_> {
    /// Reads a text by `FromStr`.
    fn parse<T: FromStr>(&mut self, key: &str, text: &str, remedy: &str) -> Option<T>
    where
        T::Err: Display,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.push(key, Some(text.to_owned()), error, remedy);
                None
            }
        }
    }

    /// Reads each text of a list.
    fn parse_all<T: FromStr>(&mut self, key: &str, texts: &[String], remedy: &str) -> Vec<T>
    where
        T::Err: Display,
    {
        let read = |(index, text): (usize, &String)| self.parse(&format!("{key}[{index}]"), text, remedy);
        texts.iter().enumerate().filter_map(read).collect()
    }

    /// One of a few words.
    fn choose<T: Copy>(&mut self, key: &str, text: &str, choices: &[(&str, T)]) -> Option<T> {
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            let remedy = format!("write {}", names.join(" or "));
            self.problems.push(key, Some(text.to_owned()), "there is no such choice", remedy);
        }
        found
    }

    /// Notes a problem unless `value` lies between the bounds.
    fn bound<T: PartialOrd + Display + Copy>(&mut self, key: &str, value: T, least: T, most: T) -> T {
        if !(least <= value && value <= most) {
            let remedy = format!("write a number from {least} to {most}");
            self.problems.push(key, Some(value.to_string()), "out of range", remedy);
        }
        value
    }

    fn hostname(&mut self, given: Option<&str>) -> Domain {
        if let Some(text) = given {
            let remedy = "write the relay's full name, such as \"mx.example.org\"";
            return self.parse("hostname", text, remedy).unwrap_or_else(localhost);
        }
        let machine = rustix::system::uname();
        machine.nodename().to_str().ok().and_then(|name| name.parse().ok()).unwrap_or_else(localhost)
    }

    fn privileges(&mut self, raw: &Raw) -> Privileges {
        let found = Privileges::find(raw.user.as_deref(), raw.group.as_deref());
        found.unwrap_or_else(|(key, given, reason)| {
            let remedy = "write the name or number of one that this machine has";
            self.problems.push(key, Some(given), reason, remedy);
            Privileges::default()
        })
    }

    fn worker_threads(&mut self, given: Option<usize>) -> Option<usize> {
        given.map(|threads| self.bound("worker_threads", threads, 1, WORKER_THREADS_MAX))
    }

    fn store(&mut self, raw: &RawStore, state_path: &Path) -> StoreSettings {
        self.bound("store.chunk_octets", raw.chunk_octets, 64 << 10, 64 << 20);
        self.bound("store.claimed_max", raw.claimed_max, 1, 10_000_000);
        self.bound("store.write_deadline_ms", raw.write_deadline_ms, 1, 3_600_000);
        self.bound("store.write_buffer_octets", raw.write_buffer_octets, 1 << 20, 16 << 30);
        self.bound("store.history_days", raw.history_days, 1, 36_500);
        self.bound("store.addresses_days", raw.addresses_days, 0, 36_500);
        StoreSettings {
            sync_delay_ms: raw.sync_delay_ms,
            free_octets_min: raw.free_octets_min,
            free_inodes_min: raw.free_inodes_min,
            write_deadline_ms: raw.write_deadline_ms,
            memory_body_octets_max: raw.memory_body_octets_max,
            chunk_octets: raw.chunk_octets,
            commit_octets_max: raw.commit_octets_max,
            body_keys: self.body_keys(raw.body_keys_file.as_deref()),
            history_days: raw.history_days,
            addresses_days: raw.addresses_days,
            write_buffer_octets: raw.write_buffer_octets,
            block_cache_octets: raw.block_cache_octets,
            stuck_after_s: self.bound("store.stuck_after_s", raw.stuck_after_s, 1, 30 * 86_400),
            claimed_max: raw.claimed_max,
            backlog_per_s: self.bound("store.backlog_per_s", raw.backlog_per_s, 1, 10_000_000),
            lane_weights: self.lanes(&raw.lanes),
            kv_octets_per_bucket_max: raw.kv_octets_per_bucket_max,
            kv_pending_octets_max: raw.kv_pending_octets_max,
            ..StoreSettings::new(state_path.join("queue"))
        }
    }

    fn lanes(&mut self, raw: &RawLanes) -> LaneWeights {
        let mut weight = |key: &str, value| self.bound(&format!("store.lanes.{key}"), value, 1, 1_000);
        LaneWeights {
            high: weight("high", raw.high),
            normal: weight("normal", raw.normal),
            low: weight("low", raw.low),
        }
    }

    fn dns(&mut self, raw: &RawDns) -> DnsSettings {
        DnsSettings {
            servers: self.parse_all(
                "dns.servers",
                &raw.servers,
                "write address:port, such as \"192.0.2.53:53\"",
            ),
            timeout_ms: self.bound("dns.timeout_ms", raw.timeout_ms, 1, 60_000),
            attempts: self.bound("dns.attempts", raw.attempts, 1, 10),
            cache_entries_max: self.bound("dns.cache_entries_max", raw.cache_entries_max, 1, 100_000_000),
            dnssec: self.choose("dns.dnssec", &raw.dnssec, &DNSSEC).unwrap_or_default(),
            trust_anchor_file: raw.trust_anchor_file.as_ref().map(|path| self.folder.join(path)),
        }
    }

    fn log(&mut self, raw: &Raw) -> LogSettings {
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        if let Err(error) = crate::logs::read_filter(&raw.log.filter) {
            let remedy = "write a level such as \"info\", or pairs such as \"session=debug,info\"";
            self.problems.push("log.filter", Some(raw.log.filter.clone()), error.root_cause(), remedy);
        }
        LogSettings {
            format: self.choose("log.format", &raw.log.format, &formats).unwrap_or(LogFormat::Text),
            filter: raw.log.filter.clone(),
            buffer_lines_max: self.bound("log.buffer_lines_max", raw.log.buffer_lines_max, 1, 10_000_000),
            hides_addresses: self
                .choose("log.addresses", &raw.log.addresses, &[("plain", false), ("hashed", true)])
                .unwrap_or(true),
        }
    }
}

fn localhost() -> Domain {
    "localhost".parse().expect("a label is a domain")
}

/// Whether answers about mail hosts are proved.
const DNSSEC: [(&str, Dnssec); 3] =
    [("auto", Dnssec::Auto), ("validate", Dnssec::Validate), ("off", Dnssec::Off)];
/// What is right where an address and port are meant.
const ADDRESS_REMEDY: &str = "write address:port, such as \"127.0.0.1:2525\" or \"[::1]:2525\"";
/// More threads than any machine has processors is a mistake.
const WORKER_THREADS_MAX: usize = 4_096;
