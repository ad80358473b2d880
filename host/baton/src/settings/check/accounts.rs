//! Accounts.

use std::collections::HashSet;

use baton_accounts::{AccountSettings, FailureLimits, IssuerSettings, KeySource, TokenAlgorithm};
use baton_hooks::{HttpHost, HttpUrl};
use baton_inbound::ClientLimits;
use baton_smtp::server::{Mechanism, Mechanisms};

use super::Checker;
use crate::settings::raw::{RawAccounts, RawIssuer};

impl Checker<'_> {
    /// `networks` are as those of [clients].
    pub(super) fn accounts(&mut self, raw: &RawAccounts, networks: &ClientLimits) -> AccountSettings {
        let rounds = self.bound("accounts.scram_iterations", raw.scram_iterations, 4_096, 10_000_000);
        let issuers = self.issuers(raw);
        AccountSettings {
            issuers,
            tokens_to_plugins: raw.tokens_to_plugins,
            hashes_at_once_max: self.bound("accounts.hashes_at_once_max", raw.hashes_at_once_max, 1, 1_024),
            hash_wait_ms: self.bound("accounts.hash_wait_ms", raw.hash_wait_ms, 1, 300_000),
            hash_memory_kib: self.bound("accounts.hash_memory_kib", raw.hash_memory_kib, 64, 4 << 20),
            hash_passes: self.bound("accounts.hash_passes", raw.hash_passes, 1, 1_000),
            scram_iterations: raw.scram.then_some(rounds),
            failures: FailureLimits {
                ipv4_network_bits: networks.ipv4_network_bits,
                ipv6_network_bits: networks.ipv6_network_bits,
                per_network_max: self.bound(
                    "accounts.failures_per_network_max",
                    raw.failures_per_network_max,
                    1,
                    u32::MAX,
                ),
                per_account_max: self.bound(
                    "accounts.failures_per_account_max",
                    raw.failures_per_account_max,
                    1,
                    u32::MAX,
                ),
                window_s: self.bound("accounts.failures_window_s", raw.failures_window_s, 1, 86_400),
            },
        }
    }

    fn issuers(&mut self, raw: &RawAccounts) -> Vec<IssuerSettings> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for (name, one) in &raw.issuers.0 {
            let key = format!("accounts.issuers.{name}");
            self.name(&key, name);
            if !seen.insert(&one.issuer) {
                let reason = "there is another one of that `issuer`";
                self.problems.push(&key, Some(one.issuer.clone()), reason, "put both into one");
            }
            all.extend(self.issuer(&key, name, one));
        }
        all
    }

    fn issuer(&mut self, key: &str, name: &str, raw: &RawIssuer) -> Option<IssuerSettings> {
        let missing = [
            ("issuer", raw.issuer.is_empty(), "write what its tokens have as `iss`"),
            ("audiences", raw.audiences.is_empty(), "write what its tokens for this relay have as `aud`"),
            ("algorithms", raw.algorithms.is_empty(), "write \"RS256\", \"ES256\" or \"EdDSA\""),
            ("account_claim", raw.account_claim.is_empty(), "write \"email\" or \"sub\""),
        ];
        for (field, _, remedy) in missing.into_iter().filter(|(_, is_missing, _)| *is_missing) {
            self.problems.push(&format!("{key}.{field}"), None, "it is missing", remedy);
        }
        let keys = self.key_source(key, raw);
        let algorithms = raw.algorithms.iter().enumerate().filter_map(|(index, name)| {
            self.choose(&format!("{key}.algorithms[{index}]"), name, &TokenAlgorithm::NAMES)
        });
        let algorithms = algorithms.collect();
        let unknown = [("refuse", false), ("accept", true)];
        let admits_unknown =
            self.choose(&format!("{key}.unknown_accounts"), &raw.unknown_accounts, &unknown)?;
        Some(IssuerSettings {
            name: name.to_owned(),
            issuer: raw.issuer.clone(),
            keys: keys?,
            audiences: raw.audiences.clone(),
            algorithms,
            account_claim: raw.account_claim.clone(),
            scope: raw.scope.clone(),
            leeway_s: self.bound(&format!("{key}.leeway_s"), raw.leeway_s, 0, 600),
            refresh_s: self.bound(&format!("{key}.refresh_s"), raw.refresh_s, 1, 604_800),
            refresh_min_s: self.bound(&format!("{key}.refresh_min_s"), raw.refresh_min_s, 0, 86_400),
            stale_s: self.bound(&format!("{key}.stale_s"), raw.stale_s, raw.refresh_s, 31_536_000),
            admits_unknown,
        })
    }

    /// Keys that come in plain text over a network may be anybody's.
    fn key_source(&mut self, key: &str, raw: &RawIssuer) -> Option<KeySource> {
        const REMEDY: &str = "write the address of its keys, \"https://…\", or `jwks_file`";
        let field = format!("{key}.jwks_url");
        let url = match (&raw.jwks_url, &raw.jwks_file) {
            (None, Some(file)) => return Some(KeySource::File(self.folder.join(file))),
            (Some(url), None) => url,
            (None, None) => {
                self.problems.push(&field, None, "there is neither an address nor a file", REMEDY);
                return None;
            }
            (Some(_), Some(_)) => {
                self.problems.push(&field, None, "there are an address and a file", "remove one of them");
                return None;
            }
        };
        match HttpUrl::parse(url) {
            Ok(parsed) if parsed.is_tls || is_here(&parsed.host) => Some(KeySource::Url(url.clone())),
            Ok(_) => {
                let reason = "whoever is in between could give other keys";
                self.problems.push(&field, Some(url.clone()), reason, REMEDY);
                None
            }
            Err(error) => {
                self.problems.push(&field, Some(url.clone()), error, REMEDY);
                None
            }
        }
    }

    /// The mechanisms of a listener.
    pub(super) fn mechanisms(&mut self, key: &str, names: Option<&[String]>) -> Option<Mechanisms> {
        let choices = Mechanism::ALL.map(|mechanism| (mechanism.as_str(), mechanism));
        let mut read = |(index, name): (usize, &String)| {
            self.choose(&format!("{key}.mechanisms[{index}]"), name, &choices)
        };
        names.map(|names| names.iter().enumerate().filter_map(&mut read).collect())
    }
}

/// True for this machine.
fn is_here(host: &HttpHost) -> bool {
    match host {
        HttpHost::Address(address) => address.is_loopback(),
        HttpHost::Name(name) => name == "localhost",
    }
}
