//! Limits messages, recipients and octets per tenant, account or sender domain in an hour or a day.
//!
//! Invariant: a message is counted once, in the `data` hook, with all its recipients; what a limit refuses is counted by none.
//! Invariant: a limit applies only when what it counts by is there: no tenant, no limit by tenant.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_sdk::prelude::*;
use baton_sdk::setting::is_name;
use baton_sdk::{Bucket, KvError};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The limits; all of them hold.
    pub limits: Vec<LimitConfig>,
    /// The bucket of the key-value store; needs a grant.
    #[serde(default = "default_bucket")]
    pub bucket: String,
}

/// The settings of one limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// Tells the limits apart in the store and in metrics.
    pub name: String,
    /// For whom it is counted.
    pub per: Per,
    /// What is counted.
    pub count: Count,
    /// So much in a window.
    pub limit: u64,
    /// The window; windows begin with the hour or the day in UTC.
    pub window: Window,
    /// Other limits for some, by their names.
    #[serde(default)]
    pub overrides: BTreeMap<String, u64>,
    /// The reply (4xx or 5xx); `{limit}`, `{who}` and `{retry_after_s}` are filled in.
    #[serde(default)]
    pub reply: Option<Reply>,
}

/// For whom is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// The tenant of the account.
    Tenant,
    /// The account that logged in.
    Account,
    /// The domain of the return path.
    SenderDomain,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Count {
    /// Messages.
    Messages,
    /// Recipients of messages.
    Recipients,
    /// Octets of messages, once for each message.
    Octets,
}

/// How long is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// From full hour to full hour.
    Hour,
    /// From midnight to midnight in UTC.
    Day,
}

impl Window {
    fn ms(self) -> u64 {
        match self {
            Window::Hour => 3_600_000,
            Window::Day => 86_400_000,
        }
    }
}

/// The plugin.
pub struct TenantQuota {
    limits: Vec<LimitConfig>,
    bucket: String,
}

#[baton_sdk::plugin]
impl Plugin for TenantQuota {
    type Config = Config;

    fn new(config: Config) -> Result<TenantQuota, Problems> {
        let mut problems = Problems::default();
        for (index, limit) in config.limits.iter().enumerate() {
            let path = |field: &str| ["limits[", &index.to_string(), "].", field].concat();
            if !is_name(&limit.name) {
                problems.add(path("name"), "a name has 1 to 64 letters, digits, \"-\", \"_\" or \".\"");
            }
            if config.limits.iter().take(index).any(|other| other.name == limit.name) {
                problems.add(path("name"), "another limit has this name");
            }
            let largest = limit.overrides.values().chain([&limit.limit]).max().copied().unwrap_or(0);
            if i64::try_from(largest).is_err() {
                problems.add(path("limit"), "is too large");
            }
        }
        if config.limits.is_empty() {
            problems.add("limits", "there is no limit");
        }
        problems.finish(TenantQuota { limits: config.limits, bucket: config.bucket })
    }
}

#[baton_sdk::hook]
impl Rcpt for TenantQuota {
    /// Tells of a used-up limit before the message is sent; nothing is counted here.
    fn on_rcpt(&self, cx: &Context, _rcpt: &Address) -> Result<RcptDecision> {
        let bucket = cx.kv(&self.bucket)?;
        let recipients = u64::from(cx.envelope().recipient_count()).max(1);
        for applying in self.applying(cx) {
            let coming = match applying.limit.count {
                Count::Recipients => recipients,
                Count::Messages | Count::Octets => 1,
            };
            if applying.add(&bucket, 0)?.saturating_add(coming) > applying.allowed {
                return Ok(match applying.refused(cx) {
                    reply if reply.is_permanent() => RcptDecision::Reject(reply),
                    reply => RcptDecision::Tempfail(reply),
                });
            }
        }
        next()
    }
}

#[baton_sdk::hook]
impl Data for TenantQuota {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        let bucket = cx.kv(&self.bucket)?;
        let mut counted: Vec<(Applying<'_>, i64)> = Vec::new();
        for applying in self.applying(cx) {
            let amount = match applying.limit.count {
                Count::Messages => 1,
                Count::Recipients => i64::from(cx.envelope().recipient_count()),
                Count::Octets => i64::try_from(cx.message().size()).unwrap_or(i64::MAX),
            };
            let sum = applying.add(&bucket, amount)?;
            let is_over = sum > applying.allowed;
            counted.push((applying, amount));
            if is_over {
                let reply = counted.last().map(|(applying, _)| applying.refused(cx));
                for (applying, amount) in &counted {
                    applying.add(&bucket, -amount)?;
                }
                return match reply {
                    Some(reply) if reply.is_permanent() => Ok(DataDecision::Reject(reply)),
                    Some(reply) => Ok(DataDecision::Tempfail(reply)),
                    None => next(),
                };
            }
        }
        next()
    }
}

impl TenantQuota {
    /// The limits that hold for this message, with the keys of their counters now.
    fn applying<'a>(&'a self, cx: &'a Context) -> impl Iterator<Item = Applying<'a>> + 'a {
        let now_ms = cx.clock().now_ms();
        self.limits.iter().filter_map(move |limit| {
            let who = match limit.per {
                Per::Tenant => cx.envelope().tenant(),
                Per::Account => cx.session().account(),
                Per::SenderDomain => {
                    cx.envelope().sender().map(|sender| sender.domain().to_ascii_lowercase())
                }
            }?;
            let allowed = limit.overrides.get(&who).copied().unwrap_or(limit.limit);
            let window = now_ms / limit.window.ms();
            let key = [&limit.name, "/", &window.to_string(), "/", &who].concat();
            let rest_ms = limit.window.ms() - now_ms % limit.window.ms();
            Some(Applying { limit, who, allowed, key, rest_ms })
        })
    }
}

/// A limit, and for whom it holds.
struct Applying<'a> {
    limit: &'a LimitConfig,
    who: String,
    allowed: u64,
    key: String,
    /// Until the window ends.
    rest_ms: u64,
}

impl Applying<'_> {
    /// Adds to the counter; answers the sum. The counter lives a little longer than its window.
    fn add(&self, bucket: &Bucket, amount: i64) -> Result<u64, KvError> {
        let ttl = Duration::from_millis(self.rest_ms + 60_000);
        Ok(u64::try_from(bucket.increment(&self.key, amount, Some(ttl))?).unwrap_or(0))
    }

    fn refused(&self, cx: &Context) -> Reply {
        cx.metrics().count("refused", 1, &[("limit", &self.limit.name)]);
        let reply = self.limit.reply.clone().unwrap_or_else(default_reply);
        let text = reply.text.replace("{limit}", &self.allowed.to_string()).replace("{who}", &self.who);
        let seconds = self.rest_ms.div_ceil(1_000).to_string();
        Reply { text: text.replace("{retry_after_s}", &seconds), ..reply }
    }
}

fn default_bucket() -> String {
    "tenant-quota".to_owned()
}

fn default_reply() -> Reply {
    let text = "quota of {who} is used up, try again in {retry_after_s} seconds".to_owned();
    Reply { code: 452, enhanced: Some((4, 7, 1)), text }
}

#[cfg(test)]
mod tests;
