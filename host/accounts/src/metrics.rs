//! Metrics of accounts. Every label has a fixed, small set of values.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// How an AUTH ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AuthLabel {
    /// The mechanism.
    pub mechanism: &'static str,
    /// `ok`, `wrong`, `blocked-network`, `blocked-account`, `unavailable`.
    pub result: &'static str,
}

/// What was beyond a quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QuotaLabel {
    /// `messages` or `recipients`.
    pub what: &'static str,
}

/// All metrics of this crate.
#[derive(Debug, Default)]
pub struct Metrics {
    /// AUTH commands by how they ended.
    pub authentications: Family<AuthLabel, Counter>,
    /// Refusals because of a quota.
    pub quota_refusals: Family<QuotaLabel, Counter>,
}

impl Metrics {
    /// Names all metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "baton_session_authentications",
            "AUTH by mechanism and result",
            self.authentications.clone(),
        );
        registry.register(
            "baton_session_quota_refusals",
            "Refusals beyond an account's quota",
            self.quota_refusals.clone(),
        );
    }

    /// Counts an AUTH.
    pub fn count(&self, mechanism: &'static str, result: &'static str) {
        self.authentications.get_or_create(&AuthLabel { mechanism, result }).inc();
    }
}
