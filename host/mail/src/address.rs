//! Addresses by RFC 5321 section 4.1.2, with the internationalised forms of RFC 6531.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::is_unsafe;

/// Octets in a local part at most (RFC 5321 4.5.3.1.1).
pub const LOCAL_PART_OCTETS_MAX: usize = 64;
/// Octets in a domain at most (RFC 5321 4.5.3.1.2).
pub const DOMAIN_OCTETS_MAX: usize = 255;
/// Octets in a label at most (RFC 1035 2.3.4).
pub const LABEL_OCTETS_MAX: usize = 63;

/// A domain name in its ASCII form, in lower case, or an address literal in brackets.
///
/// `münchen.example` and `xn--mnchen-3ya.example` are the same value, so they compare equal everywhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>);

impl Domain {
    /// The text form: ASCII, lower case, no dot at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, when this is a literal such as `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    pub fn as_literal(&self) -> Option<IpAddr> {
        let inner = self.0.strip_prefix('[')?.strip_suffix(']')?;
        match inner.strip_prefix("ipv6:") {
            Some(rest) => rest.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }

    /// True when this is `parent` or a name below it.
    pub fn is_within(&self, parent: &Domain) -> bool {
        self.0.strip_suffix(&*parent.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for Domain {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Domain, InvalidAddress> {
        if text.starts_with('[') {
            let literal = Domain(text.to_ascii_lowercase().into_boxed_str());
            return if literal.as_literal().is_some() { Ok(literal) } else { Err(InvalidAddress::Literal) };
        }
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| InvalidAddress::Domain)?
        };
        check_domain(&ascii)?;
        Ok(Domain(ascii.into_boxed_str()))
    }
}

/// Checks length and labels of a name in lower-case ASCII. Underscores pass: they occur in real mail hosts.
fn check_domain(ascii: &str) -> Result<(), InvalidAddress> {
    if ascii.is_empty() || ascii.len() > DOMAIN_OCTETS_MAX {
        return Err(InvalidAddress::Domain);
    }
    let label_is_valid = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_OCTETS_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
    };
    if ascii.split('.').all(label_is_valid) { Ok(()) } else { Err(InvalidAddress::Domain) }
}

/// A mailbox: local part, `@`, domain. The local part is kept exactly as it was given, quotes included.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mailbox {
    local: Box<str>,
    domain: Domain,
}

impl Mailbox {
    /// A mailbox from its halves.
    pub fn new(local: &str, domain: Domain) -> Result<Mailbox, InvalidAddress> {
        check_local_part(local)?;
        Ok(Mailbox { local: local.into(), domain })
    }

    /// The local part as given; a quoted one with its quotes.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// True when the next hop must know SMTPUTF8 to take this address (RFC 6531 3.4).
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

impl FromStr for Mailbox {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Mailbox, InvalidAddress> {
        let at = match text.strip_prefix('"') {
            Some(rest) => 1 + quoted_end(rest).ok_or(InvalidAddress::LocalPart)? + 1,
            None => text.find('@').ok_or(InvalidAddress::NoDomain)?,
        };
        let (local, rest) = text.split_at_checked(at).ok_or(InvalidAddress::LocalPart)?;
        let domain = rest.strip_prefix('@').ok_or(InvalidAddress::NoDomain)?;
        Mailbox::new(local, domain.parse()?)
    }
}

/// Where the closing quote stands in the text after the opening one.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index),
            _ => {}
        }
    }
    None
}

/// Dot-string or quoted-string (RFC 5321 4.1.2), with UTF-8 beyond ASCII (RFC 6531 3.3).
fn check_local_part(local: &str) -> Result<(), InvalidAddress> {
    if local.is_empty() || local.len() > LOCAL_PART_OCTETS_MAX || local.chars().any(is_unsafe) {
        return Err(InvalidAddress::LocalPart);
    }
    let valid = match local.strip_prefix('"') {
        Some(rest) => quoted_end(rest).is_some_and(|end| end + 1 == rest.len()),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_text)),
    };
    if valid { Ok(()) } else { Err(InvalidAddress::LocalPart) }
}

/// RFC 5322 `atext` and every character beyond ASCII.
fn is_atom_text(character: char) -> bool {
    character.is_ascii_alphanumeric() || !character.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(character)
}

/// Where failures are reported: a mailbox, or nowhere (RFC 5321 4.5.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`: never answer with a report.
    Null,
    /// The sender.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox, when there is one.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// There is no `@domain`.
    #[error("the address has no domain")]
    NoDomain,
    /// The local part is empty, too long or has characters that need quotes.
    #[error("the local part is not valid")]
    LocalPart,
    /// The domain is empty, too long or no host name.
    #[error("the domain is not valid")]
    Domain,
    /// The bracketed text is not an IP address.
    #[error("the address literal is not valid")]
    Literal,
}

impl fmt::Display for Domain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Mailbox(mailbox) => mailbox.fmt(formatter),
        }
    }
}

macro_rules! text_form {
    ($type:ty) => {
        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_form!(Domain);
text_form!(Mailbox);

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Result<Mailbox, InvalidAddress> {
        text.parse()
    }

    #[test]
    fn quoted_local_parts_are_kept_exactly() {
        let quoted = mailbox("\"a@b \\\"c\"@us.example").unwrap();
        assert_eq!(quoted.local(), "\"a@b \\\"c\"");
        assert_eq!(quoted.domain().as_str(), "us.example");
    }

    #[test]
    fn domains_compare_in_their_ascii_form() {
        assert_eq!("MÜNCHEN.example".parse::<Domain>(), "xn--mnchen-3ya.EXAMPLE".parse::<Domain>());
    }

    #[test]
    fn what_can_not_be_an_address_is_refused() {
        for bad in [
            "user@us.",
            "user@us:2525",
            "@us",
            "user",
            "a\r\n@b",
            "\"a\"b@us",
            "a..b@us",
            "u@[300.1.1.1]",
            "a b@us",
            "u@-x",
        ] {
            assert!(mailbox(bad).is_err(), "{bad}");
        }
        assert!(mailbox(&format!("{}@us.example", "x".repeat(65))).is_err());
        assert!(mailbox(&format!("{}@us.example", "x".repeat(64))).is_ok());
    }

    #[test]
    fn literals_are_domains() {
        let literal: Domain = "[IPv6:2001:DB8::1]".parse().unwrap();
        assert_eq!(literal.as_literal(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(
            mailbox("user@[127.0.0.1]").unwrap().domain().as_literal(),
            Some("127.0.0.1".parse().unwrap())
        );
    }

    #[test]
    fn within_respects_label_borders() {
        let parent: Domain = "example.org".parse().unwrap();
        assert!("mx.example.org".parse::<Domain>().unwrap().is_within(&parent));
        assert!(!"badexample.org".parse::<Domain>().unwrap().is_within(&parent));
    }
}
