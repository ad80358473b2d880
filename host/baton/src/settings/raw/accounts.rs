//! Accounts.

use std::path::PathBuf;

use crate::settings::field::{Named, section};

section! {
    /// The accounts of `baton user`: how their passwords are kept, and how often somebody may be wrong.
    RawAccounts {
        /// Passwords that are checked or hashed at once; more wait. Each takes `hash_memory_kib` and keeps a processor busy for some 20 ms.
        hashes_at_once_max: usize = 2,
        /// How long an AUTH may wait for its turn, in milliseconds; then it is told 454.
        hash_wait_ms: u64 = 10_000,
        /// Memory of one argon2id hash, in KiB. Holds for new passwords; older ones are checked as they were made. 19 MiB with two passes is OWASP's first choice.
        hash_memory_kib: u32 = 19_456,
        /// Passes of argon2id over that memory.
        hash_passes: u32 = 2,
        /// Keeps the keys of SCRAM-SHA-256 beside the hash of each new password. They are weaker than the hash when somebody steals the store; without them there is no SCRAM.
        scram: bool = true,
        /// Rounds of PBKDF2 in these keys (RFC 7677 4 asks for 4,096 at least). The work is the client's, at each AUTH.
        scram_iterations: u32 = 65_536,
        /// Failed AUTH commands of one network, as large as `clients` says, within the window; then its sessions are told 421. Clients of the relay networks do not count.
        failures_per_network_max: u32 = 20,
        /// Failed AUTH commands for one account within the window; then it is told 454, but for networks where it succeeded within thirty days.
        failures_per_account_max: u32 = 50,
        /// The window, in seconds.
        failures_window_s: u64 = 900,
        /// Whose tokens are taken by OAUTHBEARER and XOAUTH2, each under a name. Without any they are not offered.
        issuers: Named<RawIssuer> = Named(Vec::new()),
        /// Gives tokens that no issuer here made to plugins that serve the hook `auth`, and offers both mechanisms where there is one.
        tokens_to_plugins: bool = false,
    }
}

section! {
    /// One issuer of tokens: an OpenID provider whose JSON Web Tokens are checked here.
    RawIssuer {
        /// What its tokens have as `iss`, exactly.
        issuer: String = String::new(),
        /// The address of its keys (`jwks_uri` of its configuration), `https://…`; `http://` only on this machine.
        jwks_url: Option<String> = None,
        /// Instead, a file with its keys. It is read when the keys are needed and older than `refresh_s`.
        jwks_file: Option<PathBuf> = None,
        /// What its tokens have as `aud`: one of these.
        audiences: Vec<String> = Vec::new(),
        /// The signature algorithms that are taken.
        algorithms: Vec<String> = ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec(),
        /// The claim that names the account. With `email`, a token whose `email_verified` is not true is not taken.
        account_claim: String = "email".to_owned(),
        /// A scope that tokens must have, such as `mail.send`. Clients are told it.
        scope: Option<String> = None,
        /// How far the clocks may be apart, in seconds.
        leeway_s: u64 = 30,
        /// After how long the keys are fetched again, in seconds.
        refresh_s: u64 = 3_600,
        /// How long after a try to fetch them no other follows, in seconds. A token with a key that is not known is a reason to try.
        refresh_min_s: u64 = 60,
        /// How long keys are used that can not be fetched again, in seconds; then clients are told 454.
        stale_s: u64 = 86_400,
        /// What becomes of an account that `baton user` did not make: `refuse`, or `accept` to let it send in its own name.
        unknown_accounts: String = "refuse".to_owned(),
    }
}
