//! Refuses or scores clients that DNS blocklists know.
//!
//! Invariant: a blocklist that does not answer never costs mail: it counts as "not listed" and is logged.
//! Invariant: a session asks the zones once; what was found is kept in a note of the session.
//! Invariant: logged-in clients and exempt networks are never asked about.

mod zone;

use std::net::IpAddr;

use baton_sdk::net::Network;
use baton_sdk::pattern::Pattern;
use baton_sdk::prelude::*;
use baton_sdk::{DnsError, Level};

use zone::{Effect, Zone, ZoneConfig};

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The lists to ask, at most 32.
    pub zones: Vec<ZoneConfig>,
    /// When to refuse: at `connect` (default), or at `rcpt`, where some recipients can be exempt.
    #[serde(default)]
    pub at: At,
    /// Clients that are not asked about; default: loopback and private networks.
    #[serde(default = "private_networks")]
    pub exempt_networks: Vec<Network>,
    /// With `at = "rcpt"`: recipients that listed clients may write to; default `postmaster@` and `abuse@`.
    #[serde(default = "role_recipients")]
    pub exempt_recipients: Vec<Pattern>,
    /// Refuse when the scores of all lists reach this sum; default: never.
    #[serde(default)]
    pub reject_at_score: Option<f64>,
    /// The reply to refused clients (4xx or 5xx); `{ip}` and `{zone}` are filled in.
    #[serde(default)]
    pub reply: Option<Reply>,
}

/// When listed clients are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    /// Before the greeting.
    #[default]
    Connect,
    /// At each recipient.
    Rcpt,
}

/// The note of the session which holds the indexes of the zones that know the client, one octet each.
const SESSION_NOTE: &str = "listed";
/// The note of the message which says that its score was given.
const MESSAGE_NOTE: &str = "scored";
/// Zones at most: the relay answers 64 questions in a call.
const ZONES_MAX: usize = 32;

/// The plugin.
pub struct Dnsbl {
    zones: Vec<Zone>,
    names: Vec<String>,
    at: At,
    exempt_networks: Vec<Network>,
    exempt_recipients: Vec<Pattern>,
    reject_at_score: f64,
    reply: Reply,
}

#[baton_sdk::plugin]
impl Plugin for Dnsbl {
    type Config = Config;

    fn new(config: Config) -> Result<Dnsbl, Problems> {
        let mut problems = Problems::default();
        if config.zones.is_empty() || config.zones.len() > ZONES_MAX {
            problems.add("zones", ["there must be 1 to ", &ZONES_MAX.to_string(), " zones"].concat());
        }
        let mut zones = Vec::new();
        for (index, zone) in config.zones.into_iter().enumerate() {
            match Zone::new(zone) {
                Ok(zone) => zones.push(zone),
                Err(why) => problems.add(["zones[", &index.to_string(), "]"].concat(), why),
            }
        }
        // RFC 5321 3.1: a server that refuses at the greeting says 554.
        let code = if config.at == At::Connect { 554 } else { 550 };
        let text = "{ip} is listed by {zone}".to_owned();
        let reply = config.reply.unwrap_or(Reply { code, enhanced: Some((5, 7, 1)), text });
        let plugin = Dnsbl {
            names: zones.iter().map(|zone| zone.name.clone()).collect(),
            zones,
            at: config.at,
            exempt_networks: config.exempt_networks,
            exempt_recipients: config.exempt_recipients,
            reject_at_score: config.reject_at_score.unwrap_or(f64::INFINITY),
            reply,
        };
        problems.finish(plugin)
    }
}

impl Dnsbl {
    /// The client, unless it is exempt.
    fn subject(&self, cx: &Context) -> Option<IpAddr> {
        let address = cx.session().remote_ip()?;
        let exempt = self.exempt_networks.iter().any(|network| network.contains(address));
        if exempt || cx.session().account().is_some() { None } else { Some(address) }
    }

    /// The zones that know the client, from the note or from the DNS.
    fn listed(&self, cx: &Context, address: IpAddr) -> Result<Vec<&Zone>> {
        let indexes = match cx.session().note(SESSION_NOTE) {
            Some(indexes) => indexes,
            None => {
                let indexes = self.ask(cx, address)?;
                cx.session().set_note(SESSION_NOTE, Some(&indexes))?;
                indexes
            }
        };
        Ok(indexes.iter().filter_map(|&index| self.zones.get(usize::from(index))).collect())
    }

