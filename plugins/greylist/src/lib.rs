//! Defers the first mail of an unknown triplet of client network, sender and recipient (greylisting, RFC 6647).
//!
//! Invariant: who logged in, exempt networks, senders and recipients are never deferred.
//! Invariant: what is deferred is told when to come again, and nothing is ever refused for good.

mod key;

use std::net::IpAddr;
use std::time::Duration;

use baton_sdk::net::Network;
use baton_sdk::pattern::Pattern;
use baton_sdk::prelude::*;
use baton_sdk::{Bucket, KvError};

use key::{SenderKey, bounded};

/// A known triplet is written again when its entry is older than this, so that it lives on while mail comes.
const REFRESH_MS: u64 = 86_400_000;
/// Clients that are no strangers: this machine and private networks (RFC 1918, 4193, 3927, 4291).
const LOCAL_NETWORKS: [&str; 8] = [
    "127.0.0.0/8",
    "::1",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The bucket of the key-value store; needs a grant.
    pub bucket: String,
    /// A retry counts this long after the first attempt, in seconds.
    pub delay_s: u32,
    /// A retry counts until this long after the first attempt, in seconds.
    pub retry_window_s: u32,
    /// A triplet that came again is known for so long after its last mail, in seconds.
    pub pass_ttl_s: u32,
    /// Bits of an IPv4 address that make the client: senders retry from another host of the same network.
    pub ipv4_prefix_bits: u8,
    /// Bits of an IPv6 address that make the client.
    pub ipv6_prefix_bits: u8,
    /// After so many triplets of a client that came again, the client itself is known; 0 is never.
    pub auto_allow_after: u32,
    /// What of the sender counts.
    pub sender_key: SenderKey,
    /// Clients that are never deferred.
    pub exempt_networks: Vec<Network>,
    /// Senders that are never deferred.
    pub exempt_senders: Vec<Pattern>,
    /// Recipients whose mail is never deferred.
    pub exempt_recipients: Vec<Pattern>,
    /// The reply (4xx); `{retry_after_s}` is filled in.
    pub reply: Reply,
}

impl Default for Config {
    fn default() -> Config {
        let text = "greylisted, please try again in {retry_after_s} seconds".to_owned();
        Config {
            bucket: "greylist".to_owned(),
            delay_s: 300,
            retry_window_s: 86_400,
            pass_ttl_s: 35 * 86_400,
            ipv4_prefix_bits: 24,
            ipv6_prefix_bits: 64,
            auto_allow_after: 5,
            sender_key: SenderKey::default(),
            exempt_networks: LOCAL_NETWORKS.iter().filter_map(|text| text.parse().ok()).collect(),
            exempt_senders: Vec::new(),
            exempt_recipients: vec![
                Pattern::Local("postmaster".to_owned()),
                Pattern::Local("abuse".to_owned()),
            ],
            reply: Reply { code: 451, enhanced: Some((4, 7, 1)), text },
        }
    }
}

/// The plugin.
pub struct Greylist {
    config: Config,
}

#[baton_sdk::plugin]
impl Plugin for Greylist {
    type Config = Config;

    fn new(config: Config) -> Result<Greylist, Problems> {
        let mut problems = Problems::default();
        if config.delay_s == 0 {
            problems.add("delay_s", "must be at least 1");
        }
        if config.retry_window_s <= config.delay_s {
            problems.add("retry_window_s", "must be longer than delay_s, or no retry would count");
        }
        if config.pass_ttl_s < 3_600 {
            problems.add("pass_ttl_s", "must be at least 3600: an hour (RFC 6647 advises a week or more)");
        }
        if !(8..=32).contains(&config.ipv4_prefix_bits) {
            problems.add("ipv4_prefix_bits", "must be from 8 to 32");
        }
        if !(16..=128).contains(&config.ipv6_prefix_bits) {
            problems.add("ipv6_prefix_bits", "must be from 16 to 128");
        }
        if !config.reply.is_transient() {
            problems.add("reply", "needs a 4xx reply: greylisting never refuses for good");
        }
        problems.finish(Greylist { config })
    }
}

