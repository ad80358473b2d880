//! Who users are: passwords, SCRAM, tokens, how often somebody may be wrong, and how much an account may send.
//!
//! Invariant: no password and no token is in a log, an error or a debug output, and none outlives the call which judges
//! it. What the store keeps of a password is a hash (argon2id) and the keys of SCRAM.
//!
//! Invariant: nothing is remembered of a successful authentication that would make the next one easier.
//!
//! Invariant: an account that is not there is answered as one whose password is wrong: by the same words and after the
//! same work.
//!
//! Invariant: hashing happens on threads of its own, a bounded number at a time.

mod attempts;
mod authenticator;
mod bearer;
mod keys;
pub mod metrics;
mod passwords;
mod quotas;
mod settings;
mod tokens;

pub use attempts::{Attempt, Blocked};
pub use authenticator::{Authenticator, Judgement, ScramStart};
pub use keys::{Fetch, KEYS_OCTETS_MAX};
pub use metrics::Metrics;
pub use passwords::{PASSWORD_OCTETS_MAX, PasswordError};
pub use quotas::{QuotaHolder, QuotaRefusal};
pub use settings::{AccountSettings, FailureLimits};
pub use tokens::{IssuerSettings, KeySource, TokenAlgorithm, TokenVerdict};
