//! Rewrites the return path of forwarded mail, and takes its bounces back (Sender Rewriting Scheme).
//!
//! Invariant: only addresses that were made with the secret, and are not too old, lead anywhere: no open relay.
//! Invariant: the null sender and senders of local domains stay as they are.
//! Invariant: the secret is asked for in the call and never kept.

mod scheme;

use baton_sdk::pattern::Pattern;
use baton_sdk::prelude::*;

use scheme::{Denied, Scheme};

/// Octets of a local part at most (RFC 5321 4.5.3.1.1).
const LOCAL_OCTETS_MAX: usize = 64;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The domain of rewritten addresses: one whose mail comes here, and which SPF allows to send from here.
    pub domain: String,
    /// Domains whose senders stay as they are, and whose recipients are no forwarding.
    pub local_domains: Vec<Pattern>,
    /// Characters of the hash: 4 to 16.
    #[serde(default = "default_hash_characters")]
    pub hash_characters: usize,
    /// A rewritten address takes mail for so many days.
    #[serde(default = "default_valid_days")]
    pub valid_days: u32,
    /// Rewrite mail of clients that logged in too.
    #[serde(default)]
    pub authenticated: bool,
    /// The name of the secret that hashes are made with.
    #[serde(default = "default_secret")]
    pub secret: String,
    /// The name of an older secret whose addresses are still taken, when there is one.
    #[serde(default = "default_old_secret")]
    pub old_secret: String,
}

/// The plugin.
pub struct Srs {
    config: Config,
}

#[baton_sdk::plugin]
impl Plugin for Srs {
    type Config = Config;

    fn new(mut config: Config) -> Result<Srs, Problems> {
        let mut problems = Problems::default();
        config.domain.make_ascii_lowercase();
        if !matches!(config.domain.parse(), Ok(Pattern::Domain(_))) {
            problems.add("domain", "not a domain");
        }
        if !(4..=16).contains(&config.hash_characters) {
            problems.add("hash_characters", "must be from 4 to 16");
        }
        if !(1..=scheme::DAYS_MAX).contains(&config.valid_days) {
            problems.add("valid_days", ["must be from 1 to ", &scheme::DAYS_MAX.to_string()].concat());
        }
        problems.finish(Srs { config })
    }
}

#[baton_sdk::hook]
impl Rcpt for Srs {
    fn on_rcpt(&self, cx: &Context, rcpt: &Address) -> Result<RcptDecision> {
        if !rcpt.domain().eq_ignore_ascii_case(&self.config.domain) || !scheme::is_rewritten(rcpt.local()) {
            return next();
        }
        let mut answer = self.scheme(cx, &self.config.secret)?.original(rcpt.local());
        if answer == Err(Denied::Forged)
            && let Ok(old) = self.scheme(cx, &self.config.old_secret)
        {
            answer = old.original(rcpt.local());
        }
        match answer {
            Ok(original) => {
                cx.metrics().count("returned", 1, &[]);
                cx.envelope().redirect_last(&[original])?;
                next()
            }
            Err(denied) => {
                cx.metrics().count("refused", 1, &[("why", denied.word())]);
                reject(550, "5.1.1", denied.text())
            }
        }
    }
}

#[baton_sdk::hook]
impl Data for Srs {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        let envelope = cx.envelope();
        let Some(sender) = envelope.sender() else { return next() };
        let by_account = cx.session().account().is_some() && !self.config.authenticated;
        if by_account
            || self.is_local(&sender)
            || envelope.recipients().iter().all(|rcpt| self.is_local(rcpt))
        {
            return next();
        }
        // A quoted string can not become a part of another local part; such senders are all but extinct.
        let rewritten = if sender.local().starts_with('"') {
            None
        } else {
            let local = self.scheme(cx, &self.config.secret)?.rewritten(&sender);
            Some(local).filter(|local| local.len() <= LOCAL_OCTETS_MAX)
        };
        match rewritten {
            Some(local) => {
                envelope.set_sender(Some(&Address::new(local, self.config.domain.as_str())))?;
                cx.metrics().count("rewritten", 1, &[]);
            }
            None => {
                cx.metrics().count("kept", 1, &[]);
                cx.warn(&[&sender.to_string(), " does not fit into a rewritten address and stays"].concat());
            }
        }
        next()
    }
}

impl Srs {
    fn is_local(&self, address: &Address) -> bool {
        address.domain().eq_ignore_ascii_case(&self.config.domain)
            || self.config.local_domains.iter().any(|pattern| pattern.matches(address))
    }

    fn scheme(&self, cx: &Context, secret: &str) -> Result<Scheme> {
        let key = cx.secret(secret).filter(|key| !key.is_empty());
        let advice = || Error::new(["no secret ", secret, ": set [plugins.srs.secrets] ", secret].concat());
        Ok(Scheme {
            key: key.ok_or_else(advice)?.into_bytes(),
            hash_characters: self.config.hash_characters,
            valid_days: self.config.valid_days,
            today: scheme::day(cx.clock().now_ms()),
        })
    }
}

fn default_hash_characters() -> usize {
    6
}

fn default_valid_days() -> u32 {
    21
}

fn default_secret() -> String {
    "key".to_owned()
}

fn default_old_secret() -> String {
    "key-old".to_owned()
}

#[cfg(test)]
mod tests;