#[baton_sdk::hook]
impl Rcpt for Greylist {
    fn on_rcpt(&self, cx: &Context, rcpt: &Address) -> Result<RcptDecision> {
        let session = cx.session();
        let Some(client) = session.remote_ip() else { return next() };
        let sender = cx.envelope().sender();
        if session.account().is_some() || self.is_exempt(client, sender.as_ref(), rcpt) {
            return next();
        }
        let network = self.network(client).to_string();
        let store = Store { bucket: cx.kv(&self.config.bucket)?, config: &self.config };
        if store.is_known_client(&network)? {
            cx.metrics().count("known_client", 1, &[]);
            return next();
        }
        let sender = self.config.sender_key.of(sender.as_ref());
        let rcpt = rcpt.to_string().to_ascii_lowercase();
        let triplet = bounded(&["triplet/", &network, "/", &sender, "/", &rcpt].concat());
        match store.wait_ms(&triplet, &network, cx.clock().now_ms())? {
            0 => {
                cx.metrics().count("passed", 1, &[]);
                next()
            }
            wait_ms => {
                cx.metrics().count("deferred", 1, &[]);
                Ok(RcptDecision::Tempfail(self.reply(wait_ms)))
            }
        }
    }
}

impl Greylist {
    fn is_exempt(&self, client: IpAddr, sender: Option<&Address>, rcpt: &Address) -> bool {
        let config = &self.config;
        config.exempt_networks.iter().any(|network| network.contains(client))
            || config.exempt_recipients.iter().any(|pattern| pattern.matches(rcpt))
            || sender
                .is_some_and(|sender| config.exempt_senders.iter().any(|pattern| pattern.matches(sender)))
    }

    fn network(&self, client: IpAddr) -> Network {
        let client = client.to_canonical();
        let bits = if client.is_ipv4() { self.config.ipv4_prefix_bits } else { self.config.ipv6_prefix_bits };
        Network::around(client, bits)
    }

    fn reply(&self, wait_ms: u64) -> Reply {
        let seconds = wait_ms.div_ceil(1_000).to_string();
        let reply = &self.config.reply;
        Reply { text: reply.text.replace("{retry_after_s}", &seconds), ..reply.clone() }
    }
}

/// What is remembered of triplets and clients.
struct Store<'a> {
    bucket: Bucket,
    config: &'a Config,
}

/// A remembered triplet, with the time of its first attempt or of its last renewal.
enum Entry {
    Waiting(u64),
    Known(u64),
}

impl Store<'_> {
    fn is_known_client(&self, network: &str) -> Result<bool, KvError> {
        if self.config.auto_allow_after == 0 {
            return Ok(false);
        }
        Ok(self.bucket.get(&["client/", network].concat())?.is_some())
    }

    /// Milliseconds until the triplet is let in; 0 when it is. The first retry in time makes it known.
    fn wait_ms(&self, triplet: &str, network: &str, now_ms: u64) -> Result<u64, KvError> {
        let delay_ms = u64::from(self.config.delay_s) * 1_000;
        match self.bucket.get(triplet)?.and_then(|value| Entry::read(&value)) {
            None => {
                let window = Duration::from_secs(u64::from(self.config.retry_window_s));
                self.bucket.set_if_absent(triplet, &Entry::Waiting(now_ms).written(), Some(window))?;
                Ok(delay_ms)
            }
            Some(Entry::Waiting(since_ms)) => {
                let waited_ms = now_ms.saturating_sub(since_ms);
                if waited_ms < delay_ms {
                    return Ok(delay_ms - waited_ms);
                }
                self.make_known(triplet, now_ms)?;
                self.count_pass(network)?;
                Ok(0)
            }
            Some(Entry::Known(since_ms)) => {
                if now_ms.saturating_sub(since_ms) > REFRESH_MS {
                    self.make_known(triplet, now_ms)?;
                }
                Ok(0)
            }
        }
    }

    fn make_known(&self, triplet: &str, now_ms: u64) -> Result<(), KvError> {
        self.bucket.set(triplet, &Entry::Known(now_ms).written(), Some(self.pass_ttl()))
    }

    fn count_pass(&self, network: &str) -> Result<(), KvError> {
        let needed = i64::from(self.config.auto_allow_after);
        if needed > 0 {
            let passes = self.bucket.increment(&["passes/", network].concat(), 1, Some(self.pass_ttl()))?;
            if passes >= needed {
                self.bucket.set(&["client/", network].concat(), b"", Some(self.pass_ttl()))?;
            }
        }
        Ok(())
    }

    fn pass_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.config.pass_ttl_s))
    }
}

impl Entry {
    fn read(value: &[u8]) -> Option<Entry> {
        let (kind, time) = value.split_first()?;
        let ms = u64::from_le_bytes(time.try_into().ok()?);
        match kind {
            b'w' => Some(Entry::Waiting(ms)),
            b'k' => Some(Entry::Known(ms)),
            _ => None,
        }
    }

    fn written(&self) -> Vec<u8> {
        let (kind, ms) = match self {
            Entry::Waiting(ms) => (b'w', ms),
            Entry::Known(ms) => (b'k', ms),
        };
        let mut value = vec![kind];
        value.extend_from_slice(&ms.to_le_bytes());
        value
    }
}

#[cfg(test)]
mod tests;
