//! Removes or masks header fields that tell too much about those who send.
//!
//! Invariant: what is not named in the settings stays byte for byte as it is.
//! Invariant: `Received` fields keep their order; the one that the relay itself adds is not there yet.

mod received;

use baton_sdk::net::Network;
use baton_sdk::pattern::Pattern;
use baton_sdk::prelude::*;

use received::{is_internal, mask};

/// Networks that nobody outside has to know of: this machine and private ones (RFC 1918, 4193, 3927, 4291, 6598).
const INTERNAL_NETWORKS: [&str; 9] = [
    "127.0.0.0/8",
    "::1",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
    "fe80::/10",
];
/// Fields by which mail programs, web sites and servers tell of the sender's machine, address, account or software.
const TELLING_FIELDS: [&str; 21] = [
    "User-Agent",
    "X-Mailer",
    "X-MimeOLE",
    "X-Newsreader",
    "X-Originating-IP",
    "X-Originating-Email",
    "X-Sender-IP",
    "X-Client-IP",
    "X-Remote-IP",
    "X-Yahoo-Post-IP",
    "X-AuthUser",
    "X-Auth-ID",
    "X-Authenticated-Sender",
    "X-Authenticated-User",
    "X-Get-Message-Sender-Via",
    "X-AntiAbuse",
    "X-Source*",
    "X-PHP-*",
    "X-Enigmail-*",
    "X-EIP",
    "X-ClientProxiedBy",
];

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whose mail is meant.
    pub clients: Clients,
    /// Names of fields to remove; `*` at the end stands for any text.
    pub remove: Vec<String>,
    /// Which `Received` fields are removed.
    pub received: Received,
    /// Networks whose hosts are internal.
    pub internal_networks: Vec<Network>,
    /// Names of hosts that are internal, such as `.corp.example`.
    pub internal_names: Vec<Pattern>,
    /// Fields in which addresses become those of their networks (/24 for IPv4, /48 for IPv6).
    pub mask: Vec<String>,
}

/// Whose mail is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clients {
    /// Of those who logged in.
    #[default]
    Authenticated,
    /// Of all.
    All,
}

/// Which `Received` fields are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Received {
    /// None.
    Keep,
    /// Those of steps between internal hosts.
    #[default]
    Internal,
    /// All of them.
    All,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            clients: Clients::default(),
            remove: TELLING_FIELDS.map(str::to_owned).to_vec(),
            received: Received::default(),
            internal_networks: INTERNAL_NETWORKS.iter().filter_map(|text| text.parse().ok()).collect(),
            internal_names: Vec::new(),
            mask: Vec::new(),
        }
    }
}

/// The plugin.
pub struct HeaderPrivacy {
    config: Config,
}

#[baton_sdk::plugin]
impl Plugin for HeaderPrivacy {
    type Config = Config;

    fn new(config: Config) -> Result<HeaderPrivacy, Problems> {
        let mut problems = Problems::default();
        for (key, names) in [("remove", &config.remove), ("mask", &config.mask)] {
            for (index, name) in names.iter().enumerate() {
                let path = [key, "[", &index.to_string(), "]"].concat();
                let plain = if key == "remove" { name.strip_suffix('*').unwrap_or(name) } else { name };
                if plain.is_empty()
                    || !plain
                        .bytes()
                        .all(|octet| (33..=126).contains(&octet) && octet != b':' && octet != b'*')
                {
                    problems.add(path, "not the name of a header field; only `remove` takes a * at the end");
                } else if ["From", "To", "Cc", "Date", "Message-ID"]
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(name))
                {
                    problems.add(path, "mail does not work without this field");
                } else if key == "remove" && name.eq_ignore_ascii_case("Received") {
                    problems.add(path, "write received = \"all\" instead");
                }
            }
        }
        problems.finish(HeaderPrivacy { config })
    }
}

#[baton_sdk::hook]
impl Data for HeaderPrivacy {
    fn on_data(&self, cx: &Context) -> Result<DataDecision> {
        if self.config.clients == Clients::Authenticated && cx.session().account().is_none() {
            return next();
        }
        let names = cx.message().header_names();
        let kept: Vec<&str> = names.iter().map(String::as_str).filter(|name| !self.removes(name)).collect();
        self.remove_fields(cx, &names)?;
        self.mask_fields(cx, &kept)?;
        self.clean_received(cx, &kept)?;
        next()
    }
}

impl HeaderPrivacy {
    fn removes(&self, name: &str) -> bool {
        self.config.remove.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start)),
            None => name.eq_ignore_ascii_case(pattern),
        })
    }

    fn masks(&self, name: &str) -> bool {
        self.config.mask.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn remove_fields(&self, cx: &Context, names: &[String]) -> Result<()> {
        let mut removed: Vec<&String> = Vec::new();
        for name in names.iter().filter(|name| self.removes(name)) {
            if !removed.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                cx.message().remove_header(name)?;
                cx.metrics().count("removed", 1, &[]);
                removed.push(name);
            }
        }
        Ok(())
    }

    /// Fields to mask become one with the masked value of the first.
    fn mask_fields(&self, cx: &Context, kept: &[&str]) -> Result<()> {
        for name in self.config.mask.iter().filter(|name| !name.eq_ignore_ascii_case("Received")) {
            if !kept.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                continue;
            }
            let value = cx.message().header(name).unwrap_or_default();
            let masked = mask(&value);
            if masked != value {
                cx.message().set_header(name, &masked)?;
                cx.metrics().count("masked", 1, &[]);
            }
        }
        Ok(())
    }

    /// The contract removes all fields of a name at once, so those that stay are put back where they stood.
    fn clean_received(&self, cx: &Context, kept: &[&str]) -> Result<()> {
        let values = cx.message().headers("Received");
        let cleaned: Vec<Option<String>> = values.iter().map(|value| self.cleaned(value)).collect();
        if values.iter().zip(&cleaned).all(|(value, cleaned)| cleaned.as_ref() == Some(value)) {
            return Ok(());
        }
        cx.message().remove_header("Received")?;
        let mut cleaned = cleaned.into_iter();
        let mut index = 0;
        for name in kept {
            if name.eq_ignore_ascii_case("Received") {
                match cleaned.next().flatten() {
                    Some(value) => cx.message().insert_header(index, "Received", &value)?,
                    None => {
                        cx.metrics().count("removed", 1, &[]);
                        continue;
                    }
                }
            }
            index += 1;
        }
        Ok(())
    }

    /// What is left of a `Received` field; nothing when it goes.
    fn cleaned(&self, value: &str) -> Option<String> {
        let goes = match self.config.received {
            Received::Keep => false,
            Received::All => true,
            Received::Internal => {
                is_internal(value, &self.config.internal_networks, &self.config.internal_names)
            }
        };
        (!goes).then(|| if self.masks("Received") { mask(value) } else { value.to_owned() })
    }
}

#[cfg(test)]
mod tests;
