//! One DNS list, and what it means to be on it.

use std::net::Ipv4Addr;

use baton_sdk::net::Network;
use baton_sdk::prelude::*;
use baton_sdk::setting::is_name;

/// The settings of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneConfig {
    /// The zone, such as `bl.example.org`.
    pub zone: String,
    /// Answers that count, as networks; default: 127.0.0.0/8 but for 127.255.255.0/24, where lists report refusals.
    #[serde(default)]
    pub answers: Vec<Network>,
    /// Refuse the listed clients.
    #[serde(default)]
    pub reject: bool,
    /// A list of good clients: being on it silences all other lists.
    #[serde(default)]
    pub allow: bool,
    /// Points for the message; may be negative.
    #[serde(default)]
    pub score: Option<f64>,
}

/// What it means to be on the list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effect {
    Reject,
    Allow,
    Score(f64),
}

/// A list.
#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) name: String,
    /// The name of its points: `dnsbl.<zone>`.
    pub(crate) symbol: String,
    pub(crate) effect: Effect,
    answers: Vec<Network>,
}

impl Zone {
    /// Reads the settings; the error is for the operator.
    pub(crate) fn new(config: ZoneConfig) -> Result<Zone, &'static str> {
        let effect = match (config.reject, config.allow, config.score) {
            (true, false, None) => Effect::Reject,
            (false, true, None) => Effect::Allow,
            (false, false, Some(points)) if points.is_finite() => Effect::Score(points),
            _ => return Err("a zone needs one of `reject = true`, `allow = true` and `score = POINTS`"),
        };
        let name = config.zone.trim_end_matches('.').to_ascii_lowercase();
        let symbols = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        if !name.split('.').all(|label| !label.is_empty() && label.bytes().all(symbols)) {
            return Err("`zone` is not a domain name");
        }
        let symbol = ["dnsbl.", &name].concat();
        if !is_name(&symbol) {
            return Err("`zone` is longer than 58 characters");
        }
        Ok(Zone { symbol, name, effect, answers: config.answers })
    }

    /// Points for the message.
    pub(crate) fn points(&self) -> f64 {
        if let Effect::Score(points) = self.effect { points } else { 0.0 }
    }

    /// True when one of the records says that the client is on the list (RFC 5782 2.1).
    pub(crate) fn knows(&self, records: &[String]) -> bool {
        let addresses = records.iter().filter_map(|record| record.parse::<Ipv4Addr>().ok());
        addresses.into_iter().any(|address| {
            if self.answers.is_empty() {
                matches!(address.octets(), [127, b, c, _] if (b, c) != (255, 255))
            } else {
                self.answers.iter().any(|network| network.contains(address.into()))
            }
        })
    }
}
