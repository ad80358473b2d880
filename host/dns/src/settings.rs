//! What an operator may say about name lookups.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Whom to ask, how long to wait, how much to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Servers to ask, by UDP and TCP; when there are none, those of the system's configuration.
    pub servers: Vec<SocketAddr>,
    /// How long one server may take for one try, in milliseconds. Default 3,000.
    pub timeout_ms: u64,
    /// Tries at most. Default 2.
    pub attempts: usize,
    /// Answers kept in memory at most, negative ones included. Default 32,768.
    pub cache_entries_max: usize,
    /// Whether answers about mail hosts are proved by signatures. Default `Auto`.
    pub dnssec: Dnssec,
    /// A file of DNSKEY records that are believed; without one, the keys of the root.
    pub trust_anchor_file: Option<PathBuf>,
}

/// Whether answers about mail hosts are proved by signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dnssec {
    /// No; so there is no DANE.
    Off,
    /// When the name servers pass signatures on. Once they were seen to do so, answers must be proved until the end of
    /// the process, so that nobody who sits between can turn it off.
    #[default]
    Auto,
    /// Always: without signatures of the root nothing can be looked up.
    Validate,
}

impl DnsSettings {
    /// How long one lookup may take in all, aliases, both address families and other servers included.
    pub fn deadline(&self) -> Duration {
        let tries = u64::try_from(self.attempts.max(1)).unwrap_or(1).saturating_add(1);
        Duration::from_millis(self.timeout_ms.max(1).saturating_mul(tries))
    }
}

impl Default for DnsSettings {
    fn default() -> DnsSettings {
        DnsSettings {
            servers: Vec::new(),
            timeout_ms: 3_000,
            attempts: 2,
            cache_entries_max: 32_768,
            dnssec: Dnssec::default(),
            trust_anchor_file: None,
        }
    }
}
