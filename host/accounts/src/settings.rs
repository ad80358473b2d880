//! What the operator may set about accounts.

use crate::tokens::IssuerSettings;

/// The settings of accounts. Every bound has its unit in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// Passwords that are hashed or checked at once. Fixed at the start.
    pub hashes_at_once_max: usize,
    /// How long an AUTH may wait for its turn, in milliseconds; then 454.
    pub hash_wait_ms: u64,
    /// Memory of one argon2id hash of a new password, in KiB.
    pub hash_memory_kib: u32,
    /// Passes of argon2id over it.
    pub hash_passes: u32,
    /// Rounds of PBKDF2 in the SCRAM keys of a new password; none makes no such keys.
    pub scram_iterations: Option<u32>,
    /// How often somebody may be wrong.
    pub failures: FailureLimits,
    /// Whose tokens are taken.
    pub issuers: Vec<IssuerSettings>,
    /// Tokens of others are for plugins to judge.
    pub tokens_to_plugins: bool,
}

/// How often somebody may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimits {
    /// Leading bits that make the network of an IPv4 client.
    pub ipv4_network_bits: u8,
    /// Leading bits that make the network of an IPv6 client.
    pub ipv6_network_bits: u8,
    /// Failures of one network within the window.
    pub per_network_max: u32,
    /// Failures for one account within the window, from networks where it never succeeded.
    pub per_account_max: u32,
    /// The window, in seconds.
    pub window_s: u64,
}

impl Default for AccountSettings {
    fn default() -> AccountSettings {
        AccountSettings {
            hashes_at_once_max: 2,
            hash_wait_ms: 10_000,
            // OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
            hash_memory_kib: 19_456,
            hash_passes: 2,
            scram_iterations: Some(65_536),
            failures: FailureLimits {
                ipv4_network_bits: 24,
                ipv6_network_bits: 48,
                per_network_max: 20,
                per_account_max: 50,
                window_s: 900,
            },
            issuers: Vec::new(),
            tokens_to_plugins: false,
        }
    }
}
