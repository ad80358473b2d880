//! Limits what a client, account, sender or destination may do in a time.
//!
//! Invariant: a rule applies only when everything that its key names is there; no account, no limit by account.
//! Invariant: the counting is the relay's (`kv take`): atomic, and kept over restarts.

mod key;

use std::time::Duration;

use baton_sdk::net::Network;
use baton_sdk::prelude::*;

use key::Key;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The limits, asked in this order.
    pub rules: Vec<RuleConfig>,
    /// The bucket of the key-value store; needs a grant.
    #[serde(default = "default_bucket")]
    pub bucket: String,
    /// Clients without limits; default none.
    #[serde(default)]
    pub exempt_networks: Vec<Network>,
}

/// The settings of one limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Tells the rules apart in the store and in metrics.
    pub name: String,
    /// What is counted: connections or recipients.
    pub at: At,
    /// For whom it is counted, such as `{network}` or `{account}/{recipient_domain}`.
    pub key: String,
    /// So many at once, and per period.
    pub burst: u32,
    /// The period, in seconds.
    pub period_s: u32,
    /// Which clients are meant.
    #[serde(default)]
    pub clients: Clients,
    /// The reply (4xx or 5xx); `{retry_after_s}` is filled in.
    #[serde(default)]
    pub reply: Option<Reply>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    /// Connections.
    Connect,
    /// Recipients.
    Rcpt,
}

/// Which clients a rule means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clients {
    /// All of them.
    #[default]
    All,
    /// Those that logged in.
    Authenticated,
    /// Those that did not.
    Anonymous,
}

struct Rule {
    name: String,
    at: At,
    key: Key,
    burst: u32,
    period: Duration,
    clients: Clients,
    reply: Reply,
}

/// The plugin.
pub struct RateLimit {
    rules: Vec<Rule>,
    bucket: String,
    exempt_networks: Vec<Network>,
}

#[baton_sdk::plugin]
impl Plugin for RateLimit {
    type Config = Config;

    fn new(config: Config) -> Result<RateLimit, Problems> {
        let mut problems = Problems::default();
        let mut rules: Vec<Rule> = Vec::new();
        for (index, rule) in config.rules.into_iter().enumerate() {
            let path = |field: &str| ["rules[", &index.to_string(), "].", field].concat();
            if rule.name.is_empty() || rules.iter().any(|other| other.name == rule.name) {
                problems.add(path("name"), "every rule needs a name of its own");
            }
            if rule.burst == 0 || rule.period_s == 0 {
                problems.add(path("burst"), "burst and period_s must be at least 1");
            }
            match Key::read(&rule.key, rule.at) {
                Ok(key) => rules.push(Rule {
                    reply: rule.reply.unwrap_or_else(|| default_reply(rule.at)),
                    period: Duration::from_secs(u64::from(rule.period_s)),
                    name: rule.name,
                    at: rule.at,
                    key,
                    burst: rule.burst,
                    clients: rule.clients,
                }),
                Err(error) => problems.add(path("key"), error.message()),
            }
        }
        problems.finish(RateLimit { rules, bucket: config.bucket, exempt_networks: config.exempt_networks })
    }
}

impl RateLimit {
    /// Takes one from each limit that applies; the reply of the first that is used up.
    fn take(&self, cx: &Context, at: At, rcpt: Option<&Address>) -> Result<Option<Reply>> {
        if !self.rules.iter().any(|rule| rule.at == at) || self.is_exempt(cx) {
            return Ok(None);
        }
        let known = cx.session().account().is_some();
        let bucket = cx.kv(&self.bucket)?;
        for rule in self.rules.iter().filter(|rule| rule.at == at && rule.means(known)) {
            let Some(key) = rule.key.fill(cx, rcpt) else { continue };
            let taken = bucket.take(&[&rule.name, ":", &key].concat(), 1, rule.burst, rule.period)?;
            if !taken.allowed {
                cx.metrics().count("limited", 1, &[("rule", &rule.name)]);
                return Ok(Some(rule.reply_after(taken.retry_after_ms)));
            }
        }
        Ok(None)
    }

    fn is_exempt(&self, cx: &Context) -> bool {
        let within = |address| self.exempt_networks.iter().any(|network| network.contains(address));
        !self.exempt_networks.is_empty() && cx.session().remote_ip().is_some_and(within)
    }
}

impl Rule {
    fn means(&self, known: bool) -> bool {
        match self.clients {
            Clients::All => true,
            Clients::Authenticated => known,
            Clients::Anonymous => !known,
        }
    }

    fn reply_after(&self, retry_after_ms: u64) -> Reply {
        let seconds = retry_after_ms.div_ceil(1_000).max(1).to_string();
        Reply { text: self.reply.text.replace("{retry_after_s}", &seconds), ..self.reply.clone() }
    }
}

#[baton_sdk::hook]
impl Connect for RateLimit {
    fn on_connect(&self, cx: &Context) -> Result<ConnectDecision> {
        match self.take(cx, At::Connect, None)? {
            None => next(),
            Some(reply) if reply.is_permanent() => Ok(ConnectDecision::Reject(reply)),
            Some(reply) => Ok(ConnectDecision::Tempfail(reply)),
        }
    }
}

#[baton_sdk::hook]
impl Rcpt for RateLimit {
    fn on_rcpt(&self, cx: &Context, rcpt: &Address) -> Result<RcptDecision> {
        match self.take(cx, At::Rcpt, Some(rcpt))? {
            None => next(),
            Some(reply) if reply.is_permanent() => Ok(RcptDecision::Reject(reply)),
            Some(reply) => Ok(RcptDecision::Tempfail(reply)),
        }
    }
}

fn default_bucket() -> String {
    "rate-limit".to_owned()
}

/// RFC 5321 3.8: a server that turns a client away at the greeting for now says 421.
fn default_reply(at: At) -> Reply {
    let code = if at == At::Connect { 421 } else { 451 };
    let text = "too much at once, try again in {retry_after_s} seconds".to_owned();
    Reply { code, enhanced: Some((4, 7, 1)), text }
}

#[cfg(test)]
mod tests;