    /// Asks all zones. A zone that allows the client silences the others. Without the grant it is a failure: the
    /// operator should not believe that clients are checked.
    fn ask(&self, cx: &Context, address: IpAddr) -> Result<Vec<u8>> {
        let mut indexes = Vec::new();
        let answers = cx.dns().blocklists(&self.names, address);
        for (index, (zone, answer)) in (0_u8..).zip(self.zones.iter().zip(answers)) {
            match answer {
                Ok(records) if !zone.knows(&records) => {}
                Ok(_) if zone.effect == Effect::Allow => {
                    cx.metrics().count("allowed", 1, &[("zone", &zone.name)]);
                    return Ok(Vec::new());
                }
                Ok(_) => {
                    cx.metrics().count("listed", 1, &[("zone", &zone.name)]);
                    indexes.push(index);
                }
                Err(DnsError::Denied) => return Err(DnsError::Denied.into()),
                Err(error) => cx.log(Level::Warn, &error.to_string(), &[("zone", &zone.name)]),
            }
        }
        Ok(indexes)
    }

    /// The reply, when the client is to be refused.
    fn refusal(&self, listed: &[&Zone], address: IpAddr) -> Option<Reply> {
        let by_rule = listed.iter().find(|zone| zone.effect == Effect::Reject);
        let points: f64 = listed.iter().map(|zone| zone.points()).sum();
        let by_score = listed.first().filter(|_| points >= self.reject_at_score);
        let zone = by_rule.or(by_score)?;
        let text = self.reply.text.replace("{ip}", &address.to_string()).replace("{zone}", &zone.name);
        Some(Reply { text, ..self.reply.clone() })
    }

    /// Adds the points to the message, once.
    fn score(&self, cx: &Context, listed: &[&Zone]) -> Result<()> {
        if listed.iter().all(|zone| zone.points() == 0.0) || cx.envelope().note(MESSAGE_NOTE).is_some() {
            return Ok(());
        }
        for zone in listed.iter().filter(|zone| zone.points() != 0.0) {
            cx.envelope().score(&zone.symbol, zone.points())?;
        }
        Ok(cx.envelope().set_note(MESSAGE_NOTE, Some(b"1"))?)
    }
}

#[baton_sdk::hook]
impl Connect for Dnsbl {
    fn on_connect(&self, cx: &Context) -> Result<ConnectDecision> {
        let Some(address) = self.subject(cx).filter(|_| self.at == At::Connect) else { return next() };
        match self.refusal(&self.listed(cx, address)?, address) {
            Some(reply) if reply.is_transient() => Ok(ConnectDecision::Tempfail(reply)),
            Some(reply) => Ok(ConnectDecision::Reject(reply)),
            None => next(),
        }
    }
}

#[baton_sdk::hook]
impl Rcpt for Dnsbl {
    fn on_rcpt(&self, cx: &Context, rcpt: &Address) -> Result<RcptDecision> {
        let Some(address) = self.subject(cx) else { return next() };
        let listed = self.listed(cx, address)?;
        let exempt =
            self.at != At::Rcpt || self.exempt_recipients.iter().any(|pattern| pattern.matches(rcpt));
        match self.refusal(&listed, address).filter(|_| !exempt) {
            Some(reply) if reply.is_transient() => Ok(RcptDecision::Tempfail(reply)),
            Some(reply) => Ok(RcptDecision::Reject(reply)),
            None => {
                self.score(cx, &listed)?;
                next()
            }
        }
    }
}

/// Loopback, private and link-local networks (RFC 1918, 4193, 3927, 4291): no public list knows them.
fn private_networks() -> Vec<Network> {
    let texts = [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1",
        "fc00::/7",
        "fe80::/10",
    ];
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The mailboxes that must be reachable for complaints (RFC 2142).
fn role_recipients() -> Vec<Pattern> {
    vec![Pattern::Local("postmaster".to_owned()), Pattern::Local("abuse".to_owned())]
}

#[cfg(test)]
mod tests;
