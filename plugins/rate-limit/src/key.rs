//! Keys with places to fill in, such as `{network}/{recipient_domain}`.

use std::net::IpAddr;

use baton_sdk::net::Network;
use baton_sdk::prelude::*;

use crate::At;

/// Bits of an address that make a network: what providers give to one customer.
const IPV4_NETWORK_BITS: u8 = 24;
const IPV6_NETWORK_BITS: u8 = 64;
/// Octets of a key at most; a longer one is cut. The store takes 512.
const KEY_OCTETS_MAX: usize = 400;

/// A key as it stands in the settings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ip,
    Network,
    Listener,
    Account,
    Sender,
    SenderDomain,
    Recipient,
    RecipientDomain,
}

const PLACES: [(&str, Place); 8] = [
    ("ip", Place::Ip),
    ("network", Place::Network),
    ("listener", Place::Listener),
    ("account", Place::Account),
    ("sender", Place::Sender),
    ("sender_domain", Place::SenderDomain),
    ("recipient", Place::Recipient),
    ("recipient_domain", Place::RecipientDomain),
];

impl Key {
    /// Reads a template. At `connect` there is no account, sender or recipient yet.
    pub(crate) fn read(template: &str, at: At) -> Result<Key> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, behind)) = rest.split_once('{') {
            let (name, after) = behind.split_once('}').ok_or_else(|| Error::new("a { without }"))?;
            let place = PLACES.iter().find(|(known, _)| *known == name).map(|&(_, place)| place);
            let place = place.ok_or_else(|| unknown(name))?;
            if at == At::Connect && !matches!(place, Place::Ip | Place::Network | Place::Listener) {
                return Err(Error::new(["{", name, "} is not known at connect"].concat()));
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            parts.push(Part::Place(place));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() { Err(Error::new("the key is empty")) } else { Ok(Key(parts)) }
    }

    /// The key of this call; none when something that it names is not there.
    pub(crate) fn fill(&self, cx: &Context, rcpt: Option<&Address>) -> Option<String> {
        let mut key = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Place(place) => key.push_str(&place.value(cx, rcpt)?),
            }
        }
        let end = (0..=key.len().min(KEY_OCTETS_MAX)).rev().find(|&at| key.is_char_boundary(at))?;
        key.truncate(end);
        Some(key)
    }
}

impl Place {
    fn value(self, cx: &Context, rcpt: Option<&Address>) -> Option<String> {
        let session = cx.session();
        match self {
            Place::Ip => session.remote_ip().map(|address| address.to_canonical().to_string()),
            Place::Network => session.remote_ip().map(network),
            Place::Listener => Some(session.listener()),
            Place::Account => session.account(),
            Place::Sender => cx.envelope().sender().map(|sender| sender.to_string().to_ascii_lowercase()),
            Place::SenderDomain => cx.envelope().sender().map(|sender| sender.domain),
            Place::Recipient => rcpt.map(|rcpt| rcpt.to_string().to_ascii_lowercase()),
            Place::RecipientDomain => rcpt.map(|rcpt| rcpt.domain.clone()),
        }
    }
}

fn network(address: IpAddr) -> String {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { IPV4_NETWORK_BITS } else { IPV6_NETWORK_BITS };
    Network::around(address, bits).to_string()
}

fn unknown(name: &str) -> Error {
    let names: Vec<String> = PLACES.iter().map(|(known, _)| ["{", known, "}"].concat()).collect();
    Error::new(["{", name, "} is not known; there are ", &names.join(" ")].concat())
}
