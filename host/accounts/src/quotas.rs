//! How much an account may send. What was used is in the store, so a restart gives nothing back.

use baton_mail::Account;
use baton_mail::account::Quota;
use baton_store::{Kv, KvError};

/// The bucket of the key-value store; plugins' buckets have a slash in their names.
const BUCKET: &str = "#quota";
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Why somebody may not send this now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaRefusal {
    /// It sent all that it may.
    #[error("This {whose} may send {limit} {what} in {period}; try again in {retry_after_s} s")]
    Used {
        /// Whose quota it is: account, tenant or stream.
        whose: &'static str,
        /// Messages or recipients.
        what: &'static str,
        /// How many.
        limit: u32,
        /// In which time.
        period: &'static str,
        /// When it may go on, in seconds.
        retry_after_s: u64,
    },
    /// The store does not say.
    #[error("the quota can not be looked up: {0}")]
    Unavailable(#[from] KvError),
}

impl QuotaRefusal {
    /// When it may go on, in seconds.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            QuotaRefusal::Used { retry_after_s, .. } => Some(*retry_after_s),
            QuotaRefusal::Unavailable(_) => None,
        }
    }
}

/// Whose quota is meant, and how much that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaHolder {
    whose: &'static str,
    /// No account has a slash in its name, so nobody can take another one's for its own.
    name: String,
    quota: Quota,
}

impl QuotaHolder {
    /// An account.
    pub fn account(account: &Account) -> QuotaHolder {
        QuotaHolder { whose: "account", name: account.name.to_string(), quota: account.quota }
    }

    /// A tenant.
    pub fn tenant(name: &str, quota: Quota) -> QuotaHolder {
        QuotaHolder { whose: "tenant", name: format!("tenant/{name}"), quota }
    }

    /// A stream of a tenant, or of the relay itself.
    pub fn stream(tenant: Option<&str>, name: &str, quota: Quota) -> QuotaHolder {
        QuotaHolder { whose: "stream", name: format!("stream/{}/{name}", tenant.unwrap_or_default()), quota }
    }

    /// True when recipients are counted.
    pub fn counts_recipients(&self) -> bool {
        self.quota.recipients_per_hour.is_some() || self.quota.recipients_per_day.is_some()
    }
}

/// What was used of all quotas.
#[derive(Clone, Debug)]
pub(crate) struct Quotas(pub(crate) Kv);

/// One bound of a holder, and how much is asked of it.
struct Bound {
    whose: &'static str,
    what: &'static str,
    period: &'static str,
    period_ms: u64,
    limit: u32,
    wanted: u32,
}

impl Quotas {
    /// Whether so many more would be allowed; takes nothing.
    pub(crate) async fn check(
        &self,
        holder: &QuotaHolder,
        messages: u32,
        recipients: u32,
    ) -> Result<(), QuotaRefusal> {
        for bound in bounds(holder, messages, recipients) {
            let seen = self.0.take(BUCKET, &bound.key(holder), 0, bound.limit, bound.period_ms).await?;
            if seen.remaining < bound.wanted {
                return Err(bound.refusal(u64::from(bound.wanted - seen.remaining)));
            }
        }
        Ok(())
    }

    /// Takes so many, or none.
    pub(crate) async fn take(
        &self,
        holder: &QuotaHolder,
        messages: u32,
        recipients: u32,
    ) -> Result<(), QuotaRefusal> {
        self.check(holder, messages, recipients).await?;
        for bound in bounds(holder, messages, recipients) {
            let key = bound.key(holder);
            let taken = self.0.take(BUCKET, &key, bound.wanted, bound.limit, bound.period_ms).await?;
            // Another session of the account was quicker; what was taken of other bounds is lost to it.
            if !taken.allowed {
                return Err(bound.refusal(1));
            }
        }
        Ok(())
    }
}

fn bounds(holder: &QuotaHolder, messages: u32, recipients: u32) -> impl Iterator<Item = Bound> {
    let (quota, whose) = (&holder.quota, holder.whose);
    [
        ("messages", "a day", DAY_MS, quota.messages_per_day, messages),
        ("recipients", "a day", DAY_MS, quota.recipients_per_day, recipients),
        ("messages", "an hour", HOUR_MS, quota.messages_per_hour, messages),
        ("recipients", "an hour", HOUR_MS, quota.recipients_per_hour, recipients),
    ]
    .into_iter()
    .filter(|(.., wanted)| *wanted > 0)
    .filter_map(move |(what, period, period_ms, limit, wanted)| {
        Some(Bound { whose, what, period, period_ms, limit: limit?, wanted })
    })
}

impl Bound {
    fn key(&self, holder: &QuotaHolder) -> String {
        format!("{}/{}/{}", holder.name, self.what, self.period_ms)
    }

    /// Tokens come back evenly over the period.
    fn refusal(&self, missing: u64) -> QuotaRefusal {
        let token_ms = self.period_ms / u64::from(self.limit.max(1));
        QuotaRefusal::Used {
            whose: self.whose,
            what: self.what,
            limit: self.limit,
            period: self.period,
            retry_after_s: missing.saturating_mul(token_ms).div_ceil(1_000).min(self.period_ms / 1_000),
        }
    }
}
