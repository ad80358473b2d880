//! Mail addresses and SMTP parameters as the relay hands them to plugins.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::Error;

/// An address, checked by the relay: a local part as given, and a domain in lower-case ASCII (or a literal in brackets).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// What stands before the `@`; quotes included when it is a quoted string.
    pub local: String,
    /// What stands behind it: `xn--mnchen-3ya.example`, `[192.0.2.1]`.
    pub domain: String,
}

impl Address {
    /// An address from its halves. The relay checks it when it is used in an edit.
    pub fn new(local: impl Into<String>, domain: impl Into<String>) -> Address {
        Address { local: local.into(), domain: domain.into() }
    }

    /// The local part.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.local)?;
        formatter.write_str("@")?;
        formatter.write_str(&self.domain)
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Splits at the last `@`. This finds slips in settings; the full grammar is the relay's to check.
    fn from_str(text: &str) -> Result<Address, Error> {
        let invalid = || Error::new(["not a mail address: ", text].concat());
        let (local, domain) = text.rsplit_once('@').ok_or_else(invalid)?;
        let spaced = |octet: u8| octet <= b' ' || octet == 0x7f;
        if local.is_empty() || domain.is_empty() || text.bytes().any(spaced) || !domain.is_ascii() {
            return Err(invalid());
        }
        Ok(Address::new(local, domain.to_ascii_lowercase()))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A parameter of MAIL or RCPT, such as `NOTIFY=NEVER` (RFC 5321 4.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The keyword.
    pub name: String,
    /// What stands behind `=`.
    pub value: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_at_the_last_at() {
        let address: Address = "\"a@b\"@Example.ORG".parse().unwrap();
        assert_eq!((address.local(), address.domain()), ("\"a@b\"", "example.org"));
        assert_eq!(address.to_string(), "\"a@b\"@example.org");
    }

    #[test]
    fn slips_are_found() {
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b\r\n", "a@münchen.example"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }
}
